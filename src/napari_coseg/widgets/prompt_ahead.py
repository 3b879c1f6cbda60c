"""Lets the model look at an object while its box is still being drawn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from qtpy.QtCore import QObject, Signal

from napari_coseg.inference.zoom import Box, aim_at, crop_for
from napari_coseg.types import CosegError, Prompt
from napari_coseg.worker.pending import Pending


class LookAhead(QObject):
    """Asks for masks that nobody will see, so that the host has encoded what they lie in.

    Encoding is most of what a mask costs, and depends on the crop alone, which boxes that differ
    little have in common: the last ones of a drag, and what it ends with. Answers are the same with
    and without it.

    Parameters
    ----------
    ask : callable
        Sends a prompt.
    drop : callable
        Cancels it.
    """

    _done = Signal()

    def __init__(self, ask: Callable[[Prompt], Pending], drop: Callable[[Pending], None]) -> None:
        super().__init__()
        self._ask, self._drop = ask, drop
        self._pending: Pending | None = None
        # The last one that was asked for, and the box that waits for its answer.
        self._crop: Box | None = None
        self._next: tuple[Box, tuple[int, int]] | None = None
        self._done.connect(self._go_on)

    def look(self, box: Box, shape: tuple[int, int]) -> None:
        """Look at what is round a box, unless that was done; one at a time, the last one counts.

        Parameters
        ----------
        box : tuple of float
        shape : tuple of int
            Rows and columns of the image.
        """
        crop = crop_for(aim_at(box, shape), shape)
        self._next = None
        if crop == self._crop:
            return
        if self._pending is not None and not self._pending.future.done():
            self._next = box, shape
            return
        self._crop = crop
        # A box that cannot be sent is refused, in words, when it is drawn.
        with suppress(CosegError):
            self._pending = self._ask(Prompt(box))
            self._pending.future.add_done_callback(self._tell)

    def end(self) -> None:
        """Stop: what is being drawn is drawn, or is nothing any more."""
        pending, self._pending = self._pending, None
        self._crop = self._next = None
        if pending is not None and not pending.future.done():
            self._drop(pending)

    def _tell(self, future: object) -> None:
        # In a thread of the client; the window may be closing.
        with suppress(RuntimeError):
            self._done.emit()

    def _go_on(self) -> None:
        if self._next is not None:
            self.look(*self._next)

"""One request to follow objects through a volume: what has come of it so far, and its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_coseg.inference.key_planes import PlaneMask
from napari_coseg.layers.volume_sheet import StackPictures
from napari_coseg.types import Mask
from napari_coseg.widgets.prompt_walk_plan import Followed
from napari_coseg.widgets.prompt_work import Context, Work
from napari_coseg.worker.client import Client
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.propagating import Taken


class Walk(QObject):
    """Objects on their way; its signals come in the GUI's thread.

    Parameters
    ----------
    client : Client
    objects : sequence of Followed
    pictures : StackPictures
        The volume.
    context : Context
        What it is committed to.
    work : Work or None
        The object that was at work when it began, which is among them.
    notice : callable
        Called, in any thread, with sentences of the worker.

    Attributes
    ----------
    progressed : Signal
        Something has come.
    finished : Signal
        A list of `PlaneMask`.
    failed : Signal
        The exception.
    """

    progressed = Signal()
    finished = Signal(list)
    failed = Signal(object)
    _plane = Signal(object)
    _again = Signal()
    _done = Signal(object)

    def __init__(
        self,
        client: Client,
        objects: Sequence[Followed],
        pictures: StackPictures,
        context: Context,
        work: Work | None,
        notice: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._client = client
        self._notice = notice
        self.objects = tuple(objects)
        self.pictures = pictures
        self.context = context
        self.work = work
        self._pending: Pending | None = None
        self._over = False
        self._found: defaultdict[int, dict[int, Mask]] = defaultdict(dict)
        self._begin()
        self._plane.connect(self._on_plane)
        self._again.connect(self._begin)
        self._done.connect(self._on_done)

    def start(self, taken: Taken | None, device: str, content: str) -> None:
        """Ask the worker.

        Parameters
        ----------
        taken : callable, optional
            See `napari_coseg.worker.propagating.Taken`.
        device, content : str
            As of `Client.propagate`.

        Raises
        ------
        CosegError
            If it cannot be asked.
        """
        self._pending = self._client.propagate(
            self.pictures,
            [key for one in self.objects for key in one.key_planes],
            model=self.context.model,
            device=device,
            content=content,
            reach={one.number: one.span for one in self.objects},
            taken=taken,
            # Methods, and not signals: they keep this object alive as long as it may be called.
            handlers=Handlers(
                plane=self._tell_plane, notice=self._notice, restarted=self._tell_again
            ),
        )
        self._pending.future.add_done_callback(self._tell_done)

    def cancel(self) -> None:
        """End it; nothing more is heard of it."""
        self._over = True
        if self._pending is not None:
            self._client.cancel(self._pending)

    @property
    def reached(self) -> tuple[int, int]:
        """The lowest and the highest plane that have come so far."""
        return min(self._found), max(self._found)

    def mask_on(self, plane: int) -> Mask | None:
        """Return what has come on a plane so far, of all objects together."""
        masks = [mask for mask in self._found.get(plane, {}).values() if mask.area]
        if not masks:
            return None
        low = np.min([mask.origin for mask in masks], axis=0)
        high = np.max([np.add(mask.origin, mask.bits.shape) for mask in masks], axis=0)
        bits = np.zeros(tuple(high - low), bool)
        for mask in masks:
            row, column = np.subtract(mask.origin, low)
            rows, columns = mask.bits.shape
            bits[row : row + rows, column : column + columns] |= mask.bits
        return Mask((int(low[0]), int(low[1])), bits)

    def _begin(self) -> None:
        self._found.clear()
        for one in self.objects:
            for plane, mask in one.keys.items():
                if one.covers(plane):
                    self._found[plane][one.number] = mask

    # In a thread of the client.

    def _tell_plane(self, found: PlaneMask) -> None:
        if not self._over:
            self._plane.emit(found)

    def _tell_again(self) -> None:
        if not self._over:
            self._again.emit()

    def _tell_done(self, future: Future[list[PlaneMask]]) -> None:
        try:
            self._done.emit(future)
        except RuntimeError:  # the window is closing
            return

    # In the GUI's thread.

    def _on_plane(self, found: PlaneMask) -> None:
        if not self._over and found.mask.area:
            self._found[found.plane][found.label] = found.mask
            self.progressed.emit()

    def _on_done(self, future: Future[Any]) -> None:
        if self._over:
            return
        self._over = True
        try:
            found = future.result()
        except CancelledError:
            return
        except Exception as error:
            self.failed.emit(error)
            return
        self.finished.emit(found)

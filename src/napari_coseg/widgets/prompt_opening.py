"""A layer whose journal is being opened in a thread, and what waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from napari.utils.notifications import show_warning

from napari_coseg.layers.pixels import StoppedError
from napari_coseg.types import CosegError
from napari_coseg.widgets.background import in_background
from napari_coseg.widgets.prompt_target import Target


@dataclass(frozen=True)
class Waiting:
    """An edit that waits for a layer.

    Attributes
    ----------
    act : callable
        Returns whether it was done.
    missed : callable
        Called where it was not.
    count : int
        Objects that it would keep.
    """

    act: Callable[[Target], bool]
    missed: Callable[[], None]
    count: int


class Opening:
    """Reads a layer in a thread; it runs already.

    Attributes
    ----------
    fresh : bool
        Whether the journal is a new one.

    Parameters
    ----------
    target : Target
        Not read yet.
    lock : threading.Lock
        Held while it is read: whoever opens the same journal next waits for this one to end.
    opened : callable
        Called on the GUI's thread with this opening once the layer is read, unless it was left.
    failed : callable
        Called with this opening after the person was told why the layer cannot be used.
    kept : callable
        Called with this opening and the number of objects kept after it had been left;
        the journal is closed then.
    """

    def __init__(
        self,
        target: Target,
        lock: threading.Lock,
        opened: Callable[[Opening], None],
        failed: Callable[[Opening], None],
        kept: Callable[[Opening, int], None],
    ) -> None:
        self.target = target
        self._lock = lock
        self._opened = opened
        self._failed = failed
        self._kept = kept
        self._waiting: list[Waiting] = []
        self._left = False
        self.fresh = not target.path.exists()
        self._worker = in_background(
            self._read,
            f"Reading {target.layer.name}",
            done=self._on_read,
            failed=self._on_failed,
            ended=lambda: None,
        )

    @property
    def waiting(self) -> int:
        """How many objects wait for the layer."""
        return sum(edit.count for edit in self._waiting)

    def wait(self, edit: Waiting) -> None:
        """Let an edit wait."""
        self._waiting.append(edit)

    def leave(self) -> None:
        """Turn to something else: what waits is still kept, and the journal closed then."""
        self._left = True
        if not self._waiting:
            self.target.stop()

    def give_up(self) -> int:
        """Want the layer no more; return how many objects are lost by it."""
        lost = self.waiting
        self._waiting.clear()
        self.leave()
        return lost

    def hand_over(self) -> list[Waiting]:
        """Return what waits, which another opening is to do."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def carry_out(self) -> int:
        """Do what has waited; return how many objects were kept."""
        kept = 0
        for edit in self.hand_over():
            if edit.act(self.target):
                kept += edit.count
            elif not self._left:
                edit.missed()
        return kept

    def _read(self) -> bool:
        """Read, in the thread; whether the case is open."""
        target = self.target
        with self._lock:
            try:
                target.read()
            except StoppedError:
                if self.fresh:
                    _remove(target)
                return False
            if self._left and not self._waiting:
                target.case.close()
                if self.fresh:
                    _remove(target)
                return False
        return True

    def _on_read(self, is_open: bool) -> None:
        if not is_open:
            return
        if not self._left:
            self._opened(self)
        elif not self._waiting:
            self.target.case.close()
            if self.fresh:
                _remove(self.target)
        else:
            done = 0
            try:
                self.target.begin()
            except CosegError as error:
                show_warning(str(error))
            else:
                try:
                    done = self.carry_out()
                finally:
                    self.target.let_go()
            self._kept(self, done)

    def _on_failed(self) -> None:
        self.target.stop()
        self._failed(self)


def _remove(target: Target) -> None:
    """Take away the file of a journal that was never begun: it would be taken for earlier work."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            target.path.with_name(target.path.name + suffix).unlink()

"""Reads layers under their journals, and begins with them: large ones are read in a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_coseg.layers.pixels import StoppedError
from napari_coseg.types import CosegError
from napari_coseg.widgets.kept_layer import INSTANT, KeptLayer

#: Called with None, or what went wrong.
Then = Callable[[BaseException | None], None]


class KeptReader(QObject):
    """Reads for one case.

    Parameters
    ----------
    readers : Executor
        Of one thread: one journal after the other, also one that is opened again.
    """

    _read = Signal(object, object)

    def __init__(self, readers: Executor) -> None:
        super().__init__()
        self._readers = readers
        self._coming: dict[KeptLayer, Then] = {}
        self._over = False
        self._read.connect(self._on_read)

    @property
    def coming(self) -> list[KeptLayer]:
        """Layers that are being read."""
        return list(self._coming)

    def is_reading(self, path: Path) -> bool:
        """Whether a journal is being read."""
        return any(kept.path == path for kept in self._coming)

    def start(self, kept: KeptLayer, then: Then) -> None:
        """Read a layer and begin with it; `then` is called at once where it is small."""
        self._coming[kept] = then
        if kept.size <= INSTANT:
            self._on_read(kept, _trouble_of(kept))
        else:
            self._readers.submit(self._in_thread, kept)

    def let_go(self) -> None:
        """Want nothing more: what is read already is closed."""
        self._over = True
        for kept in self._coming:
            kept.stop()

    def _in_thread(self, kept: KeptLayer) -> None:
        error = _trouble_of(kept)
        if error is None and self._over:
            kept.case.close()
            return
        with contextlib.suppress(RuntimeError):  # the dock was closed meanwhile
            self._read.emit(kept, error)

    def _on_read(self, kept: KeptLayer, error: BaseException | None) -> None:
        then = self._coming.pop(kept)
        if self._over:
            if error is None:
                kept.case.close()
            return
        if error is None:
            try:
                kept.begin()
            except CosegError as trouble:
                error = trouble
        then(error)


def _trouble_of(kept: KeptLayer) -> BaseException | None:
    """Read a layer, in any thread; return what went wrong."""
    try:
        kept.read()
    except (CosegError, StoppedError, OSError, MemoryError) as error:
        return error
    return None

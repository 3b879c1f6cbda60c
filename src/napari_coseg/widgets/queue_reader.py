"""Reads images of cases in threads: the one that is wanted, the next one ahead, small pictures."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_coseg.annotation.identity import ImageIdentity, identify
from napari_coseg.annotation.queue_images import (
    CaseImage,
    file_stamp,
    read_case,
    read_small_picture,
)
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.types import CosegError


@dataclass(frozen=True)
class Prepared:
    """An image that is read, and what it is known by."""

    image: CaseImage
    identity: ImageIdentity


class QueueReader(QObject):
    """Reads for one queue.

    Attributes
    ----------
    ready : Signal
        Number of a case, and the `Prepared` or the exception that reading it ended with.
    small : Signal
        Number of a case, and its small picture as PNG, empty where there is none.
    ahead_ready : Signal
        Number of a case that was read ahead, and the `Prepared`.
    """

    ready = Signal(int, object)
    small = Signal(int, bytes)
    ahead_ready = Signal(int, object)

    def __init__(self, project: QueueProject) -> None:
        super().__init__()
        self._project = project
        self._images = ThreadPoolExecutor(1, "coseg-queue-image")
        self._smalls = ThreadPoolExecutor(1, "coseg-queue-small")
        #: For whoever reads labels: one journal after the other, also one that is opened again.
        self.labels = ThreadPoolExecutor(1, "coseg-queue-labels")
        self._wanted: int | None = None
        self._kept: dict[int, tuple[str, Future[Prepared]]] = {}
        self._asked: set[int] = set()
        self._gone = False

    def want(self, number: int) -> None:
        """Read the image of a case; `ready` tells of it, at once where it is there already."""
        self._wanted = number
        future = self._ask(number)
        if future.done():
            self._tell(number, future)
        else:
            future.add_done_callback(lambda done: self._tell(number, done))

    def ahead(self, number: int | None, opened: int) -> None:
        """Read the next case's image too, and forget all but these two."""
        if self._gone:
            return
        for other in [n for n in self._kept if n not in (number, opened)]:
            self._kept.pop(other)[1].cancel()
        # The open one is in its layer, which may be taken away.
        self._kept.pop(opened, None)
        if number is not None:
            self._ask(number).add_done_callback(lambda done: self._tell_ahead(number, done))

    def is_ready(self, number: int) -> bool:
        """Whether the image of a case is read."""
        return number in self._kept and self._kept[number][1].done()

    def want_small(self, number: int) -> None:
        """Make the small picture of a case, once."""
        if number in self._asked or self._gone:
            return
        self._asked.add(number)
        self._smalls.submit(self._make_small, number, self._project.path(number))

    def let_go(self) -> None:
        """End what is under way; a file that is being read is read to its end."""
        self._gone = True
        self._images.shutdown(wait=False, cancel_futures=True)
        self._smalls.shutdown(wait=False, cancel_futures=True)
        self.labels.shutdown(wait=False)
        self._kept.clear()

    def _ask(self, number: int) -> Future[Prepared]:
        path = self._project.path(number)
        stamp = file_stamp(path)
        known = self._kept.get(number)
        if known is not None and known[0] == stamp and not _has_failed(known[1]):
            return known[1]
        future = self._images.submit(_prepare, path)
        self._kept[number] = (stamp, future)
        return future

    def _tell(self, number: int, future: Future[Prepared]) -> None:
        if self._gone or future.cancelled() or number != self._wanted:
            return
        error = future.exception()
        try:
            self.ready.emit(number, future.result() if error is None else error)
        except RuntimeError:  # the dock was closed meanwhile
            return

    def _tell_ahead(self, number: int, future: Future[Prepared]) -> None:
        if self._gone or _has_failed(future):
            return
        with contextlib.suppress(RuntimeError):  # the dock was closed meanwhile
            self.ahead_ready.emit(number, future.result())

    def _make_small(self, number: int, path: Path) -> None:
        """Look the small picture up, or make it; in the thread."""
        png = b""
        stamp = file_stamp(path)
        try:
            writer = self._project.writer
            png = writer.ask(lambda store: store.thumbnail(number, stamp)).result(60) or b""
            if not png and not self._gone:
                png = read_small_picture(path)
                writer.ask(lambda store: store.keep_thumbnail(number, stamp, png))
        except (CosegError, RuntimeError, OSError, MemoryError, TimeoutError):
            # A case without a picture tells why when it is opened.
            pass
        if self._gone:
            return
        try:
            self.small.emit(number, png)
        except RuntimeError:
            return


def _prepare(path: Path) -> Prepared:
    try:
        image = read_case(path)
    except (OSError, MemoryError) as error:
        raise CosegError(f"{path.name} cannot be read ({error}).") from error
    return Prepared(image, identify(image.pixels))


def _has_failed(future: Future[Prepared]) -> bool:
    return future.cancelled() or (future.done() and future.exception() is not None)

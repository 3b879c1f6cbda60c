"""The way that undo and redo go, with as much of it in memory as is likely to be asked for.

The journal holds all edits; memory holds those around the present one. Older ones are fetched
ahead by the writer's thread, so that pressing undo many times in a row waits for no disk either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from napari_coseg.annotation.journal import Journal
from napari_coseg.annotation.steps import Edit
from napari_coseg.annotation.writer import Writer
from napari_coseg.types import CosegError

#: Most edits in memory on each side of the present one, and most bytes.
_MOST, _BYTES = 256, 64 << 20
#: Edits fetched at once, and from how few on.
_FETCHED, _FEW = 64, 32


@dataclass(frozen=True)
class _Coming:
    """Edits that were asked for, and the one beside which they lie."""

    beside: int
    edits: Future[list[Edit]]


class Timeline:
    """Edits before and after the present state.

    Parameters
    ----------
    done : list of Edit
        The last edits, the oldest first.
    undone : list of Edit
        What redo would do, the next one first.
    head : int
        The present edit, 0 for none.
    last_id : int
        The youngest edit of all.
    """

    def __init__(self, done: list[Edit], undone: list[Edit], head: int, last_id: int) -> None:
        self._done = deque(done)
        self._undone = deque(undone)
        self._bytes = sum(edit.size for edit in (*done, *undone))
        self._next_id = last_id + 1
        # The edit before the oldest one in memory; whether the journal may know more to do again.
        self._earlier = done[0].parent if done else head
        self._later = bool(undone)
        self._coming: _Coming | None = None
        self._coming_later: _Coming | None = None

    @classmethod
    def read(cls, journal: Journal) -> Timeline:
        """Return the way as a journal has it."""
        head = journal.head
        done = _whole(journal.back, head)
        undone = _whole(journal.forth, head)
        way = cls(done or [], undone or [], head, journal.last_id)
        way._later = undone is None or bool(undone)
        return way

    @property
    def head(self) -> int:
        """The present edit, 0 for none."""
        return self._done[-1].id if self._done else self._earlier

    @property
    def next_id(self) -> int:
        """The number of the next new edit."""
        return self._next_id

    @property
    def earlier(self) -> int:
        """The youngest of the edits before those in memory, 0 for none."""
        return self._earlier

    @property
    def recent(self) -> list[Edit]:
        """The edits in memory up to the present one, the youngest first."""
        return list(reversed(self._done))

    def append(self, edit: Edit, durable: int) -> None:
        """Add a new edit, which drops what could be done again.

        Parameters
        ----------
        edit : Edit
            Its number is `next_id`, its parent `head`.
        durable : int
            The youngest edit on the disk: those up to it may leave memory.
        """
        self._done.append(edit)
        self._bytes += edit.size - sum(other.size for other in self._undone)
        self._undone.clear()
        self._later, self._coming_later = False, None
        self._next_id = edit.id + 1
        self._trim(durable)

    def to_undo(self, writer: Writer) -> Edit | None:
        """Return the edit that undo would take back."""
        while not self._done and self._earlier:
            self._fetch_earlier(writer)
            self._take_earlier()
        return self._done[-1] if self._done else None

    def to_redo(self, writer: Writer) -> Edit | None:
        """Return the edit that redo would do again."""
        while not self._undone and self._later:
            self._fetch_later(writer)
            self._take_later()
        return self._undone[0] if self._undone else None

    def undone(self, writer: Writer) -> None:
        """Step back over the edit of `to_undo`."""
        self._undone.appendleft(self._done.pop())
        if len(self._done) < _FEW and self._earlier:
            self._fetch_earlier(writer)
            if self._coming is not None and _is_good(self._coming.edits):
                self._take_earlier()
        self._trim(writer.durable)

    def redone(self, writer: Writer) -> None:
        """Step forward over the edit of `to_redo`."""
        self._done.append(self._undone.popleft())
        if len(self._undone) < _FEW and self._later:
            self._fetch_later(writer)
            if self._coming_later is not None and _is_good(self._coming_later.edits):
                self._take_later()
        self._trim(writer.durable)

    def _fetch_earlier(self, writer: Writer) -> None:
        if self._coming is None and self._earlier:
            self._coming = _Coming(self._earlier, writer.ask(_back(self._earlier)))

    def _take_earlier(self) -> None:
        coming, self._coming = self._coming, None
        # Trimming may have gone on since they were asked for.
        if coming is not None and coming.beside == self._earlier:
            edits = coming.edits.result()
            self._done.extendleft(reversed(edits))
            self._earlier = edits[0].parent
            self._bytes += sum(edit.size for edit in edits)

    def _fetch_later(self, writer: Writer) -> None:
        if self._coming_later is None and self._later:
            last = self._last
            self._coming_later = _Coming(last, writer.ask(_forth(last)))

    def _take_later(self) -> None:
        coming, self._coming_later = self._coming_later, None
        if coming is not None and coming.beside == self._last:
            edits = coming.edits.result()
            self._later = bool(edits)
            self._undone.extend(edits)
            self._bytes += sum(edit.size for edit in edits)

    @property
    def _last(self) -> int:
        """The edit farthest ahead that is in memory."""
        return self._undone[-1].id if self._undone else self.head

    def _trim(self, durable: int) -> None:
        """Let go of the edits farthest from the present one, those on the disk only."""
        while len(self._done) > _MOST or (self._bytes > _BYTES and len(self._done) > 1):
            if self._done[0].id > durable:
                break
            gone = self._done.popleft()
            self._earlier = gone.id
            self._bytes -= gone.size
        while len(self._undone) > _MOST or (self._bytes > _BYTES and len(self._undone) > 1):
            if self._undone[-1].id > durable:
                break
            self._bytes -= self._undone.pop().size
            self._later = True


def _whole(read: Callable[[int, int], list[Edit]], head: int) -> list[Edit] | None:
    """Return edits beside the present one, None where they are damaged.

    The present is whole all the same: the person can go on, and undo tells what is wrong.
    """
    try:
        return read(head, _FETCHED)
    except CosegError:
        return None


def _is_good(edits: Future[list[Edit]]) -> bool:
    """Whether edits have come; an error waits until they are needed."""
    return edits.done() and not edits.cancelled() and edits.exception() is None


def _back(head: int) -> Callable[[Journal], list[Edit]]:
    return lambda journal: journal.back(head, _FETCHED)


def _forth(head: int) -> Callable[[Journal], list[Edit]]:
    return lambda journal: journal.forth(head, _FETCHED)

"""A queue: the cases of a folder, in an order, each with what a person did about it."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from napari_coseg.annotation.queue_cases import find_cases, listed_cases
from napari_coseg.annotation.queue_faults import damaged_queue
from napari_coseg.annotation.queue_names import ORDER, HiddenOrder, case_name, case_names, masked
from napari_coseg.annotation.queue_places import FILE, LABELS, home_of, labels_file
from napari_coseg.annotation.queue_store import (
    FAILED,
    IN_PROGRESS,
    STATUSES,
    TO_DO,
    Change,
    QueueCase,
    QueueStore,
)
from napari_coseg.annotation.queue_writer import QueueWriter
from napari_coseg.types import CosegError


class QueueProject:
    """An open queue; made by `open`. One thread, the GUI's, uses it.

    Every change is in memory at once and on the disk a moment later; `wait` waits for that.

    Attributes
    ----------
    root : Path
        The folder of the images.
    home : Path
        The folder of the queue's own files.
    """

    def __init__(self, root: Path, home: Path, store: QueueStore) -> None:
        self.root = root
        self.home = home
        facts = store.facts()
        self._cases = {case.id: case for case in store.cases()}
        self._anonymous = facts.get("anonymous") == "1"
        self._last = int(facts.get("last", "0"))
        self._listed = facts.get("listed") == "1"
        seed = facts.get("seed")
        if seed is None:
            seed = secrets.token_hex(8)
        try:
            self._order = HiddenOrder(seed, facts.get(ORDER), self._cases.values())
        except (ValueError, TypeError) as error:
            raise damaged_queue(store.path) from error
        self.on_trouble: Callable[[str | None], None] | None = None
        self._writer = QueueWriter(store, self._trouble)
        if (facts.get("seed"), facts.get(ORDER)) != (seed, self._order.text):
            self._writer.put(("seed", seed), (ORDER, self._order.text))

    @classmethod
    def open(
        cls,
        root: Path | str,
        paths: Iterable[Path | str] | None = None,
        *,
        home: Path | None = None,
    ) -> QueueProject:
        """Open the queue of a folder, or begin one.

        Files that are new in the folder come to the end of the queue; cases whose file is gone
        stay, with what is known of them.

        Parameters
        ----------
        root : Path or str
            Folder of the images.
        paths : iterable of Path or str, optional
            The cases of a new queue, where these are not all of the folder; a queue that was made
            of a list takes in no new files by itself.
        home : Path, optional
            Folder of the queue's own files, by default as `queue_places` says.

        Raises
        ------
        CosegError
            If the folder is not there, holds no cases, or the queue is in use, damaged, or of a
            newer version.
        """
        root = Path(root).absolute()
        listed = None if paths is None else listed_cases(root, paths)
        found = find_cases(root) if listed is None else listed
        home = home_of(root) if home is None else home
        new = not (home / FILE).exists()
        if new and not found:
            raise CosegError(
                f"{root} holds no images, volumes or DICOM folders: choose the folder of the "
                "images."
            )
        try:
            (home / LABELS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CosegError(
                f"The folder {home} cannot be made ({error.strerror}): choose another one."
            ) from error
        store = QueueStore(home / FILE)
        try:
            project = cls(root, home, store)
        except BaseException:
            store.close()
            raise
        if listed is not None:
            project._writer.put(("listed", "1"))
            project._listed = True
        if listed is not None or not project._listed:
            project._take_in(found)
        return project

    # What is there.

    @property
    def cases(self) -> list[QueueCase]:
        """All cases in their order: a shuffled one where names are hidden."""
        cases = list(self._cases.values())
        return self._order.sorted(cases) if self._anonymous else cases

    def case(self, number: int) -> QueueCase:
        """Return a case by its number."""
        return self._cases[number]

    def path(self, number: int) -> Path:
        """Return the file or the DICOM folder of a case."""
        return self.root / self._cases[number].key

    def name(self, number: int) -> str:
        """Return what a case is called: "Case 7" where names are hidden.

        It keeps that number, which tells nothing of the file.
        """
        return case_name(self._cases[number], self._order if self._anonymous else None)

    def names(self) -> dict[int, str]:
        """Return what all cases are called."""
        return case_names(self._cases, self._order if self._anonymous else None)

    def reason(self, number: int) -> str:
        """Return why a case failed, without the name of its file where names are hidden."""
        reason = self._cases[number].reason
        if not self._anonymous or not reason:
            return reason
        return masked(reason, self.path(number), self._cases[number].key, self.name(number))

    def journal(self, number: int, role: str) -> Path:
        """Return the file of a case's labels.

        Parameters
        ----------
        number : int
        role : str
            ``"objects"`` or ``"regions"``.
        """
        return labels_file(self.home, self._cases[number].key, role)

    def known_as(self, number: int) -> str:
        """Return what tells a case from all others, of other queues too, and names no file."""
        key = str(self.root / self._cases[number].key)
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()

    @property
    def anonymous(self) -> bool:
        """Whether names are hidden."""
        return self._anonymous

    @property
    def last(self) -> int | None:
        """The case that was open last, None for none."""
        return self._last if self._last in self._cases else None

    def counts(self) -> dict[str, int]:
        """Return how many cases have each status."""
        counts = dict.fromkeys(STATUSES, 0)
        for case in self._cases.values():
            counts[case.status] += 1
        return counts

    def search(self, text: str = "", statuses: Sequence[str] = STATUSES) -> list[QueueCase]:
        """Return the cases of some statuses whose name or note holds all words of a text."""
        words = text.casefold().split()
        names = self.names()
        return [
            case
            for case in self.cases
            if case.status in statuses
            and all(word in f"{names[case.id]}\n{case.note}".casefold() for word in words)
        ]

    @staticmethod
    def neighbour(cases: Sequence[QueueCase], number: int | None, forward: bool) -> int | None:
        """Return the case before or after one among some; None at the end.

        Where the case itself is not among them any more, the first one, or the last, is taken.
        """
        order = [case.id for case in cases]
        if not order:
            return None
        if number not in order:
            return order[0] if forward else order[-1]
        place = order.index(number) + (1 if forward else -1)
        return order[place] if 0 <= place < len(order) else None

    # What changes.

    def opened(self, number: int) -> None:
        """Remember that a case was opened.

        One that had failed is what it was before; one to do is in progress now.
        """
        self._last = number
        self._writer.put(("last", str(number)))
        case = dataclasses.replace(self._cases[number], reason="")
        if case.status == TO_DO:
            case = dataclasses.replace(case, stands=IN_PROGRESS)
        self._put(case)

    def set_status(self, number: int, status: str) -> None:
        """Set the status of a case.

        Raises
        ------
        ValueError
            If there is no such status, or it is "failed", which `failed` sets.
        CosegError
            If the case has failed: nobody can see what they say that of.
        """
        if status not in STATUSES or status == FAILED:
            raise ValueError(f"no status that can be set: {status!r}")
        case = self._cases[number]
        if case.status == FAILED:
            raise CosegError(
                f"{self.name(number)} cannot be read now, so it cannot be marked as {status}. It "
                f"was {case.stands} before, and is again once it opens."
            )
        self._put(dataclasses.replace(case, stands=status))

    def failed(self, number: int, reason: str) -> None:
        """Remember that a case cannot be used now, and why; its status waits until it can."""
        reason = reason or "It cannot be read."
        self._put(dataclasses.replace(self._cases[number], reason=reason))

    def set_note(self, number: int, note: str) -> None:
        """Set the note of a case."""
        self._put(dataclasses.replace(self._cases[number], note=note))

    def add_time(self, number: int, seconds: float) -> None:
        """Add to the time that a person worked at a case."""
        if seconds > 0:
            case = self._cases[number]
            self._put(dataclasses.replace(case, seconds=case.seconds + seconds))

    def adopt(self, number: int, status: str, note: str, seconds: float) -> None:
        """Take over what somebody else made of a case that is shared."""
        case = self._cases[number]
        # Where it cannot be read here, somebody else's look does not mend that.
        self._put(dataclasses.replace(case, stands=status, note=note, seconds=seconds))

    def set_anonymous(self, hide: bool) -> None:
        """Hide or show names."""
        self._anonymous = hide
        self._writer.put(("anonymous", str(int(hide))))

    def rescan(self) -> list[int]:
        """Take in files that are new in the folder; return the numbers of their cases.

        Raises
        ------
        CosegError
            If the folder cannot be read.
        """
        return [] if self._listed else self._take_in(find_cases(self.root))

    def _take_in(self, keys: Iterable[str]) -> list[int]:
        known = {case.key for case in self._cases.values()}
        number = max(self._cases, default=0)
        new: list[Change] = []
        for key in keys:
            if key not in known:
                number += 1
                self._cases[number] = QueueCase(number, key)
                new.append(self._cases[number])
        if new:
            self._order.take_in(self._cases.values())
            self._writer.put(*new, (ORDER, self._order.text))
        return [case.id for case in new if isinstance(case, QueueCase)]

    def _put(self, case: QueueCase) -> None:
        if case != self._cases[case.id]:
            self._cases[case.id] = case
            self._writer.put(case)

    # On the disk.

    @property
    def writer(self) -> QueueWriter:
        """Whoever brings changes to the disk."""
        return self._writer

    @property
    def saved(self) -> bool:
        """Whether everything is on the disk."""
        return self._writer.saved

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything is on the disk; whether it is."""
        return self._writer.wait(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Write what is left and close the queue; whether everything is on the disk."""
        return self._writer.close(timeout)

    def __enter__(self) -> QueueProject:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _trouble(self, sentence: str | None) -> None:
        if self.on_trouble is not None:
            self.on_trouble(sentence)

"""The part of one program in a queue that several people share.

Images and the share lie in a folder of all; the queue's own file and the journals that are open
lie on one's own disk. A case is taken before it is opened: a claim in its chain, then its journals
as they were published. When it is left, the journals are copied to the share and one step of the
chain publishes them, with status and note, and gives the claim back. Where that step cannot be
made, since somebody took the case over meanwhile, the work becomes a copy in ``conflicts``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.annotation.claim_watch import PATIENCE, Seat, Watch
from napari_coseg.annotation.claims import Chains, Published, Step, chain_key
from napari_coseg.annotation.share_files import Share, reaching
from napari_coseg.annotation.shared_journals import SharedJournals
from napari_coseg.annotation.shared_ledger import ASKED, HELD, LEFT, Known, Ledger
from napari_coseg.annotation.snapshots import Snapshot
from napari_coseg.types import CosegError

#: Times that labels are fetched again which were published anew meanwhile.
_TRIES = 5


class TakenError(CosegError):
    """Somebody else has the case."""


@dataclass(frozen=True)
class CaseView:
    """What is to be seen of a case on the share.

    Attributes
    ----------
    state : Published
    turn : int
        Number of its last step.
    holder : str
        Name of who has it; empty where nobody has, or this program.
    mine : bool
        Whether this program has it.
    expired : bool
        Whether who has it has not been heard of for some minutes: it can be taken over.
    """

    state: Published
    turn: int
    holder: str = ""
    mine: bool = False
    expired: bool = False


class SharedQueue:
    """One program's part; its methods may be called from any thread, and wait for each other.

    Parameters
    ----------
    share : Share
    home : Path
        Folder of the queue's own files on this machine, which no other program uses.
    name : str
        What the person is to be called; by default what was said before, else the user's name.
    patience : float
        Seconds after which the claims of a program that stands still count for nothing.
    clock : callable
        Seconds that never go back.
    """

    def __init__(
        self,
        share: Share,
        home: Path,
        *,
        name: str = "",
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.share = share
        self._ledger = Ledger(home, share.id)
        self._journals = SharedJournals(share, home, self._ledger)
        self._ledger.rename(name or self._ledger.name or user_name())
        self._chains = Chains(share.claims)
        self._seat = Seat(share.seats, self._ledger.seat)
        self._watch = Watch(share.seats, patience, clock)
        self._seen: dict[str, tuple[list[int], Step, bool]] = {}
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """What the person is called."""
        return self._ledger.name

    def rename(self, name: str) -> None:
        """Call the person differently, from the next claim on."""
        with self._lock:
            self._ledger.rename(name.strip() or user_name())

    def beat(self) -> None:
        """Show that this program lives; to be called every `BEAT` seconds, from any thread.

        Raises
        ------
        ShareGoneError
            If the share cannot be reached.
        """
        # Without the lock: a large copy that is under way must not stop it.
        with reaching(self.share):
            self.share.check()
            self._seat.beat()

    def look(self) -> dict[str, CaseView]:
        """Look at the share; to be called again and again, or no claim ever expires.

        Returns
        -------
        dict of str to CaseView
            By `chain_key`; a case that nobody ever took is not in it.

        Raises
        ------
        ShareGoneError
            If the share cannot be reached.
        """
        with self._lock:
            try:
                with reaching(self.share):
                    self.share.check()
                    self._seen = {
                        key: self._read(key, turns) for key, turns in self._chains.turns().items()
                    }
                    self._watch.look({key: step for key, (_, step, _) in self._seen.items()})
            except CosegError:
                self._watch.lost()
                raise
            return {key: self._view(key, step) for key, (_, step, _) in self._seen.items()}

    def take(self, case_key: str) -> Published | None:
        """Take a case, and bring its journals on this disk to what is published.

        Parameters
        ----------
        case_key : str
            Path of its image below the queue's folder.

        Returns
        -------
        Published or None
            What is known of it; None where this program has it already, with work that is not
            published yet.

        Raises
        ------
        TakenError
            If somebody else has it.
        ShareGoneError
            If the share cannot be reached.
        CosegError
            If labels are damaged, or a disk is full.
        """
        with self._lock, reaching(self.share):
            for left in reversed(range(_TRIES)):
                try:
                    return self._take(case_key)
                except FileNotFoundError:
                    # This program stood still for so long that somebody took the case over, and
                    # published it anew, twice.
                    if not left:
                        raise
        raise AssertionError("unreachable")

    def _take(self, case_key: str) -> Published | None:
        key = chain_key(case_key)
        self.share.check()
        self._seat.beat()
        known = self._ledger.case(key)
        step, _ = self._chains.last(key)
        if known.token and step.token != known.token:
            self._lost(case_key, known, None)
            known = self._ledger.case(key)
        if known.token and known.phase != ASKED:
            self._ledger.put(key, dataclasses.replace(known, phase=HELD))
            return None
        if not known.token:
            if step.token and not self._watch.expired(key, step):
                raise _taken(step)
            known = dataclasses.replace(known, token=secrets.token_hex(16), phase=ASKED)
            # Before it is asked for: a program that dies in between knows that it may have it.
            self._ledger.put(key, known)
            claim = Step(
                step.turn + 1,
                known.token,
                self._ledger.seat,
                self._ledger.name,
                step.state,
                step.old,
            )
            if not self._chains.add(key, claim):
                self._ledger.put(key, Known(base=known.base))
                raise _taken(self._chains.last(key)[0])
        try:
            base = self._journals.bring(case_key, step.state, known.base)
        except BaseException:
            with contextlib.suppress(CosegError, OSError):
                self._free(key)
            raise
        self._ledger.put(key, Known(known.token, HELD, base))
        return step.state

    def leave(self, case_key: str, facts: Published | None) -> Path | None:
        """Publish a case whose journals are closed, and give it back.

        Parameters
        ----------
        case_key : str
        facts : Published or None
            Status, note and seconds; None leaves those that are published. Where the case is not
            this program's any more, they go into the copy.

        Returns
        -------
        Path or None
            The copy, where somebody took the case over meanwhile and there was work on it.

        Raises
        ------
        ShareGoneError
            If the share cannot be reached. The case stays this program's as far as it depends on
            it, and is in `waiting`; call this again.
        CosegError
            If a journal cannot be read; as above.
        """
        key = chain_key(case_key)
        with self._lock:
            known = self._ledger.case(key)
            if not known.token:
                return None
            if known.phase == ASKED:
                self._free(key)
                return None
            known = dataclasses.replace(known, phase=LEFT)
            self._ledger.put(key, known)
            with reaching(self.share):
                self.share.check()
                step, _ = self._chains.last(key)
                if step.token != known.token:
                    return self._lost(case_key, known, facts)
                labels = self._journals.publish(case_key, known.base)
                if facts is None:
                    facts = step.state
                state = dataclasses.replace(facts, labels=labels, by=self._ledger.name)
                if self._close(key, step, state):
                    self._ledger.put(key, Known(base=labels))
                    return None
                return self._lost(case_key, known, facts)

    def bring(self, case_key: str) -> Published:
        """Bring the journals of a case on this disk to what is published, without taking it.

        Those of a case that this program has are left as they are.

        Raises
        ------
        ShareGoneError, CosegError
            As `take`.
        """
        key = chain_key(case_key)
        with self._lock, reaching(self.share):
            self.share.check()
            for left in reversed(range(_TRIES)):
                step, _ = self._chains.last(key)
                known = self._ledger.case(key)
                if known.token:
                    return step.state
                try:
                    base = self._journals.bring(case_key, step.state, known.base)
                except FileNotFoundError:
                    # Published anew, twice, since we looked.
                    if not left:
                        raise
                    continue
                self._ledger.put(key, Known(base=base))
                return step.state
        raise AssertionError("unreachable")

    def has(self, case_key: str) -> bool:
        """Whether this program has a case, or may have it."""
        return bool(self._ledger.case(chain_key(case_key)).token)

    def is_new(self, case_key: str) -> bool:
        """Whether nobody ever took a case.

        Raises
        ------
        ShareGoneError
            If the share cannot be reached.
        """
        with self._lock, reaching(self.share):
            return not self._chains.last(chain_key(case_key))[0].turn

    def has_work(self, case_key: str) -> bool:
        """Whether somebody drew on a case on this disk.

        Raises
        ------
        CosegError
            If a journal is open, or damaged.
        """
        marks = self._journals.marks(case_key)
        return any(mark and self._journals.is_work(case_key, role) for role, mark in marks.items())

    # The chain of a case.

    def _read(self, key: str, turns: list[int]) -> tuple[list[int], Step, bool]:
        seen = self._seen.get(key)
        if seen is not None and seen[0][-1] == turns[-1] and seen[2]:
            return seen
        return (turns, *self._chains.read(key, turns))

    def _view(self, key: str, step: Step) -> CaseView:
        if not step.token:
            return CaseView(step.state, step.turn)
        if step.token == self._ledger.case(key).token:
            return CaseView(step.state, step.turn, mine=True)
        return CaseView(step.state, step.turn, step.name, False, self._watch.expired(key, step))

    def _free(self, key: str) -> None:
        """Give a claim back under which nothing was opened."""
        with reaching(self.share):
            self.share.check()
            known = self._ledger.case(key)
            step, _ = self._chains.last(key)
            if step.token == known.token:
                self._close(key, step, step.state)
            self._ledger.put(key, Known(base=known.base))

    def _close(self, key: str, step: Step, state: Published) -> bool:
        """Make the step that ends a claim; whether it was made."""
        files = {one.file for one in state.labels.values()}
        before = {one.file for one in step.state.labels.values()} - files
        old = tuple(sorted(before)) or tuple(name for name in step.old if name not in files)
        last = Step(step.turn + 1, "", self._ledger.seat, self._ledger.name, state, old, step.token)
        if not self._chains.add(key, last):
            for name in files - {one.file for one in step.state.labels.values()}:
                (self.share.labels / name).unlink(missing_ok=True)
            return False
        # Who reads what was published before this goes on; what was before that nobody knows.
        for name in set(step.old) - files - set(old):
            with contextlib.suppress(OSError):
                (self.share.labels / name).unlink()
        return True

    def _lost(self, case_key: str, known: Known, facts: Published | None) -> Path | None:
        """Settle a claim that is not in the chain any more; the copy of work on it, if any."""
        key = chain_key(case_key)
        ended = self._chains.closing(key, known.token)
        if ended is not None:
            # This program's own step, of which it was not told that it was made.
            self._ledger.put(key, Known(base=dict(ended.state.labels)))
            return None
        if known.phase == ASKED:
            self._ledger.put(key, Known(base=known.base))
            return None
        had = known.base or {}
        marks = self._journals.marks(case_key)
        worked = any(
            marks[role]
            and marks[role] != (had[role].mark if role in had else "")
            and self._journals.is_work(case_key, role)
            for role in marks
        )
        copy = self._journals.copy(case_key, known.token[:8], facts) if worked else None
        # What lies here comes from nothing that is published, and need not be kept.
        base = {role: Snapshot("", 0, "", mark) for role, mark in marks.items() if mark}
        self._ledger.put(key, Known(base=base))
        return copy


def _taken(step: Step) -> TakenError:
    who = step.name if step.name not in ("", "?") else "somebody else"
    return TakenError(f"{who} has this case open: choose another one.")


def user_name() -> str:
    """Return the name under which somebody is logged in on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"

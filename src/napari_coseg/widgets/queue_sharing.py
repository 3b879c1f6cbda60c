"""Between the Queue dock and a share: cases are taken and given back in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.claim_watch import BEAT
from napari_coseg.annotation.claims import Published, chain_key
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.share_files import ShareGoneError
from napari_coseg.annotation.shared_copies import LostCopy, list_copies, read_copy, settle
from napari_coseg.annotation.shared_journals import ROLES
from napari_coseg.annotation.shared_opening import OpenedShared, adopt, all_facts, facts_of
from napari_coseg.annotation.shared_publishing import publish_all, resume
from napari_coseg.annotation.shared_queue import CaseView
from napari_coseg.annotation.stored_labels import StoredLabels, read_stored
from napari_coseg.types import CosegError

#: Seconds that closing the queue waits for what is on its way to the share.
_PATIENCE = 20.0


class QueueSharing(QObject):
    """One program's part in a shared queue, for the GUI's thread.

    Attributes
    ----------
    holders : dict of int to str
        Who has a case, by its number; without this program, and without claims that expired.
    copies : list of LostCopy
        What was drawn on cases that others took over, and nobody has settled.
    taken : Signal
        Number of a case, and None or the `CosegError` why it could not be taken.
    read : Signal
        Number of a case, and its labels by ``"objects"`` and ``"regions"`` to be looked at, or
        the `CosegError` why they cannot be had.
    changed : Signal
        Something about the cases.
    said : Signal
        A sentence for the person.
    """

    taken = Signal(int, object)
    read = Signal(int, object)
    changed = Signal()
    said = Signal(str)
    _done = Signal(object, object)

    def __init__(self, opened: OpenedShared) -> None:
        super().__init__()
        self.holders: dict[int, str] = {}
        self.copies: list[LostCopy] = []
        self._views: dict[int, CaseView] = {}
        self._project: QueueProject = opened.project
        self._shared = opened.shared
        self._numbers = {chain_key(case.key): case.id for case in self._project.cases}
        # One: what was left is published before anything else is taken.
        self._tasks = ThreadPoolExecutor(1, "coseg-share")
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="coseg-share-beat", daemon=True)
        self._heart.start()
        self._opened: int | None = None
        self._looked_at = 0
        self._looking = False
        self._unpublished = False
        self._trouble = ""
        self._told_lost: int | None = None
        self._done.connect(lambda then, future: then(future))
        self._timer = QTimer(self)
        self._timer.setInterval(round(BEAT * 1000))
        self._timer.timeout.connect(self.look)
        self._timer.start()
        for copy in opened.copies:
            self._tell_copy(str(copy.name))
        for sentence in opened.troubles:
            show_warning(sentence)
        self.look()

    @property
    def name(self) -> str:
        """What the person is called."""
        return self._shared.name

    def untouched(self, number: int) -> bool:
        """Whether nobody has a case, nor ever left it to the others, as was seen last."""
        view = self._views.get(number)
        return view is None or not (view.holder or view.mine or view.state.by)

    def rename(self, name: str) -> None:
        """Call the person differently, from the next claim on."""
        self._submit(lambda: self._shared.rename(name), self._quietly)

    def take(self, number: int) -> None:
        """Take a case; `taken` tells of it."""
        self._opened = number
        self._looked_at += 1
        key = self._project.case(number).key
        self._submit(lambda: self._shared.take(key), lambda future: self._on_taken(number, future))

    def leave(self, number: int) -> None:
        """Publish a case whose journals are closed, and give it back."""
        self._opened = None
        self._looked_at += 1
        case = self._project.case(number)
        facts = facts_of(case)

        def publish() -> Any:
            # What is told to others is on this disk first.
            self._project.wait(10.0)
            return self._shared.leave(case.key, facts)

        self._submit(publish, self._on_left)

    def ask_labels(self, number: int, copy: LostCopy | None) -> None:
        """Ask for the labels of a case that somebody else has, or of a copy; `read` tells them."""
        self._opened = None
        key, share = self._project.case(number).key, self._shared.share

        def get() -> dict[str, StoredLabels]:
            if copy is not None:
                return read_copy(share, copy)
            self._shared.bring(key)
            found = {role: read_stored(self._project.journal(number, role)) for role in ROLES}
            return {role: one for role, one in found.items() if one is not None}

        def then(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None and not isinstance(error, CosegError):
                raise error
            self.read.emit(number, error or future.result())

        self._submit(get, then)

    def with_copy(self, copy: LostCopy, then: Callable[[Mapping[str, StoredLabels]], None]) -> None:
        """Go on with the labels of a copy."""
        self._submit(
            lambda: read_copy(self._shared.share, copy), lambda future: self._hear(future, then)
        )

    def settle(self, copy: LostCopy) -> None:
        """Take a copy off the list; its files are kept."""
        self.copies = [one for one in self.copies if one != copy]
        self.changed.emit()

        def settled(future: Future[Any]) -> None:
            self._hear(future, lambda nothing: None)
            self.look()

        self._submit(lambda: settle(self._shared.share, copy), settled)

    def publish_all(self) -> None:
        """Publish what was done before the queue was shared."""
        facts = all_facts(self._project)
        self.said.emit("Publishing what was done before …")
        self._submit(
            lambda: publish_all(self._shared, facts),
            lambda future: self._hear(future, lambda count: self.said.emit(_published(count))),
        )

    def bring(self, keys: list[str]) -> None:
        """Bring the labels of some cases to what is published; waits, so in a thread only.

        Raises
        ------
        CosegError
            If one cannot be had.
        """

        def all_of_them() -> None:
            for key in keys:
                self._shared.bring(key)

        self._tasks.submit(all_of_them).result()

    def look(self) -> None:
        """Look at the share, and publish what could not be published before."""
        if self._looking or self._ended.is_set():
            return
        self._looking = True
        stamp = self._looked_at
        facts = all_facts(self._project) if self._unpublished else {}
        opened = None if self._opened is None else self._project.case(self._opened).key

        def look() -> tuple[dict[str, CaseView], list[LostCopy], Any]:
            again = resume(self._shared, facts, opened) if facts else None
            return self._shared.look(), list_copies(self._shared.share), again

        self._submit(look, lambda future: self._on_look(stamp, future))

    def let_go(self) -> None:
        """Publish what was left, and end; waits for some seconds."""
        self._timer.stop()
        last = self._tasks.submit(lambda: None)
        waited: list[BaseException] = []
        try:
            last.result(_PATIENCE)
        except (TimeoutError, RuntimeError) as error:
            waited.append(error)
        self._ended.set()
        self._tasks.shutdown(wait=False, cancel_futures=True)
        self.blockSignals(True)
        if waited or self._unpublished:
            show_warning(
                "Not all of your work is with the others yet: it is on your disk, and is published "
                "when you open this queue again."
            )

    def _submit(self, work: Callable[[], Any], then: Callable[[Future[Any]], object]) -> None:
        def tell(future: Future[Any]) -> None:
            if not future.cancelled():
                # The dock may be gone.
                with contextlib.suppress(RuntimeError):
                    self._done.emit(then, future)

        self._tasks.submit(work).add_done_callback(tell)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            # Looking tells of a share that is gone.
            with contextlib.suppress(CosegError):
                self._shared.beat()

    def _hear(self, future: Future[Any], then: Callable[[Any], None]) -> bool:
        """Go on with a result, or tell the person why there is none; whether there is one."""
        error = future.exception()
        if error is None:
            if self._trouble:
                self._trouble = ""
                self.said.emit("The shared folder is back.")
            then(future.result())
            return True
        if not isinstance(error, CosegError):
            raise error
        # Once, not with every look.
        if str(error) != self._trouble:
            self._trouble = str(error)
            self.said.emit(str(error))
            show_warning(str(error))
        return False

    def _quietly(self, future: Future[Any]) -> None:
        self._hear(future, lambda result: self.changed.emit())

    def _on_taken(self, number: int, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None and not isinstance(error, CosegError):
            raise error
        if number != self._opened:
            # The person went on meanwhile, and it is given back already.
            return
        state: Published | None = None if error is not None else future.result()
        if state is not None and state.by:
            self._project.adopt(number, state.status, state.note, state.seconds)
        if error is not None:
            self._opened = None
        self._told_lost = None
        self.taken.emit(number, error)

    def _on_left(self, future: Future[Any]) -> None:
        heard = self._hear(future, lambda copy: self._tell_copy(copy.name) if copy else None)
        self._unpublished = self._unpublished or not heard
        self.look()

    def _on_look(self, stamp: int, future: Future[Any]) -> None:
        self._looking = False
        error = future.exception()
        if isinstance(error, ShareGoneError) and self._unpublished:
            # Told when the case was left.
            self._trouble = str(error)
        self._hear(future, lambda found: self._show(stamp, *found))

    def _show(
        self, stamp: int, views: dict[str, CaseView], found: list[LostCopy], again: Any
    ) -> None:
        self.copies = found
        if again is not None:
            copies, troubles = again
            self._unpublished = bool(troubles)
            for copy in copies:
                self._tell_copy(copy.name)
        if stamp != self._looked_at:
            # Older than what this program did since.
            return
        self._numbers = {chain_key(case.key): case.id for case in self._project.cases}
        opened = None if self._opened is None else chain_key(self._project.case(self._opened).key)
        if not self._unpublished:
            adopt(self._project, {key: view for key, view in views.items() if key != opened})
        self._views = {
            self._numbers[key]: view for key, view in views.items() if key in self._numbers
        }
        self.holders = {
            number: view.holder
            for number, view in self._views.items()
            if view.holder and not view.expired
        }
        mine = views.get(opened or "")
        if mine is not None and not mine.mine and self._told_lost != self._opened:
            self._told_lost = self._opened
            who = mine.holder or mine.state.by or "Somebody else"
            sentence = (
                f"{who} took this case over while your program was not heard of. What you drew "
                "becomes a copy of its own when you leave the case."
            )
            show_warning(sentence)
            self.said.emit(sentence)
        self.changed.emit()

    def _tell_copy(self, name: str) -> None:
        show_warning(
            "Somebody took over a case while you had it. What you drew is kept as a copy: see "
            f"Copies in the Queue dock (coseg-shared/conflicts, {name})."
        )


def _published(count: int) -> str:
    return "1 case is published." if count == 1 else f"{count} cases are published."

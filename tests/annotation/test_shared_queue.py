"""Two people on one shared folder: taking, publishing, giving back, and what goes wrong."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.claims import Chains, Published, chain_key
from napari_coseg.annotation.queue_places import LABELS, labels_file
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE, FAILED, FLAGGED, IN_PROGRESS, TO_DO
from napari_coseg.annotation.share_files import Share, ShareGoneError, is_shared
from napari_coseg.annotation.shared_ledger import FILE as LEDGER
from napari_coseg.annotation.shared_ledger import Ledger
from napari_coseg.annotation.shared_opening import all_facts, begin_sharing, open_shared
from napari_coseg.annotation.shared_publishing import publish_all, resume
from napari_coseg.annotation.shared_queue import SharedQueue, TakenError
from napari_coseg.annotation.snapshots import mark_of
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.annotation.suggestions import (
    Suggestion,
    is_suggestion,
    put_in_place,
    write_beside,
)
from napari_coseg.types import ClassTable, CosegError
from tests.annotation.helpers import identity_of, rectangle
from tests.annotation.test_claims import Clock
from tests.annotation.test_queue import folder

SHAPE = (16, 20)
A, B = "a.png", "b.png"


class Person:
    """A person on a machine of their own."""

    def __init__(self, root: Path, home: Path, name: str) -> None:
        self.home = home
        self.name = name
        self.root = root
        self.clock = Clock()
        (home / LABELS).mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start the program, again too."""
        share = Share.open(self.root)
        self.queue = SharedQueue(share, self.home, name=self.name, patience=60, clock=self.clock)

    def draw(self, key: str, *box: int, role: str = "objects") -> int:
        """Draw an object; how many there are."""
        labels = np.zeros(SHAPE, np.int32)
        path = labels_file(self.home, key, role)
        with Case.open(path, identity_of(SHAPE), labels) as case:
            case.commit(rectangle(*box), protect=False)
            assert case.wait(10)
            return len(case.objects)

    def sum(self, key: str, role: str = "objects") -> int:
        """Pixels of all objects on this person's disk."""
        stored = read_stored(labels_file(self.home, key, role))
        return 0 if stored is None else int((stored.labels > 0).sum())

    def watch(self, seconds: float) -> None:
        """Look at the share for some time."""
        for _ in range(round(seconds / 20)):
            self.queue.look()
            self.clock.now += 20
        self.queue.look()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    Share.begin(root)
    return root


@pytest.fixture
def ada(root: Path, tmp_path: Path) -> Person:
    return Person(root, tmp_path / "ada", "Ada")


@pytest.fixture
def ben(root: Path, tmp_path: Path) -> Person:
    return Person(root, tmp_path / "ben", "Ben")


def conflicts(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "coseg-shared" / "conflicts").iterdir())


def test_labels_status_and_notes_travel(ada: Person, ben: Person) -> None:
    assert ada.queue.take(A) == Published()
    ada.draw(A, 2, 2, 6, 6)
    ada.draw(A, 0, 0, 2, 2, role="regions")
    with pytest.raises(TakenError, match="Ada has this case open"):
        ben.queue.take(A)
    assert ben.queue.look()[chain_key(A)].holder == "Ada"
    assert ada.queue.look()[chain_key(A)].mine
    assert ada.queue.leave(A, Published(DONE, "a molar", 12.5)) is None
    view = ben.queue.look()[chain_key(A)]
    assert (view.holder, view.mine) == ("", False)
    assert (view.state.status, view.state.note, view.state.by) == (DONE, "a molar", "Ada")
    state = ben.queue.take(A)
    assert state is not None
    assert (state.status, state.seconds) == (DONE, 12.5)
    assert (ben.sum(A), ben.sum(A, "regions")) == (16, 4)
    assert ben.draw(A, 8, 8, 10, 10) == 2
    ben.queue.leave(A, Published(FLAGGED, "", 20))
    ada.queue.take(A)
    assert ada.sum(A) == 20
    ada.queue.leave(A, None)
    assert ada.queue.look()[chain_key(A)].state.status == FLAGGED
    assert conflicts(ada.root) == []


def test_what_did_not_change_is_not_copied_again(ada: Person, ben: Person, root: Path) -> None:
    files = root / "coseg-shared" / "labels"
    for round_ in range(4):
        person = (ada, ben)[round_ % 2]
        person.queue.take(A)
        person.draw(A, round_, 0, round_ + 1, 4)
        person.queue.leave(A, Published(IN_PROGRESS))
        # What was published before stays for who is reading it; what was before that does not.
        assert len(list(files.iterdir())) == min(round_ + 1, 2)
    before = {path.name for path in files.iterdir()}
    for person in (ada, ben, ada):
        person.queue.take(A)
        assert person.sum(A) == 16
        person.queue.leave(A, Published(DONE))
    assert {path.name for path in files.iterdir()} == before
    # An opened case, on which nothing is drawn, publishes no labels.
    ada.queue.take(B)
    path = labels_file(ada.home, B, "objects")
    Case.open(path, identity_of(SHAPE), np.zeros(SHAPE, np.int32)).close()
    ada.queue.leave(B, Published(IN_PROGRESS))
    assert ben.queue.look()[chain_key(B)].state.labels == {}


def test_an_expired_claim_whose_owner_comes_back(ada: Person, ben: Person, root: Path) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ada.queue.leave(A, Published(IN_PROGRESS, "first"))
    ada.queue.take(A)
    ada.draw(A, 8, 0, 12, 4)
    # Ada's machine sleeps. Ben looks on.
    ben.watch(40)
    with pytest.raises(TakenError):
        ben.queue.take(A)
    ben.watch(60)
    assert ben.queue.look()[chain_key(A)].expired
    assert ben.queue.take(A) is not None
    assert ben.sum(A) == 16
    ben.draw(A, 0, 10, 2, 12)
    # Ada comes back before Ben has left the case: it is seen, and what she drew becomes a copy.
    assert ada.queue.look()[chain_key(A)].holder == "Ben"
    copy = ada.queue.leave(A, Published(DONE, "mine"))
    assert copy is not None
    told = json.loads(copy.read_text(encoding="utf-8"))
    assert (told["case"], told["name"], told["note"]) == (A, "Ada", "mine")
    stored = read_stored(copy.parent / told["labels"]["objects"])
    assert stored is not None
    assert (stored.labels > 0).sum() == 32
    ben.queue.leave(A, Published(IN_PROGRESS, "second"))
    # Nothing of Ben's was lost by it, and Ada goes on from his.
    state = ada.queue.take(A)
    assert state is not None
    assert state.note == "second"
    assert ada.sum(A) == 20
    ada.queue.leave(A, None)
    assert len(conflicts(root)) == 2


def test_an_owner_who_comes_back_when_all_is_over(ada: Person, ben: Person, root: Path) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ben.watch(100)
    ben.queue.take(A)
    ben.draw(A, 8, 8, 9, 9)
    ben.queue.leave(A, Published(DONE))
    # Nothing is drawn since: Ada's program was killed, and is started again.
    ada.start()
    copies, troubles = resume(ada.queue, {A: Published(IN_PROGRESS), B: Published()})
    assert (len(copies), troubles) == (1, [])
    ada.queue.take(A)
    assert ada.sum(A) == 1
    ada.queue.leave(A, None)
    assert len(conflicts(root)) == 2
    assert ben.queue.look()[chain_key(A)].state.status == DONE


def test_a_killed_program_goes_on_where_it_was(ada: Person, ben: Person, root: Path) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ben.watch(40)
    ada.start()
    assert resume(ada.queue, {A: Published(FLAGGED, "n")}) == ([], [])
    assert ben.queue.take(A) is not None
    assert ben.sum(A) == 16
    ben.queue.leave(A, None)
    assert ben.queue.look()[chain_key(A)].state.note == "n"
    assert conflicts(root) == []


def test_a_claim_without_work_is_only_given_up(ada: Person, ben: Person, root: Path) -> None:
    ada.queue.take(A)
    ben.watch(100)
    ben.queue.take(A)
    assert ada.queue.leave(A, Published(IN_PROGRESS)) is None
    assert conflicts(root) == []
    ben.queue.leave(A, Published(DONE))
    assert ada.queue.look()[chain_key(A)].state.status == DONE


def test_a_takeover_between_look_and_step(
    ada: Person, ben: Person, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing is one step with the check of the claim: whoever comes in between wins."""
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ben.watch(100)
    real, mine = Chains.add, []

    def late(chains: Chains, key: str, step: object) -> bool:
        if not mine:
            mine.append(step)
            assert ben.queue.take(A) is not None
        return real(chains, key, step)  # type: ignore[arg-type]

    monkeypatch.setattr(Chains, "add", late)
    assert ada.queue.leave(A, Published(DONE)) is not None
    monkeypatch.undo()
    assert ada.queue.look()[chain_key(A)].holder == "Ben"
    assert len(conflicts(root)) == 2
    # Her labels, which no step names, are not left behind.
    assert list((root / "coseg-shared" / "labels").iterdir()) == []


def test_an_answer_that_was_lost(
    ada: Person, ben: Person, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step was made, and the share went away before it could tell."""
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    real = Chains.add

    def silent(chains: Chains, key: str, step: object) -> bool:
        real(chains, key, step)  # type: ignore[arg-type]
        raise OSError("no answer")

    monkeypatch.setattr(Chains, "add", silent)
    with pytest.raises(ShareGoneError):
        ada.queue.leave(A, Published(DONE))
    monkeypatch.undo()
    ben.queue.take(A)
    ben.draw(A, 8, 8, 9, 9)
    ben.queue.leave(A, Published(FLAGGED))
    assert resume(ada.queue, {A: Published(DONE)}) == ([], [])
    assert conflicts(root) == []
    ada.queue.take(A)
    assert ada.sum(A) == 17


def test_a_folder_that_vanishes(ada: Person, ben: Person, root: Path) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    away = root.with_name("away")
    root.rename(away)
    # An empty mount point, as systems leave it: nothing is made there.
    root.mkdir()
    for call in (
        ada.queue.beat,
        ada.queue.look,
        lambda: ada.queue.leave(A, Published(DONE)),
        lambda: ada.queue.take(B),
    ):
        with pytest.raises(ShareGoneError, match="on your own disk"):
            call()
    assert list(root.iterdir()) == []
    root.rmdir()
    away.rename(root)
    assert ada.sum(A) == 16
    assert resume(ada.queue, {A: Published(DONE)}) == ([], [])
    assert ben.queue.take(A) is not None
    assert ben.sum(A) == 16


def test_damaged_labels_are_not_taken(ada: Person, ben: Person, root: Path) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ada.queue.leave(A, Published(DONE))
    (file,) = (root / "coseg-shared" / "labels").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(CosegError, match="damaged"):
        ben.queue.take(A)
    # The case is free for who can mend it, and nothing half is on Ben's disk.
    assert not labels_file(ben.home, A, "objects").exists()
    assert ada.queue.take(A) is not None
    ada.draw(A, 8, 8, 9, 9)
    ada.queue.leave(A, None)
    ben.queue.take(A)
    assert ben.sum(A) == 17


def test_a_damaged_journal_does_not_keep_the_others(ada: Person, ben: Person) -> None:
    for key in (A, B):
        ada.queue.take(key)
        ada.draw(key, 0, 0, 4, 4)
    labels_file(ada.home, A, "objects").write_bytes(b"noise" * 1000)
    ada.start()
    copies, troubles = resume(ada.queue, {A: Published(DONE), B: Published(DONE)})
    assert (len(copies), len(troubles)) == (0, 1)
    assert "damaged" in troubles[0]
    views = ben.queue.look()
    assert views[chain_key(A)].holder == "Ada"
    assert views[chain_key(B)].state.status == DONE


def test_marks_tell_apart_who_goes_on_from_one_journal(ada: Person, ben: Person) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ada.queue.leave(A, None)
    ben.queue.bring(A)
    mine, theirs = (labels_file(person.home, A, "objects") for person in (ada, ben))
    assert mark_of(mine) == mark_of(theirs) != ""
    ada.draw(A, 8, 8, 10, 10)
    ben.draw(A, 8, 8, 10, 10)
    assert mark_of(mine) != mark_of(theirs)


def test_reading_without_taking(ada: Person, ben: Person) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    assert ben.queue.bring(A).labels == {}
    ada.queue.leave(A, Published(DONE))
    assert ben.queue.bring(A).status == DONE
    assert ben.sum(A) == 16
    # Own work is left alone.
    ben.queue.take(A)
    ben.draw(A, 8, 8, 9, 9)
    ben.queue.bring(A)
    assert ben.sum(A) == 17


def test_work_that_nobody_knows_of_becomes_a_copy(ada: Person, ben: Person, root: Path) -> None:
    """Drawn without a claim: by another version, or with a ledger that was lost."""
    ben.draw(A, 0, 0, 4, 4)
    ada.queue.take(A)
    ada.draw(A, 8, 8, 9, 9)
    ada.queue.leave(A, Published(DONE))
    ben.queue.take(A)
    assert ben.sum(A) == 1
    assert len(conflicts(root)) == 2
    ben.queue.leave(A, None)
    (ben.home / LEDGER).unlink()
    ben.start()
    ben.queue.take(A)
    assert ben.sum(A) == 1
    assert len(conflicts(root)) == 2


def test_a_takeover_while_labels_are_fetched(
    ada: Person, ben: Person, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program stands still between its claim and the copy, and all goes on without it."""
    ben.queue.take(A)
    ben.draw(A, 0, 0, 2, 2)
    ben.queue.leave(A, Published(IN_PROGRESS))
    bring, times = ada.queue._journals.bring, []

    def late(*args: Any) -> Any:
        if not times:
            ben.watch(70)
            for number in (4, 8):
                ben.queue.take(A)
                ben.draw(A, number, number, number + 2, number + 2)
                ben.queue.leave(A, Published(DONE))
        times.append(args)
        return bring(*args)

    monkeypatch.setattr(ada.queue._journals, "bring", late)
    state = ada.queue.take(A)
    assert state is not None
    assert state.status == DONE
    assert len(times) == 2
    assert ada.sum(A) == 12
    ada.queue.leave(A, None)
    # Labels that are truly gone end it.
    for path in (root / "coseg-shared" / "labels").iterdir():
        path.unlink()
    with pytest.raises(ShareGoneError):
        Person(root, ada.home.with_name("cem"), "Cem").queue.take(A)


def suggest(person: Person, key: str) -> Path:
    """Have a model suggest an object on a person's disk."""
    labels = np.zeros(SHAPE, np.uint16)
    labels[4:8, 4:9] = 1
    table = pd.DataFrame({"label": [1], "class": [1], "score": [0.5]})
    place = labels_file(person.home, key, "objects")
    one = Suggestion(place, labels, ClassTable.from_names(["cell"]), "a-model", table)
    assert put_in_place(write_beside(one, identity_of(SHAPE)), place)
    return place


def test_what_a_model_suggested_is_nobodys_work(ada: Person, ben: Person, root: Path) -> None:
    assert is_suggestion(suggest(ben, A))
    suggest(ben, B)
    ada.queue.take(A)
    ada.draw(A, 8, 8, 9, 9)
    ada.queue.leave(A, Published(DONE))
    # Theirs counts, without a copy of what nobody drew.
    ben.queue.take(A)
    assert ben.sum(A) == 1
    assert conflicts(root) == []
    ben.queue.leave(A, None)
    # Where nobody else was it is what the case begins with.
    ben.queue.take(B)
    assert ben.sum(B) == 20
    # Somebody takes it over: all that ben had is a suggestion.
    ada.watch(70)
    ada.queue.take(B)
    ada.draw(B, 0, 0, 2, 2)
    assert ben.queue.leave(B, None) is None
    assert conflicts(root) == []
    ada.queue.leave(B, Published(DONE))
    ben.queue.take(B)
    assert ben.sum(B) == 4


def test_a_suggestion_alone_is_not_published(ada: Person, ben: Person) -> None:
    """Of the work from before a queue was shared."""
    suggest(ada, A)
    suggest(ada, B)
    ada.draw(B, 0, 0, 2, 2)
    assert publish_all(ada.queue, {A: Published(), B: Published()}) == 1
    views = ben.queue.look()
    assert set(views) == {chain_key(B)}
    assert ada.sum(A) == 20


def test_a_suggestion_that_somebody_touched_is_work(ada: Person, ben: Person, root: Path) -> None:
    place = suggest(ben, A)
    ben.draw(A, 0, 0, 4, 4)
    assert not is_suggestion(place)
    ada.queue.take(A)
    ada.draw(A, 8, 8, 9, 9)
    ada.queue.leave(A, Published(DONE))
    ben.queue.take(A)
    assert ben.sum(A) == 1
    assert len(conflicts(root)) == 2
    # Taken back, somebody has looked at it.
    place = suggest(ada, B)
    with Case.open(place, identity_of(SHAPE), np.zeros(SHAPE, np.int32)) as case:
        case.undo()
    assert not is_suggestion(place)
    assert not is_suggestion(place.with_name("none"))


def test_what_is_remembered(tmp_path: Path, ada: Person) -> None:
    ledger = Ledger(ada.home, "other share")
    assert ledger.name == "Ada"
    assert ledger.claims() == {}
    (ada.home / LEDGER).write_text("{", encoding="utf-8")
    with pytest.raises(CosegError, match="damaged"):
        Ledger(ada.home, "x")
    (ada.home / LEDGER).write_text('{"format": 7}', encoding="utf-8")
    with pytest.raises(CosegError, match="newer"):
        Ledger(ada.home, "x")


def test_sharing_a_queue_that_was_worked_in(tmp_path: Path) -> None:
    root = folder(tmp_path / "images", 3)
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    with QueueProject.open(root) as project:
        project.set_status(1, DONE)
        project.set_note(1, "before")
        project.failed(3, "It cannot be read.")
        key = project.case(2).key
        path = project.journal(2, "objects")
        labels = np.ones(SHAPE, np.int32)
        Case.open(path, identity_of(SHAPE), labels).close()
        with pytest.raises(CosegError, match="open already"):
            begin_sharing(root, mine)
        assert not is_shared(root)
    begin_sharing(root, mine)
    opened = open_shared(root, "Ada", home=mine)
    with opened.project as project:
        assert project.case(1).status == DONE
        assert publish_all(opened.shared, all_facts(project)) == 2
        assert publish_all(opened.shared, all_facts(project)) == 0
    opened = open_shared(root, home=theirs)
    with opened.project as project:
        statuses = [case.status for case in project.cases]
        assert statuses == [DONE, TO_DO, TO_DO]
        assert project.case(1).note == "before"
        opened.shared.take(key)
        stored = read_stored(project.journal(2, "objects"))
        assert stored is not None
        assert (stored.labels == 1).all()
        opened.shared.leave(key, None)
    opened = open_shared(root, home=mine)
    with opened.project as project:
        assert opened.shared.name == "Ada"
        assert project.case(3).status == FAILED


def test_opening_twice_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "images", 1)
    begin_sharing(root, tmp_path / "home")
    opened = open_shared(root, home=tmp_path / "home")
    with opened.project, pytest.raises(CosegError, match="open already"):
        open_shared(root, home=tmp_path / "home")
    shutil.rmtree(root / "coseg-shared")
    with pytest.raises(ShareGoneError):
        open_shared(root, home=tmp_path / "home")


def test_a_snapshot_is_one_whole_file(ada: Person, root: Path) -> None:
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ada.queue.leave(A, None)
    (file,) = (root / "coseg-shared" / "labels").iterdir()
    copy = root.parent / "copy.sqlite"
    shutil.copy(file, copy)
    with sqlite3.connect(copy) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)

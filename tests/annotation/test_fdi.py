"""FDI numbers and jaws in a journal, and journals from before they were in it."""

from __future__ import annotations

import gzip
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Run
from napari_coseg.annotation.database import FORMAT
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.annotation.snapshots import mark_of
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.annotation.suggestions import put_in_place, write_beside
from napari_coseg.types import CosegError, jaw_of
from tests.annotation import test_suggestions as suggested
from tests.annotation.helpers import identity_of, open_case, rectangle, table

#: Written by the program of format 1 as it was last (commit 04609dc): a suggestion of one tooth, an
#: object boxed in plane 2, one clicked in plane 11 of the second axis, whose class was changed and
#: changed back.
OLD = Path(__file__).parent / "data" / "journal-1.gz"
OLD_SHAPE = (6, 12, 10)
#: Written by the program of format 2 as it was last (commit 93bd855): a suggestion of two teeth,
#: the first of which is 46; that it is 47 was undone.
WITHOUT_JAWS = OLD.with_name("journal-2.gz")


@pytest.fixture
def labels() -> np.ndarray:
    made = np.zeros((8, 20, 20), np.uint16)
    made[2:6, 2:8, 2:8], made[2:6, 12:18, 2:8] = 1, 2
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "case"


@pytest.fixture
def case(path: Path, labels: np.ndarray) -> Case:
    known = {
        1: ObjectRecord(1, 1, 0.9, origin="model", fdi=46, fdi_confidence=0.8),
        2: ObjectRecord(2, 1, 0.7, origin="model", jaw="lower"),
    }
    case = open_case(path, labels, objects=known, run=Run("Suggestion: 2 objects", "a-model"))
    yield case
    case.close()


def numbers(case: Case) -> dict[int, tuple[int, float]]:
    return {label: (one.fdi, one.fdi_confidence) for label, one in case.objects.items()}


def jaws(case: Case) -> dict[int, str]:
    return {label: one.jaw for label, one in case.objects.items()}


def test_a_number_is_an_edit_as_any(case: Case, path: Path, labels: np.ndarray) -> None:
    assert numbers(case) == {1: (46, 0.8), 2: (0, 0.0)}
    assert case.set_fdi({2: 47}).labels == {2}
    assert case.undo_name == "FDI number: object 2 is 47"
    assert numbers(case) == {1: (46, 0.8), 2: (47, 1.0)}
    # To say the same is to be sure of it; to say it again is nothing.
    assert case.set_fdi({1: 46}).labels == {1}
    assert case.set_fdi({1: 46, 2: 47}).name == ""
    assert numbers(case)[1] == (46, 1.0)
    case.undo()
    assert numbers(case)[1] == (46, 0.8)
    before = table(case)
    case.close()
    with open_case(path, labels) as again:
        assert table(again) == before
        assert numbers(again) == {1: (46, 0.8), 2: (47, 1.0)}
        again.redo()
        assert numbers(again)[1] == (46, 1.0)
        for _ in range(3):
            again.undo()
        assert not again.objects
        again.redo()
        assert numbers(again) == {1: (46, 0.8), 2: (0, 0.0)}
    for wrong, words in (({1: 49}, "49 is no FDI number"), ({5: 11}, "no object 5")):
        with open_case(path, labels) as again, pytest.raises(CosegError, match=words):
            again.set_fdi(wrong)


def test_a_jaw_is_known_without_a_number(case: Case, path: Path, labels: np.ndarray) -> None:
    assert jaws(case) == {1: "lower", 2: "lower"}
    case.set_fdi({2: 11})
    assert jaws(case)[2] == "upper"
    # Without its number a tooth stays where it was.
    case.set_fdi({2: 0})
    assert jaws(case)[2] == "upper"
    case.undo()
    case.undo()
    case.split(1, [(3.0, 0.0, 5.6), (3.0, 9.0, 5.6)])
    assert jaws(case) == {1: "lower", 2: "lower", 3: "lower"}
    case.commit(rectangle(3, 12, 0, 4, 18, 6), label=2, protect=False)
    case.close()
    with open_case(path, labels) as again:
        assert jaws(again) == {1: "lower", 2: "lower", 3: "lower"}


def test_numbers_stay_with_their_teeth(case: Case, labels: np.ndarray) -> None:
    # Parted: the largest part keeps it, and no two teeth have one number.
    case.split(1, [(3.0, 0.0, 5.6), (3.0, 9.0, 5.6)])
    assert numbers(case) == {1: (46, 0.8), 2: (0, 0.0), 3: (0, 0.0)}
    assert case.objects[1].area > case.objects[3].area
    # Joined: that of the first which has one.
    case.merge([3, 1])
    assert numbers(case)[3] == (46, 0.8)
    case.undo()
    case.set_fdi({2: 47})
    case.merge([1, 2])
    assert numbers(case)[1] == (46, 0.8)
    case.undo()
    # Drawn anew in a plane, painted on, given another id, taken away and back.
    case.commit(rectangle(3, 0, 0, 4, 9, 6), label=1, protect=False)
    assert numbers(case)[1] == (46, 0.8)
    window = (slice(0, 1), slice(0, 2), slice(0, 2))
    old = labels[window].copy()
    labels[window] = 1
    case.stroke(window, old, labels[window])
    case.relabel(1, 9)
    assert numbers(case)[9] == (46, 0.8)
    case.delete([9])
    case.undo()
    assert numbers(case)[9] == (46, 0.8)


def test_a_suggestion_brings_its_numbers(tmp_path: Path) -> None:
    place = tmp_path / "case.coseg"
    one = suggested.suggestion(place)
    assert one.objects is not None
    told = one.objects.assign(fdi=[0, 36], fdi_confidence=[0.0, 0.875], jaw=["upper", "lower"])
    put_in_place(
        write_beside(replace(one, objects=told), suggested.identify(suggested.IMAGE)), place
    )
    stored = read_stored(place)
    assert stored is not None
    found = {label: (r.fdi, r.fdi_confidence) for label, r in stored.objects.items()}
    assert found == {1: (0, 0.0), 2: (36, 0.875)}
    assert {label: r.jaw for label, r in stored.objects.items()} == {1: "upper", 2: "lower"}


def test_a_journal_of_format_1(path: Path) -> None:
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    mark = mark_of(path)
    labels = np.zeros(OLD_SHAPE, np.uint16)
    with Case.open(path, identity_of(OLD_SHAPE), labels) as case:
        assert int(labels.sum()) == 328
        assert (case.undo_name, case.redo_name) == ("points: object 5", "class of object 5")
        assert {label: one.axes for label, one in case.objects.items()} == {3: (), 4: (), 5: (1,)}
        assert (case.objects[5].planes, case.objects[5].box) == ((11,), (0, 11, 5, 6, 12, 9))
        assert case.objects[5].prompts[0].points == ((2.0, 6.0, True), (5.0, 0.0, False))
        assert (case.objects[3].class_id, case.objects[3].score) == (1, 0.75)
        assert numbers(case) == dict.fromkeys((3, 4, 5), (0, 0.0))
        assert case.notes["classes"] == '[["tooth", [230, 159, 0]]]'
    # What nobody has changed need not be published anew.
    assert mark_of(path) == mark
    with Case.open(path, identity_of(OLD_SHAPE), labels) as case:
        case.redo()
        assert case.objects[5].class_id == 0
        case.set_fdi({3: 11})
        for _ in range(5):
            case.undo()
        assert not labels.any()
        for _ in range(3):
            case.redo()
        assert case.objects[5].class_id == 1
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    database.close()
    assert FORMAT == 3


def test_a_journal_of_format_2(path: Path) -> None:
    path.write_bytes(gzip.decompress(WITHOUT_JAWS.read_bytes()))
    labels = np.zeros(OLD_SHAPE, np.uint16)
    with Case.open(path, identity_of(OLD_SHAPE), labels) as case:
        # A number says in which jaw a tooth is; of the other one nothing was kept.
        assert jaws(case) == {1: "lower", 2: ""}
        case.redo()
        assert numbers(case) == {1: (47, 1.0), 2: (0, 0.0)}
        case.set_fdi({2: 21})
        assert jaws(case) == {1: "lower", 2: "upper"}
    with Case.open(path, identity_of(OLD_SHAPE), labels) as case:
        assert jaws(case) == {1: "lower", 2: "upper"}


def test_jaws_by_number() -> None:
    found = {number: jaw_of(number) for number in (11, 28, 36, 48, 55, 64, 71, 85, 0, 19, 90)}
    assert list(found.values()) == ["upper"] * 2 + ["lower"] * 2 + ["upper"] * 2 + [
        "lower",
        "lower",
        "",
        "",
        "",
    ]

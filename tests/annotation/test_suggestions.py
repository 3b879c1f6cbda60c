from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.identity import identify
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.annotation.suggestions import (
    Suggestion,
    forget,
    is_free,
    put_in_place,
    write_beside,
)
from napari_coseg.types import ClassTable, CosegError

IMAGE = np.arange(6 * 20 * 24, dtype=np.int16).reshape(6, 20, 24)
CLASSES = ClassTable.from_names(["tooth"])


def labels() -> np.ndarray:
    made = np.zeros(IMAGE.shape, np.uint16)
    made[1:3, 2:6, 2:6], made[4:, 10:15, 10:15] = 1, 2
    return made


def suggestion(path: Path) -> Suggestion:
    table = pd.DataFrame({"label": [1, 2], "class": [1, 1], "score": [0.9, 0.7]})
    return Suggestion(path, labels(), CLASSES, "a-model", table, {"device": "cpu"})


def test_a_case_begins_with_it_and_it_can_be_undone(tmp_path: Path) -> None:
    place = tmp_path / "labels" / "case.coseg"
    beside = write_beside(suggestion(place), identify(IMAGE))
    assert is_free(place)
    assert put_in_place(beside, place)
    assert [one.name for one in place.parent.iterdir()] == [place.name]
    stored = read_stored(place)
    assert stored is not None
    np.testing.assert_array_equal(stored.labels, labels())
    assert stored.classes.names == ("tooth",)
    shown = np.zeros(IMAGE.shape, np.uint16)
    with Case.open(place, identify(IMAGE), shown) as case:
        assert case.undo_name == "Suggestion: 2 objects"
        assert (case.objects[1].score, case.objects[2].class_id) == (0.9, 1)
        assert {record.model for record in case.objects.values()} == {"a-model"}
        np.testing.assert_array_equal(shown, labels())
        case.undo()
        assert not shown.any()
        assert not case.objects


def test_labels_that_are_there_stay(tmp_path: Path) -> None:
    place = tmp_path / "case.coseg"
    beside = write_beside(suggestion(place), identify(IMAGE))
    own = np.zeros(IMAGE.shape, np.uint16)
    own[0] = 7
    Case.open(place, identify(IMAGE), own).close()
    assert not put_in_place(beside, place)
    assert list(tmp_path.iterdir()) == [place]
    stored = read_stored(place)
    assert stored is not None
    np.testing.assert_array_equal(stored.labels, own)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CosegError, match="cannot be kept"):
        write_beside(suggestion(tmp_path / "file" / "case.coseg"), identify(IMAGE))
    beside = write_beside(suggestion(tmp_path / "case.coseg"), identify(IMAGE))
    forget(beside)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]

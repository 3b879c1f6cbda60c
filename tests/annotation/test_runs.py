"""Model runs as edits: the first one of a journal, and one that is in the layer already."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_coseg.annotation.change import Run
from napari_coseg.annotation.records import ObjectRecord
from tests.annotation.helpers import WAIT, check, facts, open_case, rectangle, table

RUN = Run("Co-Seg++ run: 2 objects", "coseg-lite", {"mpp": 0.5})
KNOWN = {
    3: ObjectRecord(3, 2, 0.75, origin="model", model="coseg-lite"),
    4: ObjectRecord(4, 1, 0.5, origin="model", model="coseg-lite"),
}


def found(*shape: int) -> np.ndarray:
    labels = np.zeros(shape, np.uint16)
    labels[..., 10:30, 200:300] = 3
    labels[..., 300:310, 5:9] = 4
    return labels


def test_a_journal_may_begin_with_a_run(tmp_path: Path) -> None:
    labels = found(400, 500)
    before = labels.copy()
    with open_case(tmp_path / "a", labels, objects=KNOWN, run=RUN) as case:
        assert case.undo_name == RUN.name
        check(case, labels)
        assert case.objects[3].score == 0.75
        case.commit(rectangle(100, 100, 120, 130))
        now = labels.copy()
        case.undo()
        np.testing.assert_array_equal(labels, before)
        case.undo()
        assert not labels.any()
        assert table(case) == {}
        assert case.undo_name is None
        # Ids that were used are not given again.
        assert case.next_label() == 6
        case.redo()
        assert table(case)[4][:3] == (4, 1, 0.5)
        case.redo()
        np.testing.assert_array_equal(labels, now)
        assert case.wait(WAIT)
    # After a restart the run can still be taken back.
    again = np.zeros_like(labels)
    with open_case(tmp_path / "a", again, run=RUN) as case:
        np.testing.assert_array_equal(again, now)
        case.undo()
        case.undo()
        assert not again.any()
        case.redo()
        check(case, again)
        assert case.objects[3].model == "coseg-lite"
        assert [past.name for past in case.history()] == [RUN.name]


def test_a_run_over_a_volume(tmp_path: Path) -> None:
    labels = found(70, 320, 310)
    with open_case(tmp_path / "a", labels, objects=KNOWN, run=RUN) as case:
        check(case, labels)
        case.undo()
        assert not labels.any()
        case.redo()
        check(case, labels)


def test_a_run_over_nothing_is_no_edit(tmp_path: Path) -> None:
    labels = np.zeros((40, 50), np.uint16)
    with open_case(tmp_path / "a", labels, run=RUN) as case:
        assert case.undo_name is None


def test_a_run_that_is_in_the_layer_already(tmp_path: Path) -> None:
    labels = found(400, 500)
    with open_case(tmp_path / "a", labels) as case:
        case.commit(rectangle(100, 100, 120, 130))
        before = labels.copy()
        records = table(case)
        labels[:] = 0
        labels[15:40, 190:280] = 3
        labels[200:210, 5:9] = 8
        told = {8: ObjectRecord(8, 1, 0.25, origin="model")}
        change = case.adopt(labels, told, "run", before=before)
        assert change.removed == {4, 5}
        check(case, labels)
        assert facts(labels).keys() == {3, 8}
        after = labels.copy()
        case.undo()
        np.testing.assert_array_equal(labels, before)
        assert table(case) == records
        case.redo()
        np.testing.assert_array_equal(labels, after)
        assert case.objects[8].score == 0.25

"""What single edits do, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Commit
from napari_coseg.annotation.identity import identify
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.types import CosegError, Mask, Prompt

from .helpers import WAIT, box_prompt, check, open_case, rectangle, table


@pytest.fixture
def labels() -> np.ndarray:
    return np.zeros((600, 700), np.int32)


@pytest.fixture
def case(tmp_path: Path, labels: np.ndarray) -> Iterator[Case]:
    opened = open_case(tmp_path / "case", labels)
    yield opened
    check(opened, labels)
    opened.close()


def test_a_commit_is_in_layer_and_table_at_once(case: Case, labels: np.ndarray) -> None:
    mask = Mask((250, 250), np.eye(20, dtype=bool))
    prompt = Prompt((250, 250, 270, 270), ((255.5, 255, True),), mask)
    change = case.commit(mask, class_id=2, score=0.9, prompts=[prompt], model="lite")
    assert (labels[250:270, 250:270] == np.eye(20)).all()
    assert labels.sum() == 20
    record = case.objects[1]
    assert (record.class_id, record.score, record.area) == (2, 0.9, 20)
    assert record.box == (250, 250, 270, 270)
    assert record.prompts[0].points == ((255.5, 255, True),)
    assert record.prompts[0].mask is None
    assert (change.labels, change.removed) == ({1}, set())
    assert change.name == case.undo_name == "box and points: object 1"
    # A window of what changed for each chunk, and not more.
    assert sorted((w[0].start, w[1].start) for w in change.windows) == [(250, 250), (256, 256)]
    assert case.next_label() == 2


def test_objects_keep_their_pixels_unless_asked(case: Case, labels: np.ndarray) -> None:
    case.commit(rectangle(10, 10, 20, 20))
    case.commit(rectangle(10, 15, 20, 25))
    assert case.objects[1].area == 100
    assert case.objects[2].box == (10, 20, 20, 25)
    with pytest.raises(CosegError, match="belongs to other objects"):
        case.commit(rectangle(12, 12, 14, 14))
    change = case.commit(rectangle(5, 5, 22, 22), protect=False)
    assert change.removed == {1}
    assert change.labels == {1, 2, 3}
    assert case.objects[2].box == (10, 22, 20, 25)


def test_an_object_opened_again_is_replaced(case: Case, labels: np.ndarray) -> None:
    case.commit(rectangle(10, 10, 20, 20), class_id=3)
    case.commit(rectangle(10, 20, 20, 30))
    change = case.commit(rectangle(12, 12, 22, 24), label=1, prompts=[box_prompt(1, 2, 3, 4)])
    assert (labels == 1).sum() == case.objects[1].area == 10 * 12 - 8 * 4
    assert case.objects[1].class_id == 3
    assert change.labels == {1}
    case.undo()
    assert case.objects[1].area == 100
    with pytest.raises(CosegError, match="belongs to other objects"):
        case.commit(rectangle(12, 22, 14, 24), label=1)
    assert (labels == 1).sum() == 100


def test_masks_without_pixels_are_refused(case: Case, labels: np.ndarray) -> None:
    with pytest.raises(CosegError, match="empty"):
        case.commit(Mask((3, 3), np.zeros((5, 5), bool)))
    with pytest.raises(CosegError, match="outside"):
        case.commit(rectangle(600, 0, 610, 10))
    with pytest.raises(CosegError, match="outside"):
        case.commit(rectangle(-20, -20, -5, -5))
    case.commit(rectangle(-5, 695, 3, 705))
    assert case.objects[1].box == (0, 695, 3, 700)
    assert case.undo_name == "mask: object 1"
    with pytest.raises(ValueError, match="axes"):
        case.commit(rectangle(0, 0, 0, 1, 1, 1))


def test_many_commits_are_one_step(case: Case, labels: np.ndarray) -> None:
    items = [Commit(rectangle(20 * n, 0, 20 * n + 10, 10)) for n in range(8)]
    change = case.commit_many([*items, Commit(rectangle(0, 0, 5, 5))], strict=False)
    assert len(case.objects) == 8
    assert change.left_out == (8,)
    assert case.undo_name == "mask: 8 objects"
    with pytest.raises(CosegError, match="belongs to other"):
        case.commit_many([Commit(rectangle(300, 0, 310, 10)), items[0]])
    assert len(case.objects) == 8
    # The last one takes all of the first: that would be an object without a pixel.
    both = [Commit(rectangle(300, 0, 310, 10)), Commit(rectangle(300, 0, 310, 10))]
    with pytest.raises(CosegError, match="no pixel left"):
        case.commit_many(both, protect=False)
    with pytest.raises(CosegError, match="belongs to other"):
        case.commit_many(items[:2], strict=False)
    with pytest.raises(CosegError, match="no object to commit"):
        case.commit_many([])
    case.undo()
    assert not case.objects
    assert not labels.any()


def test_an_object_left_out_stays_as_it_was(case: Case, labels: np.ndarray) -> None:
    case.commit_many([Commit(rectangle(0, 0, 10, 10)), Commit(rectangle(0, 20, 10, 30))])
    items = [Commit(rectangle(50, 0, 60, 10)), Commit(rectangle(2, 22, 4, 24), label=1)]
    change = case.commit_many(items, strict=False)
    assert change.left_out == (1,)
    assert case.objects[1].area == 100


def test_delete_merge_relabel_class(case: Case, labels: np.ndarray) -> None:
    first, second = box_prompt(0, 0, 10, 10), box_prompt(0, 300, 10, 310)
    case.commit(rectangle(0, 0, 10, 10), class_id=1, prompts=[first])
    case.commit(rectangle(0, 300, 10, 310), class_id=2, prompts=[second])
    case.commit(rectangle(300, 300, 310, 310))
    change = case.merge([1, 2])
    assert change.removed == {2}
    record = case.objects[1]
    assert (record.area, record.box, record.class_id) == (200, (0, 0, 10, 310), 1)
    assert [p.box for p in record.prompts] == [first.box, second.box]
    case.relabel(1, 9)
    assert case.objects[9].area == 200
    assert case.next_label() == 10
    with pytest.raises(CosegError, match="There is an object 3 already"):
        case.relabel(9, 3)
    with pytest.raises(CosegError, match="cannot be"):
        case.relabel(9, 0)
    assert case.set_class([3, 9], 4).labels == {3, 9}
    assert case.set_class([3, 9], 4).name == ""
    assert case.undo_name == "class of 2 objects"
    assert case.delete([9, 9, 3]).removed == {3, 9}
    assert case.undo_name == "delete 2 objects"
    assert not labels.any()
    for edit in (case.delete, case.merge, lambda v: case.set_class(v, 1)):
        with pytest.raises(CosegError, match="no object 5"):
            edit([5, 6])
        with pytest.raises(CosegError, match="No object is chosen"):
            edit([])
    # Ids that were used are not used again.
    assert case.next_label() == 10
    for _ in range(7):
        case.undo()
    assert (case.undo(), case.undo_name) == (None, None)
    assert not case.objects
    for _ in range(7):
        case.redo()
    assert case.redo() is None
    case.commit(rectangle(0, 0, 5, 5))
    with pytest.raises(CosegError, match="two objects"):
        case.merge([10, 10])


def test_split_along_a_line(case: Case, labels: np.ndarray) -> None:
    yy, xx = np.mgrid[-30:31, -30:31]
    case.commit(Mask((240, 240), yy**2 + xx**2 <= 900), class_id=2, prompts=[Prompt()])
    whole = labels != 0
    with pytest.raises(CosegError, match="does not part"):
        case.split(1, [(270, 230), (270, 265)])
    with pytest.raises(CosegError, match="does not part"):
        case.split(1, [(230, 230), (235, 235)])
    with pytest.raises(CosegError, match="does not part"):
        case.split(1, [(260, 200)])
    change = case.split(1, [(262, 200), (262, 340)], width=3)
    assert change.labels == {1, 2}
    # The pixels under the line are given away, so that nothing is lost.
    assert ((labels != 0) == whole).all()
    one, two = case.objects[1], case.objects[2]
    assert one.area > two.area
    assert one.area + two.area == whole.sum()
    assert (one.class_id, two.class_id, one.prompts, two.prompts) == (2, 2, (), ())
    assert one.box[0] in (262, 263)
    case.undo()
    assert len(case.objects[1].prompts) == 1
    # Diagonal and freehand lines part it too, into more parts where they cross more often.
    case.split(1, [(230.3, 231.8), (310.2, 309.1)])
    assert len(case.objects) == 2
    case.undo()
    zigzag = [(200, 250), (340, 260), (200, 270), (340, 280)]
    case.split(1, zigzag)
    assert len(case.objects) > 3
    assert ((labels != 0) == whole).all()


def test_split_leaves_other_pieces_alone(case: Case, labels: np.ndarray) -> None:
    bits = np.zeros((40, 60), bool)
    bits[:10, :] = True
    bits[30:, :5] = True
    case.commit(Mask((0, 0), bits))
    case.commit(rectangle(10, 0, 30, 60))
    case.split(1, [(-5, 40), (20, 40)])
    assert case.objects[1].box == (0, 0, 40, 41) or case.objects[1].box == (0, 0, 40, 40)
    assert case.objects[3].box[0:1] + case.objects[3].box[2:] == (0, 10, 60)
    assert case.objects[2].area == 20 * 60


def test_strokes_are_followed(case: Case, labels: np.ndarray) -> None:
    case.commit(rectangle(100, 100, 400, 400), prompts=[Prompt()])
    window = (slice(90, 250), slice(90, 410))
    before = labels[window].copy()
    labels[window] = 0
    labels[100, 400] = 7
    change = case.stroke(window, before, labels[window], class_id=3)
    assert case.objects[1].box == (250, 100, 400, 400)
    assert len(case.objects[1].prompts) == 1
    assert (case.objects[7].origin, case.objects[7].class_id) == ("brush", 3)
    assert case.next_label() == 8
    assert change.name == case.undo_name == "brush"
    assert case.stroke(window, labels[window], labels[window]).name == ""
    case.undo()
    assert (labels[100:400, 100:400] == 1).all()
    assert 7 not in case.objects


def test_a_stroke_with_an_id_that_does_not_fit_is_set_back(tmp_path: Path) -> None:
    labels = np.zeros((40, 40), np.int64)
    with open_case(tmp_path / "wide", labels) as case:
        before = labels.copy()
        labels[3, 3] = 1 << 40
        with pytest.raises(CosegError, match="cannot keep"):
            case.stroke((slice(0, 40), slice(0, 40)), before, labels)
        assert not labels.any()
    labels[3, 3] = 1 << 40
    with pytest.raises(CosegError, match="Renumber"):
        open_case(tmp_path / "other", labels)


def test_what_was_painted_unseen_is_found(case: Case, labels: np.ndarray) -> None:
    case.commit(rectangle(0, 0, 300, 300))
    assert case.catch_up().name == ""
    labels[250:260, 0:300] = 0
    labels[500, 600] = 4
    change = case.catch_up(name="unseen")
    assert change.labels == {1, 4}
    assert case.undo_name == "unseen"
    labels[10, 10] = 0
    assert case.catch_up((slice(400, 600), slice(0, 700))).name == ""
    assert case.catch_up((slice(5, 20), slice(0, 20))).windows == ((slice(10, 11), slice(10, 11)),)
    case.undo()
    case.undo()
    assert (labels[:300, :300] == 1).all()
    assert labels[500, 600] == 0


def test_a_model_run_is_one_edit(case: Case, labels: np.ndarray) -> None:
    case.commit(rectangle(0, 0, 10, 10))
    case.commit(rectangle(500, 500, 510, 510), class_id=1)
    before = labels.copy()
    rows = table(case)
    pixels = np.zeros(labels.shape, np.uint16)
    for n in range(400):
        row, column = divmod(n, 20)
        pixels[row * 30 : row * 30 + 20, column * 35 : column * 35 + 20] = n + 2
    known = {n: ObjectRecord(n, n % 4, 0.5, origin="model") for n in range(1, 401)}
    change = case.adopt(pixels, known, "run: Co-Seg++", model="lite", settings={"mpp": 0.5})
    assert (labels == pixels).all()
    assert len(case.objects) == 400
    assert (case.objects[2].class_id, case.objects[2].area) == (2, 400)
    assert case.objects[401].origin == "model"
    assert math.isnan(case.objects[401].score)
    assert change.removed == {1}
    check(case, labels)
    assert case.wait(WAIT)
    case.undo()
    assert (labels == before).all()
    assert table(case) == rows
    # A run over windows leaves the objects outside them alone.
    window = (slice(0, 300), slice(0, 300))
    case.adopt([(window, pixels[window])], known, "run")
    assert case.objects[2].origin == "model"
    check(case, labels)
    with pytest.raises(ValueError, match="overlap"):
        case.adopt([(window, pixels[window])] * 2, known, "run")


def test_ids_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[0, 0] = 255
    with open_case(tmp_path / "case", labels) as case:
        assert case.next_label() == 1
        case.commit(rectangle(2, 2, 5, 5))
        assert case.next_label() == 2
        with pytest.raises(CosegError, match="does not fit labels of uint8"):
            case.commit(rectangle(12, 12, 15, 15), label=256)
        with pytest.raises(CosegError, match="does not fit labels of uint8"):
            case.relabel(1, 300)
        with pytest.raises(CosegError, match="does not fit labels of uint8"):
            case.adopt(np.full((40, 40), 300), {}, "run")
        assert (labels == 1).sum() == 9
        case.commit_many([Commit(rectangle(10, n, 11, n + 1)) for n in range(40)])
        many = [
            Commit(rectangle(20 + n // 40, n % 40, 21 + n // 40, n % 40 + 1)) for n in range(220)
        ]
        with pytest.raises(CosegError, match="no id left"):
            case.commit_many(many)
        assert len(case.objects) == 42
    with pytest.raises(CosegError, match="must be integers"):
        open_case(tmp_path / "floats", np.zeros((40, 40)))
    with pytest.raises(CosegError, match="two or three axes"):
        open_case(tmp_path / "line", np.zeros(40, int))


def test_volumes(tmp_path: Path) -> None:
    labels = np.zeros((70, 90, 80), np.int32)
    with open_case(tmp_path / "case", labels) as case:
        zz, yy, xx = np.mgrid[-20:21, -20:21, -20:21]
        ball = zz**2 + yy**2 + xx**2 <= 400
        plane = Mask((40, 40, 30), ball[20:21])
        case.commit(plane, prompts=[box_prompt(40, 30, 81, 71)])
        assert case.objects[1].planes == (40,)
        case.commit(Mask((20, 40, 30), ball), label=1, prompts=[Prompt()], planes=[33])
        assert (case.objects[1].planes, case.objects[1].area) == ((33,), ball.sum())
        with pytest.raises(ValueError, match="plane"):
            case.commit(Mask((20, 40, 30), ball), label=1, prompts=[Prompt()])
        # A line drawn in one plane, whichever axis that is, cuts through the others.
        case.split(1, [(40, 35, 50.2), (40, 90, 50.2)])
        boxes = sorted((r.box[2], r.box[5]) for r in case.objects.values())
        assert boxes == [(30, 51), (51, 71)]
        check(case, labels)
        case.undo()
        case.split(1, [(10, 60, 50), (90, 60.4, 50)])
        boxes = sorted((r.box[1], r.box[4]) for r in case.objects.values())
        assert boxes == [(40, 61), (61, 81)]
        assert not (labels[20:61, 40:81, 30:71] != 0)[~ball].any()
        check(case, labels)
    again = np.zeros_like(labels)
    with open_case(tmp_path / "case", again) as case:
        assert (again == labels).all()
        assert case.undo() is not None
        assert (again != 0).sum() == case.objects[1].area == ball.sum()


def test_the_layer_is_written_through_the_callers_function(tmp_path: Path) -> None:
    labels = np.zeros((50, 50), np.uint16)
    calls = []

    def write(window: tuple[slice, ...], values: np.ndarray) -> None:
        calls.append(window)
        assert values.dtype == np.uint16
        if broken and len(calls) == broken:
            raise RuntimeError("the layer is gone")
        labels[window] = values

    broken = 0
    with open_case(tmp_path / "case", labels, write=write) as case:
        case.commit(rectangle(0, 0, 5, 5))
        case.undo()
        case.redo()
        assert calls == [(slice(0, 5), slice(0, 5))] * 3
        calls.clear()
        broken = 1
        with pytest.raises(RuntimeError, match="gone"):
            case.delete([1])
        assert labels.sum() == 25
        assert case.objects[1].area == 25
        assert case.undo_name == "mask: object 1"


def test_history_tells_the_last_edits(case: Case, labels: np.ndarray) -> None:
    for n in range(80):
        case.commit(rectangle(n, 0, n + 1, 5), name=f"edit {n}")
    past = case.history(60)
    assert [p.name for p in past] == [f"edit {n}" for n in range(79, 19, -1)]
    assert past[0].labels == (80,)
    assert past[0].time >= past[-1].time > 1.6e9
    case.undo()
    assert case.history(1)[0].name == "edit 78"


def test_a_plane_of_an_object_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    labels = np.zeros((5, 20, 20), np.int32)
    labels[:, 5:10, 5:10] = 1
    with Case.open(tmp_path / "c", identify(labels + 1), labels) as case:
        new = Mask((2, 4, 4), np.ones((1, 2, 2), bool))
        first = Prompt((4, 4, 6, 6))
        case.commit(new, label=1, prompts=[first])
        assert [int((plane == 1).sum()) for plane in labels] == [25, 25, 4, 25, 25]
        assert case.objects[1].area == 104
        again = Mask((3, 4, 4), np.ones((1, 3, 3), bool))
        case.commit(again, label=1, prompts=[Prompt((4, 4, 7, 7))])
        assert case.objects[1].planes == (2, 3)
        assert case.objects[1].prompts[0].box == first.box
        case.undo()
        case.undo()
        assert [int((plane == 1).sum()) for plane in labels] == [25] * 5


def test_a_mask_may_stand_for_more_planes_than_it_has(tmp_path: Path) -> None:
    labels = np.zeros((6, 20, 20), np.int32)
    labels[:, 5:10, 5:10] = 1
    image = identify(labels + 1)
    with Case.open(tmp_path / "c", image, labels) as case:
        first, second = Prompt((5, 5, 10, 10)), Prompt((4, 4, 6, 6))
        kept = Mask((1, 5, 5), labels[1:2, 5:10, 5:10] == 1)
        case.commit(kept, label=1, prompts=[first])
        new = Mask((3, 4, 4), np.ones((2, 2, 2), bool))
        case.commit_many([Commit(new, 1, prompts=[second], planes=[3], span=(2, 6))])
        # It ends at plane 4 now.
        assert [int((plane == 1).sum()) for plane in labels] == [25, 25, 0, 4, 4, 0]
        assert case.objects[1].planes == (1, 3)
        # One across: planes are counted along the rows.
        across = Mask((0, 6, 0), np.ones((3, 1, 4), bool))
        third = Prompt((0, 0, 3, 4))
        case.commit_many([Commit(across, 1, prompts=[third], planes=[6], axis=1)])
        assert (labels[:, 6] == 1).sum() == 12
        assert (labels[:2, 7] == 1).sum() == 10
        record = case.objects[1]
        assert (record.planes, record.axes) == ((1, 3, 6), (0, 0, 1))
        assert [plane for prompt, plane, axis in record.placed if axis == 1] == [6]
    with Case.open(tmp_path / "c", image, labels) as case:
        again = case.objects[1]
        assert (again.planes, again.axes) == (record.planes, record.axes)
        assert [one.box for one in again.prompts] == [one.box for one in record.prompts]
        case.undo()
        assert case.objects[1].axes == ()
        case.undo()
        assert [int((plane == 1).sum()) for plane in labels] == [25] * 6


def test_notes_are_kept(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.int32)
    with Case.open(tmp_path / "c", identify(labels), labels) as case:
        case.note("classes", "a")
        case.note("classes", "b")
    with Case.open(tmp_path / "c", identify(np.zeros((20, 20), np.int32)), labels) as case:
        assert dict(case.notes) == {"classes": "b"}

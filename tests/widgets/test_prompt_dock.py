"""The Prompt dock with a worker that takes every box for what its inscribed ellipse is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tifffile import imread

from napari_coseg.imaging.source import ImageSource
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.listing import to_message
from napari_coseg.widgets.prompt_dock import PromptDock
from napari_coseg.widgets.session import Session
from napari_coseg.worker.keys import Endpoint, KeyPair
from napari_coseg.worker.launcher import RemoteHost
from napari_coseg.worker.pending import Pending
from napari_coseg.worker.prompting import PromptAnswer
from tests.layers.test_results import result

CROP = (0.0, 0.0, 64.0, 64.0)


def ellipse(box: tuple[float, float, float, float]) -> Mask:
    row0, column0, row1, column1 = (round(edge) for edge in box)
    rows, columns = np.mgrid[row0:row1, column0:column1] + 0.5
    down = (rows - (row0 + row1) / 2) / ((row1 - row0) / 2)
    across = (columns - (column0 + column1) / 2) / ((column1 - column0) / 2)
    return Mask.of(down**2 + across**2 <= 1, (row0, column0))


def answer_to(prompt: Prompt) -> PromptAnswer:
    if prompt.box is not None:
        mask = ellipse(prompt.box)
    elif prompt.mask is not None:
        mask = prompt.mask
    else:
        row, column = (round(v) for v in prompt.points[0][:2])
        mask = Mask((row - 2, column - 2), np.ones((5, 5), bool))
    return PromptAnswer(mask, 0.91, CROP, False)


class FakeClient:
    """Keeps questions until the test answers them."""

    closed = False
    host: Any = None

    def __init__(self) -> None:
        self.asked: list[tuple[list[Prompt], dict[str, Any], Pending]] = []
        self.loaded: list[str] = []
        self.at_once = True

    def load(self, model: str, device: str) -> Future[Any]:
        self.loaded.append(model)
        return Future()

    def prompt(self, source: ImageSource, prompts: Sequence[Prompt], **told: Any) -> Pending:
        pending = Pending("prompt", {}, source)
        self.asked.append((list(prompts), {**told, "shape": source.shape}, pending))
        if self.at_once:
            self.answer(-1)
        return pending

    def cancel(self, pending: Pending) -> None:
        pending.future.cancel()

    def answer(self, number: int, error: Exception | None = None) -> None:
        prompts, _, pending = self.asked[number]
        if pending.future.cancelled():
            return
        if error is not None:
            pending.future.set_exception(error)
        else:
            pending.future.set_result([answer_to(prompt) for prompt in prompts])


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    made = make_napari_viewer()
    made.add_image(picture(60, 80), rgb=True, name="tile", scale=(0.5, 0.5), units=("um", "um"))
    return made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    for module in ("prompt_dock", "prompt_desk", "prompt_drawing"):
        for name in ("show_info", "show_warning", "show_error"):
            monkeypatch.setattr(
                f"napari_coseg.widgets.{module}.{name}", heard.append, raising=False
            )
    return heard


@pytest.fixture
def make_dock(
    client: FakeClient, told: list[str], qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[Any], PromptDock]]:
    monkeypatch.setattr("napari_coseg.annotation.places.data_folder", lambda: tmp_path / "own")
    card = ModelCard(name="sam", kind="syncsam", licence="CC0-1.0")
    monkeypatch.setattr("napari_coseg.widgets.prompt_dock.prompt_models", lambda: [("sam", card)])
    made: list[PromptDock] = []

    def make(viewer: Any) -> PromptDock:
        session = Session()
        session._client = client  # type: ignore[assignment]
        dock = PromptDock(viewer, session)
        qtbot.addWidget(dock)
        made.append(dock)
        qtbot.waitUntil(lambda: dock.desk.place.identity is not None or not viewer.layers)
        return dock

    yield make
    for dock in made:
        dock.close()


@pytest.fixture
def dock(make_dock: Callable[[Any], PromptDock], viewer: Any) -> PromptDock:
    made = make_dock(viewer)
    made.take("box")
    return made


def picture(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (*shape, 3), np.uint8)


def box(dock: PromptDock, qtbot: Any, *edges: float) -> None:
    dock.canvas.boxed.emit(edges)
    settle(dock, qtbot)


def settle(dock: PromptDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.asker.waiting)


def labels(dock: PromptDock) -> np.ndarray:
    assert dock.desk.target is not None
    return np.asarray(dock.desk.target.layer.data)


def previewed(viewer: Any) -> Any:
    """Where the preview's first and last pixels lie in the world, None where there is none."""
    layer = viewer.layers["Preview"]
    places = np.argwhere(layer.data)
    if not len(places):
        return None
    ends = places.min(0), places.max(0)
    return tuple(tuple(float(v) for v in layer.data_to_world(end)) for end in ends)


def ids(dock: PromptDock) -> set[int]:
    assert dock.desk.target is not None
    known = set(dock.desk.target.case.objects)
    dock.desk.target.hand_over()
    assert known == set(np.unique(labels(dock)).tolist()) - {0}
    assert known == set(dock.desk.target.layer.features["index"])
    return known


def test_a_box_is_seen_and_then_kept(dock: PromptDock, viewer: Any, qtbot: Any) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    first, last = previewed(viewer)
    assert first == pytest.approx((5, 10))  # µm
    assert last == pytest.approx((14.5, 24.5))
    area = ellipse((10, 20, 30, 50)).area
    assert dock.status.startswith(f"0.91 · {area} px · {area / 4:.0f} µm²")
    # A look changes nothing.
    assert dock.desk.target is None
    dock.drawing.commit()
    layer = viewer.layers["tile objects"]
    assert (layer.data > 0).sum() == area
    assert tuple(layer.scale) == (0.5, 0.5)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    qtbot.waitUntil(lambda: len(layer.features) == 1)
    row = layer.features.iloc[0]
    assert (row["index"], row["area_px"], row["origin"]) == (1, area, "prompt")
    assert row["area_um2"] == pytest.approx(area / 4)
    assert previewed(viewer) is None
    assert dock.desk.target is not None
    assert dock.desk.target.case.wait(10)
    # The tool stays in hand.
    assert viewer.layers.selection.active.name == "Clicks"


def test_each_box_keeps_the_one_before(dock: PromptDock, qtbot: Any) -> None:
    for row in (2, 14, 26):
        box(dock, qtbot, row, 5, row + 10, 15)
    assert ids(dock) == {1, 2}
    dock.drawing.commit()
    assert ids(dock) == {1, 2, 3}


def test_a_hand_faster_than_the_model_loses_nothing(
    dock: PromptDock, client: FakeClient, qtbot: Any
) -> None:
    client.at_once = False
    for row in (2, 14, 26):
        dock.canvas.boxed.emit((row, 5, row + 10, 15))
    dock.drawing.commit()
    dock.drawing.discard()  # nothing is open any more
    for number in (1, 0, 2):
        client.answer(number)
    settle(dock, qtbot)
    assert len(ids(dock)) == 3
    assert (labels(dock) > 0).sum() == 3 * ellipse((0, 0, 10, 10)).area


def test_the_last_click_counts_although_its_answer_is_late(
    dock: PromptDock, client: FakeClient, qtbot: Any
) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    client.at_once = False
    dock.drawing.box((2.0, 5.0, 32.0, 35.0))
    dock.form.each_box.setChecked(False)
    dock.canvas.clicked.emit(20.0, 20.0, False)
    dock.drawing.commit()
    client.answer(-1)
    settle(dock, qtbot)
    assert len(ids(dock)) == 2
    last = max(ids(dock))
    assert (labels(dock) == last).sum() > 500


def test_a_click_is_drawn_with_its_mask_or_soon(
    dock: PromptDock, client: FakeClient, viewer: Any, qtbot: Any
) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    client.at_once = False
    clicks = viewer.layers["Clicks"]
    dock.canvas.clicked.emit(7.0, 10.0, False)
    assert len(clicks.data) == 0
    drawn: list[int] = []
    dock.drawing.changed.connect(lambda: drawn.append(len(clicks.data)))
    client.answer(-1)
    settle(dock, qtbot)
    # With the mask, and not when a timer comes.
    assert drawn[0] == 1
    # An answer that takes long leaves no stroke unseen.
    dock.canvas.clicked.emit(8.0, 11.0, False)
    qtbot.waitUntil(lambda: len(clicks.data) == 2)
    assert dock.asker.waiting


def test_what_could_not_be_kept_is_still_there(
    dock: PromptDock, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    identity, dock.desk.place.identity = dock.desk.place.identity, None
    dock.drawing.commit()
    assert dock.desk.target is None
    assert not dock.drawing.idle
    # The next box does not sweep it away either.
    box(dock, qtbot, 30, 5, 40, 15)
    assert dock.drawing.work.drawn.box == (2, 5, 12, 15)
    dock.desk.place.identity = identity
    box(dock, qtbot, 30, 5, 40, 15)
    assert ids(dock) == {1}


def test_a_box_beside_an_opened_object_is_a_new_one(dock: PromptDock, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    before = labels(dock).copy()
    dock.canvas.clicked.emit(7.0, 10.0, False)  # a slip of the mouse
    box(dock, qtbot, 30, 40, 40, 50)
    dock.drawing.commit()
    assert ids(dock) == {1, 2}
    assert ((labels(dock) == 1) == (before == 1)).all()


def test_an_answer_that_is_late_goes_where_it_was_meant(
    make_dock: Callable[[Any], PromptDock],
    make_napari_viewer: Callable[[], Any],
    client: FakeClient,
    qtbot: Any,
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(picture(12, 60, 80)[..., 0], name="stack")
    dock = make_dock(viewer)
    dock.take("box")
    client.at_once = False
    viewer.dims.set_point(0, 3)
    dock.canvas.boxed.emit((2.0, 5.0, 12.0, 15.0))
    dock.drawing.commit()
    viewer.dims.set_point(0, 4)
    client.answer(0)
    settle(dock, qtbot)
    assert np.flatnonzero(labels(dock).any((1, 2))).tolist() == [3]
    # A view of all of the volume is none to draw on.
    viewer.dims.ndisplay = 3
    drag(dock, [(9.0, 9.0), (15, 20), (30.0, 30.0)])
    assert "rows and columns" in dock.status


def test_a_new_box_may_take_the_place_of_the_one_before(dock: PromptDock, qtbot: Any) -> None:
    dock.form.each_box.setChecked(False)
    box(dock, qtbot, 2, 5, 12, 15)
    box(dock, qtbot, 30, 5, 40, 15)
    dock.drawing.commit()
    assert ids(dock) == {1}
    assert labels(dock)[:20].max() == 0


def test_clicks_refine_with_the_mask_and_the_crop_before(
    dock: PromptDock, client: FakeClient, viewer: Any, qtbot: Any
) -> None:
    dock.take("points")
    dock.set_sign(False)
    dock.canvas.clicked.emit(10.0, 10.0, False)
    assert client.asked == []
    assert "first" in dock.status
    dock.set_sign(True)
    dock.canvas.clicked.emit(10.0, 10.0, False)
    settle(dock, qtbot)
    assert client.asked[-1][0][0].mask is None
    dock.canvas.clicked.emit(14.0, 10.0, True)  # with Shift: the other sign
    settle(dock, qtbot)
    (prompt,), kept, _ = client.asked[-1]
    assert prompt.points == ((10.0, 10.0, True), (14.0, 10.0, False))
    assert prompt.mask is not None
    assert kept["crops"] == [CROP]
    assert kept["content"]
    qtbot.waitUntil(lambda: len(viewer.layers["Clicks"].data) == 2)
    # Stroke by stroke back.
    dock.undo()
    settle(dock, qtbot)
    assert client.asked[-1][0][0].points == ((10.0, 10.0, True),)
    dock.undo()
    assert dock.drawing.idle
    assert previewed(viewer) is None


def test_undo_and_redo_of_what_was_kept(dock: PromptDock, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    before = labels(dock).copy()
    assert "object 1" in dock.form._buttons["undo"].toolTip()
    dock.undo()
    assert not labels(dock).any()
    assert ids(dock) == set()
    line = dock.form.status
    assert line.text() == "Undone: box: object 1."
    assert dock.form._buttons["redo"].isEnabled()
    dock.undo()
    assert line.text() == "There is nothing to undo."
    dock.redo()
    assert line.text() == "Done again: box: object 1."
    np.testing.assert_array_equal(labels(dock), before)
    assert ids(dock) == {1}


def test_an_object_is_opened_again_by_a_click(
    dock: PromptDock, client: FakeClient, qtbot: Any
) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    area = (labels(dock) == 1).sum()
    dock.canvas.clicked.emit(7.0, 10.0, False)
    assert dock.drawing.work.label == 1
    assert "open" in dock.status
    dock.drawing.box((2, 5, 20, 25))
    settle(dock, qtbot)
    dock.drawing.commit()
    assert ids(dock) == {1}
    assert (labels(dock) == 1).sum() > 2 * area
    # Opened and left, it stays as it was.
    now = labels(dock).copy()
    dock.canvas.clicked.emit(7.0, 10.0, False)
    dock.drawing.discard()
    np.testing.assert_array_equal(labels(dock), now)


def test_new_objects_leave_old_ones_alone_unless_asked(dock: PromptDock, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 22, 25)
    dock.drawing.commit()
    area = (labels(dock) == 1).sum()
    box(dock, qtbot, 12, 5, 32, 25)
    dock.drawing.commit()
    assert (labels(dock) == 1).sum() == area
    dock.undo()
    dock.form.protect.setChecked(False)
    box(dock, qtbot, 12, 5, 32, 25)
    dock.drawing.commit()
    assert (labels(dock) == 1).sum() < area
    # An id is never used twice.
    assert (labels(dock) == 3).sum() == area


def test_objects_without_the_model(dock: PromptDock, qtbot: Any, monkeypatch: Any) -> None:
    for row in (2, 14, 26):
        box(dock, qtbot, row, 5, row + 10, 25)
    dock.drawing.commit()
    dock.take("select")
    dock.canvas.clicked.emit(7.0, 15.0, False)
    dock.canvas.clicked.emit(19.0, 15.0, True)
    assert dock.editing.selected == [1, 2]
    assert "2 objects" in dock.form.selected.text()
    dock.form.action.emit("merge")
    assert ids(dock) == {1, 3}
    dock.canvas.clicked.emit(31.0, 15.0, False)
    dock.form.action.emit("split")
    assert "across" in dock.status
    dock.canvas.drawn.emit(np.array([[24.0, 15.0], [38.0, 15.0]]))
    assert len(ids(dock)) == 3
    parts = dock.editing.selected
    assert len(parts) == 2
    dock.form.class_added.emit("tumour")
    assert dock.form.class_id == 2
    dock.editing.select(parts)
    dock.form.action.emit("class")
    assert dock.desk.target is not None
    dock.desk.target.hand_over()
    table = dock.desk.target.layer.features.set_index("index")
    assert set(table.loc[parts, "class_name"]) == {"tumour"}
    monkeypatch.setattr(
        "napari_coseg.widgets.prompt_editing.QInputDialog.getInt", lambda *a: (77, True)
    )
    dock.editing.select([1])
    dock.form.action.emit("relabel")
    assert 77 in ids(dock)
    dock.editing.select([77, parts[0]])
    dock.form.action.emit("delete")
    assert ids(dock) == {parts[1]}
    for _ in range(4):
        dock.undo()
    assert ids(dock) == {1, 3}
    # A line beside the object parts nothing, and says so.
    dock.editing.select([1])
    dock.form.action.emit("split")
    dock.canvas.drawn.emit(np.array([[50.0, 60.0], [55.0, 70.0]]))
    assert ids(dock) == {1, 3}
    assert dock.status


def test_all_boxes_of_a_shapes_layer_are_one_step(
    dock: PromptDock, client: FakeClient, viewer: Any, qtbot: Any
) -> None:
    dock.form.action.emit("all_boxes")  # there are none yet
    assert client.asked == []
    rings = [np.array([[r, 2], [r, 8], [r + 6, 8], [r + 6, 2]]) / 2 for r in (0, 10, 20, 30)]
    viewer.add_shapes(rings, shape_type="rectangle", units=("um", "um"))
    dock.form.action.emit("all_boxes")
    settle(dock, qtbot)
    (prompts, _, _) = client.asked[-1]
    assert prompts[1].box == pytest.approx((10.5, 2.5, 16.5, 8.5))
    assert ids(dock) == {1, 2, 3, 4}
    dock.undo()
    assert ids(dock) == set()


def test_brush_strokes_are_undone_like_the_rest(dock: PromptDock, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert dock.desk.target is not None
    layer = dock.desk.target.layer
    before = labels(dock).copy()
    layer.brush_size = 6
    layer.paint((40, 40), 9)
    qtbot.waitUntil(lambda: 9 in dock.desk.target.case.objects)  # type: ignore[union-attr]
    assert ids(dock) == {1, 9}
    assert dock.desk.target.case.objects[9].origin == "brush"
    dock.undo()
    np.testing.assert_array_equal(labels(dock), before)
    dock.redo()
    assert ids(dock) == {1, 9}


def test_objects_of_a_run_are_worked_on(
    make_dock: Callable[[Any], PromptDock], viewer: Any, qtbot: Any
) -> None:
    from napari_coseg.layers.planes import Stack
    from napari_coseg.layers.results import Place, result_layers

    image = viewer.layers["tile"]
    found = result(60, 80, 0.5)
    place = Place((), 0, (0, 0, 60, 80))
    for layer in result_layers([found], image, Stack.of(image), place):
        viewer.add_layer(layer)
    dock = make_dock(viewer)
    dock.take("box")
    row = dock.form.into.findText("tile instances")
    dock.form.into.setCurrentIndex(row)
    dock.form.into.activated.emit(row)
    assert dock.desk.target is not None
    before = ids(dock)
    assert before == set(found.objects["label"])
    names = [dock.form.classes.itemText(i) for i in range(dock.form.classes.count() - 1)]
    assert names == list(found.instance_classes.names)
    assert all(one.origin in ("model", "file") for one in dock.desk.target.case.objects.values())
    box(dock, qtbot, 40, 40, 58, 60)
    dock.drawing.commit()
    assert len(ids(dock)) == len(before) + 1
    dock.undo()
    assert ids(dock) == before


def test_earlier_work_comes_back(
    make_dock: Callable[[Any], PromptDock], viewer: Any, qtbot: Any
) -> None:
    dock = make_dock(viewer)
    dock.take("box")
    for row in (2, 14):
        box(dock, qtbot, row, 5, row + 10, 25)
    dock.drawing.commit()
    dock.form.class_added.emit("stroma")
    kept = labels(dock).copy()
    layer = dock.desk.target.layer  # type: ignore[union-attr]
    dock.close()
    assert [la.name for la in viewer.layers] == ["tile", "tile objects"]
    viewer.layers.remove(layer)
    again = make_dock(viewer)
    qtbot.waitUntil(lambda: again.desk.target is not None)
    np.testing.assert_array_equal(labels(again), kept)
    assert "2 objects" in again.status
    names = [again.form.classes.itemText(i) for i in range(again.form.classes.count() - 1)]
    assert names == ["object", "stroma"]
    again.undo()
    assert ids(again) == {1}


def test_earlier_work_comes_back_into_its_layer_if_that_is_there(
    make_dock: Callable[[Any], PromptDock], viewer: Any, qtbot: Any
) -> None:
    dock = make_dock(viewer)
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 25)
    dock.drawing.commit()
    layer, path = viewer.layers["tile objects"], dock.desk.target.path  # type: ignore[union-attr]
    dock.close()
    # While there is no dock, napari's own brush goes on.
    layer.data[40:44, 40:44] = 9
    kept = layer.data.copy()
    again = make_dock(viewer)
    qtbot.waitUntil(lambda: again.desk.target is not None)
    assert again.desk.target is not None
    assert again.desk.target.path == path
    assert [la.name for la in viewer.layers if "objects" in la.name] == ["tile objects"]
    np.testing.assert_array_equal(labels(again), kept)
    assert ids(again) == {1, 9}
    again.undo()
    assert ids(again) == {1}
    again.redo()
    again.close()
    # Chosen by hand it goes on with its journal too.
    third = make_dock(viewer)
    qtbot.waitUntil(lambda: third.desk.target is not None)
    third.form.into.setCurrentIndex(0)
    third.form.into.activated.emit(0)
    assert third.desk.target is None
    choose = third.form.into.findText("tile objects")
    third.form.into.setCurrentIndex(choose)
    third.form.into.activated.emit(choose)
    assert third.desk.target is not None
    assert third.desk.target.path == path
    assert ids(third) == {1, 9}


def test_a_second_dock_on_the_same_image_is_told(
    make_dock: Callable[[Any], PromptDock], viewer: Any, qtbot: Any, told: list[str]
) -> None:
    first = make_dock(viewer)
    first.take("box")
    box(first, qtbot, 2, 5, 12, 15)
    first.drawing.commit()
    second = make_dock(viewer)
    qtbot.waitUntil(lambda: bool(told))
    assert "open" in told[-1]
    assert second.desk.target is None


def test_planes_of_a_stack_are_apart(
    make_dock: Callable[[Any], PromptDock], make_napari_viewer: Callable[[], Any], qtbot: Any
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(picture(12, 60, 80)[..., 0], name="stack")
    viewer.dims.set_point(0, 1)
    dock = make_dock(viewer)
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert [plane.any() for plane in labels(dock)] == [False, True, *[False] * 10]
    assert dock.desk.target is not None
    assert dock.desk.target.case.objects[1].planes == (1,)
    dock.canvas.boxed.emit((30.0, 5.0, 40.0, 15.0))
    viewer.dims.set_point(0, 2)
    assert dock.drawing.idle
    assert "dropped" in dock.status
    dock.canvas.clicked.emit(7.0, 10.0, False)
    assert dock.drawing.work.label is None  # it is in another plane
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert ids(dock) == {1, 2}
    dock.editing.go_to(1)
    assert viewer.dims.current_step[0] == 1


def test_an_image_of_four_long_axes_is_told_of(
    make_dock: Callable[[Any], PromptDock],
    make_napari_viewer: Callable[[], Any],
    told: list[str],
    qtbot: Any,
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((8, 9, 60, 80), np.uint8), name="film")
    dock = make_dock(viewer)
    assert "film has 4 axes that are longer than one" in dock.status
    dock.take("box")
    dock.canvas.boxed.emit((2.0, 5.0, 12.0, 15.0))
    settle(dock, qtbot)
    dock.drawing.commit()
    assert "4 axes" in told[-1]
    # Nothing is lost, and a layer with fewer axes takes it.
    assert dock.drawing.work.mask is not None
    mine = viewer.add_labels(np.zeros((60, 80), np.uint16), name="mine")
    dock.form.into.setCurrentIndex(dock.form.into.findText("mine"))
    dock.form.into.activated.emit(dock.form.into.currentIndex())
    if dock.drawing.idle:
        box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert np.unique(mine.data).tolist() == [0, 1]


def test_what_goes_wrong_is_said(dock: PromptDock, client: FakeClient, qtbot: Any) -> None:
    client.at_once = False
    dock.canvas.boxed.emit((2.0, 5.0, 12.0, 15.0))
    client.answer(-1, CosegError("The model is ill."))
    settle(dock, qtbot)
    assert dock.status == "The model is ill."
    # A box outside finds nothing and is not kept.
    dock.drawing.discard()
    dock.canvas.boxed.emit((2.0, 5.0, 2.2, 5.2))
    client.answer(-1)
    settle(dock, qtbot)
    assert "Nothing was found" in dock.status
    dock.drawing.commit()
    assert dock.desk.target is None


def test_a_layer_that_goes_takes_nothing_with_it(dock: PromptDock, viewer: Any, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    layer = viewer.layers["tile objects"]
    layer.name = "mine"
    assert dock.form.into.currentText() == "mine"
    viewer.layers.remove(layer)
    assert dock.desk.target is None
    row = next(i for i in range(dock.form.into.count()) if "Earlier" in dock.form.into.itemText(i))
    dock.form.into.setCurrentIndex(row)
    dock.form.into.activated.emit(row)
    assert ids(dock) == {1}
    # The image goes: the layer stays, the dock waits for another image.
    viewer.layers.remove("tile")
    assert dock.desk.target is None
    dock.take("box")
    assert "Open an image" in dock.status


def test_keys_come_and_go(dock: PromptDock, viewer: Any) -> None:
    bound = {str(key) for key in viewer.keymap}
    assert {"G", "Q", "W", "U", "N", "Escape"} <= bound
    clicks = viewer.layers["Clicks"]
    assert "Ctrl+Z" in {str(key) for key in clicks.keymap}
    dock.close()
    assert not {"G", "Q", "W"} & {str(key) for key in viewer.keymap}
    assert "Clicks" not in viewer.layers


def events(
    tool_moves: Sequence[tuple[float, float]], modifiers: Sequence[str], shown: Sequence[int]
) -> Any:
    """One mouse event that changes as the mouse moves, as napari has it."""
    event = SimpleNamespace(
        type="mouse_press",
        button=1,
        dims_displayed=shown,
        modifiers=list(modifiers),
        position=tuple(v * 0.5 for v in tool_moves[0]),
        pos=np.array(tool_moves[0]) * 10,
    )
    return event


def drag(dock: PromptDock, path: Sequence[tuple[float, float]], *modifiers: str) -> None:
    """Drag over points of the image."""
    event = events(path, modifiers, dock._viewer.dims.displayed)
    stroke = dock.canvas._on_drag(dock.canvas.layers[-1], event)
    next(stroke, None)
    for place in path[1:]:
        event.type = "mouse_move"
        event.position, event.pos = tuple(v * 0.5 for v in place), np.array(place) * 10
        next(stroke, None)
    event.type = "mouse_release"
    next(stroke, None)


def test_the_mouse_draws(dock: PromptDock, client: FakeClient, qtbot: Any) -> None:
    # From the lower right to the upper left: corners are put in order.
    drag(dock, [(19.5, 29.5), (15, 20), (9.5, 9.5)])
    settle(dock, qtbot)
    assert client.asked[-1][0][0].box == pytest.approx((10, 10, 20, 30))
    dock.drawing.discard()
    dock.take("points")
    drag(dock, [(9.0, 9.0)], "Shift")
    assert "first" in dock.status
    drag(dock, [(9.0, 9.0), (9.1, 9.1)])  # a hand that trembles
    settle(dock, qtbot)
    assert client.asked[-1][0][0].points == ((9.0, 9.0, True),)
    dock.drawing.discard()
    dock.take("scribble")
    drag(dock, [(9.0, 9.0), (9.0, 20.0), (9.0, 40.0)])
    settle(dock, qtbot)
    assert len(client.asked[-1][0][0].points) == 5
    dock.drawing.discard()
    dock.take("lasso")
    drag(dock, [(9.6, 9.6), (9.6, 30.4), (30.4, 30.4), (30.4, 9.6)])
    settle(dock, qtbot)
    (prompt,) = client.asked[-1][0]
    assert prompt.mask is not None
    assert prompt.box == pytest.approx((10, 10, 31, 31))
    assert dock.drawing.work.lines


@pytest.fixture
def described(client: FakeClient) -> Future[dict[str, Any]]:
    """What a remote host says of itself, to be filled in."""
    keys = KeyPair.new()
    client.host = RemoteHost(Endpoint("tcp://127.0.0.1:1", keys.public), keys)
    told: Future[dict[str, Any]] = Future()
    client.describe = lambda: told  # type: ignore[attr-defined]
    return told


def offered(dock: PromptDock) -> list[str]:
    model = dock.form.model
    return [model.itemText(row) for row in range(model.count())]


def test_a_remote_host_offers_its_own_models(
    described: Future[dict[str, Any]],
    make_dock: Callable[[Any], PromptDock],
    viewer: Any,
    client: FakeClient,
    told: list[str],
    qtbot: Any,
) -> None:
    dock = make_dock(viewer)
    # Ours, which it may not have, is not offered, and it is not asked to load it.
    assert offered(dock) == []
    assert client.loaded == []
    assert "is asked which models" in dock.form.about.text()
    dock.drawing.box((5, 5, 20, 20))
    assert client.asked == []
    big, sam = (
        ModelCard(name=name, kind="syncsam", licence=licence)
        for name, licence in (("big", "MIT"), ("sam", "CC0-1.0"))
    )
    answer = {"models": [], "prompt_models": to_message([("big", big), ("sam", sam)])}
    described.set_result(json.loads(json.dumps(answer)))
    qtbot.waitUntil(lambda: offered(dock) == ["big", "sam"])
    assert client.loaded == ["big"]
    assert "MIT" in dock.form.about.text()
    dock.form.model.setCurrentIndex(1)
    assert "CC0-1.0" in dock.form.about.text()
    dock.drawing.box((5, 5, 20, 20))
    assert client.asked[-1][1]["model"] == "sam"
    assert told == []


def test_a_remote_host_that_does_not_answer_is_asked_again(
    described: Future[dict[str, Any]],
    make_dock: Callable[[Any], PromptDock],
    viewer: Any,
    client: FakeClient,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    warned: list[str] = []
    monkeypatch.setattr("napari_coseg.widgets.host_models.show_warning", warned.append)
    monkeypatch.setattr("napari_coseg.widgets.host_models._AGAIN", 1)
    tries: list[Future[dict[str, Any]]] = [described, Future(), Future()]
    left = iter(tries)
    client.describe = lambda: next(left)  # type: ignore[attr-defined]
    dock = make_dock(viewer)
    tries[0].set_exception(CosegError("The model worker does not answer."))
    tries[1].set_exception(CosegError("The model worker does not answer."))
    tries[2].set_result({"prompt_models": []})
    qtbot.waitUntil(lambda: "has no model for boxes" in dock.form.about.text())
    assert offered(dock) == []
    # Told once, and not with every try.
    assert warned == ["The model worker does not answer."]


@pytest.mark.parametrize("suffix", [".geojson", ".tif", ".csv"])
def test_what_was_kept_is_saved_as_a_file(
    suffix: str, dock: PromptDock, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    for row in (2, 30):
        box(dock, qtbot, row, 5, row + 20, 45)
    dock.drawing.commit()
    assert ids(dock) == {1, 2}
    path = tmp_path / f"objects{suffix}"
    written = dock.desk.target.layer.save(str(path), plugin="napari-coseg")  # type: ignore[union-attr]
    assert [Path(one).name for one in written][:1] == [path.name]
    if suffix == ".tif":
        np.testing.assert_array_equal(imread(path), labels(dock))
    elif suffix == ".csv":
        table = pd.read_csv(path)
        assert table["label"].tolist() == [1, 2]
        assert table["area_px"].tolist() == [(labels(dock) == one).sum() for one in (1, 2)]
    else:
        assert len(json.loads(path.read_bytes())["features"]) == 2


def test_everything_can_be_deleted_at_once(dock: PromptDock, viewer: Any, qtbot: Any) -> None:
    # napari takes the selected layers one after the other: the image's end must not take the
    # drawing away under its hands.
    box(dock, qtbot, 10, 20, 30, 50)
    dock.drawing.commit()
    image, others = viewer.layers["tile"], [one for one in viewer.layers if one.name != "tile"]
    for layer in (image, *others):
        viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not viewer.layers)
    viewer.add_image(picture(60, 80), rgb=True, name="next")
    qtbot.waitUntil(lambda: dock.desk.place.identity is not None)
    dock.take("box")
    box(dock, qtbot, 10, 20, 30, 50)
    assert previewed(viewer) is not None
    viewer.layers.remove("next")
    # The pixels are those of before, so their objects are there; of the drawing nothing is left.
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == ["next objects"])


def test_what_is_drawn_lies_above_layers_that_come_later(
    dock: PromptDock, viewer: Any, qtbot: Any
) -> None:
    box(dock, qtbot, 10, 10, 30, 30)
    qtbot.waitUntil(lambda: len(dock.canvas.layers) == 3)
    ours = [layer.name for layer in dock.canvas.layers]
    for name in ("later regions", "later instances"):
        viewer.add_labels(np.zeros((64, 80), np.uint8), name=name)
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers][-3:] == ours)
    # A person may lay one of them on top.
    viewer.layers.move(viewer.layers.index("later regions"), len(viewer.layers))
    qtbot.wait(50)
    assert viewer.layers[-1].name == "later regions"

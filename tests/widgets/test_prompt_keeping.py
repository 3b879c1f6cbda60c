"""Layers of the Prompt dock that are read in a thread, runs as edits, and what a close keeps."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_coseg.annotation.case import Case
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place, result_layers
from napari_coseg.widgets.prompt_dock import PromptDock
from tests.layers.test_results import result
from tests.widgets import test_prompt_dock as parts
from tests.widgets.test_prompt_dock import FakeClient, box, ids, labels

client, viewer, told, make_dock, dock = (
    parts.client,
    parts.viewer,
    parts.told,
    parts.make_dock,
    parts.dock,
)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Layers of any size are read in a thread, which waits at a gate."""
    monkeypatch.setattr("napari_coseg.widgets.prompt_desk.INSTANT", 0)
    gate = threading.Event()
    there = threading.Event()
    opened = Case.open

    def held(*args: Any, **more: Any) -> Case:
        there.set()
        assert gate.wait(20)
        # As a large layer: what stops reading is asked while it is read.
        args[2][tuple(slice(0, 1) for _ in args[2].shape)]
        return opened(*args, **more)

    monkeypatch.setattr("napari_coseg.widgets.kept_layer.Case.open", held)
    yield SimpleNamespace(open=gate.set, reached=there)
    gate.set()


def choose(dock: PromptDock, name: str) -> None:
    """Choose a row of Into as a person does."""
    rows = [i for i in range(dock.form.into.count()) if name in dock.form.into.itemText(i)]
    dock.form.into.setCurrentIndex(rows[0])
    dock.form.into.activated.emit(rows[0])


def add_run(viewer: Any) -> Any:
    """Add the layers of a run on the tile; return that of the instances."""
    image = viewer.layers["tile"]
    made = result_layers(
        [result(60, 80, 0.5)], image, Stack.of(image), Place((), 0, (0, 0, 60, 80))
    )
    return [viewer.add_layer(layer) for layer in made][-1]


def journals(folder: Any) -> list[str]:
    return sorted(path.name for path in folder.glob("own/*.coseg-journal"))


def test_what_is_committed_waits_for_a_layer_that_is_being_read(
    dock: PromptDock, viewer: Any, gate: Any, qtbot: Any
) -> None:
    mine = viewer.add_labels(np.zeros((60, 80), np.uint16), name="mine", scale=(0.5, 0.5))
    mine.units = ("um", "um")
    mine.data[50:55, 60:70] = 7
    choose(dock, "mine")
    assert dock.status.startswith("Reading mine")
    assert dock.form.into.currentText() == "mine"
    # Drawing goes on, with its preview.
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 15)
    assert dock.canvas.layers[0].visible
    box(dock, qtbot, 14, 5, 24, 15)
    dock.drawing.commit()
    assert "2 objects" in dock.status
    assert dock.desk.target is None
    # What is painted before it is read is an edit, or was there from the start.
    mine.brush_size = 4
    mine.paint((40, 40), 9)
    gate.open()
    qtbot.waitUntil(lambda: dock.desk.target is not None)
    assert ids(dock) == {7, 9, 10, 11}
    for _ in range(3):
        dock.undo()
    assert 7 in ids(dock)
    assert not labels(dock)[:30].any()


def test_another_layer_may_be_chosen_while_one_is_read(
    dock: PromptDock, viewer: Any, gate: Any, qtbot: Any, told: list[str], tmp_path: Any
) -> None:
    for name in ("one", "two"):
        viewer.add_labels(np.zeros((60, 80), np.uint16), name=name, scale=(0.5, 0.5))
    for name in ("one", "two", "one"):
        choose(dock, name)
    gate.open()
    qtbot.waitUntil(lambda: dock.desk.target is not None)
    assert dock.desk.target is not None
    assert dock.desk.target.layer.name == "one"
    # The layers that were left have no journal.
    assert journals(tmp_path) == [dock.desk.target.path.name]
    assert told == []


def test_what_waits_for_a_layer_is_kept_in_it_although_another_is_chosen(
    dock: PromptDock, viewer: Any, gate: Any, qtbot: Any, told: list[str]
) -> None:
    for name in ("one", "two"):
        viewer.add_labels(np.zeros((60, 80), np.uint16), name=name, scale=(0.5, 0.5))
    choose(dock, "one")
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    choose(dock, "two")
    gate.open()
    qtbot.waitUntil(lambda: dock.desk.target is not None)
    assert ids(dock) == set()
    assert viewer.layers["one"].data.any()
    assert any("one is read, and the 1 object" in words for words in told)


def test_the_dock_may_close_while_a_layer_is_read(
    dock: PromptDock, viewer: Any, gate: Any, qtbot: Any, told: list[str], tmp_path: Any
) -> None:
    viewer.add_labels(np.zeros((60, 80), np.uint16), name="mine", scale=(0.5, 0.5))
    choose(dock, "mine")
    assert gate.reached.wait(10)
    opening = dock.desk.opening
    assert opening is not None
    dock.close()
    gate.open()
    qtbot.waitUntil(lambda: not opening._lock.locked())
    assert journals(tmp_path) == []
    assert told == []


def test_a_layer_that_goes_while_it_is_read(
    dock: PromptDock, viewer: Any, gate: Any, qtbot: Any, told: list[str]
) -> None:
    mine = viewer.add_labels(np.zeros((60, 80), np.uint16), name="mine", scale=(0.5, 0.5))
    choose(dock, "mine")
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    viewer.layers.remove(mine)
    assert any("1 object" in words for words in told)
    gate.open()
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    qtbot.waitUntil(lambda: dock.desk.target is not None)
    assert ids(dock) == {1}


def test_pixels_that_are_exchanged_while_a_layer_is_read(
    dock: PromptDock, viewer: Any, gate: Any, qtbot: Any
) -> None:
    mine = viewer.add_labels(np.zeros((60, 80), np.uint16), name="mine", scale=(0.5, 0.5))
    choose(dock, "mine")
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    other = np.zeros((60, 80), np.uint16)
    other[40:50, 40:50] = 5
    mine.data = other
    gate.open()
    qtbot.waitUntil(lambda: dock.desk.target is not None)
    assert ids(dock) == {5, 6}


def test_what_waits_for_a_layer_goes_into_no_other(
    dock: PromptDock, viewer: Any, gate: Any, qtbot: Any, told: list[str]
) -> None:
    mine = viewer.add_labels(np.zeros((60, 80), np.uint16), name="mine", scale=(0.5, 0.5))
    choose(dock, "mine")
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    # Nothing can be drawn on what is computed when it is looked at: the layer is refused.
    mine.data = da.zeros((60, 80), dtype=np.uint16)
    assert any("1 object" in words and "not kept" in words for words in told)
    gate.open()
    assert dock.desk.target is None
    assert dock.desk.opening is None
    assert [layer.name for layer in viewer.layers if layer.name.endswith("objects")] == []


def test_a_run_is_the_first_edit_of_its_layer(
    dock: PromptDock, viewer: Any, qtbot: Any, tmp_path: Any
) -> None:
    run = add_run(viewer)
    found = run.data.copy()
    choose(dock, run.name)
    assert dock.desk.target is not None
    case = dock.desk.target.case
    assert case.undo_name == "Co-Seg++ run: 2 objects"
    assert {(one.class_id, one.model) for one in case.objects.values()} == {(1, "m"), (2, "m")}
    dock.take("box")
    box(dock, qtbot, 40, 40, 58, 60)
    dock.drawing.commit()
    now = labels(dock).copy()
    dock.undo()
    dock.undo()
    assert not labels(dock).any()
    assert ids(dock) == set()
    dock.redo()
    np.testing.assert_array_equal(labels(dock), found)
    dock.redo()
    np.testing.assert_array_equal(labels(dock), now)
    assert dock.desk.target.case.objects[1].class_id == 1


def test_objects_of_a_run_come_into_the_layer_that_is_worked_on(
    dock: PromptDock, viewer: Any, qtbot: Any
) -> None:
    # On the first object of the run, and away from both.
    for edges in ((1, 1, 4, 4), (40, 40, 58, 60)):
        box(dock, qtbot, *edges)
    dock.drawing.commit()
    before = labels(dock).copy()
    dock.form.action.emit("take_run")
    assert "no run" in dock.status
    run = add_run(viewer)
    assert "Take in" in dock.status
    dock.form.action.emit("take_run")
    assert dock.desk.target is not None
    case = dock.desk.target.case
    assert case.undo_name == "Co-Seg++ run: 1 object"
    assert ids(dock) == {1, 2, 3}
    assert case.objects[3].model == "m"
    assert dock.desk.target.classes.name_of(case.objects[3].class_id) == "b"
    dock.undo()
    np.testing.assert_array_equal(labels(dock), before)
    # Not protected, the run's objects take the place of those that are there.
    dock.form.protect.setChecked(False)
    dock.form.action.emit("take_run")
    assert (labels(dock) > 0).sum() == (run.data > 0).sum()
    assert len(ids(dock)) == 2
    dock.undo()
    np.testing.assert_array_equal(labels(dock), before)
    dock.redo()
    assert len(ids(dock)) == 2
    # The run's own layer stays as it was.
    assert set(np.unique(run.data)) == {0, 1, 2}


def test_pixels_that_were_exchanged_are_one_edit(dock: PromptDock, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert dock.desk.target is not None
    target = dock.desk.target
    before, prompts = labels(dock).copy(), target.case.objects[1].prompts
    other = before.copy()
    other[40:50, 40:50] = 5
    target.layer.data = other
    assert dock.desk.target is target
    assert ids(dock) == {1, 5}
    assert target.case.objects[1].prompts == prompts
    dock.undo()
    np.testing.assert_array_equal(labels(dock), before)
    assert ids(dock) == {1}
    dock.redo()
    assert ids(dock) == {1, 5}
    # Written by a run: its name, and what it knows.
    target.layer.metadata = {**target.layer.metadata, "model": "m"}
    target.layer.features = target.layer.features.assign(score=0.5)
    target.layer.data = np.where(other == 5, 8, 0).astype(np.uint16)
    assert target.case.undo_name is not None
    assert target.case.undo_name.startswith("Co-Seg++ run")
    assert ids(dock) == {8}
    dock.undo()
    assert ids(dock) == {1, 5}


def test_pixels_of_another_shape_are_another_layer(dock: PromptDock, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert dock.desk.target is not None
    dock.desk.target.layer.data = np.zeros((60, 81), np.uint16)
    assert dock.desk.target is None
    assert "other pixels" in dock.status


def test_closing_waits_for_masks_that_are_on_their_way(
    dock: PromptDock, client: FakeClient, viewer: Any, qtbot: Any, told: list[str]
) -> None:
    client.at_once = False
    dock.canvas.boxed.emit((2.0, 5.0, 12.0, 15.0))
    dock.drawing.commit()
    answering = threading.Timer(0.3, client.answer, (0,))
    answering.start()
    dock.close()
    answering.join()
    assert viewer.layers["tile objects"].data.any()
    assert told == []


def test_closing_says_what_did_not_come(
    dock: PromptDock,
    client: FakeClient,
    viewer: Any,
    qtbot: Any,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_coseg.widgets.prompt_dock._PATIENCE", 0.1)
    client.at_once = False
    for row in (2, 14, 26):
        dock.canvas.boxed.emit((row, 5, row + 10, 15))
    dock.close()
    # The third one was never committed.
    assert len(told) == 1
    assert "2 objects" in told[0]
    client.answer(0)
    qtbot.wait(50)
    assert "tile objects" not in viewer.layers


def test_another_image_says_what_is_not_kept(
    dock: PromptDock, client: FakeClient, viewer: Any, qtbot: Any, told: list[str]
) -> None:
    client.at_once = False
    for row in (2, 14):
        dock.canvas.boxed.emit((row, 5, row + 10, 15))
    viewer.add_image(parts.picture(60, 80), rgb=True, name="other")
    viewer.layers.selection.active = viewer.layers["other"]
    assert ["1 object" in words for words in told] == [True]


def test_a_layer_named_as_the_dock_s_own(dock: PromptDock, viewer: Any, qtbot: Any) -> None:
    viewer.add_labels(np.zeros((60, 80), np.uint16), name="Preview", scale=(0.5, 0.5))
    rows = [dock.form.into.itemText(i) for i in range(dock.form.into.count())]
    ours = dock.canvas.layers[0].name
    assert len([row for row in rows if row.startswith("Preview")]) == 1
    assert ours not in rows
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    # The new layer lies below what is drawn, and the person's own is left alone.
    names = [layer.name for layer in viewer.layers]
    assert names.index("tile objects") < names.index(ours)
    mine = next(row for row in rows if row.startswith("Preview"))
    choose(dock, mine)
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert viewer.layers[mine].data.any()


def test_a_layer_that_was_converted_takes_larger_ids(dock: PromptDock, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert dock.desk.target is not None
    target = dock.desk.target
    # napari 0.9.2 converts no layer whose table has a colour for each value of 16 bits.
    target.layer.colormap = {None: "red", 0: "transparent"}
    target.layer.data = target.layer.data.astype(np.int32)
    target.relabel(1, 70_000)
    assert ids(dock) == {70_000}
    dock.undo()
    assert ids(dock) == {1}


def test_objects_have_their_colours_whoever_set_them_last(
    dock: PromptDock, viewer: Any, qtbot: Any
) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    assert dock.desk.target is not None
    layer = dock.desk.target.layer
    expected = {label: tuple(layer.get_color(label)) for label in range(1, 5)}
    assert len(set(expected.values())) == 4
    layer.colormap = {None: "red", 0: "transparent", 1: "red"}
    for row in (14, 26, 38):
        box(dock, qtbot, row, 5, row + 10, 15)
        dock.drawing.commit()
    assert {label: tuple(layer.get_color(label)) for label in range(1, 5)} == expected


def test_an_object_is_opened_again_before_any_tool_is_taken(
    make_dock: Any, viewer: Any, qtbot: Any
) -> None:
    dock = make_dock(viewer)
    dock.take("box")
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    dock.close()
    viewer.layers.remove("tile objects")
    again = make_dock(viewer)
    qtbot.waitUntil(lambda: again.desk.target is not None)
    again.editing.go_to(1)
    again.form.action.emit("reopen")
    qtbot.waitUntil(lambda: len(viewer.layers["Prompts"].data) == 1)
    assert parts.previewed(viewer) is not None


def test_objects_that_are_hidden_are_drawn_on(dock: PromptDock, viewer: Any, qtbot: Any) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    dock.hide()
    assert dock.desk.target is not None
    assert not dock.desk.target.layer.visible
    box(dock, qtbot, 22, 5, 42, 55)
    dock.drawing.commit()
    assert ids(dock) == {1, 2}
    dock.hide()
    assert dock.desk.target.layer.visible


def test_many_boxes_do_not_go_into_a_layer_that_was_chosen_since(
    dock: PromptDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer.add_labels(np.zeros((60, 80), np.uint16), name="mine", scale=(0.5, 0.5))
    viewer.layers["mine"].units = ("um", "um")
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    client.at_once = False
    dock.drawing.boxes([(20.0, 5.0, 30.0, 15.0), (20.0, 25.0, 30.0, 35.0)])
    choose(dock, "mine")
    client.answer(-1)
    parts.settle(dock, qtbot)
    assert "not kept" in dock.status
    assert not viewer.layers["mine"].data.any()

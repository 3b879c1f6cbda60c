"""What the Queue dock keeps of a case's layers: runs, polygons, Ctrl+Z, and whose they are."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image as NapariImage
from PIL import Image

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Commit
from napari_coseg.annotation.journal import Journal
from napari_coseg.annotation.queue_store import DONE, FAILED
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place, result_layers
from napari_coseg.types import Mask
from napari_coseg.widgets.queue_dock import QueueDock
from tests.layers.test_results import result
from tests.widgets import test_prompt_dock as parts
from tests.widgets.test_queue_dock import go, names, settle

client, told, make_prompt_dock = parts.client, parts.told, parts.make_dock

SIZE = (40, 50)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    for number, place in enumerate(("x", "y", "z")):
        (folder / place).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / place / "a.png")
    return folder


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    return make_napari_viewer()


@pytest.fixture
def dock(viewer: Any, qtbot: Any, root: Path) -> Any:
    dock = QueueDock(viewer)
    viewer.window.add_dock_widget(dock, name="Queue")
    dock.open_folder(root)
    settle(dock, qtbot)
    return dock


@pytest.fixture
def told_by_desk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    for name in ("show_warning", "show_info"):
        monkeypatch.setattr(f"napari_coseg.widgets.queue_late.{name}", heard.append, raising=False)
    return heard


def run(image: Any, shift: int = 0) -> list[Any]:
    """Return the layers of a run: regions 1 in four columns, objects 1 and 2."""
    made = result(*SIZE, None)
    for pixels in (made.regions, made.instances):
        assert pixels is not None
        pixels[:] = np.roll(pixels, shift, axis=1)
    return result_layers([made], image, Stack.of(image), Place((), 0, (0, 0, *SIZE)))


def add(viewer: Any, layers: list[Any]) -> list[Any]:
    return [viewer.add_layer(layer) for layer in layers]


def press(layer: Any, key: str) -> None:
    """Press a key as napari hands it to the active layer: its own keys, then its class's."""
    for keys in (layer.keymap, type(layer).class_keymap):
        for binding, action in keys.items():
            if str(binding) == key:
                action(layer)
                return
    raise AssertionError(f"{key} is bound to nothing")


def stored(dock: QueueDock, number: int, role: str) -> Any:
    assert dock.project is not None
    found = read_stored(dock.project.journal(number, role))
    return None if found is None else found.labels


def test_a_run_takes_the_place_of_layers_that_were_deleted(
    dock: QueueDock, viewer: Any, qtbot: Any
) -> None:
    image = viewer.layers["a"]
    first = add(viewer, run(image))
    assert names(viewer) == ["a", "a regions", "a instances"]
    for layer in first:
        viewer.layers.remove(layer)
    second = add(viewer, run(image, 9))
    wanted = [layer.data.copy() for layer in run(image, 9)]
    for layer, pixels in zip(second, wanted, strict=True):
        np.testing.assert_array_equal(layer.data, pixels)
    press(second[0], "Ctrl+Z")
    press(second[1], "Ctrl+Z")
    # What was there before the run is in its history.
    for layer, before in zip(second, run(image), strict=True):
        np.testing.assert_array_equal(layer.data, before.data)
        press(layer, "Ctrl+Shift+Z")
    go(dock, qtbot, 2)
    assert names(viewer) == ["a", "a objects"]
    for role, pixels in zip(("regions", "objects"), wanted, strict=True):
        np.testing.assert_array_equal(stored(dock, 1, role), pixels)
        assert stored(dock, 2, "regions") is None
    go(dock, qtbot, 1)
    np.testing.assert_array_equal(viewer.layers["a objects"].data, wanted[1])


def test_runs_after_each_other_and_back(dock: QueueDock, viewer: Any, qtbot: Any) -> None:
    image = viewer.layers["a"]
    first = add(viewer, run(image))
    for layer in first:
        layer.visible = False
    second = add(viewer, run(image, 9))
    assert "kept with the case" in dock.message
    # As Undo run does.
    for layer in second:
        viewer.layers.remove(layer)
    for layer in first:
        layer.visible = True
    qtbot.waitUntil(lambda: "kept with the case" in dock.message)
    first[1].paint((30, 30), 7)
    # Drawn by hand now: another run is shown, and the case keeps what was drawn.
    third = add(viewer, run(image, 20))
    assert "not kept" in dock.message
    wanted = first[1].data.copy()
    assert 7 in wanted
    go(dock, qtbot, 2)
    assert third[0] not in viewer.layers
    np.testing.assert_array_equal(stored(dock, 1, "objects"), wanted)


def test_a_result_goes_to_the_case_that_it_was_made_of(
    dock: QueueDock, viewer: Any, qtbot: Any
) -> None:
    late = run(viewer.layers["a"])
    go(dock, qtbot, 2)
    # An image of the same name that is no case.
    strange = add(viewer, run(NapariImage(viewer.layers["a"].data, rgb=True, name="a")))
    assert "another image" in dock.message
    for layer in strange:
        viewer.layers.remove(layer)
    late = add(viewer, late)
    assert "another case" in dock.message
    assert not any(layer.visible for layer in late)
    assert not viewer.layers["a objects"].data.any()
    go(dock, qtbot, 3)
    for role in ("regions", "objects"):
        labels = stored(dock, 2, role)
        assert labels is None or not labels.any()
    # It is taken in where it belongs.
    go(dock, qtbot, 1)
    go(dock, qtbot, 2)
    assert names(viewer) == ["a", "a objects"]
    np.testing.assert_array_equal(stored(dock, 1, "objects"), late[1].data)
    np.testing.assert_array_equal(stored(dock, 1, "regions"), late[0].data)


def test_polygons_undo_and_other_types_of_regions(dock: QueueDock, viewer: Any, qtbot: Any) -> None:
    regions, objects = add(viewer, run(viewer.layers["a"]))
    begun = regions.data.copy()
    square = np.array([(20, 20), (20, 30), (30, 30), (30, 20)])
    for layer in (regions, objects):
        layer.paint_polygon(square, 1)
        qtbot.wait(20)
        press(layer, "Ctrl+Z")
        assert not layer.data[25, 25]
        press(layer, "Ctrl+Shift+Z")
        assert layer.data[25, 25] == 1
    regions.data = regions.data.astype(np.uint16)
    regions.paint_polygon(square + 8, 1)
    objects.paint_polygon(square + 8, 2)
    go(dock, qtbot, 2)
    kept = stored(dock, 1, "regions")
    assert kept[25, 25] == kept[36, 36] == 1
    np.testing.assert_array_equal(kept[:20], begun[:20])
    assert stored(dock, 1, "objects")[36, 36] == 2


def test_regions_can_be_undone_after_the_prompt_dock_was_there(
    dock: QueueDock, make_prompt_dock: Any, viewer: Any, qtbot: Any
) -> None:
    objects = viewer.layers["a objects"]
    prompt = make_prompt_dock(viewer)
    qtbot.waitUntil(lambda: prompt.desk.target is not None, timeout=20_000)
    objects.paint((20, 20), 3)
    prompt.close()
    objects.paint((30, 40), 4)
    press(objects, "Ctrl+Z")
    assert set(np.unique(objects.data)) == {0, 3}
    go(dock, qtbot, 2)
    assert set(np.unique(stored(dock, 1, "objects"))) == {0, 3}


def test_one_case_has_one_journal_for_objects(
    dock: QueueDock, make_prompt_dock: Any, viewer: Any, qtbot: Any, root: Path
) -> None:
    prompt = make_prompt_dock(viewer)
    qtbot.waitUntil(lambda: prompt.desk.target is not None, timeout=20_000)
    into = prompt.form.into
    assert [into.itemText(row) for row in range(into.count())] == ["a objects"]
    viewer.layers.remove(viewer.layers["a objects"])
    assert prompt.desk.target is None
    commit = [Commit(Mask((2, 3), np.ones((6, 6), bool)))]
    assert prompt.desk.with_target(lambda target: bool(target.commit(commit, protect=True)))
    assert names(viewer).count("a objects") == 1
    go(dock, qtbot, 2)
    assert (stored(dock, 1, "objects")[2:8, 3:9] == 1).all()
    assert [path.parent.name for path in root.rglob("*.coseg-journal")].count("labels") == len(
        list(root.rglob("*.coseg-journal"))
    )


def test_a_run_is_kept_while_the_prompt_dock_is_open(
    dock: QueueDock, make_prompt_dock: Any, viewer: Any, qtbot: Any
) -> None:
    prompt = make_prompt_dock(viewer)
    qtbot.waitUntil(lambda: prompt.desk.target is not None, timeout=20_000)
    made = add(viewer, run(viewer.layers["a"]))
    assert names(viewer)[:3] == ["a", "a regions", "a instances"]
    qtbot.waitUntil(lambda: prompt.desk.target is not None and prompt.desk.target.layer == made[1])
    prompt.desk.target.commit([Commit(Mask((20, 20), np.ones((5, 5), bool)))], protect=True)
    go(dock, qtbot, 2)
    labels = stored(dock, 1, "objects")
    assert labels[22, 22] == 3
    assert set(np.unique(labels)) == {0, 1, 2, 3}


def test_a_failed_case_is_not_done(dock: QueueDock, qtbot: Any, root: Path) -> None:
    assert dock.project is not None
    dock.project.set_status(2, DONE)
    good = (root / "y" / "a.png").read_bytes()
    (root / "y" / "a.png").write_bytes(b"nothing")
    go(dock, qtbot, 2)
    assert dock.project.case(2).status == FAILED
    assert not dock.form.done.isEnabled()
    dock.finish()
    assert dock.desk.number == 2
    assert "cannot be read" in dock.message
    go(dock, qtbot, 1)
    (root / "y" / "a.png").write_bytes(good)
    go(dock, qtbot, 2)
    assert dock.project.case(2).status == DONE


def test_large_labels_are_read_in_a_thread(
    dock: QueueDock, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_coseg.widgets.kept_reader.INSTANT", 0)
    gate, opened = threading.Event(), Case.open

    def held(*args: Any, **more: Any) -> Case:
        assert threading.current_thread() is not threading.main_thread()
        assert gate.wait(20)
        return opened(*args, **more)

    viewer.layers["a objects"].paint((20, 20), 3)
    monkeypatch.setattr("napari_coseg.widgets.kept_layer.Case.open", held)
    for number in (2, 1):
        dock.open_case(number)
        qtbot.waitUntil(lambda: names(viewer) == ["a"], timeout=20_000)
        assert dock.desk.reading
    gate.set()
    settle(dock, qtbot)
    assert names(viewer) == ["a", "a objects"]
    assert 3 in viewer.layers["a objects"].data
    go(dock, qtbot, 2)
    assert not viewer.layers["a objects"].data.any()


def test_work_stays_where_the_disk_takes_nothing(
    dock: QueueDock,
    viewer: Any,
    qtbot: Any,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    told_by_desk: list[str],
) -> None:
    full = True
    write = Journal.write

    def refuse(self: Journal, steps: Any) -> None:
        if full:
            raise OSError(28, "No space left on device")
        write(self, steps)

    monkeypatch.setattr(Journal, "write", refuse)
    monkeypatch.setattr("napari_coseg.widgets.queue_desk._PATIENCE", 0.2)
    objects = viewer.layers["a objects"]
    objects.paint((20, 20), 3)
    dock.open_case(2)
    assert dock.desk.number == 1
    assert "not on the disk" in dock.message
    viewer.window.remove_dock_widget(dock)
    # The layers stay, and are written once there is room.
    assert objects in viewer.layers
    assert any("save" in words for words in told_by_desk)
    full = False
    journal = next(iter(root.rglob("labels/*.objects.coseg-journal")))
    qtbot.waitUntil(lambda: any("disk now" in words for words in told_by_desk), timeout=20_000)
    found = read_stored(journal)
    assert found is not None
    assert 3 in found.labels

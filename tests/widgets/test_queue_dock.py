"""The Queue dock in a real viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from PIL import Image
from qtpy.QtCore import Qt

from napari_coseg.annotation.change import Commit
from napari_coseg.annotation.queue_store import DONE, FAILED, FLAGGED, IN_PROGRESS, TO_DO
from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_volume
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.queue_layers import regions_on
from napari_coseg.types import ClassTable, Mask
from napari_coseg.widgets.held_layers import HeldCase, held_on, listen, listen_no_more
from napari_coseg.widgets.queue_dock import QueueDock
from tests.widgets import test_prompt_dock as parts

client, told, make_prompt_dock = parts.client, parts.told, parts.make_dock

GRID = VolumeGrid((4, 20, 24), (0.5, 0.25, 0.25))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    for number in range(3):
        chance = np.random.default_rng(number)
        pixels = chance.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"a{number}.png")
    (folder / "b.png").write_bytes(b"broken")
    voxels = np.random.default_rng(9).integers(-900, 900, GRID.shape, dtype=np.int16)
    write_volume(folder / "c.nii.gz", voxels, GRID)
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


def settle(dock: QueueDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.desk.reading, timeout=20_000)


def go(dock: QueueDock, qtbot: Any, number: int) -> None:
    dock.open_case(number)
    settle(dock, qtbot)


def names(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]


def paint(layer: Any, value: int) -> None:
    """Paint as the brush does, at the middle."""
    layer.selected_label = value
    layer.paint(tuple(side // 2 for side in layer.data.shape), value)


def statuses(dock: QueueDock) -> list[str]:
    assert dock.project is not None
    return [case.status for case in dock.project.cases]


def test_cases_one_after_the_other(dock: QueueDock, viewer: Any, qtbot: Any) -> None:
    assert names(viewer) == ["a0", "a0 objects"]
    assert dock.desk.number == 1
    paint(viewer.layers["a0 objects"], 3)
    before = viewer.layers["a0 objects"].data.copy()
    assert before.any()
    dock.form.note.setPlainText("look again")
    dock.flag()
    # As a person at the list does.
    dock.form.table.setFocus()
    qtbot.keyClick(dock.form.table, Qt.Key.Key_K)
    settle(dock, qtbot)
    assert names(viewer) == ["a1", "a1 objects"]
    assert not viewer.layers["a1 objects"].data.any()
    assert dock.form.table.selectionModel().selectedRows()[0].row() == 1
    dock.finish()
    settle(dock, qtbot)
    assert names(viewer) == ["a2", "a2 objects"]
    assert statuses(dock) == [FLAGGED, DONE, IN_PROGRESS, TO_DO, TO_DO]
    dock.step(True)
    settle(dock, qtbot)
    assert statuses(dock)[3] == FAILED
    assert "b.png" in dock.message
    assert names(viewer) == []
    dock.step(True)
    settle(dock, qtbot)
    assert names(viewer) == ["c", "c objects"]
    assert viewer.layers["c objects"].data.shape == GRID.shape
    assert tuple(viewer.layers["c objects"].scale) == GRID.spacing
    dock.step(True)
    assert "last case" in dock.message
    go(dock, qtbot, 1)
    np.testing.assert_array_equal(viewer.layers["a0 objects"].data, before)
    assert dock.form.note.toPlainText() == "look again"
    assert dock.form.flag.isChecked()


def test_all_comes_back_in_another_viewer(
    dock: QueueDock, viewer: Any, qtbot: Any, root: Path, make_napari_viewer: Any
) -> None:
    go(dock, qtbot, 5)
    paint(viewer.layers["c objects"], 7)
    image = viewer.layers["c"]
    regions = regions_on(
        image, np.full(GRID.shape, 2, np.uint8), ClassTable.from_names(["upper", "lower"]), None
    )
    viewer.add_layer(regions)
    assert "kept with the case" in dock.message
    viewer.layers["c objects"].paint((0, 3, 3), 8)
    viewer.window.remove_dock_widget(dock)
    assert names(viewer) == []
    second = make_napari_viewer()
    again = QueueDock(second)
    second.window.add_dock_widget(again, name="Queue")
    again.open_folder(root)
    settle(again, qtbot)
    assert again.desk.number == 5
    assert names(second) == ["c", "c regions", "c objects"]
    assert (second.layers["c regions"].data == 2).all()
    own = second.layers["c regions"].metadata["napari_coseg"]["classes"]
    assert [one["name"] for one in own] == ["upper", "lower"]
    assert {7, 8} <= set(np.unique(second.layers["c objects"].data).tolist())


def test_names_can_be_hidden(dock: QueueDock, viewer: Any, qtbot: Any) -> None:
    dock.hide_names(True)
    settle(dock, qtbot)
    assert all(name.startswith("Case ") for name in names(viewer))
    assert dock.project is not None
    broken = next(case.id for case in dock.project.cases if case.key == "b.png")
    go(dock, qtbot, broken)
    assert statuses(dock).count(FAILED) == 1
    assert "b.png" not in dock.message
    assert "Case" in dock.message
    dock.hide_names(False)
    assert dock.project.name(broken) == "b"


def test_filter(dock: QueueDock) -> None:
    dock.form.find.setText("a")
    assert dock.form.model.rowCount() == 3
    dock.form.shown.setCurrentIndex(dock.form.shown.findText("In progress"))
    assert dock.form.model.rowCount() == 1
    assert dock.form.model.data(dock.form.model.index(0, 0)) == "a0"


def test_objects_are_lent_to_who_edits_them(dock: QueueDock, viewer: Any, qtbot: Any) -> None:
    image = viewer.layers["a0"]
    heard: list[HeldCase] = []
    listen(heard.append)
    held = held_on(image)
    assert held is not None
    assert held.target is not None
    assert held.target.layer == viewer.layers["a0 objects"]
    held.target.commit([Commit(Mask((2, 3), np.ones((6, 6), bool)))], protect=True)
    at_work = [True]

    def works() -> bool:
        return bool(at_work)

    held.lend(works)
    assert held.busy
    at_work.clear()
    assert not held.busy
    held.returned(works)
    paint(held.target.layer, 5)
    go(dock, qtbot, 2)
    listen_no_more(heard.append)
    assert held_on(image) is None
    # Who has it is told before its journal is closed.
    assert heard[0] is held
    assert held.target is None
    go(dock, qtbot, 1)
    objects = viewer.layers["a0 objects"]
    assert isinstance(objects, Labels)
    assert set(np.unique(objects.data)) == {0, 1, 5}
    assert Stack.of(viewer.layers["a0"]).shape == (40, 50)


def test_the_prompt_dock_draws_into_the_case(
    dock: QueueDock, make_prompt_dock: Any, viewer: Any, qtbot: Any
) -> None:
    prompt = make_prompt_dock(viewer)

    def works_on(name: str) -> bool:
        target = prompt.desk.target
        return target is not None and name in names(viewer) and target.layer == viewer.layers[name]

    qtbot.waitUntil(lambda: works_on("a0 objects"), timeout=20_000)
    mask = Mask((2, 3), np.ones((6, 6), bool))
    prompt.desk.target.commit([Commit(mask)], protect=True)
    go(dock, qtbot, 2)
    qtbot.waitUntil(lambda: works_on("a1 objects"), timeout=20_000)
    assert names(viewer) == ["a1", "a1 objects"]
    go(dock, qtbot, 1)
    qtbot.waitUntil(lambda: works_on("a0 objects"), timeout=20_000)
    assert (viewer.layers["a0 objects"].data[2:8, 3:9] == 1).all()
    prompt.close()
    # The queue keeps the layer itself now.
    held = held_on(viewer.layers["a0"])
    assert held is not None
    assert held.target is not None
    paint(held.target.layer, 6)
    go(dock, qtbot, 2)
    go(dock, qtbot, 1)
    assert set(np.unique(viewer.layers["a0 objects"].data)) == {0, 1, 6}


def test_export_of_the_open_case(dock: QueueDock, viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    paint(viewer.layers["a0 objects"], 3)
    assert dock.project is not None
    dock.project.set_status(1, DONE)
    out = tmp_path / "out"
    dock.exporting.write(out, "nnunet", 0.5)
    qtbot.waitUntil(lambda: not dock.exporting.busy, timeout=20_000)
    settle(dock, qtbot)
    assert names(viewer) == ["a0", "a0 objects"]
    assert dock.message == f"1 case is in {out}."
    data = FolderDataset(out)
    (item,) = data.items
    read = data.read(item)
    assert read.instances is not None
    np.testing.assert_array_equal(read.instances, viewer.layers["a0 objects"].data)

"""The window that opens volumes and DICOM folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_coseg.imaging.windows import PRESETS
from napari_coseg.layers.volume_layers import grid_in, unit_in
from napari_coseg.widgets import volume_commands
from napari_coseg.widgets.volume_dialog import VolumeDialog
from tests.imaging.volume_files import SECRETS, head, write, write_dicom


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> ViewerModel:
    """A viewer without a canvas: what is drawn is napari's business."""
    npe2.PluginManager.instance().discover()
    made = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: made)
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    for module in ("volume_dialog", "background", "volume_commands"):
        for name in ("show_warning", "show_error"):
            monkeypatch.setattr(
                f"napari_coseg.widgets.{module}.{name}", heard.append, raising=False
            )
    return heard


@pytest.fixture
def dialog(viewer: Any, said: list[str], qtbot: Any) -> Iterator[VolumeDialog]:
    made = VolumeDialog(viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    qtbot.waitUntil(lambda: not made.running, timeout=20_000)
    made.close()


def look(dialog: VolumeDialog, path: Path, qtbot: Any) -> list[str]:
    dialog.look_at(path)
    assert not dialog._open.isEnabled()
    qtbot.waitUntil(lambda: not dialog.running, timeout=20_000)
    return [dialog._list.item(row).text() for row in range(dialog._list.count())]


def choose_window(dialog: VolumeDialog, data: str) -> None:
    dialog._window.setCurrentIndex(dialog._window.findData(data))


def open_it(dialog: VolumeDialog, qtbot: Any) -> None:
    assert dialog._open.isEnabled()
    dialog._open.click()
    assert dialog.running
    qtbot.waitUntil(lambda: not dialog.running, timeout=20_000)


def test_a_folder_of_several_series(
    dialog: VolumeDialog, viewer: Any, said: list[str], qtbot: Any, tmp_path: Path
) -> None:
    write_dicom(tmp_path / "a", head(), series=3)
    kept = [0, 1, 2, 4, 5, 6, 7, 8]
    places = [2.0 * z for z in kept]
    write_dicom(tmp_path / "b", head(9)[kept], series=4, places=places)
    write_dicom(tmp_path / "b", head(1), series=5)
    listed = look(dialog, tmp_path, qtbot)
    assert [text.split(":")[0] for text in listed] == ["CT series 4", "CT series 3", "CT series 5"]
    assert "one plane" in dialog._list.item(2).toolTip()
    assert dialog._list.currentRow() == 0
    # A CT says itself that it is in Hounsfield units.
    assert dialog._hounsfield.isChecked()
    assert not dialog._hounsfield.isEnabled()
    choose_window(dialog, "bone")
    open_it(dialog, qtbot)
    (layer,) = viewer.layers
    assert layer.name == "CT series 4"
    np.testing.assert_array_equal(layer.data[kept], head(9)[kept])
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.4))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert tuple(layer.contrast_limits) == PRESETS["bone"]
    assert grid_in(layer.metadata).shape == (9, 12, 16)
    assert unit_in(layer.metadata) == "HU"
    assert not any(secret in str(layer.metadata) + layer.name for secret in SECRETS)
    (words,) = said
    assert "missing between plane 2 and plane 4" in words
    assert not dialog.isVisible()


def test_a_file_and_its_windows(
    dialog: VolumeDialog, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    write(tmp_path / "head.nii.gz", head())
    assert look(dialog, tmp_path / "head.nii.gz", qtbot) == [
        "head.nii.gz: 6 x 12 x 16 voxels, int16"
    ]
    choose_window(dialog, "dental")
    # The file does not say what its values are: a person has to.
    assert not dialog._open.isEnabled()
    dialog._hounsfield.setChecked(True)
    assert dialog._open.isEnabled()
    choose_window(dialog, "manual")
    dialog._low.setValue(10)
    dialog._high.setValue(250)
    open_it(dialog, qtbot)
    assert tuple(viewer.layers[0].contrast_limits) == (10, 250)
    assert unit_in(viewer.layers[0].metadata) == "HU"


def test_a_window_that_is_none(
    dialog: VolumeDialog, viewer: Any, said: list[str], qtbot: Any, tmp_path: Path
) -> None:
    write(tmp_path / "head.mha", head())
    look(dialog, tmp_path / "head.mha", qtbot)
    choose_window(dialog, "manual")
    dialog._low.setValue(10)
    dialog._high.setValue(10)
    dialog._open.click()
    assert not dialog.running
    assert "lower and an upper" in said[0]
    assert not viewer.layers


def test_one_file_of_a_series(dialog: VolumeDialog, qtbot: Any, tmp_path: Path) -> None:
    paths = write_dicom(tmp_path, head(), series=3)
    write_dicom(tmp_path, head(9), series=4)
    (text,) = look(dialog, paths[2], qtbot)
    assert text.startswith("CT series 3: 6 axial planes")


def test_nothing_to_open(
    dialog: VolumeDialog, viewer: Any, said: list[str], qtbot: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("words")
    assert not look(dialog, tmp_path, qtbot)
    assert not look(dialog, tmp_path / "a.txt", qtbot)
    (tmp_path / "b.nii.gz").write_bytes(b"no volume")
    assert not look(dialog, tmp_path / "b.nii.gz", qtbot)
    assert ["no DICOM pictures" in said[0], "b.nii.gz cannot be read" in said[2]] == [True, True]
    assert not dialog._open.isEnabled()
    # A folder of volume files lists them, those that cannot be read too.
    write(tmp_path / "c.mha", head())
    listed = look(dialog, tmp_path, qtbot)
    assert listed == ["b.nii.gz", "c.mha: 6 x 12 x 16 voxels, int16"]
    assert dialog._list.currentRow() == 1


def test_closing_stops_reading(
    dialog: VolumeDialog, viewer: Any, said: list[str], qtbot: Any, tmp_path: Path
) -> None:
    write_dicom(tmp_path, head(40))
    look(dialog, tmp_path, qtbot)
    dialog._open.click()
    dialog.reject()
    qtbot.waitUntil(lambda: not dialog.running, timeout=20_000)
    assert not viewer.layers
    # Unless all was read before the window closed.
    assert said in (["Opening the volume was stopped."], [])


def test_the_menu_command(viewer: Any, said: list[str], qtbot: Any) -> None:
    manager = npe2.PluginManager.instance()
    menu = [item.command for item in manager.iter_menu("napari/file/io_utilities")]
    assert "napari-coseg.open_volume" in menu
    manager.commands.execute("napari-coseg.open_volume")
    (dialog,) = volume_commands._open
    qtbot.addWidget(dialog)
    assert dialog.isVisible()
    dialog.reject()
    assert not volume_commands._open


def test_windows_of_open_volumes(
    dialog: VolumeDialog, viewer: Any, said: list[str], qtbot: Any, tmp_path: Path
) -> None:
    manager = npe2.PluginManager.instance()
    in_menu = [item.command for item in manager.iter_menu("napari/layers/visualize")]
    write_dicom(tmp_path / "scan", head())
    look(dialog, tmp_path, qtbot)
    open_it(dialog, qtbot)
    (layer,) = viewer.layers
    automatic = tuple(layer.contrast_limits)
    for name, limits in (*PRESETS.items(), ("automatic", automatic)):
        command = f"napari-coseg.window_{name.replace(' ', '_')}"
        assert command in in_menu
        manager.commands.execute(command)
        assert tuple(layer.contrast_limits) == limits
    assert not said
    raw = viewer.add_image(head(), name="raw")
    before = tuple(raw.contrast_limits)
    viewer.layers.selection = {raw}
    manager.commands.execute("napari-coseg.window_bone")
    assert tuple(raw.contrast_limits) == before
    assert "raw: The window bone is in Hounsfield units" in said[0]
    viewer.layers.selection = set()
    manager.commands.execute("napari-coseg.window_automatic")
    assert "No image is selected" in said[1]

"""Volumes in napari: sizes in mm, and labels that go back onto exactly their grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
import SimpleITK
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_coseg.imaging.volumes import read_label_volume, read_volume
from napari_coseg.imaging.windows import automatic_window
from napari_coseg.layers.drawing import objects_layer
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.reading import get_reader
from napari_coseg.layers.volume_choices import choices_at
from napari_coseg.layers.volume_files import write_label_volume
from napari_coseg.layers.volume_layers import grid_in, unit_in
from napari_coseg.types import CosegError
from tests.imaging.volume_files import DIRECTIONS, head, write, write_dicom


def read(path: Path) -> Layer:
    reader = get_reader(str(path))
    assert reader is not None
    (one,) = reader(str(path))
    return Layer.create(*one)


def save(path: Path, layer: Layer) -> None:
    data, attributes, _ = layer.as_layer_data_tuple()
    assert write_label_volume(str(path), data, attributes) == [str(path)]


def check_on(path: Path, image: Path, labels: Any) -> None:
    """The labels in a file are these, and lie where the image does."""
    stored, source = SimpleITK.ReadImage(str(path)), SimpleITK.ReadImage(str(image))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(stored), labels)
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(stored, get)(), getattr(source, get)(), atol=1e-6)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_an_image_has_mm_and_a_window(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"head{suffix}"
    write(path, head(), direction=DIRECTIONS["oblique"], spacing=(0.4, 0.4, 2.0))
    layer = read(path)
    assert isinstance(layer, Image)
    assert layer.name == "head"
    np.testing.assert_allclose(layer.scale, (2.0, 0.4, 0.4), rtol=1e-6)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("plane", "row", "column")
    assert layer.contrast_limits == [*automatic_window(head())]
    assert grid_in(layer.metadata) == read_volume(path).grid
    assert unit_in(layer.metadata) == "raw"
    assert Stack.of(layer).mpp == pytest.approx(400)
    assert Stack.of(layer).channel is None


def test_labels_drawn_on_a_volume_go_back_onto_it(tmp_path: Path) -> None:
    path = tmp_path / "head.mha"
    write(path, head(), direction=DIRECTIONS["flipped"], spacing=(0.4, 0.4, 2.0))
    image = read(path)
    drawn = objects_layer(image, Stack.of(image))
    drawn.data[2:4, 3:7, 5:9] = 7
    for suffix in (".nii.gz", ".mha", ".nrrd"):
        save(tmp_path / f"out{suffix}", drawn)
        check_on(tmp_path / f"out{suffix}", path, drawn.data)
        back = read(tmp_path / f"out{suffix}")
        # Its name does not say that it is labels.
        assert isinstance(back, Image)
    assert SimpleITK.ReadImage(str(tmp_path / "out.mha")).GetPixelID() == SimpleITK.sitkInt32


def test_files_named_as_labels_are_labels(tmp_path: Path) -> None:
    ids = (head() > 0).astype(np.float32) * 3
    for name in ("a_labels", "a_instances", "a-seg", "mask"):
        write(tmp_path / f"{name}.nii.gz", ids)
        layer = read(tmp_path / f"{name}.nii.gz")
        assert isinstance(layer, Labels)
        np.testing.assert_array_equal(layer.data, ids)
        np.testing.assert_allclose(layer.scale, (2.0, 0.5, 0.4), rtol=1e-6)
        assert grid_in(layer.metadata) is not None
    for name, values in (("a_labels", head()), ("unmasked", ids), ("a_mask", ids + 0.5)):
        write(tmp_path / f"{name}.nrrd", values)
        assert isinstance(read(tmp_path / f"{name}.nrrd"), Image)


def test_labels_that_napari_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through napari's own ways: open, save by the ending of the name."""
    npe2.PluginManager.instance().discover()
    viewer = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    path = tmp_path / "head.nii.gz"
    write(path, head(), direction=DIRECTIONS["coronal"])
    viewer.open(str(path), plugin="napari-coseg")
    image = viewer.layers[0]
    painted = np.zeros(head().shape, np.uint8)
    painted[1, 4:8, 4:8] = 2
    labels = viewer.add_labels(painted, scale=image.scale)
    for name in ("a.nii.gz", "a.nrrd"):
        assert labels.save(str(tmp_path / name), plugin="napari-coseg") == [str(tmp_path / name)]
        check_on(tmp_path / name, path, painted)
    # Another volume with as many voxels somewhere else.
    write(tmp_path / "other.nii.gz", head())
    viewer.open(str(tmp_path / "other.nii.gz"), plugin="napari-coseg")
    with pytest.raises(CosegError, match="Several open volumes"):
        save(tmp_path / "b.mha", labels)
    viewer.layers.clear()
    with pytest.raises(CosegError, match="no open volume"):
        save(tmp_path / "b.mha", labels)
    assert not (tmp_path / "b.mha").exists()


def test_layers_that_are_not_where_the_volume_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    path = tmp_path / "head.mha"
    write(path, head())
    image = read(path)
    # A projection that kept what the volume knows.
    viewer.add_layer(Image(head().max(0), scale=image.scale[1:], metadata=image.metadata))
    painted = np.ones(head().shape, np.uint8)
    with pytest.raises(CosegError, match="no open volume"):
        save(tmp_path / "a.mha", Labels(painted, scale=image.scale))
    viewer.add_layer(image)
    for moved in (
        {"translate": (0, 3, 0)},
        {"rotate": (0, 0, 20)},
        {"shear": (0.2, 0, 0)},
        {"affine": np.diag((1, 1, 2, 1))},
    ):
        with pytest.raises(CosegError, match="no open volume"):
            save(tmp_path / "a.mha", Labels(painted, scale=image.scale, **moved))
    save(tmp_path / "a.mha", Labels(painted, scale=image.scale))
    check_on(tmp_path / "a.mha", path, painted)


def test_bad_files_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(CosegError, match=r"a\.nii\.gz cannot be read as a volume"):
        read(tmp_path / "a.nii.gz")


def test_folders_are_not_claimed(tmp_path: Path) -> None:
    manager = npe2.PluginManager.instance()
    ours = [r for r in manager.iter_compatible_readers([str(tmp_path)])]
    assert not [r for r in ours if r.command.startswith("napari-coseg")]


def test_one_dicom_file_stands_for_its_series(tmp_path: Path) -> None:
    paths = write_dicom(tmp_path, head())
    write_dicom(tmp_path / "below", head(), series=8)
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(paths[3].read_bytes())
    seen: list[int] = []
    for path in (paths[0], copy):
        seen.clear()
        (choice,) = choices_at(path, lambda done, _: seen.append(done))
        assert choice.text.startswith("CT series 7: 6 axial")
        assert not choice.problem
        # What lies in folders below is not looked at.
        assert seen[-1] == 7
    copy.write_bytes(paths[3].read_bytes()[:-200])
    with pytest.raises(CosegError, match="damaged or cut off: copy it again"):
        choices_at(copy)
    copy.write_bytes(b"")
    with pytest.raises(CosegError, match="neither a volume"):
        choices_at(copy)


def test_looking_can_be_stopped(tmp_path: Path) -> None:
    write_dicom(tmp_path, head())
    write(tmp_path / "a.mha", head())

    def stop(done: int, total: int) -> None:
        raise CosegError("stopped")

    with pytest.raises(CosegError, match="stopped"):
        choices_at(tmp_path, stop)


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    folder = tmp_path / "DOE JANE"
    folder.mkdir()
    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(CosegError, match="folder cannot be read") as raised:
        choices_at(folder)
    assert "DOE" not in str(raised.value)


def test_a_real_head(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ct_head"
    if not folder.is_dir():
        pytest.skip("no real head CT on this machine")
    image = read(folder / "cthead_ct.nii.gz")
    grid = grid_in(image.metadata)
    assert grid is not None
    assert grid.shape == (113, 256, 256)
    # Its first plane is the vertex.
    assert grid.superior == -1
    for draft in folder.glob("cthead_draft_*.nii.gz"):
        volume = read_label_volume(draft, grid)
        labels = Labels(volume.voxels, metadata=image.metadata, scale=image.scale)
        save(tmp_path / "out.nii.gz", labels)
        check_on(tmp_path / "out.nii.gz", folder / "cthead_ct.nii.gz", volume.voxels)

"""Planes of volumes as items of a folder data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK
from PIL import Image

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.volume_planes import read_label_plane
from napari_coseg.types import CosegError

SHAPE = (5, 12, 16)


def write(path: Path, array: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array, isVector=False)
    if array.ndim == 3:
        image.SetSpacing((0.4, 0.4, 2.0))
    SimpleITK.WriteImage(image, str(path))


def volume() -> npt.NDArray[np.int16]:
    """Plane z holds 100 z, more to the right, and air at -1000."""
    array = np.zeros(SHAPE, np.int16)
    array += 100 * np.arange(SHAPE[0], dtype=np.int16)[:, None, None]
    array += np.arange(SHAPE[2], dtype=np.int16)
    array[:, :2] = -1000
    return array


def labels() -> npt.NDArray[np.uint16]:
    array = np.zeros(SHAPE, np.uint16)
    for plane in range(SHAPE[0]):
        array[plane, plane : plane + 3, 4:8] = 300 + plane
    return array


def about(root: Path, text: str = "") -> Path:
    (root / "dataset.toml").write_text(
        f'spacing = [2.0, 0.4, 0.4]\nregion_classes = ["bone"]\n{text}', encoding="utf-8"
    )
    return root


@pytest.fixture(params=[".nii.gz", ".mha", ".nrrd"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in ("b", "a.1"):
        write(tmp_path / "images" / f"{name}{request.param}", volume())
    write(tmp_path / "instances" / f"b{request.param}", labels())
    # Labels may be in another format than their image.
    write(tmp_path / "regions" / "b.mha", (labels() > 0).astype(np.uint8))
    return about(tmp_path)


def test_each_plane_is_an_item(root: Path) -> None:
    dataset = FolderDataset(root)
    assert dataset.mpp == pytest.approx(400)
    assert [item.name for item in dataset.items] == [
        f"{name}-z{plane:04d}" for name in ("a.1", "b") for plane in range(5)
    ]
    assert [item.plane for item in dataset.items] == [*range(5), *range(5)]
    # Planes of one volume are never parted.
    assert [item.group for item in dataset.items] == ["a.1"] * 5 + ["b"] * 5
    assert dataset.kinds == {"instances", "regions"}
    assert all(not item.labels for item in dataset.items[:5])


def test_labels_are_those_of_the_plane(root: Path) -> None:
    dataset = FolderDataset(root)
    for plane, item in enumerate(dataset.items[5:]):
        read = dataset.read(item)
        assert read.image.shape == (*SHAPE[1:], 3)
        assert read.image.dtype == np.uint8
        assert read.instances is not None
        assert read.instances.dtype == np.int32
        assert (read.instances == labels()[plane]).all()
        assert read.regions is not None
        assert read.regions.dtype == np.uint8
        assert ((read.regions == 1) == (labels()[plane] > 0)).all()
        assert read.classes is None


def test_windows(root: Path) -> None:
    about(root, "window = [0, 255]")
    dataset = FolderDataset(root)
    image = dataset.read(dataset.items[1]).image
    assert (image[:2] == 0).all()
    assert (image[5, :, 0] == 100 + np.arange(SHAPE[2])).all()
    assert (image[..., 0] == image[..., 2]).all()
    assert (dataset.read(dataset.items[4]).image[5] == 255).all()
    about(root)
    dataset = FolderDataset(root)
    planes = np.stack([dataset.read(item).image for item in dataset.items[:5]])
    # Without a window the volume's own range, the same for all of its planes.
    assert planes.min() == 0
    assert planes.max() == 255
    assert (np.diff(planes[:, 5, 8, 0].astype(int)) > 0).all()


@pytest.mark.parametrize(
    ("group", "groups"),
    [
        ('group = "^(.)"', ["a"] * 5 + ["b"] * 5),
        ('group = "z(000[0-2]|000[34])"', ["0000", "0001", "0002", "0003", "0004"] * 2),
        ('[group]\nb = "patient"', ["a.1"] * 5 + ["patient"] * 5),
        ('[group]\n"b-z0000" = "first"', ["a.1"] * 5 + ["first"] + ["b"] * 4),
    ],
)
def test_groups(root: Path, group: str, groups: list[str]) -> None:
    about(root, group)
    assert [item.group for item in FolderDataset(root).items] == groups


@pytest.mark.parametrize("shape", [(5, 12, 15), (4, 12, 16), (6, 12, 16), (12, 16), (2, 5, 12, 16)])
def test_labels_on_another_grid(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write(tmp_path / "images" / "b.nii.gz", volume())
    write(tmp_path / "instances" / "b.nii.gz", np.zeros(shape, np.uint8))
    dataset = FolderDataset(about(tmp_path))
    with pytest.raises(CosegError, match=r"instances/b\.nii\.gz .*(grid|axes)"):
        dataset.read(dataset.items[0])


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_labels_that_lie_elsewhere(tmp_path: Path, suffix: str) -> None:
    """As many voxels, but not the same ones."""
    write(tmp_path / "images" / f"b{suffix}", volume())
    path = tmp_path / "instances" / f"b{suffix}"
    write(path, labels())
    whole = SimpleITK.ReadImage(str(path))
    for number, (change, said) in enumerate(
        (
            (lambda image: image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1)), "axes run"),
            (lambda image: image.SetOrigin((0, 0, 4)), "4 mm elsewhere"),
            (lambda image: image.SetSpacing((0.4, 0.4, 1.0)), "its voxels are 1 x 0.4 x 0.4 mm"),
        )
    ):
        other = SimpleITK.Image(whole)
        change(other)
        folder = tmp_path / f"set{number}"
        write(folder / "images" / f"b{suffix}", volume())
        (folder / "instances").mkdir()
        SimpleITK.WriteImage(other, str(folder / "instances" / f"b{suffix}"))
        dataset = FolderDataset(about(folder))
        with pytest.raises(CosegError, match=f"not on the grid of its image: .*{said}"):
            dataset.read(dataset.items[0])


def test_labels_that_do_not_say_where_they_lie(tmp_path: Path) -> None:
    write(tmp_path / "images" / "b.nrrd", volume())
    path = tmp_path / "instances" / "b.nrrd"
    write(path, labels())
    raw = path.read_bytes()
    start, end = raw.index(b"space directions"), raw.index(b"kinds")
    path.write_bytes(raw[:start] + raw[end:])
    dataset = FolderDataset(about(tmp_path))
    read = dataset.read(dataset.items[2])
    assert read.instances is not None
    assert (read.instances == labels()[2]).all()


def test_drafts_of_a_real_head(shared_data: Path) -> None:
    folder = shared_data / "ct_head"
    if not folder.is_dir():
        pytest.skip("no real head CT on this machine")
    image = folder / "cthead_ct.nii.gz"
    drafts = sorted(folder.glob("cthead_draft_*.nii.gz"))
    assert drafts
    for draft in drafts:
        assert read_label_plane(draft, 60, image).shape == (256, 256)


@pytest.mark.parametrize("shape", [(12, 16), (2, 5, 12, 16)])
def test_images_without_three_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write(tmp_path / "images" / "b.nii.gz", np.zeros(shape, np.int16))
    with pytest.raises(CosegError, match=f"has {len(shape)} axes: .* three"):
        FolderDataset(about(tmp_path))


def test_colour_volumes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    image = SimpleITK.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "images" / "b.mha"))
    with pytest.raises(CosegError, match="several values a voxel"):
        FolderDataset(about(tmp_path))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_files_that_are_cut_off(tmp_path: Path, suffix: str) -> None:
    """ITK itself reads the rest of a NIfTI file as zeros."""
    path = tmp_path / "images" / f"b{suffix}"
    noise = np.random.default_rng(0).integers(0, 999, (20, 32, 32)).astype(np.int16)
    write(path, noise)
    whole = path.read_bytes()
    dataset = FolderDataset(about(tmp_path))
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CosegError, match=rf"b\{suffix} cannot be read as a volume"):
        dataset.read(dataset.items[0])


def test_files_that_are_no_volume(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.nii.gz").write_bytes(b"no volume at all")
    with pytest.raises(CosegError, match=r"b\.nii\.gz cannot be read as a volume"):
        FolderDataset(about(tmp_path))


def test_values_that_are_no_ids(tmp_path: Path) -> None:
    write(tmp_path / "images" / "b.mha", np.full(SHAPE, np.nan, np.float32))
    for number, value in enumerate((0.5, -1.0)):
        write(tmp_path / "instances" / "b.mha", np.full(SHAPE, value, np.float32))
        folder = tmp_path.rename(tmp_path.with_name(f"set{number}"))
        dataset = FolderDataset(about(folder))
        with pytest.raises(CosegError, match=r"b\.mha holds"):
            dataset.read(dataset.items[0])
        tmp_path = folder
    # Whole numbers written as floats are ids.
    write(tmp_path / "instances" / "b.mha", labels().astype(np.float32))
    folder = tmp_path.rename(tmp_path.with_name("set9"))
    read = FolderDataset(folder).read(FolderDataset(folder).items[2])
    assert read.instances is not None
    assert (read.instances == labels()[2]).all()
    assert (read.image == 0).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spacing = [1.0, 1.0]", "spacing .* 3 numbers"),
        ("spacing = [1.0, 1.0, 0.0]", "spacing .* above 0"),
        ("spacing = [true, 1.0, 1.0]", "spacing .* 3 numbers"),
        ("spacing = [1, 1, 1]\nwindow = [400, -400]", "window .* lower"),
        ("spacing = [1, 1, 1]\nwindow = 3", "window .* 2 numbers"),
        ("window = [0, 1]", "needs mpp"),
    ],
)
def test_descriptions_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path / "images" / "b.mha", volume())
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(CosegError, match=said):
        FolderDataset(tmp_path)


def test_planes_beside_it_are_the_colours(root: Path) -> None:
    data = FolderDataset(root)
    item = data.items[0]
    assert item.plane == 0
    # 2 mm between planes: 1 mm up is beyond the volume, 1 mm down half way.
    red, green, blue = data.read(data.items[2], (-1.0, 0.0, 1.0)).image[6, 9].astype(int).tolist()
    assert red < green < blue
    assert abs((blue - green) - (green - red)) <= 1
    first = data.read(item, (-1.0, 0.0, 1.0)).image
    np.testing.assert_array_equal(first[..., 0], first[..., 1])
    assert (first[6, 9, 2] > first[6, 9, 1]).all()


def test_a_picture_has_no_planes_beside_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    data = FolderDataset(about(tmp_path))
    with pytest.raises(CosegError, match=r"a\.png is no volume"):
        data.read(data.items[0], (-1.0, 0.0, 1.0))


def test_what_is_no_number_is_black(tmp_path: Path) -> None:
    array = volume().astype(np.float32)
    array[2, 6, 9] = np.nan
    array[2, 6, 10] = np.inf
    write(tmp_path / "images" / "a.nii.gz", array)
    data = FolderDataset(about(tmp_path))
    picture = data.read(data.items[2], (-1.0, 0.0, 1.0)).image
    assert picture[6, 9].max() == picture[6, 10].max() == picture.min()
    # The window is that of the other voxels.
    assert picture[6, 11, 1] > 100


def test_volumes_of_an_nnunet_set_say_their_own_spacing(tmp_path: Path) -> None:
    names = {"name": "two scanners", "labels": {"background": 0, "bone": 1}}
    for name, side in (("a", 0.4), ("b", 0.2)):
        (tmp_path / "imagesTr").mkdir(exist_ok=True)
        image = SimpleITK.GetImageFromArray(volume())
        image.SetSpacing((side, side, 2.0))
        SimpleITK.WriteImage(image, str(tmp_path / "imagesTr" / f"{name}_0000.nii.gz"))
    about = tmp_path / "dataset.json"
    about.write_text(json.dumps(names), encoding="utf-8")
    dataset = FolderDataset(tmp_path)
    read = {item.name: dataset.read(item) for item in dataset.items}
    assert read["a-z0001"].mpp == pytest.approx(400)
    assert read["b-z0001"].mpp == pytest.approx(200)
    # Red and blue are 2 mm away: a plane.
    picture = dataset.read(dataset.items[7], (-2.0, 0.0, 2.0)).image
    alone = [dataset.read(dataset.items[n], (0.0, 0.0, 0.0)).image[..., 0] for n in (6, 7, 8)]
    np.testing.assert_array_equal(picture, np.stack(alone, -1))
    # What the description says holds for all of them.
    about.write_text(json.dumps({**names, "coseg": {"spacing": [2.0, 0.3, 0.3]}}), encoding="utf-8")
    stated = FolderDataset(tmp_path)
    assert {stated.read(item).mpp for item in stated.items} == {300.0}

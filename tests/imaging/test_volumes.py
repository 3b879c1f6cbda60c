"""Volumes in and out: exactly the same grid, and a sentence for whatever is wrong."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_labels, write_volume
from napari_coseg.imaging.volumes import read_label_volume, read_volume
from napari_coseg.types import CosegError
from tests.imaging.volume_files import DIRECTIONS, ORIGIN, head, image, write

WRITTEN = (".nii.gz", ".nii", ".mha", ".nrrd")
READ = (*WRITTEN, ".mhd")


def same_place(one: SimpleITK.Image, two: SimpleITK.Image, suffix: str) -> None:
    """NIfTI has 32 bits for spacing and directions, the others all that there are."""
    assert one.GetSize() == two.GetSize()
    most = 1e-6 if suffix.startswith(".nii") else 1e-15
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(one, get)(), getattr(two, get)(), rtol=0, atol=most)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("suffix", READ)
def test_labels_lie_exactly_on_their_image(tmp_path: Path, suffix: str, direction: str) -> None:
    path = tmp_path / f"a.1{suffix}"
    stored = write(path, head(), direction=DIRECTIONS[direction])
    volume = read_volume(path)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, head())
    assert volume.unit == "raw"
    assert not volume.notes
    assert volume.grid.spacing == pytest.approx((2.0, 0.5, 0.4))
    for index in ((0, 0, 0), (5, 0, 0), (2, 7, 3)):
        expected = stored.TransformIndexToPhysicalPoint(index[::-1])
        assert volume.grid.position(index) == pytest.approx(expected, abs=1e-5)
    labels = (volume.voxels > 200).astype(np.uint8) * 3
    for ending in WRITTEN:
        out = tmp_path / f"labels{ending}"
        write_labels(out, labels, volume.grid)
        back = SimpleITK.ReadImage(str(out))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(back), labels)
        same_place(back, SimpleITK.ReadImage(str(path)), ending)
        again = read_label_volume(out, volume.grid)
        np.testing.assert_array_equal(again.voxels, labels)
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith(".")} == set()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_type_comes_back(tmp_path: Path, suffix: str, dtype: Any) -> None:
    values = np.random.default_rng(0).integers(0, 255, (4, 5, 6)).astype(dtype)
    if np.dtype(dtype).kind in "if":
        values -= 100
    grid = VolumeGrid((4, 5, 6), (0.3, 0.2, 0.1), (1, 2, 3))
    write_volume(tmp_path / f"a{suffix}", values, grid)
    back = read_volume(tmp_path / f"a{suffix}")
    assert back.voxels.dtype == dtype
    np.testing.assert_array_equal(back.voxels, values)
    assert back.grid.difference(grid) == ""


def test_slope_and_unit_of_nifti(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    write(path, head())
    raw = bytearray(path.read_bytes())
    struct.pack_into("<2f", raw, 112, 2.0, -5.0)
    raw[123] = 3  # micrometres
    path.write_bytes(raw)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, head() * 2.0 - 5)
    assert volume.grid.spacing == pytest.approx((2e-3, 5e-4, 4e-4))


def test_where_the_head_is() -> None:
    def grid(name: str) -> VolumeGrid:
        axes = np.array(DIRECTIONS[name]).reshape(3, 3).T[::-1]
        first, second, third = ((float(v[0]), float(v[1]), float(v[2])) for v in axes)
        return VolumeGrid((2, 3, 4), (1, 1, 1), (0, 0, 0), (first, second, third))

    assert [grid(name).superior for name in DIRECTIONS] == [1, -1, 0, 1]
    assert [grid(name).orientation for name in DIRECTIONS] == ["SPL", "IPR", "PIL", "SPL"]


def test_grids_are_the_same_within_what_formats_round() -> None:
    grid = VolumeGrid((40, 300, 300), (0.3, 0.3, 0.3), ORIGIN)
    assert VolumeGrid.from_dict(grid.as_dict()) == grid

    def other(**changed: Any) -> str:
        return grid.difference(VolumeGrid.from_dict({**grid.as_dict(), **changed}))

    assert other(spacing=[0.3 + 1e-6, 0.3, 0.3], origin=[-10.5001, 20.25, 3.125]) == ""
    assert "41 x 300" in other(shape=[41, 300, 300])
    assert "0.31" in other(spacing=[0.31, 0.3, 0.3])
    assert "0.15 mm elsewhere" in other(origin=[-10.35, 20.25, 3.125])
    assert "IPL" in other(direction=[[0, 0, -1], [0, 1, 0], [1, 0, 0]])
    turned = [[0, 0, 1], [-0.02, math.sqrt(1 - 4e-4), 0], [math.sqrt(1 - 4e-4), 0.02, 0]]
    assert "elsewhere" in other(direction=turned)
    with pytest.raises(CosegError, match="grid of a volume"):
        VolumeGrid.from_dict({"shape": [1, 2]})


def test_labels_on_another_grid(tmp_path: Path) -> None:
    write(tmp_path / "a.mha", np.zeros((4, 5, 6), np.uint8))
    grid = read_volume(tmp_path / "a.mha").grid
    write(tmp_path / "b.mha", np.zeros((4, 5, 6), np.uint8), spacing=(0.4, 0.5, 2.1))
    with pytest.raises(CosegError, match=r"b\.mha is not on the grid of its image: its voxels are"):
        read_label_volume(tmp_path / "b.mha", grid)
    with pytest.raises(CosegError, match="4 x 5 x 7 voxels, and its image has 4 x 5 x 6"):
        write_labels(tmp_path / "c.mha", np.zeros((4, 5, 7), np.uint8), grid)
    assert not (tmp_path / "c.mha").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((2, 3, 4), -1, np.int16), "below 0"),
        (np.full((2, 3, 4), 3e9, np.float64), "above"),
        (np.full((2, 3, 4), 0.5, np.float32), "not whole"),
        (np.full((2, 3, 4), np.nan, np.float32), "not whole"),
    ],
)
def test_values_that_are_no_labels(tmp_path: Path, values: npt.NDArray[Any], said: str) -> None:
    write(tmp_path / "a.mha", values)
    with pytest.raises(CosegError, match=said):
        read_label_volume(tmp_path / "a.mha")
    grid = VolumeGrid((2, 3, 4), (1, 1, 1))
    with pytest.raises(CosegError, match=f"{said}|whole numbers"):
        write_labels(tmp_path / "b.nii.gz", values, grid)
    assert not (tmp_path / "b.nii.gz").exists()


def test_labels_of_other_types(tmp_path: Path) -> None:
    grid = VolumeGrid((2, 3, 4), (1, 1, 1))
    write_labels(tmp_path / "a.nii.gz", np.ones((2, 3, 4), bool), grid)
    assert read_label_volume(tmp_path / "a.nii.gz").voxels.dtype == np.uint8
    write_labels(tmp_path / "a.nii.gz", np.full((2, 3, 4), 70_000, np.int64), grid)
    assert (read_label_volume(tmp_path / "a.nii.gz").voxels == 70_000).all()
    write(tmp_path / "b.nrrd", np.full((2, 3, 4), 5, np.float64))
    assert read_label_volume(tmp_path / "b.nrrd").voxels.dtype == np.int32


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", READ)
def test_files_that_are_cut_off(tmp_path: Path, suffix: str, compressed: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (20, 32, 32)).astype(np.int16)
    path = tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(image(noise), str(path), compressed)
    np.testing.assert_array_equal(read_volume(path).voxels, noise)
    data = path
    if suffix == ".mhd":
        (data,) = (p for p in tmp_path.iterdir() if p != path)
    whole = data.read_bytes()
    for length in (len(whole) - 1, len(whole) * 2 // 3, 200, 3):
        data.write_bytes(whole[:length])
        with pytest.raises(CosegError, match=rf"a\{suffix} cannot be read as a volume"):
            read_volume(path)
    data.unlink()
    with pytest.raises(CosegError, match=r"does not exist|voxels in .* are not there"):
        read_volume(path)


def patched(path: Path, pattern: bytes, replacement: bytes) -> Path:
    raw, count = re.subn(pattern, replacement, path.read_bytes(), count=1)
    assert count == 1
    path.write_bytes(raw)
    return path


def nifti(path: Path, offset: int, form: str, *values: float) -> Path:
    write(path, head())
    raw = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", raw, offset, *values)
    path.write_bytes(raw)
    return path


def test_headers_that_promise_more_than_there_is(tmp_path: Path) -> None:
    """Nothing may be allocated: 3000 voxels a side are 54 GB."""
    paths = [nifti(tmp_path / "a.nii", 42, "3h", 3000, 3000, 3000)]
    for suffix, pattern in ((".mha", rb"DimSize = .*"), (".nrrd", rb"sizes: .*")):
        for compressed in (False, True):
            path = tmp_path / f"{compressed}{suffix}"
            SimpleITK.WriteImage(image(head()), str(path), compressed)
            key = pattern.split(b" .")[0]
            paths.append(patched(path, pattern, key + b" 3000 3000 3000"))
    for path in paths:
        with pytest.raises(CosegError, match="ends before its voxels do"):
            read_volume(path)


def test_more_than_the_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.mha", head())

    class Memory:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    with pytest.raises(CosegError, match=r"a\.mha needs .* GB of memory"):
        read_volume(tmp_path / "a.mha")


def test_spacing_that_is_missing_or_no_size(tmp_path: Path) -> None:
    paths = [nifti(tmp_path / "a.nii", 88, "f", value) for value in (0.0, math.nan)][-1:]
    paths.append(nifti(tmp_path / "b.nii", 80, "3f", 0, 0, 0))
    paths.append(nifti(tmp_path / "c.nii", 88, "f", -2))
    for number, spacing in enumerate((b"", b"ElementSpacing = 0 1 1", b"ElementSpacing = 1 1 -2")):
        write(tmp_path / f"{number}.mha", head())
        pattern = rb"ElementSpacing = [^\n]*" if spacing else rb"ElementSpacing = [^\n]*\n"
        paths.append(patched(tmp_path / f"{number}.mha", pattern, spacing))
    for number, directions in enumerate((b"", b"space directions: (0,0,0) (0,1,0) (0,0,1)\n")):
        write(tmp_path / f"{number}.nrrd", head())
        path = patched(tmp_path / f"{number}.nrrd", rb"space directions: .*\n", directions)
        if not directions:
            path = patched(patched(path, rb"space: .*\n", b""), rb"space origin: .*\n", b"")
        paths.append(path)
    for path in paths:
        with pytest.raises(CosegError, match=r"how large a voxel|above 0|no numbers") as raised:
            read_volume(path)
        assert path.name in str(raised.value)


@pytest.mark.parametrize("said", [b"spacings: nan nan nan", b"spacings: 0.4 0.5 nan"])
def test_spacings_of_nrrd_that_are_none(tmp_path: Path, said: bytes) -> None:
    """ITK takes 1 mm."""
    write(tmp_path / "a.nrrd", head())
    path = patched(tmp_path / "a.nrrd", rb"space: .*\n", b"")
    path = patched(path, rb"space origin: .*\n", b"")
    whole = path.read_bytes()
    patched(path, rb"space directions: .*\n", b"spacings: 0.4 0.5 2\n")
    assert read_volume(path).grid.spacing == (2, 0.5, 0.4)
    path.write_bytes(whole)
    patched(path, rb"space directions: .*\n", said + b"\n")
    with pytest.raises(CosegError, match="how large a voxel"):
        read_volume(path)


@pytest.mark.parametrize("part", [b"none", b"(nan,nan,nan)"])
def test_directions_of_nrrd_that_are_none(tmp_path: Path, part: bytes) -> None:
    write(tmp_path / "a.nrrd", head())
    directions = b"space directions: (0.4,0,0) (0,0.5,0) " + part + b"\n"
    path = patched(tmp_path / "a.nrrd", rb"space directions: .*\n", directions)
    with pytest.raises(CosegError, match=r"how large a voxel|no numbers|as a volume"):
        read_volume(path)


def test_names_of_files_of_voxels(tmp_path: Path) -> None:
    write(tmp_path / "a.mhd", head())
    text = (tmp_path / "a.mhd").read_bytes()
    stored = (tmp_path / "a.raw").read_bytes()
    assert text.count(b"a.raw") == 1
    (tmp_path / "Lister.raw").write_bytes(stored)
    (tmp_path / "a.mhd").write_bytes(text.replace(b"a.raw", b"Lister.raw"))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mhd").voxels, head())
    for name in ("LIST", "list 2", "a%03d.raw"):
        (tmp_path / "a.mhd").write_bytes(text.replace(b"a.raw", name.encode()))
        with pytest.raises(CosegError, match="spread over several files"):
            read_volume(tmp_path / "a.mhd")


def test_plain_nifti_that_is_named_as_packed(tmp_path: Path) -> None:
    voxels = head().astype(np.float32)
    voxels[1, 2, 3] = np.nan
    write(tmp_path / "a.nii", voxels)
    volume = read_volume((tmp_path / "a.nii").rename(tmp_path / "a.nii.gz"))
    assert "has 1 voxels that are no numbers" in volume.notes[0]
    voxels[1, 2, 3] = -1000
    np.testing.assert_array_equal(volume.voxels, voxels)


def test_axes_that_are_not_at_right_angles(tmp_path: Path) -> None:
    shear = (0.4, 0.2, 0, 0, 0, 0.5, 0, 0, 0, 0, 2, 0)
    path = nifti(tmp_path / "a.nii", 280, "12f", *shear)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<2h", raw, 252, 0, 1)
    path.write_bytes(raw)
    write(tmp_path / "a.mha", head())
    matrix = b"TransformMatrix = 1 0 0 0.3 1 0 0 0 1"
    mha = patched(tmp_path / "a.mha", rb"TransformMatrix = .*", matrix)
    write(tmp_path / "a.nrrd", head())
    directions = b"space directions: (1,0,0) (0.3,1,0) (0,0,1)"
    nrrd = patched(tmp_path / "a.nrrd", rb"space directions: .*", directions)
    for wrong in (path, mha, nrrd):
        with pytest.raises(CosegError, match="not at right angles"):
            read_volume(wrong)


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("shape", [(12, 16), (2, 5, 12, 16)])
def test_other_than_three_axes(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    write(tmp_path / f"a{suffix}", np.zeros(shape, np.int16))
    with pytest.raises(CosegError, match=rf"has {len(shape)} axes: a volume has three"):
        read_volume(tmp_path / f"a{suffix}")


def test_a_fourth_axis_of_length_one(tmp_path: Path) -> None:
    made = SimpleITK.JoinSeries([image(head(), DIRECTIONS["oblique"])])
    SimpleITK.WriteImage(made, str(tmp_path / "a.mha"))
    volume = read_volume(tmp_path / "a.mha")
    np.testing.assert_array_equal(volume.voxels, head())
    write(tmp_path / "b.mha", head(), direction=DIRECTIONS["oblique"])
    assert volume.grid.difference(read_volume(tmp_path / "b.mha").grid) == ""


def test_colour_volumes(tmp_path: Path) -> None:
    made = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(made, str(tmp_path / "a.mha"))
    with pytest.raises(CosegError, match="several values a voxel"):
        read_volume(tmp_path / "a.mha")


@pytest.mark.parametrize("suffix", WRITTEN)
def test_numbers_that_are_none(tmp_path: Path, suffix: str) -> None:
    """Of NIfTI, ITK itself reads them as 0."""
    values = head().astype(np.float32)
    values[0, 5, 5], values[1, 5, 5] = np.nan, np.inf
    write(tmp_path / f"a{suffix}", values)
    volume = read_volume(tmp_path / f"a{suffix}")
    assert volume.voxels[0, 5, 5] == volume.voxels[1, 5, 5] == -1000
    assert np.count_nonzero(volume.voxels != values) == 2
    assert "2 voxels that are no numbers" in " ".join(volume.notes)
    write(tmp_path / f"b{suffix}", np.full((2, 3, 4), np.nan, np.float64))
    assert (read_volume(tmp_path / f"b{suffix}").voxels == 0).all()


def test_negative_numbers_saved_as_unsigned(tmp_path: Path) -> None:
    write(tmp_path / "a.mha", head().view(np.uint16))
    (said,) = read_volume(tmp_path / "a.mha").notes
    assert "negative numbers that were saved as unsigned" in said
    write(tmp_path / "b.mha", (head() + 1024).astype(np.uint16))
    assert not read_volume(tmp_path / "b.mha").notes


def test_a_volume_that_does_not_say_how_it_lies(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", 252, "2h", 0, 0)
    (said,) = read_volume(path).notes
    assert "does not say how it lies" in said


def test_files_that_are_no_volume(tmp_path: Path) -> None:
    for name in (f"a{suffix}" for suffix in READ):
        (tmp_path / name).write_bytes(b"no volume at all, whatever its name may say" * 20)
        with pytest.raises(CosegError, match="cannot be read as a volume"):
            read_volume(tmp_path / name)
    (tmp_path / "e.mha").touch()
    with pytest.raises(CosegError, match="is empty"):
        read_volume(tmp_path / "e.mha")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(CosegError, match="no volume by its name"):
        read_volume(tmp_path / "a.png")
    write(tmp_path / "l.mhd", head())
    patched(tmp_path / "l.mhd", rb"ElementDataFile = .*", b"ElementDataFile = LIST\na.raw")
    with pytest.raises(CosegError, match="spread over several files"):
        read_volume(tmp_path / "l.mhd")


@pytest.mark.parametrize("name", ["z.MHA", "X.NII.GZ", "Y.NII", "y.Mha", "a.NRRD"])
def test_endings_in_capitals(tmp_path: Path, name: str) -> None:
    grid = VolumeGrid(head().shape, (2.0, 0.5, 0.4))
    write_labels(tmp_path / name, head() > 0, grid)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(read_label_volume(tmp_path / name).voxels, head() > 0)


def test_endings_that_itk_does_not_take(tmp_path: Path) -> None:
    grid = VolumeGrid(head().shape, (2.0, 0.5, 0.4))
    with pytest.raises(CosegError, match="use small ones"):
        write_labels(tmp_path / "a.nii.GZ", head() > 0, grid)
    assert not [*tmp_path.iterdir()]
    write_labels(tmp_path / "a.nii.gz", head() > 0, grid)
    with pytest.raises(CosegError, match="use small ones"):
        read_volume((tmp_path / "a.nii.gz").rename(tmp_path / "A.Nii.gz"))


def test_labels_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX")
    grid = VolumeGrid((8, 64, 64), (1, 1, 1))
    noise = np.random.default_rng(0).integers(0, 60_000, (8, 64, 64)).astype(np.uint16)
    before = np.ones((8, 64, 64), np.uint16)
    for suffix in WRITTEN:
        path = tmp_path / f"a{suffix}"
        write_labels(path, before, grid)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        # What a full disk looks like from within.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(CosegError, match="Cannot write"):
                write_labels(path, noise, grid)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        np.testing.assert_array_equal(read_label_volume(path).voxels, before)
    assert len([*tmp_path.iterdir()]) == len(WRITTEN)
    for path in (tmp_path / "a.mhd", tmp_path / "a.png", tmp_path / "none" / "a.mha"):
        with pytest.raises(CosegError, match=r"annot be written|Cannot write"):
            write_labels(path, before, grid)

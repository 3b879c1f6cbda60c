"""DICOM folders: what is in them, the volume, and nothing of the patient."""

from __future__ import annotations

import math
import traceback
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from napari_coseg.imaging.dicom import list_series, read_dicom, read_series
from napari_coseg.imaging.volume_writing import write_labels
from napari_coseg.types import CosegError
from tests.imaging.volume_files import SECRETS, head, write_dicom


def test_a_series(tmp_path: Path) -> None:
    write_dicom(tmp_path / "scan", head())
    (one,) = list_series(tmp_path).series
    assert one.description == "CT series 7: 6 axial planes of 12 x 16, 2 x 0.5 x 0.4 mm"
    assert not one.problem
    seen: list[tuple[int, int]] = []
    volume = read_series(one, lambda done, all_: seen.append((done, all_)))
    assert seen == [(done, 6) for done in range(1, 7)]
    # Sorted by place, although names and numbers run the other way.
    np.testing.assert_array_equal(volume.voxels, head())
    assert volume.voxels.dtype == np.int16
    assert volume.unit == "HU"
    assert not volume.notes
    assert volume.grid.spacing == pytest.approx((2, 0.5, 0.4))
    assert volume.grid.origin == (-10, -20, 5)
    assert volume.grid.superior == 1


def test_labels_of_a_series_lie_where_itk_puts_it(tmp_path: Path) -> None:
    """An oblique series, read by ITK's own series reader."""
    turn = 0.2
    across = (math.cos(turn), math.sin(turn), 0.0)
    down = (0.0, 0.0, -1.0)
    normal = np.cross(across, down)
    orientation = "\\".join(f"{value:.9f}" for value in (*across, *down))
    paths = write_dicom(tmp_path, head(), orientation=orientation, normal=normal)
    volume = read_dicom(tmp_path)
    write_labels(tmp_path / "labels.nrrd", (volume.voxels > 100).astype(np.uint8), volume.grid)
    theirs = SimpleITK.ReadImage([str(path) for path in paths])
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(theirs), volume.voxels)
    labels = SimpleITK.ReadImage(str(tmp_path / "labels.nrrd"))
    assert labels.GetSize() == theirs.GetSize()
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(labels, get)(), getattr(theirs, get)(), atol=1e-5)
    assert volume.grid.superior == 0
    assert "coronal" in list_series(tmp_path).series[0].description


def test_slope_and_intercept(tmp_path: Path) -> None:
    """Written as stored = value + 1024; then the files are told another slope and intercept."""
    paths = write_dicom(tmp_path, head(), tags={"0028|1052": "-1024", "0028|1053": "1 "})
    stored = head().astype(np.int32) + 1024
    for path in paths[:3]:
        raw = path.read_bytes()
        assert raw.count(b"-1024 ") == 1
        path.write_bytes(raw.replace(b"-1024 ", b"-24.5 "))
    expected = stored.astype(np.float32)
    expected[:3] -= 24.5
    expected[3:] -= 1024
    volume = read_dicom(tmp_path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, expected)


@pytest.mark.parametrize(
    ("modality", "said", "unit"),
    [("CT", b"  ", "HU"), ("CT", b"US", "raw"), ("MR", b"  ", "raw"), ("MR", b"HU", "raw")],
)
def test_units(tmp_path: Path, modality: str, said: bytes, unit: str) -> None:
    write_dicom(tmp_path, head(), tags={"0008|0060": modality})
    # Implicit types: the tag, then the length.
    tag = b"\x28\x00\x54\x10\x02\x00\x00\x00"
    patch(tmp_path, tag + b"HU", tag + said)
    assert read_dicom(tmp_path).unit == unit


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_pixels(tmp_path: Path, compressor: str) -> None:
    write_dicom(tmp_path, head(), compressor=compressor)
    np.testing.assert_array_equal(read_dicom(tmp_path).voxels, head())


def test_stored_unsigned_and_signed(tmp_path: Path) -> None:
    """Planes of one series may differ in their sign."""
    write_dicom(tmp_path, head()[:3].astype(np.int16), tags={"0028|1052": "0"})
    high = np.full((3, 12, 16), 60_000, np.uint16)
    tags = {"0028|1052": "0", "0008|0018": ""}
    write_dicom(tmp_path, high, places=(6, 8, 10), tags=tags, names="{index:03d}.dcm")
    voxels = read_dicom(tmp_path).voxels
    np.testing.assert_array_equal(voxels[:3], head()[:3])
    assert (voxels[3:] == 60_000).all()


def test_missing_planes(tmp_path: Path) -> None:
    voxels = head(12)
    kept = [z for z in range(12) if z not in (4, 5, 8)]
    write_dicom(tmp_path, voxels[kept], places=[2.0 * z for z in kept])
    volume = read_dicom(tmp_path)
    assert volume.grid.shape == (12, 12, 16)
    np.testing.assert_array_equal(volume.voxels[kept], voxels[kept])
    assert (volume.voxels[[4, 5, 8]] == -1000).all()
    assert volume.notes == (
        "2 planes are missing between plane 3 and plane 6 (counted from 0), and left dark.",
        "A plane is missing between plane 7 and plane 9 (counted from 0), and left dark.",
    )


def test_orientations_that_differ_in_their_decimals(tmp_path: Path) -> None:
    for part, cosine in ((slice(0, 3), 0.0004999), (slice(3, 6), 0.0005001)):
        write_dicom(
            tmp_path,
            head()[part],
            places=[2.0 * z for z in range(6)][part],
            orientation=f"1\\{cosine:.7f}\\0\\{-cosine:.7f}\\1\\0",
            tags={"0008|0018": ""},
            names=f"{cosine}-{{index}}.dcm",
        )
    np.testing.assert_array_equal(read_dicom(tmp_path).voxels, head())


def test_several_series_and_a_scout(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", head(), series=3)
    write_dicom(tmp_path / "b", head(9), series=4)
    # A scout under the number of the series that it was made for.
    write_dicom(
        tmp_path / "a",
        head(1),
        series=3,
        orientation="1\\0\\0\\0\\0\\-1",
        tags={"0008|0018": "1.2.3"},
        names="scout.dcm",
    )
    found = list_series(tmp_path)
    assert [one.number for one in found.volumes] == [4, 3]
    scout = found.series[-1]
    assert scout.description == "CT series 3: 1 plane of 12 x 16"
    with pytest.raises(CosegError, match=r"CT series 3 cannot be read .* one plane only"):
        read_series(scout)
    with pytest.raises(CosegError, match=r"several series, .*CT series 4: 9 axial.*CT series 3: 6"):
        read_dicom(tmp_path)
    np.testing.assert_array_equal(read_dicom(tmp_path / "a").voxels, head())
    np.testing.assert_array_equal(read_series(found.volumes[0]).voxels, head(9))


def test_copies_and_points_in_time(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", head())
    write_dicom(tmp_path / "copy", head())
    np.testing.assert_array_equal(read_dicom(tmp_path).voxels, head())
    folder = tmp_path / "times"
    for time in (1, 2):
        name = f"{time}-{{index}}.dcm"
        tags = {"0020|0012": str(time), "0008|0018": ""}
        write_dicom(folder, head() + time, tags=tags, names=name)
    first, second = list_series(folder).volumes
    assert {int(read_series(one).voxels[0, 0, 0]) for one in (first, second)} == {-999, -998}
    write_dicom(folder, head(), tags={"0020|0012": "2", "0008|0018": ""}, names="3-{index}.dcm")
    with pytest.raises(CosegError, match="several pictures at one place"):
        read_dicom(folder)


def test_one_identifier_for_all_pictures(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", head(), tags={"0008|0018": "1.2.3"})
    write_dicom(tmp_path / "copy", head(), tags={"0008|0018": "1.2.3"})
    volume = read_dicom(tmp_path)
    np.testing.assert_array_equal(volume.voxels, head())
    assert not volume.notes


def test_identifiers_of_another_form(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_dicom(tmp_path / name, head(), tags={"0020|000e": f"1.2.{name}", "0008|0018": ""})
    found = list_series(tmp_path)
    assert [one.planes for one in found.volumes] == [6, 6]
    for one in found.volumes:
        np.testing.assert_array_equal(read_series(one).voxels, head())
        assert "first" not in repr(one)


def patch(folder: Path, old: bytes, new: bytes) -> None:
    """Change bytes in every file: the writer would not write what is wrong."""
    assert len(old) == len(new)
    for path in folder.iterdir():
        raw = path.read_bytes()
        assert raw.count(old) == 1
        path.write_bytes(raw.replace(old, new))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"places": [0, 2, 4.7, 6, 8, 10]}, "uneven distances, from 1.3 to 2.7 mm"),
        ({"places": [0, 2, 4, 40, 42, 44]}, "17 of its 23 planes are missing"),
        ({"normal": (0, 0.2, 1)}, "tilted gantry"),
    ],
)
def test_series_that_are_no_volume(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    write_dicom(tmp_path, head(), **changed)  # type: ignore[arg-type]
    with pytest.raises(CosegError, match=said):
        read_dicom(tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"normal": (0, math.tan(math.radians(1.1)), 1)}, "tilted gantry"),
        ({"places": np.cumsum([1.9] * 20 + [2.1] * 20)}, "uneven distances, up to 1.95 mm"),
    ],
)
def test_small_steps_that_add_up(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    write_dicom(tmp_path, head(40, 4, 4), **changed)  # type: ignore[arg-type]
    with pytest.raises(CosegError, match=said):
        read_dicom(tmp_path)


def test_planes_that_are_a_little_off(tmp_path: Path) -> None:
    """Less than half a pixel: decimals, and a table that sags."""
    places = 2 * np.arange(40) + 0.05 * np.sin(np.arange(40))
    write_dicom(tmp_path, head(40, 4, 4), places=places, normal=(0, 0.001, 1))
    np.testing.assert_array_equal(read_dicom(tmp_path).voxels, head(40, 4, 4))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b".5\\.4 ", b"0\\0   ", "how large a pixel is"),
        (b".5\\.4 ", b"nan\\-1", "how large a pixel is"),
        # Another tag, so that the one that is wanted is missing.
        (b"\x28\x00\x30\x00", b"\x28\x00\x31\x00", "how large a pixel is"),
        (b"\x20\x00\x32\x00", b"\x20\x00\x33\x00", "do not say where they lie"),
        (b"\x20\x00\x37\x00", b"\x20\x00\x38\x00", "do not say where they lie"),
        (b"1\\0\\0\\0\\1\\0 ", b"1\\0\\0\\1\\1\\0 ", "orientation makes no sense"),
    ],
)
def test_headers_that_make_no_sense(tmp_path: Path, old: bytes, new: bytes, said: str) -> None:
    write_dicom(tmp_path, head())
    patch(tmp_path, old, new)
    with pytest.raises(CosegError, match=said):
        read_dicom(tmp_path)


def test_colour_pictures(tmp_path: Path) -> None:
    paths = write_dicom(tmp_path, head(2))
    for path in paths:
        grey = SimpleITK.ReadImage(str(path))
        colour = SimpleITK.Compose(*[SimpleITK.Cast(grey, SimpleITK.sitkUInt8)] * 3)
        for tag in ("0008|0016", "0020|000e", "0020|0032", "0020|0037", "0028|0030", "0008|0018"):
            colour.SetMetaData(tag, grey.GetMetaData(tag))
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(path))
        writer.Execute(colour)
    with pytest.raises(CosegError, match="colour"):
        read_dicom(tmp_path)


def test_files_that_are_cut_off(tmp_path: Path) -> None:
    paths = write_dicom(tmp_path, head(12))
    whole = paths[5].read_bytes()
    for length in (len(whole) - 2, len(whole) // 2, 200):
        paths[5].write_bytes(whole[:length])
        volume = read_dicom(tmp_path)
        assert "A plane is missing between plane 4 and plane 6" in volume.notes[0]
        assert "A DICOM file is damaged or cut off" in volume.notes[1]
    for path in paths:
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CosegError, match="12 DICOM files are damaged or cut off"):
        read_dicom(tmp_path)


def test_files_that_change_after_they_were_listed(tmp_path: Path) -> None:
    paths = write_dicom(tmp_path, head())
    (one,) = list_series(tmp_path).series
    paths[2].write_bytes(paths[2].read_bytes()[:500])
    with pytest.raises(CosegError, match="damaged, cut off"):
        read_series(one)
    paths[2].unlink()
    with pytest.raises(CosegError, match="damaged, cut off"):
        read_series(one)


def test_more_than_the_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom(tmp_path / "planes", head())
    (tmp_path / "frames").mkdir()
    frames(tmp_path / "frames" / "a.dcm")

    class Memory:
        available = 0

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    # Two copies of 32 bits; of one file also what ITK holds of 64.
    for name, most in (("planes", 8), ("frames", 24)):
        Memory.available = most * head().size - 1
        with pytest.raises(CosegError, match="GB of memory"):
            read_dicom(tmp_path / name)
        Memory.available += 1
        assert read_dicom(tmp_path / name).voxels.dtype == np.int16


def test_folders_without_dicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CosegError, match="no DICOM pictures"):
        read_dicom(tmp_path)
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty.dcm").touch()
    with pytest.raises(CosegError, match="no DICOM pictures"):
        read_dicom(tmp_path)
    with pytest.raises(CosegError, match="does not exist"):
        read_dicom(tmp_path / "gone")
    monkeypatch.setattr("napari_coseg.imaging.dicom_headers.MOST_FILES", 1)
    with pytest.raises(CosegError, match="more than 1 files"):
        read_dicom(tmp_path)


def test_directories_and_reports_are_no_damage(tmp_path: Path) -> None:
    write_dicom(tmp_path, head())
    for name, kind in (
        ("DICOMDIR", "1.2.840.10008.1.3.10"),
        ("sr", "1.2.840.10008.5.1.4.1.1.88.11"),
    ):
        element = b"\x02\x00\x02\x00UI" + len(kind).to_bytes(2, "little") + kind.encode()
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" + element)
    found = list_series(tmp_path)
    assert found.damaged == 0
    assert len(found.series) == 1


def test_one_file_with_many_planes(tmp_path: Path) -> None:
    made = SimpleITK.GetImageFromArray(head())
    made.SetSpacing((0.4, 0.5, 2.0))
    made.SetOrigin((1, 2, 3))
    made.SetMetaData("0008|0060", "CT")
    SimpleITK.WriteImage(made, str(tmp_path / "a.dcm"))
    volume = read_dicom(tmp_path)
    np.testing.assert_array_equal(volume.voxels, head())
    assert volume.grid.spacing == pytest.approx((2, 0.5, 0.4))
    assert volume.grid.origin == pytest.approx((1, 2, 3))


PLACE = b"\x20\x00\x32\x00\x06\x00\x00\x00"


def frames(path: Path, places: list[int] | None = None, *, compressed: bool = False) -> None:
    """Write a file of six frames, 2 mm apart, and have them say that they lie elsewhere."""
    made = SimpleITK.GetImageFromArray(head())
    made.SetSpacing((0.4, 0.5, 2.0))
    made.SetOrigin((1, 2, 3))
    made.SetMetaData("0008|0060", "CT")
    writer = SimpleITK.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetUseCompression(compressed)
    writer.Execute(made)
    # Packed pixels go with types that are written out.
    mark = PLACE.replace(b"\x06\x00\x00\x00", b"DS\x06\x00") if compressed else PLACE
    parts = path.read_bytes().split(mark)
    assert len(parts) == 7
    for number, place in enumerate(places or []):
        parts[number + 1] = f"1\\2\\{place}".ljust(6).encode() + parts[number + 1][6:]
    path.write_bytes(mark.join(parts))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("places", "order"),
    [
        ([3, 5, 7, 9, 11, 13], [0, 1, 2, 3, 4, 5]),
        ([13, 11, 9, 7, 5, 3], [5, 4, 3, 2, 1, 0]),
        ([5, 3, 13, 9, 7, 11], [1, 0, 4, 3, 5, 2]),
    ],
)
def test_frames_are_sorted_by_their_places(
    tmp_path: Path, places: list[int], order: list[int], compressed: bool
) -> None:
    frames(tmp_path / "a.dcm", places, compressed=compressed)
    (one,) = list_series(tmp_path).series
    assert one.description == "CT: 6 axial planes of 12 x 16, 2 x 0.5 x 0.4 mm"
    volume = read_series(one)
    np.testing.assert_array_equal(volume.voxels, head()[order])
    assert volume.grid.origin == (1, 2, 3)
    assert volume.grid.superior == 1


@pytest.mark.parametrize("kind", [b"2.1", b"2.2", b"4.1", b"4.4", b"130"])
def test_the_slope_of_all_frames(tmp_path: Path, kind: bytes) -> None:
    frames(tmp_path / "a.dcm")
    raw = (tmp_path / "a.dcm").read_bytes()
    for old, new in (
        (b"\x28\x00\x53\x10\x02\x00\x00\x001 ", b"\x28\x00\x53\x10\x02\x00\x00\x002 "),
        (b"\x28\x00\x52\x10\x02\x00\x00\x000 ", b"\x28\x00\x52\x10\x02\x00\x00\x00-7"),
    ):
        assert raw.count(old) == 1
        raw = raw.replace(old, new)
    raw = raw.replace(b"5.1.4.1.1.2.1\0", b"5.1.4.1.1." + kind + b"\0")
    (tmp_path / "a.dcm").write_bytes(raw)
    np.testing.assert_array_equal(read_dicom(tmp_path).voxels, 2 * head() - 7)


@pytest.mark.parametrize("last", [b"1     ", b"2     "])
def test_slopes_of_each_frame(tmp_path: Path, last: bytes) -> None:
    """One place, the distance, and six slopes, which are the same or not."""
    frames(tmp_path / "a.dcm")
    first, place, *others = (tmp_path / "a.dcm").read_bytes().split(PLACE)
    slope = b"\x28\x00\x53\x10\x06\x00\x00\x00"
    raw = first + PLACE + place
    for other in others:
        raw += slope + (last if other is others[-1] else b"1     ") + other[6:]
    (tmp_path / "a.dcm").write_bytes(raw)
    if last == b"1     ":
        np.testing.assert_array_equal(read_dicom(tmp_path).voxels, head())
        return
    with pytest.raises(CosegError, match="do not say clearly what their grey values are"):
        read_dicom(tmp_path)


def test_a_frame_is_missing(tmp_path: Path) -> None:
    frames(tmp_path / "a.dcm", [3, 5, 9, 11, 13, 15])
    volume = read_dicom(tmp_path)
    np.testing.assert_array_equal(volume.voxels[[0, 1, 3, 4, 5, 6]], head())
    assert "A plane is missing between plane 1 and plane 3" in volume.notes[0]


def test_frames_that_are_no_volume(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    for places, said in (
        ([3, 5, 7, 3, 5, 7], "several pictures at one place"),
        ([3, 5, 7, 40, 42, 44], "uneven distances|are missing"),
    ):
        frames(path, places)
        with pytest.raises(CosegError, match=said):
            read_dicom(tmp_path)


def test_frames_that_do_not_say_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    between = b"\x18\x00\x88\x00\x02\x00\x00\x00"
    one_place = (PLACE, PLACE.replace(b"\x32", b"\x33"), 5)
    frames(path)
    whole = path.read_bytes()
    # Distance and one place are enough.
    path.write_bytes(whole[::-1].replace(one_place[0][::-1], one_place[1][::-1], 5)[::-1])
    np.testing.assert_array_equal(read_dicom(tmp_path).voxels, head())
    assert read_dicom(tmp_path).grid.spacing == pytest.approx((2, 0.5, 0.4))
    told = path.read_bytes()
    for raw, old, new, said in (
        (told, between, b"\x18\x00\x89\x00\x02\x00\x00\x00", "where each of them lies"),
        (whole, PLACE, one_place[1], "where each of them lies"),
        # Two slopes, 1 and 2.
        (whole, between, b"\x28\x00\x53\x10\x02\x00\x00\x00", "what their grey values are"),
        (whole, b"\x28\x00\x30\x00\x06", b"\x28\x00\x31\x00\x06", "how large a pixel is"),
        # An object of whose frames ITK does not take the slope.
        (whole, b"5.1.4.1.1.2.1\0", b"5.1.4.1.1.7.3\0", "what their grey values are"),
    ):
        assert old in raw
        path.write_bytes(raw.replace(old, new))
        with pytest.raises(CosegError, match=f"do not say clearly .*{said}.*NIfTI"):
            read_dicom(tmp_path)


def test_nothing_of_the_patient_comes_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in what is returned, printed or raised, tracebacks included."""
    folder = tmp_path / "scan"
    paths = write_dicom(folder, head(12))
    write_dicom(folder, head(1), series=9, names="one.dcm", tags={"0008|0060": SECRETS[0]})
    paths[4].write_bytes(paths[4].read_bytes()[:-40])
    found = list_series(folder)
    said = [repr(found), *(f"{one!r} {one.name} {one.description}" for one in found.series)]
    volume = read_series(found.volumes[0])
    said += [repr(volume), str(volume.notes), str(volume.grid.as_dict())]
    paths[7].write_bytes(paths[7].read_bytes()[:-40])
    for wrong in (found.volumes[0], found.series[-1]):
        with pytest.raises(CosegError) as raised:
            read_series(wrong)
        error = raised.value
        assert error.__cause__ is None or isinstance(error.__cause__, CosegError)
        said += [str(error), *traceback.format_exception(error)]
    write_labels(tmp_path / "labels.nii.gz", (volume.voxels > 0).astype(np.uint8), volume.grid)
    header = SimpleITK.ReadImage(str(tmp_path / "labels.nii.gz"))
    said += [header.GetMetaData(key) for key in header.GetMetaDataKeys()]
    printed = capfd.readouterr()
    said += [printed.out, printed.err]
    everything = "\n".join(said)
    for secret in (*SECRETS, "1.2.826.0.1", "scan"):
        assert secret not in everything

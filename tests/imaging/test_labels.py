from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_coseg.imaging.labels import read_labels, write_label_tiff
from napari_coseg.imaging.pixel_size import read_mpp
from napari_coseg.types import CosegError


def _labels(shape: tuple[int, int], dtype: type, seed: int = 0) -> np.ndarray:
    top = 2 if dtype is bool else min(np.iinfo(dtype).max, 100_000)
    values = np.random.default_rng(seed).integers(0, top, shape).astype(dtype)
    values.flat[-1] = top - 1
    return values


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50_000), (700, 1030)])
def test_round_trip(tmp_path: Path, dtype: type, shape: tuple[int, int]) -> None:
    path = tmp_path / "a.tif"
    labels = _labels(shape, dtype)
    write_label_tiff(path, labels, mpp=0.2527)
    read = read_labels(path, expected_shape=shape)
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, labels)
    assert read_mpp(path) == 0.2527
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert page.is_tiled
        assert page.dtype == (np.uint8 if dtype is bool else dtype)
        assert page.tags["ResolutionUnit"].value == 3
        assert not tiff.is_bigtiff


def test_no_pixel_size_is_not_invented(tmp_path: Path) -> None:
    write_label_tiff(tmp_path / "a.tif", np.ones((4, 4), np.uint8))
    assert read_mpp(tmp_path / "a.tif") is None


def test_two_writes_are_the_same_bytes(tmp_path: Path) -> None:
    labels = _labels((600, 600), np.int32)
    for name in ("a.tif", "b.tif"):
        write_label_tiff(tmp_path / name, labels, mpp=0.5)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_big_endian_and_strided_arrays(tmp_path: Path) -> None:
    labels = _labels((300, 200), np.int32)
    write_label_tiff(tmp_path / "a.tif", labels.astype(">i4")[::2, ::-1])
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), labels[::2, ::-1])


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2)), np.zeros((2, 2), np.int64), np.zeros((0, 2), np.uint8)]
)
def test_arrays_that_are_no_labels(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="labels must be"):
        write_label_tiff(tmp_path / "a.tif", array)
    assert os.listdir(tmp_path) == []


def test_memory_of_a_large_memmap_is_bounded(tmp_path: Path) -> None:
    """144 MB of labels are written with far less in memory (in a process of its own)."""
    script = """
import resource, sys
import numpy as np
from napari_coseg.imaging.labels import write_label_tiff
from pathlib import Path
folder = Path(sys.argv[1])
labels = np.memmap(folder / "a.raw", np.int32, "w+", shape=(6000, 6000))
write_label_tiff(folder / "small.tif", np.zeros((600, 600), np.int32))
def private():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("RssAnon")) / 1024
class Watched:
    ndim, size, dtype, shape = 2, labels.size, labels.dtype, labels.shape
    peak = 0.0
    def __getitem__(self, key):
        Watched.peak = max(Watched.peak, private())
        return labels[key]
before = private()
write_label_tiff(folder / "a.tif", Watched())
print(Watched.peak - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the memory of the process from /proc")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert float(done.stdout) < 40


def test_files_over_four_gigabytes_become_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_coseg.imaging.labels._CLASSIC_BYTES", 1000)
    labels = _labels((100, 100), np.int32)
    write_label_tiff(tmp_path / "a.tif", labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), labels)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of file sizes")
def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    """A file-size limit makes the kernel refuse the write in the middle, as a full disk does."""
    labels = np.random.default_rng(0).integers(0, 1 << 30, (1024, 1024)).astype(np.int32)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(CosegError, match=r"a\.tif: the disk is full"):
            write_label_tiff(tmp_path / "a.tif", labels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_png_modes(tmp_path: Path, mode: str) -> None:
    top = {"1": 2, "I;16": 60_000}.get(mode, 256)
    ids = np.random.default_rng(1).integers(0, top, (20, 30))
    if mode == "1":
        image = Image.fromarray(ids.astype(bool))
    elif mode == "I;16":
        image = Image.fromarray(ids.astype(np.uint16))
    else:
        image = Image.fromarray(ids.astype(np.uint8))
        if mode == "P":
            image.putpalette(np.random.default_rng(2).integers(0, 256, 768).astype(np.uint8))
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == mode
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), ids)


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2", ">i4", ">u8"]
)
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_tiff_of_any_integer_type(tmp_path: Path, dtype: str, compression: str | None) -> None:
    ids = np.random.default_rng(3).integers(0, 100, (20, 30)).astype(dtype)
    order = ">" if dtype[0] == ">" else "<"
    tifffile.imwrite(tmp_path / "a.tif", ids, byteorder=order, compression=compression)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), ids)


def test_a_stack_of_one_plane_and_other_planes(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    tifffile.imwrite(tmp_path / "a.tif", ids, photometric="minisblack")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), ids[0])
    tifffile.imwrite(tmp_path / "b.tif", np.repeat(ids, 5, 0), photometric="minisblack")
    with pytest.raises(CosegError, match=r"b\.tif has the shape 5 x 3 x 4.*one plane"):
        read_labels(tmp_path / "b.tif")


def _bad(folder: Path, what: str) -> Path:
    path = folder / f"{what}.tif"
    small = np.zeros((8, 9), np.int32)
    if what == "float":
        tifffile.imwrite(path, small.astype(np.float32))
    elif what == "negative":
        tifffile.imwrite(path, small - 3)
    elif what == "huge":
        tifffile.imwrite(path, small.astype(np.uint32) + np.uint32(1 << 31))
    elif what == "huge64":
        tifffile.imwrite(path, small.astype(np.int64) + (1 << 40))
    elif what == "rgb":
        tifffile.imwrite(path, np.zeros((8, 9, 3), np.uint8), photometric="rgb")
    elif what == "rgbpng":
        path = path.with_suffix(".png")
        Image.new("RGB", (9, 8)).save(path)
    elif what == "jpeg":
        path = path.with_suffix(".jpg")
        Image.new("L", (9, 8)).save(path)
    elif what == "truncated":
        noise = np.random.default_rng(0).integers(0, 9, (99, 99))
        tifffile.imwrite(path, noise.astype(np.int32), compression="zlib")
        path.write_bytes(path.read_bytes()[:-200])
    elif what == "text":
        path = path.with_suffix(".png")
        path.write_text("label,row,column\n")
    elif what == "empty":
        path.touch()
    elif what == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("float", "float32 values"),
        ("negative", r"negative labels \(down to -3\)"),
        ("huge", "2147483648, above the largest id"),
        ("huge64", "above the largest id"),
        ("rgb", "colour picture"),
        ("rgbpng", "colour picture"),
        ("jpeg", "changes label values"),
        ("truncated", "truncated"),
        ("text", "is not an image"),
        ("empty", "is empty"),
        ("folder", "is a folder"),
        ("missing", "does not exist"),
    ],
)
def test_bad_labels_are_told_with_their_name(tmp_path: Path, what: str, sentence: str) -> None:
    path = _bad(tmp_path, what)
    with pytest.raises(CosegError, match=sentence) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_labels_of_another_size_name_both(tmp_path: Path) -> None:
    write_label_tiff(tmp_path / "a.tif", np.zeros((8, 9), np.uint8))
    with pytest.raises(CosegError, match=r"a\.tif has 8 x 9 pixels.*its image has 9 x 8"):
        read_labels(tmp_path / "a.tif", expected_shape=(9, 8))

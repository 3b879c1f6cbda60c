"""How an image is known again, and where its journal lives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_coseg.annotation import places
from napari_coseg.annotation.identity import ImageIdentity, identify, sample_windows
from napari_coseg.annotation.places import SUFFIX, journal_path, journal_place
from napari_coseg.types import CosegError


class Lazy:
    """Counts what is read of an array that nobody could hold."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.read = shape, np.dtype(np.uint8), 0

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        axes = [np.arange(s.start, s.stop) for s in window]
        values = sum(np.ix_(*axes))
        self.read += values.size
        return (values % 251).astype(np.uint8)


@pytest.mark.parametrize(
    "shape", [(1, 1), (7,), (3000, 2000, 3), (40, 512, 512), (2, 3, 90, 80, 3)]
)
def test_an_image_is_known_by_its_pixels(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 60000, shape, dtype=np.uint16)
    known = identify(image)
    assert known == identify(image.copy(order="F")) == identify(image.astype(">u2"))
    assert known == identify(lambda window: image[window], shape=shape, dtype=image.dtype)
    assert known == ImageIdentity.from_json(known.to_json())
    assert known.shape == shape
    assert known.dtype == "uint16"
    assert known != identify(image + 1)
    assert known != identify(image.astype(np.int32))
    assert known != identify(image[None])


def test_a_slide_is_known_after_a_few_reads() -> None:
    slide = Lazy((200_000, 100_000, 3))
    assert identify(slide) == identify(slide)
    assert slide.read < 2 * 19 * (1 << 15)
    windows = sample_windows(slide.shape)
    assert len(windows) == 19
    assert windows[0][0].start == 0
    assert windows[2][1].stop == 100_000
    # They are spread: each quarter of both axes has some.
    for axis in (0, 1):
        starts = np.array([w[axis].start for w in windows]) / slide.shape[axis]
        assert (np.histogram(starts, 4, (0, 1))[0] >= 3).all()


def test_zarr_and_dask_are_known_as_numpy_is(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    dask = pytest.importorskip("dask.array")
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    stored = zarr.open(str(tmp_path / "z"), mode="w", shape=image.shape, chunks=64, dtype="u1")
    stored[:] = image
    lazy = dask.from_array(image, chunks=100)
    assert identify(image) == identify(stored) == identify(lazy)


def test_images_that_cannot_be_known() -> None:
    with pytest.raises(CosegError, match="no pixels"):
        identify(np.zeros((0, 5)))

    def read(window: tuple[slice, ...]) -> np.ndarray:
        raise OSError("the disk has gone")

    with pytest.raises(CosegError, match="cannot be read"):
        identify(read, shape=(5, 5), dtype=np.uint8)
    for text in ("", "{}", "[]", '{"shape": 3, "dtype": "u1", "digest": ""}'):
        with pytest.raises(CosegError, match="not the identity"):
            ImageIdentity.from_json(text)


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageIdentity:
    monkeypatch.setattr(places, "data_folder", lambda: tmp_path / "data" / "journals")
    return identify(np.zeros((5, 5)))


def test_a_journal_lives_beside_its_image(tmp_path: Path, known: ImageIdentity) -> None:
    image = tmp_path / "slide.ome.tif"
    place = journal_place(known, image)
    assert place.path == tmp_path / ("slide.ome.tif" + SUFFIX) == journal_path(known, image)
    assert place.reason == "beside the image"
    # Nothing is left behind by looking whether that is possible.
    assert list(tmp_path.iterdir()) == []


def test_a_journal_lives_in_the_data_folder_where_it_must(
    tmp_path: Path, known: ImageIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "erika.tif"
    own = tmp_path / "data" / "journals" / (known.digest + SUFFIX)
    place = journal_place(known, None)
    assert place.path == own
    assert "not a file" in place.reason
    assert own.parent.is_dir()
    place = journal_place(known, tmp_path / "missing" / "a.tif")
    assert place.path == own
    assert "does not exist" in place.reason
    # Earlier work is found again, though the folder can be written to by now.
    own.touch()
    place = journal_place(known, image)
    assert place.path == own
    assert "earlier work" in place.reason
    own.unlink()
    monkeypatch.setattr(places, "is_remote", lambda folder: True)
    place = journal_place(known, image)
    assert place.path == own
    assert "network share" in place.reason
    (tmp_path / ("erika.tif" + SUFFIX)).touch()
    assert "left as it is" in journal_place(known, image).reason


def test_a_journal_lives_where_the_person_wants(tmp_path: Path, known: ImageIdentity) -> None:
    folder = tmp_path / "chosen"
    with pytest.raises(CosegError, match="does not exist"):
        journal_place(known, tmp_path / "a.tif", folder)
    folder.mkdir()
    place = journal_place(known, tmp_path / "a.tif", folder)
    assert place.path.parent == folder
    assert place.path.name == f"a.tif-{known.digest[:8]}{SUFFIX}"
    assert "you chose" in place.reason
    assert journal_path(known, None, folder) == folder / (known.digest + SUFFIX)


def test_shares_are_told_from_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not places.is_remote(tmp_path)
    from collections import namedtuple

    mount = namedtuple("mount", "mountpoint fstype opts")
    root = mount("/", "ext4", "rw")
    for share, remote in (
        (mount(str(tmp_path), "nfs4", "rw"), True),
        (mount(str(tmp_path), "", "rw,remote"), True),
        (mount(str(tmp_path), "xfs", "rw"), False),
        (mount(f"{tmp_path}x", "cifs", "rw"), False),
    ):
        monkeypatch.setattr(places.psutil, "disk_partitions", lambda all: [share, root])  # noqa: B023
        assert places.is_remote(tmp_path) is remote
        assert places.is_remote(tmp_path / "folder") is remote

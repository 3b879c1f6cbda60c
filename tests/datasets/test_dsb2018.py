"""DSB 2018: a file a nucleus."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.dsb2018 import Dsb2018Dataset
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import reader_of
from napari_coseg.types import CosegError
from tests.datasets.published_sets import SHAPE, objects, picture, save, write_dsb2018

CLEAR, GREY, COLOUR = "00071198d059", "003cee89357d", "1b44d22643830cd4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dsb2018(tmp_path)


def masks(root: Path, name: str = CLEAR) -> list[Path]:
    return sorted((root / "stage1_train" / name / "masks").iterdir())


def faults(root: Path) -> dict[str, str]:
    return {fault.name: fault.sentence for fault in Dsb2018Dataset(root).faults}


def test_items_and_parts(root: Path) -> None:
    assert reader_of(root) is Dsb2018Dataset
    dataset = Dsb2018Dataset(root)
    assert [(item.name, item.part, sorted(item.labels)) for item in dataset.items] == [
        (CLEAR, "train", ["instances"]),
        (GREY, "train", ["instances"]),
        (COLOUR, "train", ["instances"]),
        ("0114f484a16c", "test", []),
    ]
    assert dataset.faults == ()


@pytest.mark.parametrize("name", ["stage1_train", "Kerne"])
def test_a_stage_of_its_own(root: Path, name: str) -> None:
    (root / "stage1_train").rename(root / name)
    assert reader_of(root / name) is Dsb2018Dataset
    assert len(Dsb2018Dataset(root / name).items) == 3


def test_pixels_of_every_kind_of_picture(root: Path) -> None:
    dataset = pickle.loads(pickle.dumps(Dsb2018Dataset(root)))
    clear, grey, colour = (dataset.read(item) for item in dataset.items[:3])
    assert (clear.image == picture(0)).all()
    assert (grey.image == picture(1)[:, :, :1]).all()
    assert (colour.image == picture(2)).all()
    for read in (clear, grey, colour):
        assert (read.instances == objects(4)).all()
        assert read.instances.dtype == np.int32
        assert read.classes is None
        assert read.overlap == 0
        assert math.isnan(read.mpp)
    assert dataset.read(dataset.items[3]).instances is None


def test_a_pixel_size_that_a_person_says(root: Path) -> None:
    dataset = Dsb2018Dataset(root, OpenOptions(mpp=0.3))
    assert dataset.mpp == dataset.read(dataset.items[0]).mpp == 0.3


def test_overlaps_are_counted_and_belong_to_the_first(root: Path) -> None:
    more = np.where(objects(4) == 1, 255, 0).astype(np.uint8)
    more[4:12, 11:14] = 255
    save(masks(root)[-1].with_name("zz.png"), more)
    dataset = Dsb2018Dataset(root)
    read = dataset.read(dataset.items[0])
    assert read.overlap == 64
    assert (read.instances[4:12, 4:12] == 1).all()
    assert (read.instances[4:12, 12:14] == 5).all()


def test_folders_that_are_not_whole_are_named(root: Path) -> None:
    train = root / "stage1_train"
    for path in masks(root, CLEAR):
        path.unlink()
    (train / GREY / "images" / f"{GREY}.png").unlink()
    save(train / COLOUR / "images" / "other.png", picture(0))
    (train / "核" / "images").mkdir(parents=True)
    (train / "round").symlink_to(root, target_is_directory=True)
    (train / "self").symlink_to(train / "self")
    found = faults(root)
    assert set(found) == {CLEAR, GREY, COLOUR, "核", "round", "self"}
    assert "has no mask" in found[CLEAR]
    assert "has 0 images" in found[GREY]
    assert "has 2 images" in found[COLOUR]
    assert "leads nowhere" in found["self"]
    assert [item.name for item in Dsb2018Dataset(root).items] == ["0114f484a16c"]


def test_masks_that_cannot_be_used_are_named(root: Path) -> None:
    dataset = Dsb2018Dataset(root)
    item = dataset.items[0]
    path = masks(root)[2]
    save(path, np.zeros(SHAPE, np.uint8))
    with pytest.raises(CosegError, match=f"{path.name} is an empty mask"):
        dataset.read(item)
    save(path, np.full((4, 4), 255, np.uint8))
    with pytest.raises(CosegError, match=f"{path.name} has 4 x 4 pixels"):
        dataset.read(item)
    save(path, picture(0))
    with pytest.raises(CosegError, match=f"{path.name} is a colour picture"):
        dataset.read(item)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CosegError, match=path.name):
        dataset.read(item)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(CosegError, match=f"{path.name} is a link that leads nowhere"):
        dataset.read(item)


def test_a_folder_without_nuclei(tmp_path: Path) -> None:
    assert not Dsb2018Dataset.recognises(tmp_path)
    with pytest.raises(CosegError, match="ID/images"):
        Dsb2018Dataset(tmp_path)

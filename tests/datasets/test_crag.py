"""CRAG: glands in folders, and nuclei published elsewhere."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_coseg.datasets.crag import CragDataset
from napari_coseg.datasets.opening import reader_of
from napari_coseg.types import CosegError
from tests.datasets.published_sets import objects, picture, save, write_crag, write_lizard_nuclei


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_crag(tmp_path)


def folder(root: Path) -> Path:
    return root / "CRAG_v2" / "CRAG"


@pytest.mark.parametrize("inside", [".", "CRAG_v2", "CRAG_v2/CRAG"])
def test_items_and_parts(root: Path, inside: str) -> None:
    assert reader_of(root / inside) is CragDataset
    dataset = CragDataset(root / inside)
    assert [(item.name, item.part) for item in dataset.items] == [
        ("train_1", "train"),
        ("train_2", "train"),
        ("train_10", "train"),
        ("test_1", "test"),
    ]
    assert dataset.faults == ()


def test_pixels_and_glands(root: Path) -> None:
    dataset = pickle.loads(pickle.dumps(CragDataset(root)))
    read = dataset.read(dataset.items[0])
    assert (read.image == picture(0)).all()
    assert (read.region_instances == objects(4)).all()
    assert ((read.regions == 1) == (objects(4) > 0)).all()
    assert read.mpp == 0.5


def test_more_glands_than_eight_bits(root: Path) -> None:
    path = folder(root) / "train" / "Annotation" / "train_1.png"
    Image.fromarray((objects(2) * 30_000).astype(np.uint16)).save(path)
    dataset = CragDataset(root)
    read = dataset.read(dataset.items[0])
    assert set(np.unique(read.region_instances)) == {0, 30_000, 60_000}


def test_nuclei_of_lizard_by_its_table(root: Path) -> None:
    write_lizard_nuclei(
        folder(root) / "nuclei", {"crag_1": "train_10", "crag_2": "test_1", "glas_1": "train_1"}
    )
    dataset = CragDataset(root)
    assert dataset.faults == ()
    assert [i.name for i in dataset.items if "classes" in i.labels] == ["train_10", "test_1"]
    read = dataset.read(dataset.items[-1])
    assert (read.instances == objects(6)).all()
    assert set(np.unique(read.classes)) == {0, 1, 2, 3}


def test_pairs_that_are_not_whole_are_named(root: Path) -> None:
    train = folder(root) / "train"
    (train / "Annotation" / "train_1.png").unlink()
    (train / "Images" / "train_2.png").unlink()
    (train / "Images" / "train_10.png").unlink()
    (train / "Images" / "train_10.png").symlink_to(train / "Images" / "train_10.png")
    save(folder(root) / "valid" / "Images" / "ñ.png", picture(0))
    found = {fault.name: fault.sentence for fault in CragDataset(root).faults}
    assert set(found) == {"train_1", "train_2", "train_10", "train_10.png", "ñ"}
    assert "Annotation/train_1.png is missing" in found["train_1"].replace("\\", "/")
    assert "label of no image" in found["train_2"]
    assert "leads nowhere" in found["train_10.png"]
    assert [item.name for item in CragDataset(root).items] == ["test_1"]


def test_a_part_without_labels_is_named(root: Path) -> None:
    (folder(root) / "valid" / "Annotation").rename(folder(root) / "valid" / "Elsewhere")
    (fault,) = CragDataset(root).faults
    assert fault.name == "test_1"


def test_labels_that_cannot_be_used_are_named(root: Path) -> None:
    dataset = CragDataset(root)
    first = dataset.items[0]
    label = first.labels["regions"]
    save(label, np.zeros((4, 5), np.uint8))
    with pytest.raises(CosegError, match=r"train_1\.png has 4 x 5 pixels"):
        dataset.read(first)
    label.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(CosegError, match=r"Annotation.train_1\.png"):
        dataset.read(first)


def test_a_folder_without_glands(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="train/Images"):
        CragDataset(tmp_path)

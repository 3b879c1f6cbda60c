"""IMed-361M: a miniature in its layout, and what may be wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_coseg.datasets.imed import ImedDataset
from napari_coseg.datasets.labelled import LabelledImage, OpenOptions
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.types import CosegError

from .large_sets import SHAPE, three_masks, write_imed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_imed(tmp_path / "IMed")


def objects(read: LabelledImage) -> list[np.ndarray]:
    assert read.instances is not None
    layers = [read.instances, *read.overlapping]
    count = max(int(one.max()) for one in layers)
    return [sum((one == n) for one in layers) > 0 for n in range(1, count + 1)]


def test_items_and_parts(root: Path) -> None:
    assert reader_of(root) is ImedDataset
    dataset = open_dataset(root)
    assert len(dataset.items) == 10
    assert {(item.part, item.group) for item in dataset.items} == {
        (part, f"{name}/ABD_{volume:03d}")
        for name in ("BTCV", "ACDC")
        for part, volume in (("train", 1), ("train", 2), ("test", 3))
    }
    assert len({item.name for item in dataset.items}) == 10


def test_one_of_its_sets_alone(root: Path) -> None:
    dataset = open_dataset(root / "ACDC")
    assert sorted(item.name for item in dataset.items)[0] == "ACDC-ABD_001_10"
    assert len(dataset.items) == 5


def test_both_kinds_of_masks(root: Path) -> None:
    dataset = open_dataset(root)
    found = objects(dataset.read(dataset.items[0]))
    assert len(found) == 5
    for mask, truth in zip(found, three_masks(), strict=False):
        np.testing.assert_array_equal(mask, truth)
    assert found[3][:4].all()
    assert not found[3][4:].any()
    assert found[4][20:].all()


@pytest.mark.parametrize(
    ("text", "count"), [('masks = "label"', 3), ('masks = "imask"\nimask_background = [-1, 0]', 1)]
)
def test_kinds_of_masks(root: Path, tmp_path: Path, text: str, count: int) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(text, encoding="utf-8")
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    assert len(objects(dataset.read(dataset.items[0]))) == count


def test_faults_are_named(root: Path) -> None:
    path = root / "ACDC" / "dataset.json"
    about = json.loads(path.read_text("utf-8"))
    about["training"][0]["label"] = "../../label.npz"
    about["training"][1] = {"label": "label/x.npz"}
    path.write_text(json.dumps(about), encoding="utf-8")
    dataset = open_dataset(root)
    assert len(dataset.items) == 8
    assert "do not lie in its folder" in dataset.faults[0].sentence
    assert "names no image" in dataset.faults[1].sentence


def test_labels_that_cannot_be_used(root: Path) -> None:
    dataset = open_dataset(root)
    item = dataset.items[0]
    path = item.labels["instances"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CosegError, match="as a sparse matrix"):
        dataset.read(item)
    sparse.save_npz(path, sparse.csr_matrix(np.ones((2, 5), np.uint8)))
    with pytest.raises(CosegError, match="its name says"):
        dataset.read(item)


def test_interactive_masks_that_cannot_be_used(root: Path) -> None:
    dataset = open_dataset(root)
    item = dataset.items[0]
    path = next(item.image.parents[1].glob(f"imask/*{item.image.stem}.npy"))
    np.save(path, np.zeros((SHAPE[0], SHAPE[1] + 1, 1), np.int32))
    with pytest.raises(CosegError, match="there must be a number for each"):
        dataset.read(item)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(CosegError, match="cannot be read as an array"):
        dataset.read(item)
    path.unlink()
    with pytest.raises(CosegError, match="cannot be read as an array"):
        dataset.read(item)


def test_names_with_one_number_are_no_slices(tmp_path: Path) -> None:
    root = write_imed(tmp_path, ("ISIC",)) / "ISIC"
    path = root / "dataset.json"
    about = json.loads(path.read_text("utf-8"))
    about["training"] = [
        {"image": f"image/ISIC_{n:07d}.png", "label": "label/a.npz"} for n in range(3)
    ]
    path.write_text(json.dumps(about), encoding="utf-8")
    groups = {item.group for item in open_dataset(root).items if item.part == "train"}
    assert groups == {f"ISIC/ISIC_{n:07d}" for n in range(3)}

"""SA-Med2D-20M: a miniature in its layout, and what may be wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.datasets.sa_med2d import SaMed2dDataset
from napari_coseg.types import CosegError

from .large_sets import SHAPE, read_list, three_masks, write_list, write_sa_med2d


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_sa_med2d(tmp_path)


def test_opens_from_either_folder(root: Path) -> None:
    assert reader_of(root) is SaMed2dDataset
    dataset = open_dataset(root.parent)
    assert isinstance(dataset.items, ManyItems)
    assert dataset.faults == ()
    assert sorted(f"images/{item.name}.png" for item in dataset.items) == sorted(read_list(root))
    assert {item.group for item in dataset.items} == {
        f"{('AbdomenCT1K', 'BraTS2013')[case % 2]}--Case_{case:05d}" for case in range(6)
    }


def test_masks_that_overlap_are_all_there(root: Path) -> None:
    dataset = open_dataset(root)
    read = dataset.read(dataset.items[0])
    assert read.image.shape == (*SHAPE, 3)
    assert read.instances is not None
    assert len(read.overlapping) == 1
    for number, mask in enumerate(three_masks(), 1):
        layers = [one for one in (read.instances, *read.overlapping) if (one == number).any()]
        assert len(layers) == 1
        np.testing.assert_array_equal(layers[0] == number, mask)


def test_inverted_masks_of_a_dataset(root: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('inverted = ["BraTS2013"]', encoding="utf-8")
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    found = {item.name.split("--")[1]: dataset.read(item) for item in dataset.items}
    assert found["AbdomenCT1K"].instances is not None
    assert found["BraTS2013"].instances is not None
    np.testing.assert_array_equal(found["AbdomenCT1K"].instances == 1, three_masks()[0])
    np.testing.assert_array_equal(found["BraTS2013"].instances == 1, ~three_masks()[0])


def test_left_out_and_group(root: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text("left_out = 'BraTS'\ngroup = 'Case_\\d+'\nindex = 'cache'", encoding="utf-8")
    items = open_dataset(root, options=OpenOptions(mapping=mapping)).items
    assert {item.group for item in items} == {"Case_00000", "Case_00002", "Case_00004"}
    assert len(list((tmp_path / "cache").glob("sa-med2d-*.sqlite"))) == 1
    assert not list(root.glob(".napari*"))


def test_faults_are_named(root: Path) -> None:
    listed = read_list(root)
    names = list(listed)
    stem = Path(names[0]).stem
    listed[names[0]] = []
    listed[names[1]] = [listed[names[2]][0]]
    listed[names[2]] = [f"masks/{Path(names[2]).stem}--0009_000.png"]
    listed["images/../../outside--a--b--c.png"] = ["masks/x.png"]
    listed["images/ct_00--Unknown--Case--x_1.png"] = ["masks/ct_00--Unknown--Case--x_1--0000_0.png"]
    write_list(root, listed)
    faults = {fault.name: fault.sentence for fault in open_dataset(root).faults}
    assert "lists no mask" in faults[stem]
    assert "no mask of it" in faults[Path(names[1]).stem]
    assert "class 0009" in faults[Path(names[2]).stem]
    assert "is no images/" in faults["images/../../outside--a--b--c.png"]
    assert "does not know" in faults["ct_00--Unknown--Case--x_1"]
    assert len(open_dataset(root).items) == len(names) - 3


def test_without_the_classes_file(root: Path) -> None:
    (root / "SAMed2D_v1_class_mapping_id.json").unlink()
    dataset = open_dataset(root)
    assert [fault.name for fault in dataset.faults] == ["SAMed2D_v1_class_mapping_id.json"]
    assert len(dataset.items) == 12


def test_a_list_that_ends_too_early(root: Path) -> None:
    path = root / "SAMed2D_v1.json"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CosegError, match="cannot be read as JSON"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.zeros(SHAPE, np.uint8), "is an empty mask"),
        (np.ones((SHAPE[0] + 1, SHAPE[1]), np.uint8), "labels must have the size of their image"),
        (None, "SAMed2Dv1/masks/"),
    ],
)
def test_masks_that_cannot_be_used(root: Path, pixels: np.ndarray | None, sentence: str) -> None:
    dataset = open_dataset(root)
    item = dataset.items[3]
    path = item.labels["instances"]
    if pixels is None:
        path.unlink()
    else:
        Image.fromarray(pixels).save(path)
    with pytest.raises(CosegError, match=sentence) as caught:
        dataset.read(item)
    assert path.name in str(caught.value)

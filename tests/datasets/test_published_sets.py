"""What holds for every reader of a published set."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import LABEL_KINDS, PARTS, OpenOptions
from napari_coseg.datasets.opening import open_dataset
from napari_coseg.types import CosegError
from tests.datasets import published_sets

WRITERS: dict[str, Callable[[Path], Path]] = {
    "glas": published_sets.write_glas,
    "crag": published_sets.write_crag,
    "consep": published_sets.write_consep,
    "lizard": published_sets.write_lizard,
    "pannuke": published_sets.write_pannuke,
    "dsb2018": published_sets.write_dsb2018,
}
SIZES = {"glas": 0.62005, "crag": 0.5, "consep": 0.25, "lizard": 0.5, "pannuke": 0.25}


@pytest.fixture(params=WRITERS)
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path, key: str) -> Path:
    return WRITERS[key](tmp_path / "Größe 核 é")


def test_a_set_is_found_out_and_read_whole(root: Path, key: str) -> None:
    dataset = open_dataset(root)
    assert dataset.format.key == key
    assert dataset.faults == ()
    names = [item.name for item in dataset.items]
    assert len(set(names)) == len(names)
    assert all(Path(name).name == name for name in names)
    assert all(item.part in PARTS and item.plane is None for item in dataset.items)
    copy = pickle.loads(pickle.dumps(dataset))
    assert list(copy.items) == list(dataset.items)
    for item in dataset.items:
        read = copy.read(item)
        assert np.nan_to_num(read.mpp) == SIZES.get(key, 0)
        present = {kind for kind in LABEL_KINDS if getattr(read, kind) is not None}
        assert present == set(item.labels)
        for kind in present:
            labels = getattr(read, kind)
            assert labels.shape == read.image.shape[:2]
            assert labels.dtype == (np.int32 if "instances" in kind else np.uint8)
        if read.classes is not None:
            assert ((read.classes > 0) == (read.instances > 0)).all()
            assert read.classes.max() <= len(dataset.instance_classes)


def test_a_pixel_size_that_a_person_says(root: Path) -> None:
    dataset = open_dataset(root, options=OpenOptions(mpp=0.4))
    assert dataset.mpp == dataset.read(dataset.items[0]).mpp == 0.4


def test_the_order_is_the_same_each_time_and_by_number(root: Path) -> None:
    assert list(open_dataset(root).items) == list(open_dataset(root).items)


def test_planes_are_refused(root: Path) -> None:
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match="no volume"):
        dataset.read(dataset.items[0], [-1.0, 0.0, 1.0])


def test_an_unknown_key_of_a_mapping_file_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text("colour = 1", encoding="utf-8")
    with pytest.raises(CosegError, match="unknown key colour"):
        open_dataset(root, options=OpenOptions(mapping=tmp_path / "map.toml"))


def test_an_image_that_cannot_be_read_is_named(root: Path) -> None:
    dataset = open_dataset(root)
    item = dataset.items[0]
    item.image.write_bytes(item.image.read_bytes()[:70])
    with pytest.raises(CosegError, match=item.image.name):
        dataset.read(item)


def test_a_folder_that_leads_back_to_itself_ends(root: Path, key: str) -> None:
    (root / "round").symlink_to(root, target_is_directory=True)
    before = len(open_dataset(root, key).items)
    (root / "round").unlink()
    assert len(open_dataset(root).items) == before > 0

"""PanNuke: folds of arrays that are never read whole."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import reader_of
from napari_coseg.datasets.pannuke import PannukeDataset
from napari_coseg.types import CosegError
from tests.datasets.published_sets import objects, pannuke_masks, picture, write_pannuke

SIDE = 48


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_pannuke(tmp_path, count=3, side=SIDE)


def masks(root: Path, fold: int = 1) -> Path:
    return root / f"Fold {fold}" / "masks" / f"fold{fold}" / "masks.npy"


def images(root: Path, name: str = "images.npy", fold: int = 1) -> Path:
    return root / f"Fold {fold}" / "images" / f"fold{fold}" / name


def faults(root: Path) -> dict[str, str]:
    return {fault.name: fault.sentence for fault in PannukeDataset(root).faults}


def test_items_folds_and_tissues(root: Path) -> None:
    assert reader_of(root) is PannukeDataset
    dataset = PannukeDataset(root)
    assert len(dataset.items) == 9
    item = dataset.items[4]
    assert (item.name, item.part, item.group) == ("fold2_00001", "validation", "fold2")
    assert dataset.tissues["fold2_00001"] == "Colon"
    assert {i.group: i.part for i in dataset.items}["fold3"] == "test"
    assert dataset.faults == ()


def test_a_single_fold_and_other_names_of_folders(root: Path, tmp_path: Path) -> None:
    assert {item.group for item in PannukeDataset(root / "Fold 2").items} == {"fold2"}
    bare = tmp_path / "bare" / "fold3"
    bare.mkdir(parents=True)
    for name in ("images.npy", "types.npy"):
        images(root, name, 3).rename(bare / name)
    masks(root, 3).rename(bare / "masks.npy")
    assert [item.name for item in PannukeDataset(bare).items][-1] == "fold3_00002"


def test_ids_that_clash_are_told_apart(root: Path) -> None:
    dataset = pickle.loads(pickle.dumps(PannukeDataset(root)))
    read = dataset.read(dataset.items[1])
    assert (read.image == picture(11, (SIDE, SIDE))).all()
    assert read.image.dtype == np.uint8
    assert read.mpp == 0.25
    assert (read.instances == objects(5, (SIDE, SIDE))).all()
    # The first two are neoplastic; nobody is dead.
    assert (read.classes == np.array([0, 1, 1, 2, 3, 5])[read.instances]).all()
    assert read.overlap == 0


def test_pixels_of_two_channels_are_counted_and_go_to_the_later_one(root: Path) -> None:
    array = np.load(masks(root))
    array[0, 4:6, 4:12, 4] = 7
    np.save(masks(root), array)
    dataset = PannukeDataset(root)
    read = dataset.read(dataset.items[0])
    assert read.overlap == 16
    assert (read.classes[4:6, 4:12] == 5).all()
    assert (read.classes[6:12, 4:12] == 1).all()


def test_ids_beyond_16_bits(root: Path) -> None:
    array = np.load(masks(root))
    array[0][array[0] == 2] = 70_000
    np.save(masks(root), array)
    dataset = PannukeDataset(root)
    assert (dataset.read(dataset.items[0]).instances == objects(5, (SIDE, SIDE))).all()


def test_one_patch_is_read_at_a_time(root: Path) -> None:
    # 40 GB, sparse on the disk, of which nearly nothing is looked at.
    with images(root, fold=2).open("wb") as file:
        shape = (1 << 13, 256, 256, 3)
        np.lib.format.write_array_header_2_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": shape}
        )
        file.truncate(file.tell() + 8 * int(np.prod(shape)))
    with masks(root, 2).open("wb") as file:
        shape = (1 << 13, 256, 256, 6)
        np.lib.format.write_array_header_2_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": shape}
        )
        file.truncate(file.tell() + 8 * int(np.prod(shape)))
    np.save(images(root, "types.npy", 2), np.full(1 << 13, "Colon"))
    (tmp := root / "big").mkdir()
    images(root, fold=2).parent.parent.parent.rename(tmp / "Fold 2")
    dataset = PannukeDataset(tmp)
    assert len(dataset.items) == 1 << 13
    assert dataset.read(dataset.items[-1]).image.shape == (256, 256, 3)


def test_other_splits_by_a_mapping_file(root: Path, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        "[parts]\ntrain = [2]\nvalidation = [1]\n[instances]\n"
        'neoplastic = "tumour"\ninflammatory = "other"\nconnective = "other"\n'
        'dead = "background"\nepithelial = "background"\n',
        encoding="utf-8",
    )
    dataset = PannukeDataset(root, OpenOptions(mapping=tmp_path / "map.toml"))
    assert [item.part for item in dataset.items] == ["validation"] * 3 + ["train"] * 3
    assert [fault.name for fault in dataset.faults] == ["fold3"]
    read = dataset.read(dataset.items[0])
    assert set(np.unique(read.classes)) == {0, 1, 2}
    assert set(np.unique(read.instances)) == {0, 1, 2, 3, 4}


def test_folds_that_are_not_whole_are_named(root: Path) -> None:
    masks(root, 1).unlink()
    np.save(images(root, "types.npy", 2), np.array(["Colon"] * 2))
    np.save(masks(root, 3), np.zeros((3, SIDE, SIDE, 5)))
    found = faults(root)
    assert set(found) == {"fold1", "fold2", "fold3"}
    assert "masks.npy of fold 1 is missing" in found["fold1"]
    assert "do not belong together" in found["fold2"]
    assert "the last one with 6" in found["fold3"]
    assert PannukeDataset(root).items == ()


def test_corrupt_and_stray_files_are_named(root: Path) -> None:
    masks(root).write_bytes(masks(root).read_bytes()[:-8])
    np.save(images(root, "types.npy", 2), np.array(["Colon", None, 1], dtype=object))
    np.save(images(root, "Größe.npy", 3), np.zeros(3))
    (root / "Fold 3" / "round").symlink_to(root, target_is_directory=True)
    np.save(root / "images.npy", np.zeros(3))
    found = faults(root)
    assert "masks.npy is damaged" in found["fold1"]
    assert "may run code" in found["fold2"]
    assert "is none of images.npy" in found["Größe.npy"]
    assert "no folder that names a fold" in found["images.npy"]
    assert "a folder above it" in found["Fold 3/round"]
    assert {item.group for item in PannukeDataset(root).items} == {"fold3"}


@pytest.mark.parametrize(
    ("value", "said"), [(0.5, "0.5 in 'masks'"), (-1, "the id -1"), (np.nan, "nan in 'masks'")]
)
def test_ids_that_cannot_be_are_named(root: Path, value: float, said: str) -> None:
    array = pannuke_masks(3, SIDE)
    array[2, 0, 0, 0] = value
    np.save(masks(root), array)
    dataset = PannukeDataset(root)
    assert dataset.read(dataset.items[0]).instances is not None
    with pytest.raises(CosegError, match=f"fold1_00002.*{said}"):
        dataset.read(dataset.items[2])


def test_colours_that_cannot_be_are_named(root: Path) -> None:
    array = np.load(images(root))
    array[1, 0, 0, 0] = 300
    np.save(images(root), array)
    dataset = PannukeDataset(root)
    with pytest.raises(CosegError, match="beyond 0 to 255 in fold1_00001"):
        dataset.read(dataset.items[1])


def test_a_folder_without_a_fold(tmp_path: Path) -> None:
    assert not PannukeDataset.recognises(tmp_path)
    with pytest.raises(CosegError, match=r"no images\.npy"):
        PannukeDataset(tmp_path)

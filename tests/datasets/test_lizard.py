"""Lizard: nuclei, folds and slides."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.lizard import LizardDataset
from napari_coseg.datasets.nucleus_labels import MERGED_CLASSES
from napari_coseg.datasets.opening import reader_of
from napari_coseg.types import CosegError
from tests.datasets.published_sets import nuclei_mat, objects, picture, save, write_lizard


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_lizard(tmp_path)


def labels(root: Path) -> Path:
    return root / "lizard_labels" / "Lizard_Labels" / "Labels"


def faults(root: Path) -> dict[str, str]:
    return {fault.name: fault.sentence for fault in LizardDataset(root).faults}


def test_items_folds_and_slides(root: Path) -> None:
    assert reader_of(root) is LizardDataset
    dataset = LizardDataset(root)
    slide = "18-13347A_2019-05-08 01_31_58"
    assert [(item.name, item.part, item.group) for item in dataset.items] == [
        ("consep_1", "validation", "consep_1"),
        ("crag_1", "test", "crag_1"),
        ("dpath_1", "train", slide),
        ("dpath_2", "validation", slide),
        ("dpath_10", "test", "D201709874_2019-05-21 12_42_42"),
        ("glas_1", "train", "glas_1"),
    ]
    assert dataset.faults == ()


def test_pixels_and_six_classes(root: Path) -> None:
    dataset = pickle.loads(pickle.dumps(LizardDataset(root)))
    read = dataset.read(dataset.items[2])
    assert (read.image == picture(0)).all()
    assert read.mpp == 0.5
    assert (read.instances == objects(6)).all()
    assert (read.classes == objects(6)).all()
    assert dataset.instance_classes.names[:2] == ("neutrophil", "epithelial")


def test_classes_and_folds_of_a_mapping_file(root: Path, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        "[instances]\n"
        + "".join(f'{name} = "{own}"\n' for name, own in MERGED_CLASSES.items())
        + "[parts]\ntrain = [2, 3]\nvalidation = [1]\n",
        encoding="utf-8",
    )
    dataset = LizardDataset(root, OpenOptions(mapping=tmp_path / "map.toml"))
    assert [item.part for item in dataset.items][:3] == ["train", "train", "validation"]
    assert set(np.unique(dataset.read(dataset.items[0]).classes)) == {0, 1, 2, 3}


def test_pairs_that_are_not_whole_are_named(root: Path) -> None:
    (labels(root) / "dpath_1.mat").unlink()
    (root / "lizard_images2" / "Lizard_Images2" / "dpath_2.png").unlink()
    (labels(root) / "glas_1.mat").unlink()
    (root / "lizard_images2" / "Lizard_Images2" / "glas_1.png").unlink()
    save(root / "lizard_images1" / "Lizard_Images1" / "dpath_10.png", picture(0))
    nuclei_mat(labels(root) / "日本_1.mat", objects(1), {1: 1})
    save(root / "lizard_images1" / "Lizard_Images1" / "日本_1.png", picture(0))
    found = faults(root)
    assert "has no label" in found["dpath_1"]
    assert "has no image" in found["dpath_2"]
    assert "neither an image nor a label" in found["glas_1"]
    assert "have one name" in found["dpath_10.png"]
    assert "not in info.csv" in found["日本_1"]
    assert [item.name for item in LizardDataset(root).items] == ["consep_1", "crag_1", "dpath_10"]


def test_without_a_table_there_are_no_folds(root: Path) -> None:
    (labels(root).parent / "info.csv").unlink()
    dataset = LizardDataset(root)
    assert {item.part for item in dataset.items} == {None}
    assert dataset.faults == ()


def test_a_fold_of_no_part_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text("[parts]\ntrain = [1, 2]\n", encoding="utf-8")
    dataset = LizardDataset(root, OpenOptions(mapping=tmp_path / "map.toml"))
    assert {fault.name for fault in dataset.faults} == {"crag_1", "dpath_10"}


def test_links_that_go_round_are_named(root: Path) -> None:
    (root / "lizard_images1" / "round").symlink_to(root, target_is_directory=True)
    assert "a folder above it" in faults(root)["lizard_images1/round"]
    assert len(LizardDataset(root).items) == 6


def test_labels_that_cannot_be_used_are_named(root: Path) -> None:
    dataset = LizardDataset(root)
    first = dataset.items[0]
    nuclei_mat(first.labels["classes"], objects(2), {1: 1, 2: 9})
    with pytest.raises(CosegError, match=r"consep_1\.mat holds class 9"):
        dataset.read(first)
    nuclei_mat(first.labels["classes"], objects(2, (40, 64)), {1: 1, 2: 1})
    with pytest.raises(CosegError, match=r"consep_1\.mat has 40 x 64"):
        dataset.read(first)
    first.labels["classes"].write_bytes(b"MATLAB")
    with pytest.raises(CosegError, match=r"consep_1\.mat"):
        dataset.read(first)


def test_archives_that_are_not_unpacked(root: Path, tmp_path: Path) -> None:
    for path in labels(root).glob("*.mat"):
        path.unlink()
    with pytest.raises(CosegError, match=r"6 images \(\.png\) and 0 labels"):
        LizardDataset(root)

"""CoNSeP: nuclei, with seven types as four classes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.consep import CONSEP_TYPES, ConsepDataset
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import reader_of
from napari_coseg.types import CosegError
from tests.datasets.published_sets import (
    consep_types,
    objects,
    picture,
    save,
    save_mat,
    write_consep,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_consep(tmp_path)


def label(root: Path, name: str = "train_1") -> Path:
    return root / "CoNSeP" / "Train" / "Labels" / f"{name}.mat"


@pytest.mark.parametrize("inside", [".", "CoNSeP"])
def test_items_and_parts(root: Path, inside: str) -> None:
    assert reader_of(root / inside) is ConsepDataset
    dataset = ConsepDataset(root / inside)
    assert [(item.name, item.part) for item in dataset.items] == [
        ("train_1", "train"),
        ("train_2", "train"),
        ("train_10", "train"),
        ("test_1", "test"),
    ]
    assert dataset.faults == ()
    assert dataset.instance_classes.names == (
        "miscellaneous",
        "inflammatory",
        "epithelial",
        "spindle",
    )


def test_pixels_and_four_classes(root: Path) -> None:
    dataset = pickle.loads(pickle.dumps(ConsepDataset(root)))
    read = dataset.read(dataset.items[0])
    assert (read.image == picture(0)).all()
    assert read.mpp == 0.25
    assert (read.instances == objects(7)).all()
    merged = np.array([0, 1, 2, 3, 3, 4, 4, 4], np.uint8)
    assert (read.classes == merged[objects(7)]).all()


def test_seven_types_by_a_mapping_file(root: Path, tmp_path: Path) -> None:
    table = "".join(f'"{name}" = "{name}"\n' for name in CONSEP_TYPES.values())
    (tmp_path / "seven.toml").write_text(f"[instances]\n{table}", encoding="utf-8")
    dataset = ConsepDataset(root, OpenOptions(mapping=tmp_path / "seven.toml"))
    assert dataset.instance_classes.names == tuple(CONSEP_TYPES.values())
    assert (dataset.read(dataset.items[0]).classes == objects(7)).all()


def test_a_nucleus_has_one_type_that_of_most_of_its_pixels(root: Path) -> None:
    labels = objects(2)
    labels[labels == 2] = 70_000
    types = consep_types(objects(2))
    # A row of the first one has another type, and a row of the second one has none.
    types[4, 4:12] = 7
    types[4, 16:24] = 0
    save_mat(label(root), {"inst_map": labels, "type_map": types})
    dataset = ConsepDataset(root)
    read = dataset.read(dataset.items[0])
    assert set(read.classes[labels == 1]) == {1}
    assert set(read.classes[labels == 70_000]) == {2}


def test_types_that_are_left_out(root: Path, tmp_path: Path) -> None:
    table = dict.fromkeys(CONSEP_TYPES.values(), "nucleus")
    table |= {"other": "background", "muscle": "ignore"}
    text = "".join(f'"{name}" = "{own}"\n' for name, own in table.items())
    (tmp_path / "map.toml").write_text(f"[instances]\n{text}", encoding="utf-8")
    dataset = ConsepDataset(root, OpenOptions(mapping=tmp_path / "map.toml"))
    read = dataset.read(dataset.items[0])
    assert set(np.unique(read.instances)) == {0, 2, 3, 4, 5, 6, 7}
    assert set(read.classes[objects(7) == 6]) == {255}
    assert set(read.classes[objects(7) == 2]) == {1}


@pytest.mark.parametrize(
    ("inst_map", "type_map", "said"),
    [
        (objects(2), consep_types(objects(1)), "no type for the nucleus 2"),
        (objects(2), objects(2) * 4, "holds class 8"),
        (objects(2, (48, 63)), objects(2), "has 48 x 63 pixels"),
        (objects(2), objects(2, (40, 64)), "has 40 x 64 pixels"),
        (objects(2) * 0.5, objects(2), "has 0.5 in 'inst_map'"),
        (-objects(2), objects(2), "the id -2 in 'inst_map'"),
    ],
)
def test_labels_that_cannot_be_used_are_named(
    root: Path, inst_map: np.ndarray, type_map: np.ndarray, said: str
) -> None:
    save_mat(label(root), {"inst_map": inst_map, "type_map": type_map})
    dataset = ConsepDataset(root)
    with pytest.raises(CosegError, match=rf"train_1\.mat (has )?{said}"):
        dataset.read(dataset.items[0])


def test_a_corrupt_label_is_named(root: Path) -> None:
    label(root).write_bytes(label(root).read_bytes()[:200])
    dataset = ConsepDataset(root)
    with pytest.raises(CosegError, match=r"train_1\.mat is damaged"):
        dataset.read(dataset.items[0])


def test_pairs_that_are_not_whole_are_named(root: Path) -> None:
    label(root).unlink()
    label(root, "train_2").unlink()
    label(root, "train_2").symlink_to(label(root, "train_2"))
    save(root / "CoNSeP" / "Test" / "Images" / "核.png", picture(0))
    save_mat(label(root, "spare"), {"inst_map": objects(1)})
    found = {fault.name: fault.sentence for fault in ConsepDataset(root).faults}
    assert set(found) == {"train_1", "train_2", "train_2.mat", "核", "spare"}
    assert "train_1.mat is missing" in found["train_1"]
    assert "leads nowhere" in found["train_2.mat"]


def test_a_folder_without_nuclei(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="Train/Labels"):
        ConsepDataset(tmp_path)

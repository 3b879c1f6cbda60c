"""ToothFairy2 in its published layout."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.datasets.toothfairy2 import FDI, STRUCTURES, ToothFairy2Dataset
from napari_coseg.training.sections import SourceSection
from napari_coseg.training.sources import open_source
from napari_coseg.types import CosegError
from tests.datasets.nnunet_files import SHAPE, about, grey, write_volume

KINDS = (
    "Central Incisor",
    "Lateral Incisor",
    "Canine",
    "First Premolar",
    "Second Premolar",
    "First Molar",
    "Second Molar",
    "Third Molar (Wisdom Tooth)",
)
SIDES = {1: "Upper Right", 2: "Upper Left", 3: "Lower Left", 4: "Lower Right"}
LABELS = {name: number for number, name in STRUCTURES.items()} | {
    f"{SIDES[number // 10]} {KINDS[number % 10 - 1]}": number for number in FDI
}


def voxels() -> np.ndarray:
    """A row with each of the labels that something is said of."""
    found = np.zeros(SHAPE, np.uint8)
    found[1, 5, :12] = [1, 2, 7, 11, 28, 31, 48, 3, 5, 8, 9, 10]
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "Dataset112_ToothFairy2"
    about(root, LABELS, name="ToothFairy2")
    for name in ("ToothFairy2F_001", "ToothFairy2P_001"):
        write_volume(root / "imagesTr" / f"{name}_0000.mha", grey())
        write_volume(root / "labelsTr" / f"{name}.mha", voxels())
    return root


def test_jaws_and_teeth(root: Path) -> None:
    assert reader_of(root) is ToothFairy2Dataset
    dataset = pickle.loads(pickle.dumps(open_dataset(root)))
    assert dataset.region_classes.names == ("upper jaw", "lower jaw", "pharynx")
    assert dataset.instance_classes.names == ("upper tooth", "lower tooth")
    assert dataset.license == "CC-BY-SA-4.0"
    assert {item.group for item in dataset.items} == {"ToothFairy2F_001", "ToothFairy2P_001"}
    read = dataset.read(dataset.items[1])
    assert read.mpp == pytest.approx(300)
    assert read.regions[5, :12].tolist() == [2, 1, 3, *[0] * 9]
    # Instances are numbered as teeth are.
    assert read.instances[5, :12].tolist() == [0, 0, 0, 11, 28, 31, 48, *[0] * 5]
    assert read.classes[5, :12].tolist() == [0, 0, 0, 1, 1, 2, 2, *[0] * 5]


def test_the_classes_of_coseg_lite_dental(root: Path) -> None:
    mapping = root / "mapping.toml"
    mapping.write_text('teeth = "tooth"\nrestorations = "ignore"\n', encoding="utf-8")
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    assert dataset.instance_classes.names == ("tooth",)
    read = dataset.read(dataset.items[1])
    assert read.regions is not None
    assert read.classes is not None
    assert read.regions[5, :12].tolist() == [2, 1, 3, *[0] * 6, 255, 255, 255]
    assert read.classes[5, :12].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 255, 255, 255]
    mapping.write_text('teeth = "molars"\n', encoding="utf-8")
    with pytest.raises(CosegError, match="teeth in a mapping must be one of jaws, tooth"):
        open_dataset(root, options=OpenOptions(mapping=mapping))


def test_placeholders_are_none(root: Path) -> None:
    names = {f"NA{n}": number for n, number in enumerate((19, 20, 29, 30, 39, 40))}
    about(root, LABELS | names, name="ToothFairy2")
    dataset = open_dataset(root)
    assert dataset.instance_classes.names == ("upper tooth", "lower tooth")
    assert not set(np.unique(dataset.read(dataset.items[1]).instances)) & set(names.values())


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        # Numbered on, as some copies are: 19 is a tooth of the upper left, and 21 a canine.
        ({**LABELS, "Upper Left Canine": 21, "Upper Left Central Incisor": 23}, "no name of that"),
        ({**LABELS, "Implant": 9, "Crown": 10}, "which is '(Crown|Implant)'"),
        ({**LABELS, "Nerve": 50}, "which ToothFairy2 has not"),
        ({**LABELS, "Jaws": [1, 2]}, "which ToothFairy2 has not"),
    ],
)
def test_other_numbers_are_refused(root: Path, labels: dict[str, int], words: str) -> None:
    about(root, labels, name="ToothFairy2")
    with pytest.raises(CosegError, match=words):
        open_dataset(root)


def test_bad_cases(root: Path) -> None:
    (root / "labelsTr" / "ToothFairy2F_001.mha").unlink()
    wrong = voxels()
    wrong[1, 5, 13] = 19
    write_volume(root / "labelsTr" / "ToothFairy2P_001.mha", wrong)
    dataset = open_dataset(root)
    assert [fault.name for fault in dataset.faults] == ["ToothFairy2F_001"]
    with pytest.raises(CosegError, match="holds the label 19"):
        dataset.read(dataset.items[1])
    _, items = open_source(SourceSection(path=root, faults="skip"))
    assert [item.plane for item in items] == [0, 2]

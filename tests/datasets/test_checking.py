"""A data set looked through: counts, and what is found wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_coseg.datasets.check_page import CheckPage
from napari_coseg.datasets.checking import DatasetCheck, check_dataset, listed
from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_volume

ABOUT = """
name = "mine"
mpp = 0.5
region_classes = ["gland", "tumour"]
instance_classes = ["a", "b", "never"]
group = "^(p[0-9])"
[parts]
train = ["p1_one", "p1_two"]
test = ["p2_copy"]
"""


def picture(seed: int) -> np.ndarray:
    # Patches of light, as pictures of tissue have: noise looks like nothing once it is scaled.
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((60, 40), Image.Resampling.BICUBIC))


def save(root: Path, kind: str, name: str, pixels: np.ndarray) -> None:
    (root / kind).mkdir(exist_ok=True)
    Image.fromarray(pixels).save(root / kind / f"{name}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dataset.toml").write_text(ABOUT, encoding="utf-8")
    for name, seed in (("p1_one", 0), ("p1_two", 1), ("p2_copy", 2)):
        save(tmp_path, "images", name, picture(seed))
    regions = np.zeros((40, 60), np.uint8)
    regions[:10], regions[10:20, :5] = 1, 255
    save(tmp_path, "regions", "p1_one", regions)
    instances, classes = np.zeros((40, 60), np.uint16), np.zeros((40, 60), np.uint8)
    # Whole; two pieces; tiny. Ids 3 and 4 are left out.
    instances[0:6, 0:6], instances[10:16, 0:6], instances[10:16, 20:26] = 1, 2, 2
    instances[30, 30] = 5
    classes[instances == 1], classes[instances == 2], classes[instances == 5] = 1, 2, 255
    save(tmp_path, "instances", "p1_one", instances)
    save(tmp_path, "classes", "p1_one", classes)
    save(tmp_path, "instances", "p1_two", np.zeros((40, 60), np.uint16))
    return tmp_path


def found(root: Path) -> DatasetCheck:
    return check_dataset(FolderDataset(root))


def said(check: DatasetCheck, kind: str) -> dict[str, tuple[str, ...]]:
    return {one.what: one.names for one in check.findings() if one.kind == kind}


def test_counts(root: Path) -> None:
    check = found(root)
    assert check.regions() == {
        "gland": (600, 1),
        "tumour": (0, 0),
        "background": (1750, 1),
        "ignored": (50, 1),
    }
    assert check.objects() == {"a": (1, 1), "b": (1, 1), "never": (0, 0), "ignored": (1, 1)}
    assert check.sizes() == {(40, 60): 3}
    assert [(one.what, one.names) for one in check.findings()] == [
        ("1 items have labels with nothing drawn in them", ("p1_two",)),
        ("1 items have no labels", ("p2_copy",)),
        ("1 objects have fewer than 10 pixels", ("p1_one",)),
        ("1 objects are several pieces", ("p1_one",)),
        ("2 ids are left out between others", ("p1_one",)),
        ("1 classes are never used", ("tumour",)),
        ("1 classes are never used", ("never",)),
    ]


def test_what_leaks_from_one_part_to_another(root: Path) -> None:
    save(root, "images", "p2_copy", picture(0))
    scaled = Image.fromarray(picture(1)).resize((61, 41), Image.Resampling.BICUBIC)
    scaled.save(root / "images" / "p1_late.png")
    text = ABOUT.replace('["p2_copy"]', '["p2_copy", "p1_late"]')
    (root / "dataset.toml").write_text(text, encoding="utf-8")
    assert said(found(root), "fault") == {
        "1 patients or slides are in several parts": ("p1",),
        "1 times the same picture across parts": ("p1_one and p2_copy",),
        "1 times nearly the same picture across parts": ("p1_late and p1_two",),
    }


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(root: Path) -> None:
    (root / "images" / "p1_two.png").write_bytes(b"no picture")
    save(root, "images", "p2_copy", np.full((40, 60, 3), 7, np.uint8))
    save(root, "instances", "nobody", np.zeros((40, 60), np.uint16))
    check = found(root)
    assert [facts.item.name for facts in check.facts] == ["p1_one", "p2_copy"]
    faults = [(one.names, one.what) for one in check.findings() if one.kind == "fault"]
    assert [names for names, _ in faults] == [("nobody",), ("p1_two",), ("p2_copy",)]
    assert "label of no image" in faults[0][1]
    assert "one colour" in faults[2][1]


def test_planes_of_a_volume_are_one_thing(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 255, (3, 12, 12)).astype(np.int16)
    teeth = np.zeros((3, 12, 12), np.int32)
    teeth[:2, 2:6, 2:6] = 1
    grid = VolumeGrid(shape=(3, 12, 12), spacing=(0.4, 0.4, 0.4))
    for kind, array in (("images", voxels), ("instances", teeth)):
        (tmp_path / kind).mkdir()
        write_volume(tmp_path / kind / "case.nii.gz", array, grid)
    (tmp_path / "dataset.toml").write_text("spacing = [0.4, 0.4, 0.4]\n", encoding="utf-8")
    check = found(tmp_path)
    assert check.objects() == {"no class": (1, 2)}
    assert said(check, "fault") == {}


def test_page(root: Path) -> None:
    dataset: Any = FolderDataset(root)
    page = CheckPage(dataset, pictures=2)
    text = page.text(check_dataset(dataset, page.see))
    assert text.count("<figure>") == 2
    assert "http" not in text
    for words in ("gland", "never", "are several pieces", "0.5 µm per pixel"):
        assert words in text


def test_names_that_are_listed() -> None:
    assert listed("abc") == "a, b, c"
    assert listed("abcdefg", 2) == "a, b and 5 more"

"""The folder data set: what it reads, and what it says of a folder that is not one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.types import CosegError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images, labels of both kinds for the first one alone."""
    for folder in ("images", "regions", "instances", "classes"):
        (tmp_path / folder).mkdir()
    for name in ("patient1_a", "patient2_b"):
        Image.new("RGB", (6, 4), "white").save(tmp_path / "images" / f"{name}.png")
    regions = np.array([[0, 1, 255, 0, 0, 0]] * 4, np.uint8)
    Image.fromarray(regions).save(tmp_path / "regions" / "patient1_a.png")
    instances = np.array([[0, 300, 300, 0, 7, 7]] * 4, np.uint16)
    Image.fromarray(instances).save(tmp_path / "instances" / "patient1_a.png")
    Image.fromarray((instances > 0).astype(np.uint8)).save(tmp_path / "classes" / "patient1_a.png")
    about(tmp_path)
    return tmp_path


def about(root: Path, more: str = "", mpp: str = "mpp = 0.5") -> None:
    (root / "dataset.toml").write_text(
        f'{mpp}\nregion_classes = ["gland"]\ninstance_classes = ["a"]\n{more}\n', encoding="utf-8"
    )


def test_what_is_there_and_what_is_not(root: Path) -> None:
    dataset = FolderDataset(root)
    first, second = dataset.items
    assert dataset.mpp == 0.5
    assert dataset.kinds == {"regions", "instances", "classes"}
    read = dataset.read(first)
    assert read.image.shape == (4, 6, 3)
    assert read.instances is not None
    assert set(np.unique(read.instances)) == {0, 7, 300}
    assert read.regions is not None
    assert read.regions.dtype == np.uint8
    bare = dataset.read(second)
    # A missing label is unknown, never an empty image.
    assert bare.regions is None
    assert bare.instances is None


@pytest.mark.parametrize(
    ("group", "groups"),
    [
        ("", ["patient1_a", "patient2_b"]),
        ('group = "^patient[0-9]+"', ["patient1", "patient2"]),
        ('group = "^(patient)[0-9]"', ["patient", "patient"]),
        ('[group]\npatient1_a = "x"\npatient2_b = "x"', ["x", "x"]),
    ],
)
def test_groups(root: Path, group: str, groups: list[str]) -> None:
    about(root, group)
    assert [item.group for item in FolderDataset(root).items] == groups


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('group = "patient1"', "fits no part of the image name patient2_b"),
        ('group = "("', "no regular expression"),
        ("group = 3", "a table or a regular expression"),
        ('colour = "red"', "colour"),
    ],
)
def test_a_description_that_cannot_be_used(root: Path, more: str, said: str) -> None:
    about(root, more)
    with pytest.raises(CosegError, match=said):
        FolderDataset(root)


@pytest.mark.parametrize("mpp", ["", "mpp = 0", "mpp = -1", 'mpp = "fine"', "mpp = true"])
def test_the_pixel_size_must_be_there(root: Path, mpp: str) -> None:
    about(root, mpp=mpp)
    with pytest.raises(CosegError, match="needs mpp"):
        FolderDataset(root)


def test_faulty_labels_are_named(root: Path) -> None:
    Image.fromarray(np.full((4, 6), 2, np.uint8)).save(root / "regions" / "patient1_a.png")
    dataset = FolderDataset(root)
    with pytest.raises(CosegError, match=r"patient1_a\.png holds class 2, .* 1 classes"):
        dataset.read(dataset.items[0])
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(root / "regions" / "patient1_a.png")
    with pytest.raises(CosegError, match="regions"):
        dataset.read(dataset.items[0])


def test_folders_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match=r"dataset\.toml"):
        FolderDataset(tmp_path / "nowhere")
    (tmp_path / "dataset.toml").write_text("mpp = [")
    with pytest.raises(CosegError, match=r"dataset\.toml"):
        FolderDataset(tmp_path)
    (tmp_path / "dataset.toml").write_text("mpp = 1")
    with pytest.raises(CosegError, match="image"):
        FolderDataset(tmp_path)


def test_parts_of_a_divided_set(root: Path) -> None:
    about(root, '[parts]\ntest = ["patient2_b"]')
    assert [item.part for item in FolderDataset(root).items] == [None, "test"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[parts]\nexam = ["patient2_b"]', "must be lists of names"),
        ('[parts]\ntest = "patient2_b"', "must be lists of names"),
        ('[parts]\ntest = ["nobody"]', "names nobody"),
        ('[parts]\ntest = ["patient2_b"]\ntrain = ["patient2_b"]', "in two parts"),
    ],
)
def test_parts_that_cannot_be(root: Path, more: str, words: str) -> None:
    about(root, more)
    with pytest.raises(CosegError, match=words):
        FolderDataset(root)


def test_a_pixel_size_that_a_person_says(root: Path) -> None:
    dataset = FolderDataset(root, OpenOptions(mpp=0.25))
    assert dataset.read(dataset.items[0]).mpp == 0.25

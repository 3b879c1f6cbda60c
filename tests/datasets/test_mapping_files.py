"""Mapping files: classes, parts and folders that a person names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.mapping_files import MappingFile
from napari_coseg.types import CosegError

KNOWN = ("classes", "ignored", "parts", "nuclei")


def read(folder: Path, text: str) -> MappingFile:
    (folder / "map.toml").write_text(text, encoding="utf-8")
    return MappingFile.read(OpenOptions(mapping=folder / "map.toml"), KNOWN)


def test_classes_are_numbered_in_their_order(tmp_path: Path) -> None:
    mapping = read(tmp_path, "ignored = [2]\n[classes]\nb = [3]\na = [1, 4]")
    merging = mapping.merging({"x": (1, 2, 3, 4)}, (1, 2, 3, 4))
    assert merging.table.names == ("b", "a")
    found = merging.apply(np.array([[0, 1, 2, 3, 4]], np.int32), tmp_path)
    assert found.tolist() == [[0, 2, 255, 1, 2]]


def test_without_a_file_the_published_ones(tmp_path: Path) -> None:
    mapping = MappingFile.read(None, KNOWN)
    assert mapping.merging({"x": (1, 2)}, (1, 2)).ids == {1: 1, 2: 1}
    assert mapping.parts({1: "train"}) == {1: "train"}
    assert mapping.folder("nuclei") is None


@pytest.mark.parametrize("wrong", [5, 70_000])
def test_an_unknown_class_is_named(tmp_path: Path, wrong: int) -> None:
    merging = MappingFile.read(None, KNOWN).merging({"x": (1, 2)}, (1, 2))
    with pytest.raises(CosegError, match=f"holds class {wrong}, .* 1, 2"):
        merging.apply(np.array([0, 1, wrong], np.int32), tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "unknown keys: colour"),
        ("[classes", "as TOML"),
        ("[classes]\na = [1]", "name each published id once: 1, 2"),
        ("[classes]\na = [1, 2]\nb = [2]", "name each published id once"),
        ("[classes]\na = [1, 2, 3]", "name each published id once"),
        ('[classes]\na = "1"', "list of published ids"),
        ("classes = [1, 2]", "list of published ids"),
    ],
)
def test_classes_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CosegError, match=said):
        read(tmp_path, text).merging({"x": (1, 2)}, (1, 2))


def test_parts(tmp_path: Path) -> None:
    mapping = read(tmp_path, "[parts]\ntrain = [2, 3]\ntest = [1]")
    assert mapping.parts({}) == {2: "train", 3: "train", 1: "test"}
    for text in ("[parts]\nexam = [1]", '[parts]\ntrain = ["1"]', "parts = 1"):
        with pytest.raises(CosegError, match="lists of folds"):
            read(tmp_path, text).parts({})
    with pytest.raises(CosegError, match="in two parts"):
        read(tmp_path, "[parts]\ntrain = [1]\ntest = [1]").parts({})


def test_folders_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    assert read(tmp_path, 'nuclei = "labels"').folder("nuclei") == tmp_path / "labels"
    for text in ('nuclei = "none"', "nuclei = 1"):
        with pytest.raises(CosegError, match="must be a folder"):
            read(tmp_path, text).folder("nuclei")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="does not exist"):
        MappingFile.read(OpenOptions(mapping=tmp_path / "none.toml"), KNOWN)

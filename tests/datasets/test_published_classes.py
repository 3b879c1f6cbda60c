"""Published classes and folds, and what a mapping file takes them for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_coseg.datasets.nucleus_labels import nuclei_folder
from napari_coseg.datasets.published_classes import PublishedClasses, parts_of_folds, same
from napari_coseg.types import CosegError

PUBLISHED = {1: "a", 2: "b", 3: "c", 4: "d"}
WHERE = Path("map.toml")


def classes(mapping: dict[str, Any]) -> PublishedClasses:
    return PublishedClasses.of(PUBLISHED, same(PUBLISHED), mapping, WHERE)


def test_a_mapping_says_what_classes_are_taken_for() -> None:
    found = classes({"instances": {"c": "x", "a": "y", "d": "y", "b": "ignore"}})
    assert found.table.names == ("x", "y")
    numbers = np.array([[0, 1, 2, 3, 4]], np.int32)
    assert found.apply(numbers, WHERE).tolist() == [[0, 2, 255, 1, 2]]


def test_without_a_mapping_they_are_taken_for_themselves() -> None:
    assert classes({}).table.names == ("a", "b", "c", "d")
    assert classes({}).ids == {1: 1, 2: 2, 3: 3, 4: 4}


@pytest.mark.parametrize("wrong", [5, 70_000])
def test_an_unknown_class_is_named(wrong: int) -> None:
    with pytest.raises(CosegError, match=rf"tile\.mat holds class {wrong}, .* 1, 2, 3, 4"):
        classes({}).apply(np.array([0, 1, wrong], np.int32), Path("tile.mat"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"a": "x"}, "of each published class .* a, b, c, d"),
        (dict.fromkeys("abcde", "x"), "of each published class"),
        ({"a": 1}, "must give each published name a class"),
        ("x", "must give each published name a class"),
    ],
)
def test_classes_that_cannot_be(table: object, said: str) -> None:
    with pytest.raises(CosegError, match=said):
        classes({"instances": table})


def test_parts_of_folds() -> None:
    assert parts_of_folds({}, {1: "train"}, None) == {1: "train"}
    listed = {"parts": {"train": [2, 3], "test": [1]}}
    assert parts_of_folds(listed, {}, WHERE) == {2: "train", 3: "train", 1: "test"}
    for wrong in ({"exam": [1]}, {"train": ["1"]}, {"train": 1}, {"train": [True]}, 1):
        with pytest.raises(CosegError, match="lists of folds"):
            parts_of_folds({"parts": wrong}, {}, WHERE)
    with pytest.raises(CosegError, match="in two parts"):
        parts_of_folds({"parts": {"train": [1], "test": [1]}}, {}, WHERE)


def test_a_folder_of_nuclei_lies_beside_the_mapping(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    where = tmp_path / "map.toml"
    assert nuclei_folder({}, where) is None
    assert nuclei_folder({"nuclei": "labels"}, where) == tmp_path / "labels"
    for wrong in ("none", 1):
        with pytest.raises(CosegError, match="must be a folder"):
            nuclei_folder({"nuclei": wrong}, where)

"""Lizard's labels: ids and classes, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.nucleus_labels import LIZARD_CLASSES, read_info, read_nuclei
from napari_coseg.datasets.published_classes import PublishedClasses, same
from napari_coseg.types import CosegError
from tests.datasets.published_sets import nuclei_mat, objects, picture, save_mat

ALL = PublishedClasses.of(LIZARD_CLASSES, same(LIZARD_CLASSES), {})


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    return read_nuclei(path, picture(0), ALL)


def test_ids_beyond_16_bits_and_out_of_order(tmp_path: Path) -> None:
    labels = objects(3)
    labels[labels == 3] = 70_000
    classes = {1: 6, 2: 1, 70_000: 4, 9: 2}
    instances, found = read(nuclei_mat(tmp_path / "核.mat", labels, classes))
    assert instances.dtype == np.int32
    assert (instances == labels).all()
    for number in (1, 2, 70_000):
        assert set(found[labels == number]) == {classes[number]}
    assert (found[labels == 0] == 0).all()


def test_a_class_that_is_taken_for_background_has_no_nuclei(tmp_path: Path) -> None:
    table = same(LIZARD_CLASSES) | {"plasma": "background", "connective": "ignore"}
    published = PublishedClasses.of(LIZARD_CLASSES, same(LIZARD_CLASSES), {"instances": table})
    path = nuclei_mat(tmp_path / "a.mat", objects(3), {1: 1, 2: 4, 3: 6})
    instances, found = read_nuclei(path, picture(0), published)
    assert set(np.unique(instances)) == {0, 1, 3}
    assert set(found[objects(3) == 2]) == {0}
    assert set(found[objects(3) == 3]) == {255}


def test_a_picture_without_nuclei(tmp_path: Path) -> None:
    instances, found = read(nuclei_mat(tmp_path / "a.mat", objects(0), {}))
    assert not instances.any()
    assert not found.any()


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        (objects(2), {1: 1}, "no class for the nucleus 2"),
        (objects(2), {1: 1, 2: 7}, "holds class 7"),
        (objects(2), {1: 1, 2: 0}, "class 0 for the nucleus 2"),
        (objects(2, (48, 63)), {1: 1, 2: 1}, "has 48 x 63 pixels"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, labels: np.ndarray, classes: dict[int, int], said: str
) -> None:
    with pytest.raises(CosegError, match=rf"glas_1\.mat (has )?(the )?{said}"):
        read(nuclei_mat(tmp_path / "glas_1.mat", labels, classes))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"id": [[1], [1]], "class": [[1], [2]]}, "two classes for the nucleus 1"),
        ({"id": [[1], [2]], "class": [[1]]}, "2 nuclei and 1 classes"),
        ({"id": [[1.5]], "class": [[1]]}, "1.5 in 'id'"),
        ({"id": [[-1]], "class": [[1]]}, "the id -1 in 'id'"),
        ({"id": [[2**31]], "class": [[1]]}, "the id 2147483648 in 'id'"),
        ({"id": [[np.nan]], "class": [[1]]}, "nan in 'id'"),
        ({"id": [[1]]}, "no variable 'class'"),
    ],
)
def test_tables_that_cannot_be(
    tmp_path: Path, variables: dict[str, list[list[float]]], said: str
) -> None:
    arrays = {name: np.array(value) for name, value in variables.items()}
    path = save_mat(tmp_path / "glas_1.mat", {"inst_map": objects(1), **arrays})
    with pytest.raises(CosegError, match=said):
        read(path)


def test_info(tmp_path: Path) -> None:
    path = tmp_path / "info.csv"
    path.write_text("\ufeffFilename, Source,Split\nglas_1,train_2,3\n", encoding="utf-8")
    assert (read_info(path)["glas_1"].source, read_info(path)["glas_1"].fold) == ("train_2", 3)
    for text, said in (
        ("Filename,Split\na,1\n", "no column 'Source'"),
        ("Filename,Source,Split\na,b,c\n", "fold 'c' of a"),
        ("Filename,Source,Split\na,b\n", "a row of 2 values: a, b"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CosegError, match=said):
            read_info(path)

"""Folders of QuPath's outlines."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.datasets.qupath import QuPathDataset
from napari_coseg.imaging.geojson import write_geojson as write_geojson_file
from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.objects import object_table
from napari_coseg.training.sections import SourceSection
from napari_coseg.training.sources import open_source
from napari_coseg.types import ClassTable, CosegError
from tests.datasets.outlines import feature, square, write_geojson, write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_image(tmp_path / "images" / "p1_å.tif")
    write_geojson(
        tmp_path / "geojson" / "p1_å.geojson",
        feature("Tumor", square(0, 0, 6)),
        feature("Immune cells", square(1, 2), "detection", measurements={"Label": 70_000}),
        feature("", square(3, 2), "cell", measurements={"Label": 4}),
    )
    write_image(tmp_path / "images" / "p2_b.png")
    write_geojson(tmp_path / "geojson" / "p2_b.geojson", feature("Stroma", square(0, 0, 3)))
    return tmp_path


def test_what_qupath_calls_them(root: Path) -> None:
    assert reader_of(root) is QuPathDataset
    dataset = pickle.loads(pickle.dumps(open_dataset(root)))
    assert dataset.region_classes.names == ("Stroma", "Tumor")
    assert dataset.instance_classes.names == ("Immune cells",)
    read = dataset.read(dataset.items[0])
    assert (read.regions == 2).sum() == 36
    # QuPath's corner (1, 2) is the top left corner of column 1, row 2; ids are kept.
    assert np.argwhere(read.instances == 70_000).tolist() == [[2, 1]]
    assert np.argwhere(read.instances == 4).tolist() == [[2, 3]]
    assert read.classes[2, 1] == 1
    assert read.classes[2, 3] == 255
    # No object of the other file is one: it is unlabelled, not empty.
    assert dataset.read(dataset.items[1]).instances is None


def test_classes_by_mapping(root: Path) -> None:
    mapping = root / "mapping.toml"
    mapping.write_text(
        'group = "^p[0-9]"\n[regions]\nStroma = "background"\n'
        '[instances]\nTumor = "gland"\n"Immune cells" = "ignore"\nunclassified = "gland"\n',
        encoding="utf-8",
    )
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping, mpp=0.25))
    assert [item.group for item in dataset.items] == ["p1", "p2"]
    read = dataset.read(dataset.items[0])
    assert read.mpp == 0.25
    assert read.regions is None
    assert read.instances is not None
    assert read.classes is not None
    # Annotations of the table of instances are instances.
    assert (read.classes == 1).sum() == 35
    assert read.classes[2, 1] == 255
    second = dataset.read(dataset.items[1])
    assert second.regions is not None
    assert not second.regions.any()
    mapping.write_text('[regions]\nTumor = "tumor"\n', encoding="utf-8")
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    with pytest.raises(CosegError, match="feature 1, Stroma has the class 'Stroma'"):
        dataset.read(dataset.items[1])
    for text, words in (
        ("[regions]\nTumor = 1", "must give each classification a class"),
        ('group = "("', "no regular expression"),
        ('group = "^q"', "fits no part"),
    ):
        mapping.write_text(text, encoding="utf-8")
        with pytest.raises(CosegError, match=words):
            open_dataset(root, options=OpenOptions(mapping=mapping))


def test_what_cannot_be_used_is_named(root: Path) -> None:
    write_image(root / "images" / "alone.png")
    write_geojson(root / "geojson" / "lost.geojson", feature("Tumor", square(0, 0)))
    for name, text in (("cut", '{"type": "FeatureColl'), ("other", '{"a": 1}'), ("none", "")):
        write_image(root / "images" / f"{name}.png")
        (root / "geojson" / f"{name}.geojson").write_text(text, encoding="utf-8")
    write_image(root / "images" / "bare.png")
    write_geojson(root / "geojson" / "bare.geojson")
    os.symlink(root, root / "images" / "loop", target_is_directory=True)
    dataset = open_dataset(root)
    assert len(dataset.items) == 2
    said = {fault.name: fault.sentence for fault in dataset.faults}
    assert sorted(said) == ["alone", "bare", "cut", "images/loop", "lost", "none", "other"]
    for name, words in (
        ("alone", "has no alone.geojson"),
        ("bare", "holds no object"),
        ("cut", "cut off"),
        ("images/loop", "link"),
        ("lost", "has no image lost"),
        ("other", "no GeoJSON"),
    ):
        assert words in said[name]
    with pytest.raises(CosegError, match="6 more are faulty"):
        open_source(SourceSection(path=root))
    assert len(open_source(SourceSection(path=root, faults="skip"))[1]) == 2


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([], "no area"),
        ([(4, 4), (6, 6), (6, 4), (4, 6)], "crosses itself"),
        (square(10, 6, 9), "reaches beyond"),
        (square(40, 6, 9), "lies outside"),
    ],
)
def test_outlines_that_are_faulty(root: Path, ring: list[tuple[float, float]], words: str) -> None:
    path = root / "geojson" / "p2_b.geojson"
    write_geojson(path, feature("Stroma", square(1, 1)), feature("Stroma", ring))
    dataset = QuPathDataset(root)
    (note,) = dataset.notes(dataset.items[1])
    assert words in note.sentence
    assert note.name == "p2_b"


def test_points_are_told(root: Path) -> None:
    point = {**feature("Stroma", []), "geometry": {"type": "Point", "coordinates": [1, 1]}}
    path = root / "geojson" / "p2_b.geojson"
    write_geojson(path, feature("Stroma", square(1, 1)), point)
    dataset = QuPathDataset(root)
    assert "feature 2, Stroma is no area" in dataset.notes(dataset.items[1])[0].sentence


def test_what_this_program_exports_comes_back(shared_data: Path, tmp_path: Path) -> None:
    name = "TCGA-21-5784-01Z-00-DX1"
    (picture,) = (shared_data / "monuseg" / "images").glob(f"{name}.*")
    shutil.copy(picture, tmp_path)
    truth = read_labels(shared_data / "monuseg" / "instances" / f"{name}.png")
    objects = object_table(truth)
    objects["class"] = 1
    nucleus = ClassTable.from_names(["nucleus"])
    write_geojson_file(tmp_path / f"{name}.geojson", truth, objects, nucleus)
    dataset = QuPathDataset(tmp_path)
    read = dataset.read(dataset.items[0])
    np.testing.assert_array_equal(read.instances, truth)
    assert dataset.lost_pixels(dataset.items[0]) == {"instances": 0}
    assert dataset.notes(dataset.items[0]) == ()


def test_nothing_there(root: Path) -> None:
    for path in (root / "geojson").iterdir():
        path.write_text("[", encoding="utf-8")
    with pytest.raises(CosegError, match=r"holds no image with a GeoJSON .* cut off"):
        open_dataset(root)

"""PUMA in its published layout, and what is not as it should be."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.datasets.puma import CHALLENGE, IMAGES, NUCLEI, TISSUE, TRACK_2, PumaDataset
from napari_coseg.training.sections import SourceSection
from napari_coseg.training.sources import open_source
from napari_coseg.types import CosegError
from tests.datasets.outlines import feature, square, write_geojson, write_image

NAMES = ("training_set_metastatic_roi_001", "training_set_primary_roi_001")


def nuclei(root: Path, name: str) -> Path:
    return root / NUCLEI / f"{name}_nuclei.geojson"


def tissue(root: Path, name: str) -> Path:
    return root / TISSUE / f"{name}_tissue.geojson"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        write_image(tmp_path / IMAGES / f"{name}.tif")
        write_geojson(
            nuclei(tmp_path, name),
            feature("nuclei_tumor", square(1, 2)),
            feature("nuclei_plasma_cell", square(4, 2, 2)),
            feature("nuclei_endothelium", square(8, 2, 3)),
        )
        write_geojson(
            tissue(tmp_path, name),
            feature("tissue_stroma", square(0, 0, 8)),
            feature("tissue_tumor", square(4, 0, 2)),
            feature("tissue_necrosis", square(0, 6, 2)),
        )
    return tmp_path


def test_the_papers_classes(root: Path) -> None:
    assert reader_of(root) is PumaDataset
    dataset = open_dataset(root)
    assert dataset.instance_classes.names == ("tumor", "lymphocyte", "other")
    assert dataset.region_classes.names == ("tumor", "stroma")
    assert [item.group for item in dataset.items] == [
        f"metastatic/{NAMES[0]}",
        f"primary/{NAMES[1]}",
    ]
    read = pickle.loads(pickle.dumps(dataset)).read(dataset.items[0])
    assert read.mpp == 0.23
    assert read.instances is not None
    assert read.classes is not None
    assert read.regions is not None
    # QuPath's corner (1, 2) is the top left corner of column 1, row 2.
    assert np.argwhere(read.classes == 1).tolist() == [[2, 1]]
    assert [(read.instances == n).sum() for n in (1, 2, 3)] == [1, 4, 9]
    assert read.classes[2, 4] == 2
    assert read.classes[2, 8] == 3
    # Tumour on the stroma round it; necrosis is background.
    assert (read.regions == 1).sum() == 4
    assert (read.regions == 2).sum() == 64 - 4
    assert read.regions[7, 9] == 0


def test_other_classes_by_mapping(root: Path) -> None:
    mapping = root / "mapping.toml"
    mapping.write_text('nuclei = "track-2"\ntissues = "challenge"\n', encoding="utf-8")
    dataset = PumaDataset(root, OpenOptions(mapping=mapping))
    assert len(dataset.instance_classes) == len(set(TRACK_2.values())) == 10
    assert set(dataset.region_classes.names) == set(CHALLENGE.values()) - {"background"}
    mapping.write_text(
        '[regions]\ntissue_tumor = "tumour"\n'
        'tissue_stroma = "ignore"\ntissue_necrosis = "ignore"\n',
        encoding="utf-8",
    )
    dataset = PumaDataset(root, OpenOptions(mapping=mapping))
    read = dataset.read(dataset.items[0])
    assert read.regions is not None
    assert set(np.unique(read.regions)) == {0, 1, 255}
    for text, words in (
        ('tissue = "paper"', "unknown key tissue"),
        ('tissues = "five"', "must be one of paper, challenge"),
        ("[regions]\na = 1", "must give each published name a class"),
        ("[regions", "cannot be read as TOML"),
    ):
        mapping.write_text(text, encoding="utf-8")
        with pytest.raises(CosegError, match=words):
            PumaDataset(root, OpenOptions(mapping=mapping))


def test_the_files_own_pixel_size(root: Path) -> None:
    for name in NAMES:
        (root / IMAGES / f"{name}.tif").unlink()
        write_image(
            root / IMAGES / f"{name}.tif", resolution_unit=3, x_resolution=44000, y_resolution=44000
        )
    item = open_dataset(root).items[0]
    assert open_dataset(root).read(item).mpp == pytest.approx(10 / 44)
    assert open_dataset(root, options=OpenOptions(mpp=0.5)).read(item).mpp == 0.5


def test_pairs_that_are_not_complete(root: Path) -> None:
    nuclei(root, NAMES[0]).unlink()
    write_geojson(
        nuclei(root, "training_set_primary_roi_009"), feature("nuclei_tumor", square(1, 1))
    )
    dataset = open_dataset(root)
    assert [item.name for item in dataset.items] == [NAMES[1]]
    assert [fault.name for fault in dataset.faults] == [
        "training_set_primary_roi_009_nuclei.geojson",
        NAMES[0],
    ]
    with pytest.raises(CosegError, match="has no image training_set_primary_roi_009"):
        open_source(SourceSection(path=root))
    _, items = open_source(SourceSection(path=root, faults="skip"))
    assert [item.name for item in items] == [NAMES[1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type": "FeatureCollection", "features": [', "cut off"),
        ("\x00\x01", "no JSON"),
        ('{"a": 1}', "no GeoJSON"),
        ("", "empty"),
    ],
)
def test_files_that_are_corrupt(root: Path, text: str, words: str) -> None:
    nuclei(root, NAMES[0]).write_text(text, encoding="utf-8")
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match=words):
        dataset.read(dataset.items[0])
    _, items = open_source(SourceSection(path=root, faults="skip"))
    assert [item.name for item in items] == [NAMES[1]]


def test_an_image_that_is_corrupt(root: Path) -> None:
    (root / IMAGES / f"{NAMES[0]}.tif").write_bytes(b"II*\0")
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match=NAMES[0]):
        dataset.read(dataset.items[0])


def test_classes_that_nobody_knows(root: Path) -> None:
    write_geojson(nuclei(root, NAMES[0]), feature("nuclei_moon", square(1, 1)))
    write_geojson(nuclei(root, NAMES[1]), feature("", square(1, 1)))
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match="feature 1, nuclei_moon has the class 'nuclei_moon'"):
        dataset.read(dataset.items[0])
    with pytest.raises(CosegError, match="has no class"):
        dataset.read(dataset.items[1])


def test_an_image_of_another_size(root: Path) -> None:
    write_geojson(nuclei(root, NAMES[0]), feature("nuclei_tumor", square(500, 500, 9)))
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match=r"No object of .* lies in its image, which has 8 x 12"):
        dataset.read(dataset.items[0])


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([], "no area"),
        ([(4, 4), (6, 6), (6, 4), (4, 6)], "crosses itself"),
        (square(10, 6, 9), "reaches beyond"),
        (square(40, 6, 9), "lies outside"),
    ],
)
def test_outlines_that_are_faulty(
    root: Path, ring: list[tuple[float, float]], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_geojson(
        nuclei(root, NAMES[0]), feature("nuclei_tumor", square(1, 1)), feature("nuclei_tumor", ring)
    )
    dataset = PumaDataset(root)
    with caplog.at_level(logging.WARNING):
        read = dataset.read(dataset.items[0])
        dataset.read(dataset.items[0])
    assert read.instances is not None
    assert read.instances[1, 1] == 1
    # Told once, by name.
    assert len(caplog.records) == 1
    assert NAMES[0] in caplog.text
    assert words in caplog.text
    assert [note.name for note in dataset.notes(dataset.items[0])] == [NAMES[0]]
    assert dataset.notes(dataset.items[1]) == ()
    mapping = root / "mapping.toml"
    mapping.write_text('outlines = "refuse"\n', encoding="utf-8")
    section = SourceSection(path=root, mapping=mapping, faults="skip")
    assert [item.name for item in open_source(section)[1]] == [NAMES[1]]


def test_pixels_that_are_lost(root: Path) -> None:
    write_geojson(
        nuclei(root, NAMES[0]),
        feature("nuclei_tumor", square(1, 1, 4)),
        feature("nuclei_tumor", square(2, 2, 2)),
    )
    dataset = PumaDataset(root)
    assert dataset.lost_pixels(dataset.items[0]) == {"regions": 4, "instances": 4}


def test_names_and_links(root: Path) -> None:
    write_image(root / IMAGES / "primary Läsion ä.tif")
    write_geojson(nuclei(root, "primary Läsion ä"), feature("nuclei_tumor", square(1, 1)))
    write_geojson(tissue(root, "primary Läsion ä"), feature("tissue_tumor", square(1, 1)))
    os.symlink(root / IMAGES, root / IMAGES / "again", target_is_directory=True)
    dataset = open_dataset(root)
    assert "primary Läsion ä" in [item.name for item in dataset.items]
    assert dataset.read(dataset.items[0]).instances is not None
    assert [fault.name for fault in dataset.faults] == ["again"]
    assert "a link to a folder above it" in dataset.faults[0].sentence


def test_a_folder_without_images(root: Path) -> None:
    for name in NAMES:
        (root / IMAGES / f"{name}.tif").unlink()
    with pytest.raises(CosegError, match="holds no TIF"):
        open_dataset(root)

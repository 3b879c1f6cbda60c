"""MoNuSeg in its published layout, and what is not as it should be."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.monuseg import MoNuSegDataset, organ_of
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.training.sections import SourceSection
from napari_coseg.training.sources import open_source
from napari_coseg.types import CosegError
from tests.datasets.outlines import Points, square, write_image

TRAIN = "MoNuSeg 2018 Training Data/MoNuSeg 2018 Training Data"
TEST = "MoNuSegTestData/MoNuSegTestData"
FIRST, SECOND = "TCGA-18-5592-01Z-00-DX1", "TCGA-A7-A13E-01Z-00-DX1"
HELD = "TCGA-44-2665-01B-06-BS6"


def write_xml(path: Path, *rings: Points, about: str = "", negative: str = "0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    regions = "".join(
        f'<Region Id="{n}" NegativeROA="{negative}"><Attributes/><Vertices>'
        + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring)
        + "</Vertices></Region>"
        for n, ring in enumerate(rings, 1)
    )
    path.write_text(
        f'<?xml version="1.0"?>\n<Annotations {about}><Annotation Id="1" Type="4"><Regions>'
        f"<RegionAttributeHeaders/>{regions}</Regions></Annotation></Annotations>",
        encoding="utf-8",
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (FIRST, SECOND):
        write_image(tmp_path / TRAIN / "Tissue Images" / f"{name}.tif")
        write_xml(
            xml(tmp_path, name), square(1, 2), square(5, 2, 3), about='MicronsPerPixel="0.252"'
        )
    write_image(tmp_path / TEST / f"{HELD}.tif")
    write_xml(tmp_path / TEST / f"{HELD}.xml", square(1, 2))
    return tmp_path


def xml(root: Path, name: str) -> Path:
    return root / TRAIN / "Annotations" / f"{name}.xml"


def test_the_published_layout(root: Path) -> None:
    assert reader_of(root) is MoNuSegDataset
    dataset = open_dataset(root)
    assert [(item.name, item.part, item.group) for item in dataset.items] == [
        (FIRST, "train", "TCGA-18-5592"),
        (HELD, "test", "TCGA-44-2665"),
        (SECOND, "train", "TCGA-A7-A13E"),
    ]
    assert [organ_of(item) for item in dataset.items] == ["liver", "lung", "breast"]
    assert dataset.instance_classes.names == ("nucleus",)
    read = pickle.loads(pickle.dumps(dataset)).read(dataset.items[0])
    assert read.mpp == 0.252
    assert dataset.read(dataset.items[1]).mpp == 0.25
    assert read.regions is None
    assert read.instances is not None
    assert np.argwhere(read.instances == 1).tolist() == [[2, 1]]
    assert (read.instances == 2).sum() == 9
    np.testing.assert_array_equal(read.instances > 0, read.classes == 1)
    # The test part alone is told by the name of its folder.
    assert {item.part for item in open_dataset(root / "MoNuSegTestData").items} == {"test"}


@pytest.mark.parametrize(
    ("origin", "corner"),
    # The same one-pixel square, as each convention writes it.
    [("corner", (3, 2)), ("centre", (2.5, 1.5)), ("poly2mask", (3.5, 2.5))],
)
def test_what_coordinates_count_from(root: Path, origin: str, corner: tuple[float, float]) -> None:
    write_xml(xml(root, FIRST), square(*corner))
    mapping = root / "mapping.toml"
    mapping.write_text(f'origin = "{origin}"\n', encoding="utf-8")
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    read = dataset.read(dataset.items[0])
    assert read.instances is not None
    assert np.argwhere(read.instances).tolist() == [[2, 3]]


def test_pairs_that_are_not_complete(root: Path) -> None:
    xml(root, FIRST).unlink()
    write_xml(xml(root, "TCGA-XX-0000"), square(1, 1))
    dataset = open_dataset(root)
    assert [fault.name for fault in dataset.faults] == [FIRST, "TCGA-XX-0000.xml"]
    with pytest.raises(CosegError, match=f"{FIRST}: .*has no {FIRST}.xml.* 1 more are faulty"):
        open_source(SourceSection(path=root))
    _, items = open_source(SourceSection(path=root, faults="skip"))
    assert [item.name for item in items] == [SECOND]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<Annotations><Regions>", "cannot be read as XML"),
        ("<html/>", "no XML of ImageScope"),
        ("", "cannot be read as XML|empty"),
        ('<Annotations><Region Id="4"><Vertex X="1"/></Region></Annotations>', "Id 4.* no point"),
        ('<Annotations><Region><Vertex X="nan" Y="1"/></Region></Annotations>', "no point"),
    ],
)
def test_files_that_are_corrupt(root: Path, text: str, words: str) -> None:
    xml(root, FIRST).write_text(text, encoding="utf-8")
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match=words):
        dataset.read(dataset.items[0])
    _, items = open_source(SourceSection(path=root, faults="skip"))
    assert [item.name for item in items] == [SECOND]


def test_regions_that_are_cut_out(root: Path) -> None:
    write_xml(xml(root, FIRST), square(1, 1), negative="1")
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match="cuts region 1"):
        dataset.read(dataset.items[0])


def test_an_image_of_another_size(root: Path) -> None:
    write_xml(xml(root, FIRST), square(900, 900, 9))
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match=r"No object of .* lies in its image"):
        dataset.read(dataset.items[0])


def test_nuclei_that_are_faulty(root: Path) -> None:
    bow = [(4.0, 4.0), (7.0, 7.0), (7.0, 4.0), (4.0, 7.0)]
    write_xml(xml(root, FIRST), square(0, 0), [], bow, square(10, 2, 9), square(70, 2, 9))
    dataset = MoNuSegDataset(root)
    said = [note.sentence.split("region ")[1] for note in dataset.notes(dataset.items[0])]
    assert [text[:1] for text in said] == ["2", "3", "4", "5"]
    for text, words in zip(said, ("no area", "crosses itself", "beyond", "outside"), strict=True):
        assert words in text


def test_the_same_name_twice_and_links(root: Path) -> None:
    write_image(root / TRAIN / "copy" / f"{FIRST}.tif")
    os.symlink(root, root / TRAIN / "loop", target_is_directory=True)
    dataset = open_dataset(root)
    assert FIRST not in [item.name for item in dataset.items]
    assert [fault.name for fault in dataset.faults] == [f"{TRAIN}/loop", FIRST]
    assert "have the same name" in dataset.faults[1].sentence


def test_names_that_are_not_ascii(tmp_path: Path) -> None:
    write_image(tmp_path / "Gewebe ß.tif")
    write_xml(tmp_path / "Gewebe ß.xml", square(1, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.items[0].group == "Gewebe ß"
    assert dataset.read(dataset.items[0]).instances is not None
    assert organ_of(dataset.items[0]) is None


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="holds no TIF with an XML"):
        open_dataset(tmp_path, "monuseg")

"""nnU-Net's raw data sets as they are published."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.nnunet_raw import NnunetDataset
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.training.sections import SourceSection
from napari_coseg.training.sources import open_source
from napari_coseg.types import CosegError
from tests.datasets.nnunet_files import SHAPE, about, grey, write_volume
from tests.datasets.outlines import write_image

LABELS = {"bone": 3, "ignore": 9, "canal": 7}


def labels(*values: int) -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    for place, value in enumerate(values):
        found[1, 2, place] = value
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "Dataset001_Bones"
    about(root, LABELS)
    for name in ("a", "b"):
        write_volume(root / "imagesTr" / f"{name}_0000.mha", grey())
        write_volume(root / "labelsTr" / f"{name}.mha", labels(3, 7, 9))
    return root


def options(root: Path, text: str) -> OpenOptions:
    path = root / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return OpenOptions(mapping=path)


def test_ids_with_gaps_and_ignore(root: Path) -> None:
    assert reader_of(root) is NnunetDataset
    dataset = pickle.loads(pickle.dumps(open_dataset(root)))
    assert dataset.region_classes.names == ("bone", "canal")
    assert dataset.spacing == pytest.approx((0.3, 0.3, 0.3))
    assert len(dataset.items) == 2 * SHAPE[0]
    assert {item.part for item in dataset.items} == {None}
    assert {item.group for item in dataset.items} == {"a", "b"}
    read = dataset.read(dataset.items[1])
    assert read.mpp == pytest.approx(300)
    assert read.regions[2, :4].tolist() == [1, 2, 255, 0]
    assert read.instances is None
    # Planes of the model are neighbours in mm.
    assert dataset.read(dataset.items[1], (-0.3, 0.0, 0.3)).image.shape == (*SHAPE[1:], 3)


def test_what_this_program_wrote_is_a_folder_data_set(root: Path) -> None:
    (root / "regionsTr").mkdir()
    assert reader_of(root) is FolderDataset


def test_labels_of_several_ids(root: Path) -> None:
    # As KiTS 2023 has them: id 2 is a tumour, a mass and kidney, id 3 a mass and kidney.
    said = {"kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
    about(root, said, regions_class_order=[1, 3, 2])
    for name in ("a", "b"):
        write_volume(root / "labelsTr" / f"{name}.mha", labels(1, 2, 3))
    dataset = open_dataset(root)
    assert dataset.region_classes.names == ("kidney", "masses", "tumor")
    regions = dataset.read(dataset.items[1]).regions
    assert regions is not None
    assert regions[2, :4].tolist() == [1, 3, 2, 0]
    about(root, said)
    with pytest.raises(CosegError, match="regions_class_order must have a number for each"):
        open_dataset(root)


def test_the_test_part(root: Path) -> None:
    write_volume(root / "imagesTs" / "c_0000.mha", grey())
    write_volume(root / "labelsTs" / "c.mha", labels(7))
    dataset = open_dataset(root)
    assert {(item.group, item.part) for item in dataset.items} == {
        ("a", "train"),
        ("b", "train"),
        ("c", "test"),
    }
    (root / "labelsTs" / "c.mha").unlink()
    # Where no label of the test part is published, its images are there without.
    dataset = open_dataset(root)
    assert dataset.faults == ()
    assert dataset.items[-1].labels == {}
    assert dataset.read(dataset.items[-1]).regions is None


def test_published_folds(root: Path) -> None:
    folds = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]
    splits = root / "splits_final.json"
    splits.write_text(json.dumps(folds), encoding="utf-8")
    parts = {item.group: item.part for item in open_dataset(root).items}
    assert parts == {"a": "train", "b": "validation"}
    dataset = open_dataset(root, options=options(root, "fold = 1"))
    assert {item.group: item.part for item in dataset.items} == {"b": "train", "a": "validation"}
    with pytest.raises(CosegError, match="has no fold 2"):
        open_dataset(root, options=options(root, "fold = 2"))
    splits.write_text(json.dumps([{"train": ["a", "x"], "val": []}]), encoding="utf-8")
    dataset = open_dataset(root)
    assert {fault.name for fault in dataset.faults} == {"b", "x"}
    splits.write_text(json.dumps([{"train": ["a"], "val": ["a"]}]), encoding="utf-8")
    with pytest.raises(CosegError, match="has a in both parts"):
        open_dataset(root)
    splits.unlink()
    with pytest.raises(CosegError, match="copy it from nnUNet_preprocessed"):
        open_dataset(root, options=options(root, "fold = 0"))
    with pytest.raises(CosegError, match="must be a file beside"):
        open_dataset(root, options=options(root, 'splits = "../splits.json"'))


def test_one_channel_of_several(root: Path) -> None:
    about(root, LABELS, channel_names={"0": "T1", "1": "T2"})
    for name in ("a", "b"):
        write_volume(root / "imagesTr" / f"{name}_0001.mha", 3000 - grey())
    with pytest.raises(CosegError, match=r"channel = 0; they are T1, T2"):
        open_dataset(root)
    pictures = []
    for said in ("0", '"T2"', "1"):
        dataset = open_dataset(root, options=options(root, f"channel = {said}"))
        pictures.append(dataset.read(dataset.items[1]).image)
    assert (pictures[0] != pictures[1]).any()
    np.testing.assert_array_equal(pictures[1], pictures[2])
    with pytest.raises(CosegError, match="none of T1, T2"):
        open_dataset(root, options=options(root, 'channel = "T3"'))


def test_classes_by_mapping(root: Path) -> None:
    text = '[instances]\ncanal = "nerve"\n[regions]\nbone = "jaw"\nignore = "background"\n'
    dataset = open_dataset(root, options=options(root, text))
    read = dataset.read(dataset.items[1])
    assert read.regions is not None
    assert read.instances is not None
    assert read.classes is not None
    assert read.regions[2, :4].tolist() == [1, 0, 0, 0]
    assert read.instances[2, :2].tolist() == [0, 7]
    assert read.classes[2, :2].tolist() == [0, 1]
    for text, words in (
        ('[regions]\nmoon = "jaw"', "names 'moon', which is no label"),
        ('[regions]\nbone = "jaw"', "does not say what 'ignore'"),
        ('teeth = "tooth"', "unknown key teeth"),
    ):
        with pytest.raises(CosegError, match=words):
            open_dataset(root, options=options(root, text))


def test_what_cannot_be_used_is_named(root: Path) -> None:
    (root / "labelsTr" / "a.mha").unlink()
    write_volume(root / "labelsTr" / "lost.mha", labels())
    (root / "imagesTr" / "cut_0000.mha").write_bytes(b"NDims = 3\n")
    write_volume(root / "labelsTr" / "cut.mha", labels())
    write_volume(root / "imagesTr" / "bare.mha", grey())
    (root / "imagesTr" / "notes.txt").write_text("x", encoding="utf-8")
    os.symlink("loop_0000.mha", root / "imagesTr" / "loop_0000.mha")
    os.symlink("loop.mha", root / "labelsTr" / "loop.mha")
    dataset = open_dataset(root)
    assert {item.group for item in dataset.items} == {"b"}
    assert {fault.name for fault in dataset.faults} == {
        "a",
        "lost",
        "cut",
        "bare.mha",
        "notes.txt",
        "loop",
    }
    with pytest.raises(CosegError, match="5 more are faulty"):
        open_source(SourceSection(path=root))
    assert len(open_source(SourceSection(path=root, faults="skip"))[1]) == SHAPE[0]


def test_labels_that_do_not_fit(root: Path) -> None:
    write_volume(root / "labelsTr" / "a.mha", labels(3, 4))
    write_volume(root / "labelsTr" / "b.mha", labels(3)[:, :5])
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match=r"a\.mha holds the label 4, which .* does not name"):
        dataset.read(dataset.items[1])
    with pytest.raises(CosegError, match=r"b\.mha is not on the grid of its image"):
        dataset.read(dataset.items[-1])


def test_ids_above_16_bits(root: Path) -> None:
    wide = labels().astype(np.int32)
    wide[1, 2, 0] = 70_000
    write_volume(root / "labelsTr" / "a.mha", wide)
    dataset = open_dataset(root)
    with pytest.raises(CosegError, match="holds the label 70000"):
        dataset.read(dataset.items[1])
    about(root, {"bone": 70_000})
    with pytest.raises(CosegError, match="'bone' is not 0 to 65,535"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"labels": {}}, "names no labels"),
        ({"labels": {"0": "background", "1": "bone"}}, "nnU-Net v2 wants name = number"),
        ({"dataset": {"a": {"images": ["../../x.mha"]}}}, "lists its files itself"),
        ({"file_ending": ".nii.gz"}, "holds no case that can be used. .*does not end in '.nii.gz'"),
    ],
)
def test_descriptions_that_are_wrong(root: Path, said: dict[str, Any], words: str) -> None:
    about(root, LABELS)
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | said), "utf-8")
    with pytest.raises(CosegError, match=words):
        open_dataset(root)
    (root / "dataset.json").write_text("[", encoding="utf-8")
    with pytest.raises(CosegError, match="cannot be read as JSON"):
        open_dataset(root)


def test_pictures(tmp_path: Path) -> None:
    about(tmp_path, {"gland": 1}, file_ending=".png", name="Drüsen")
    for name in ("ä", "b"):
        write_image(tmp_path / "imagesTr" / f"{name}_0000.png")
        (tmp_path / "labelsTr").mkdir(exist_ok=True)
        Image.fromarray(np.ones((8, 12), np.uint8)).save(tmp_path / "labelsTr" / f"{name}.png")
    dataset = open_dataset(tmp_path, options=OpenOptions(mpp=0.5))
    assert dataset.name == "Drüsen"
    assert [item.name for item in dataset.items] == ["b", "ä"]
    read = dataset.read(dataset.items[1])
    assert read.regions is not None
    assert read.regions.all()
    assert read.mpp == 0.5
    about(tmp_path, {"gland": 1}, file_ending=".png", coseg={"mpp": 0.25})
    assert open_dataset(tmp_path).mpp == 0.25
    Image.fromarray(np.ones((8, 5), np.uint8)).save(tmp_path / "labelsTr" / "b.png")
    with pytest.raises(CosegError, match="has 8 x 5 pixels, but its image has 8 x 12"):
        dataset.read(dataset.items[0])
    with pytest.raises(CosegError, match="is no volume"):
        dataset.read(dataset.items[1], (0.0, 0.0, 0.0))


def test_volumes_say_their_spacing(root: Path) -> None:
    with pytest.raises(CosegError, match="say themselves how large voxels are"):
        open_dataset(root, options=OpenOptions(mpp=0.5))

"""Finished cases written as data sets, and read again for training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.identity import identify
from napari_coseg.annotation.queue_cases import find_cases
from napari_coseg.annotation.queue_export import export_cases
from napari_coseg.annotation.queue_export_plan import NoPixelSizeError, finished_cases
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.imaging.tables import read_objects
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.imaging.volume_writing import write_labels, write_volume
from napari_coseg.imaging.volumes import read_label_volume, read_volume
from napari_coseg.types import CosegError, Mask

GRID = VolumeGrid((4, 8, 10), (0.5, 0.4, 0.4), (1.0, 2.0, 3.0))
TEETH = [["tooth", [230, 159, 0]], ["implant", [0, 158, 115]]]
JAWS = [["upper jaw", [86, 180, 233]], ["lower jaw", [0, 0, 255]]]


def label(
    project: QueueProject,
    number: int,
    role: str,
    labels: np.ndarray,
    image: np.ndarray,
    classes: list[list[object]],
    kinds: dict[int, int] | None = None,
    numbers: dict[int, tuple[int, float]] | None = None,
) -> None:
    none = dict.fromkeys(kinds or {}, (0, 0.0))
    known = {
        key: ObjectRecord(key, kind, fdi=fdi, fdi_confidence=sure)
        for key, kind in (kinds or {}).items()
        for fdi, sure in ((none | (numbers or {}))[key],)
    }
    with Case.open(
        project.journal(number, role), identify(image), labels.copy(), objects=known
    ) as case:
        case.note("classes", json.dumps(classes))
        assert case.wait(10)


@pytest.fixture
def volumes(tmp_path: Path) -> QueueProject:
    root = tmp_path / "scans"
    root.mkdir()
    images = []
    for number in range(3):
        voxels = np.random.default_rng(number).integers(-1000, 3000, GRID.shape, dtype=np.int16)
        write_volume(root / f"scan{number}.nii.gz", voxels, GRID)
        images.append(voxels)
    project = QueueProject.open(root)
    for number in (1, 2):
        regions = np.zeros(GRID.shape, np.uint8)
        regions[:2], regions[2:] = 1, 2
        regions[0, 0] = 255
        objects = np.zeros(GRID.shape, np.int32)
        objects[1, 2:4, 2:4], objects[2, 5:7, 5:7], objects[3, 0, 0] = 5, 9, 12
        # The second case has its classes in another order.
        turned = number == 2
        kinds = {5: 2 if turned else 1, 9: 1 if turned else 2, 12: 0}
        label(
            project,
            number,
            "objects",
            objects,
            images[number - 1],
            TEETH[::-1] if turned else TEETH,
            kinds,
            {5: (36, 1.0), 9: (47, 0.625)},
        )
        label(project, number, "regions", regions, images[number - 1], JAWS)
        project.set_status(number, DONE)
    yield project
    project.close()


@pytest.mark.parametrize("layout", ["folder", "nnunet"])
def test_volumes_come_back_for_training(volumes: QueueProject, tmp_path: Path, layout: str) -> None:
    out = tmp_path / "out"
    done = export_cases(finished_cases(volumes), out, layout, name="teeth")
    assert (done.count, done.notes) == (2, ())
    data = FolderDataset(out)
    assert data.name == "teeth"
    assert data.spacing == GRID.spacing
    assert data.region_classes.names == ("upper jaw", "lower jaw")
    assert data.instance_classes.names == ("tooth", "implant")
    assert len(data.items) == 8
    for item in data.items:
        read = data.read(item)
        assert read.regions is not None
        assert read.instances is not None
        assert read.classes is not None
        assert read.regions[1, 1] == (1 if item.plane < 2 else 2)
        if item.plane == 1:
            assert read.instances[2, 2] == 5
            assert read.classes[2, 2] == 1
        if item.plane == 2:
            assert read.instances[5, 5] == 9
            assert read.classes[5, 5] == 2
        if item.plane == 3:
            assert read.instances[0, 0] == 12
            assert read.classes[0, 0] == 255


def test_the_files_of_nnunet(volumes: QueueProject, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_cases(finished_cases(volumes), out, "nnunet", name="teeth")
    about = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    assert about["labels"] == {
        "background": 0,
        "upper jaw": 1,
        "lower jaw": 2,
        "tooth": 3,
        "implant": 4,
        "ignore": 5,
    }
    assert about["numTraining"] == 2
    assert about["file_ending"] == ".nii.gz"
    assert about["channel_names"] == {"0": "CT"}
    image = read_volume(out / "imagesTr" / "scan0_0000.nii.gz")
    assert GRID.difference(image.grid) == ""
    labels = read_label_volume(out / "labelsTr" / "scan1.nii.gz", image.grid).voxels
    assert labels[1, 2, 2] == 3
    assert labels[2, 5, 5] == 4
    assert labels[3, 0, 0] == 5
    assert labels[0, 0, 0] == 5
    assert labels[3, 5, 5] == 2


@pytest.mark.parametrize(("layout", "where"), [("folder", "objects"), ("nnunet", "objectsTr")])
def test_teeth_and_their_numbers_are_in_a_table(
    volumes: QueueProject, tmp_path: Path, layout: str, where: str
) -> None:
    out = tmp_path / "out"
    export_cases(finished_cases(volumes), out, layout, name="teeth")
    assert sorted(path.name for path in (out / where).iterdir()) == ["scan0.csv", "scan1.csv"]
    for name in ("scan0", "scan1"):
        table = pd.read_csv(out / where / f"{name}.csv", keep_default_na=False)
        assert tuple(table.columns) == VOLUME_COLUMNS
        assert table["label"].tolist() == [5, 9, 12]
        assert table["fdi"].tolist() == [36, 47, 0]
        assert table["fdi_confidence"].tolist() == [1.0, 0.625, 0.0]
        assert table["jaw"].tolist() == ["lower", "lower", ""]
        # In the data set's numbers, whatever they are in the case.
        assert table["class_name"].tolist() == ["tooth", "implant", ""]
        assert table["volume_vx"].tolist() == [4, 4, 1]
        assert table["volume_mm3"].tolist() == [0.32, 0.32, 0.08]
        assert table["region_name"].tolist() == ["upper jaw", "lower jaw", "lower jaw"]
    # A table is no case: what was exported can be opened as a queue.
    assert len(find_cases(out)) == 2


def test_hidden_names_stay_hidden(volumes: QueueProject, tmp_path: Path) -> None:
    volumes.set_anonymous(True)
    export_cases(finished_cases(volumes), tmp_path / "out", "folder", name="teeth")
    written = [path.name for path in (tmp_path / "out").rglob("*")]
    assert not any("scan" in name for name in written)
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2


def test_pictures(tmp_path: Path) -> None:
    root = tmp_path / "tiles"
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    for part in ("a", "b"):
        (root / part).mkdir(parents=True)
        Image.fromarray(pixels).save(root / part / "tile.png")
    with QueueProject.open(root) as project:
        with pytest.raises(CosegError, match="No case is done"):
            export_cases(finished_cases(project), tmp_path / "out", "folder", name="x")
        objects = np.zeros((20, 30), np.int32)
        objects[4:8, 4:8] = 1
        label(project, 1, "objects", objects, pixels, [["object", [1, 2, 3]]], {1: 0})
        regions = np.ones((20, 30), np.uint8)
        regions[5:, :], regions[0] = 2, 255
        names = [["stroma", [4, 5, 6]], ["gland", [7, 8, 9]]]
        label(project, 1, "regions", regions, pixels, names)
        for number in (1, 2):
            project.set_status(number, DONE)
        with pytest.raises(NoPixelSizeError):
            export_cases(finished_cases(project), tmp_path / "no", "nnunet", name="x")
        assert not (tmp_path / "no").exists()
        for layout in ("folder", "nnunet"):
            out = tmp_path / layout
            told = export_cases(finished_cases(project), out, layout, name="x", mpp=0.25)
            assert told.count == 1
            assert len(told.notes) == 1
            assert "no labels" in told.notes[0]
            data = FolderDataset(out)
            assert data.mpp == 0.25
            (item,) = data.items
            read = data.read(item)
            np.testing.assert_array_equal(read.image, pixels)
            np.testing.assert_array_equal(read.instances, objects)
            np.testing.assert_array_equal(read.classes, objects)
            where = {"folder": "objects", "nnunet": "objectsTr"}[layout]
            (row,) = read_objects(out / where / f"{item.name}.csv").to_dict("records")
            assert (row["label"], row["class_name"], row["region_name"]) == (1, "object", "gland")
            assert (row["area_px"], row["area_um2"], row["row0"], row["row"]) == (16, 1.0, 4, 5.5)
        with pytest.raises(CosegError, match="not empty"):
            export_cases(finished_cases(project), out, "folder", name="x", mpp=0.25)


def tiles(root: Path, names: list[str]) -> np.ndarray:
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    for name in names:
        Image.fromarray(pixels).save(root / name)
    return pixels


def test_classes_are_numbered_before_the_first_file(tmp_path: Path) -> None:
    pixels = tiles(tmp_path / "tiles", ["a.png", "b.png", "c.png"])
    one = np.zeros((20, 30), np.int32)
    one[4:8, 4:8] = 1
    with QueueProject.open(tmp_path / "tiles") as project:
        # The first knows one class, the second has the table of two and one object without any,
        # the third was opened only: what its table names is none of the data set's.
        label(project, 1, "objects", one, pixels, [["tooth", [1, 2, 3]]], {1: 1})
        two = [["implant", [4, 5, 6]], ["tooth", [1, 2, 3]]]
        label(project, 2, "objects", one, pixels, two, {1: 0})
        label(project, 3, "objects", 0 * one, pixels, [["never", [7, 8, 9]]])
        for case in project.cases:
            project.set_status(case.id, DONE)
        done = export_cases(finished_cases(project), tmp_path / "o", "nnunet", name="x", mpp=1.0)
    assert done.count == 2
    assert [note.split()[0] for note in done.notes] == ["c"]
    data = FolderDataset(tmp_path / "o")
    assert data.instance_classes.names == ("tooth", "implant")
    assert [item.name for item in data.items] == ["a", "b"]
    about = json.loads((tmp_path / "o" / "dataset.json").read_text(encoding="utf-8"))
    assert about["labels"] == {"background": 0, "tooth": 1, "implant": 2, "ignore": 3}
    assert about["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    for name, value in (("a", 1), ("b", 3)):
        labels = np.asarray(Image.open(tmp_path / "o" / "labelsTr" / f"{name}.png"))
        np.testing.assert_array_equal(labels, value * one)


def test_who_took_all_away_again_looked(tmp_path: Path) -> None:
    pixels = tiles(tmp_path / "tiles", ["a.png", "b.png", "c.png"])
    one = np.zeros((20, 30), np.int32)
    one[4:8, 4:8] = 1
    with QueueProject.open(tmp_path / "tiles") as project:
        label(project, 1, "objects", one, pixels, [], {1: 0})
        # As leaving a case that was only opened does.
        label(project, 2, "objects", 0 * one, pixels, [])
        empty = 0 * one
        with Case.open(project.journal(3, "objects"), identify(pixels), empty) as case:
            case.commit(Mask((2, 2), np.ones((4, 4), bool)))
            case.undo()
            assert case.wait(10)
        for case_ in project.cases:
            project.set_status(case_.id, DONE)
        done = export_cases(finished_cases(project), tmp_path / "o", "nnunet", name="x", mpp=1.0)
    assert done.count == 2
    assert len(done.notes) == 2
    assert "b has no labels and is left out" in done.notes[0]
    assert "c is written as background" in done.notes[1]
    assert [item.name for item in FolderDataset(tmp_path / "o").items] == ["a", "c"]
    assert not np.asarray(Image.open(tmp_path / "o" / "labelsTr" / "c.png")).any()


def test_names_that_differ_in_signs_alone(tmp_path: Path) -> None:
    names = ["img 1.png", "img_1.png", "img_1-2.png", "IMG 1.png", "img_1.jpg", "other.png"]
    tiles(tmp_path / "tiles", names)
    with QueueProject.open(tmp_path / "tiles") as project:
        for case in project.cases:
            project.set_status(case.id, DONE)
        found = [case.name for case in finished_cases(project)]
        assert len({name.casefold() for name in found}) == len(names)
        assert "other" in found
        assert all(" " not in name for name in found)


def test_all_is_looked_at_before_the_first_file(tmp_path: Path) -> None:
    tiles(tmp_path / "tiles", ["a.png", "b.png"])
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).resize((10, 10)).save(
        tmp_path / "tiles" / "c.png"
    )
    one = np.ones((20, 30), np.int32)
    with QueueProject.open(tmp_path / "tiles") as project:
        for case in project.cases:
            label(project, case.id, "objects", one, np.zeros((20, 30, 3), np.uint8), [], {1: 0})
            project.set_status(case.id, DONE)
        with pytest.raises(CosegError, match="The labels of c do not have the size"):
            export_cases(finished_cases(project), tmp_path / "o", "folder", name="x", mpp=1.0)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("lowest", "channel"), [(-1000, "CT"), (0, "CBCT")])
def test_channels_by_what_grey_values_mean(tmp_path: Path, lowest: int, channel: str) -> None:
    root = tmp_path / "scans"
    root.mkdir()
    voxels = np.random.default_rng(0).integers(lowest, 3000, GRID.shape, dtype=np.int16)
    write_volume(root / "scan.nii.gz", voxels, GRID)
    with QueueProject.open(root) as project:
        label(project, 1, "objects", np.ones(GRID.shape, np.int32), voxels, TEETH, {1: 1})
        project.set_status(1, DONE)
        export_cases(finished_cases(project), tmp_path / "o", "nnunet", name="x")
    about = json.loads((tmp_path / "o" / "dataset.json").read_text(encoding="utf-8"))
    assert about["channel_names"] == {"0": channel}


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    about = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "bone": 1, "air": 2, "ignore": 3},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / part).mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0, 0, :4] = 0, 1, 2, 3
    write_volume(tmp_path / "imagesTr" / "x_0000.nii.gz", np.zeros(GRID.shape, np.int16), GRID)
    write_labels(tmp_path / "labelsTr" / "x.nii.gz", labels, GRID)
    data = FolderDataset(tmp_path)
    assert data.region_classes.names == ("bone", "air")
    assert data.spacing == pytest.approx(GRID.spacing)
    read = data.read(data.items[0])
    assert read.regions is not None
    assert read.regions[0, :4].tolist() == [0, 1, 2, 255]
    assert read.instances is None
    (tmp_path / "imagesTr" / "x_0001.nii.gz").touch()
    with pytest.raises(CosegError, match="several files an image"):
        FolderDataset(tmp_path)
    (tmp_path / "imagesTr" / "x_0001.nii.gz").unlink()
    for labels_told, words in (
        ({"background": 0, "whole": [1, 2]}, "several labels"),
        ({"background": 0, "bone": 2}, "1, 2, 3"),
        ({}, "no labels"),
    ):
        about["labels"] = labels_told
        (tmp_path / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
        with pytest.raises(CosegError, match=words):
            FolderDataset(tmp_path)


def test_a_journal_that_is_open_is_not_read(tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    path = tmp_path / "x.coseg-journal"
    assert read_stored(path) is None
    with (
        Case.open(path, identify(image), np.ones((8, 8), np.int32)),
        pytest.raises(CosegError, match="open already"),
    ):
        read_stored(path)
    stored = read_stored(path)
    assert stored is not None
    assert (stored.labels == 1).all()
    assert set(stored.objects) == {1}

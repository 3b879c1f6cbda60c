"""Volumes, and nnU-Net's raw data sets, written by a conversion and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from napari_coseg.datasets.converting import Conversion, convert, settings_of
from napari_coseg.datasets.labelled import LABEL_KINDS, LabelledDataset, OpenOptions
from napari_coseg.datasets.nnunet_layout import semantic_labels
from napari_coseg.datasets.nnunet_raw import NnunetDataset
from napari_coseg.datasets.opening import open_dataset
from napari_coseg.imaging.volumes import read_grid, read_voxels
from napari_coseg.types import CosegError
from tests.datasets import test_toothfairy2
from tests.datasets.nnunet_files import SHAPE, about, grey, write_volume
from tests.datasets.test_converting import root as pictures

toothfairy2 = test_toothfairy2.root
picture_root = pictures


def oblique(path: Path, voxels: np.ndarray) -> None:
    """Write a volume of which nothing is straight, as long as three voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((0.3, 0.25, 0.7))
    image.SetOrigin((-11.5, 7.25, 3.0))
    turn = SimpleITK.Euler3DTransform((0, 0, 0), 0.1, -0.2, 0.3)
    image.SetDirection(turn.GetMatrix())
    SimpleITK.WriteImage(image, str(path))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder set of two volumes, with areas, objects, classes and what is not looked at."""
    root = tmp_path / "source"
    root.mkdir()
    text = "spacing = [0.7, 0.25, 0.3]\nwindow = [-500, 2000]\n"
    text += 'region_classes = ["jaw", "pharynx"]\n'
    text += 'instance_classes = ["upper tooth", "lower tooth"]\n[group]\nb_scan = "patient 1"\n'
    text += '[parts]\ntrain = ["ä scan"]\ntest = ["b_scan"]\n'
    (root / "dataset.toml").write_text(text, encoding="utf-8")
    regions = np.zeros(SHAPE, np.uint8)
    regions[0, :4], regions[1, 6:], regions[2, 0, 0] = 1, 2, 255
    instances = np.zeros(SHAPE, np.uint16)
    instances[0, 2:5, 2:5], instances[1, 8:10, 1:3], instances[2, 5, 5] = 11, 48, 300
    classes = np.zeros(SHAPE, np.uint8)
    classes[instances == 11], classes[instances == 48], classes[instances == 300] = 1, 2, 255
    for number, name in enumerate(("ä scan", "b_scan")):
        oblique(root / "images" / f"{name}.nii.gz", grey(number))
        oblique(root / "regions" / f"{name}.nii.gz", regions)
        oblique(root / "instances" / f"{name}.nii.gz", instances)
        oblique(root / "classes" / f"{name}.nii.gz", classes)
    return root


def run(root: Path, out: Path, layout: str, skip: bool = False, **options: float) -> Conversion:
    told = OpenOptions(**options)
    dataset = open_dataset(root, None, told)
    return convert(dataset, out, layout, settings_of(dataset, told, layout), skip_faults=skip)


def assert_same(one: LabelledDataset, two: LabelledDataset) -> None:
    """What is read of each item is equal, and so is what the sets say."""
    assert one.region_classes == two.region_classes
    assert one.instance_classes == two.instance_classes
    facts = [[(i.name, i.group, i.part, i.plane) for i in s.items] for s in (one, two)]
    assert sorted(facts[0]) == sorted(facts[1])
    by_name = {item.name: item for item in two.items}
    for item in one.items:
        first, second = one.read(item), two.read(by_name[item.name])
        assert np.array_equal(first.image, second.image)
        assert first.mpp == pytest.approx(second.mpp)
        for kind in LABEL_KINDS:
            before, after = getattr(first, kind), getattr(second, kind)
            assert (before is None) == (after is None), kind
            assert before is None or np.array_equal(before, after), kind


@pytest.mark.parametrize("layout", ["folder", "nnunet"])
def test_volumes_come_back(root: Path, tmp_path: Path, layout: str) -> None:
    out = tmp_path / "out"
    assert run(root, out, layout).written == 2
    before, after = open_dataset(root), open_dataset(out)
    assert_same(before, after)
    assert after.window == (-500, 2000)
    for item in before.items[:: SHAPE[0]]:
        name = item.name.rpartition("-z")[0]
        (copy,) = out.glob(f"images*/{name}*")
        assert copy.read_bytes() == item.image.read_bytes()
        wanted = read_grid(item.image)
        assert wanted is not None
        for path in out.glob(f"*/{name}*.nii.gz"):
            grid = read_grid(path)
            assert grid is not None
            assert not wanted.difference(grid), path


def test_pictures_as_nnunet(picture_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(picture_root, out, "nnunet").written == 2
    assert_same(open_dataset(picture_root), open_dataset(out))
    assert (out / "imagesTs" / "p2_b_0000.png").is_file()
    told = json.loads((out / "dataset.json").read_text("utf-8"))
    assert told["numTraining"] == 1
    assert told["file_ending"] == ".png"
    assert told["labels"] == {"background": 0, "gland": 1, "epithelial": 2, "zelle ß": 3}


def test_nnunet_sees_one_id_a_voxel(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(root, out, "nnunet")
    told = json.loads((out / "dataset.json").read_text("utf-8"))
    names = ["background", "jaw", "pharynx", "upper tooth", "lower tooth", "ignore"]
    assert told["labels"] == {name: number for number, name in enumerate(names)}
    assert (told["numTraining"], told["file_ending"]) == (1, ".nii.gz")
    found = read_voxels(out / "labelsTr" / "ä scan.nii.gz")
    assert found[0, 0, 0] == 1
    assert found[0, 3, 3] == 3  # a tooth lies over its jaw
    assert found[1, 9, 1] == 4
    assert found[2, 0, 0] == found[2, 5, 5] == 5
    # As anybody reads it who does not know this program.
    assert (out / "labelsTs" / "b_scan.nii.gz").is_file()
    other = NnunetDataset(out)
    assert other.region_classes.names == tuple(names[1:-1])
    assert other.read(other.items[2]).regions[0, 0] == 255


def test_toothfairy2_as_nnunet(toothfairy2: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(toothfairy2, out, "nnunet")
    before, after = open_dataset(toothfairy2), open_dataset(out)
    assert after.format.key == "folder"
    assert_same(before, after)
    told = json.loads((out / "dataset.json").read_text("utf-8"))
    names = ("background", "upper jaw", "lower jaw", "pharynx", "upper tooth", "lower tooth")
    assert tuple(told["labels"]) == names
    assert told["channel_names"] == {"0": "CBCT"}
    assert told["file_ending"] == ".mha"
    assert after.license == "CC-BY-SA-4.0"
    row = read_voxels(out / "labelsTr" / "ToothFairy2F_001.mha")[1, 5, :12]
    assert row.tolist() == [2, 1, 3, 4, 4, 5, 5, 0, 0, 0, 0, 0]


def test_a_second_run_does_the_rest(root: Path, tmp_path: Path) -> None:
    path = root / "classes" / "ä scan.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    with pytest.raises(CosegError, match=r"ä scan: .*--faults skip"):
        run(root, tmp_path / "out", "nnunet")
    assert not (tmp_path / "out" / "dataset.json").exists()
    path.write_bytes(whole)
    found = run(root, tmp_path / "out", "nnunet")
    assert (found.written, found.skipped) == (1, 1)
    assert_same(open_dataset(root), open_dataset(tmp_path / "out"))


def test_labels_on_another_grid_are_left_out(root: Path, tmp_path: Path) -> None:
    write_volume(root / "regions" / "b_scan.nii.gz", np.zeros(SHAPE, np.uint8))
    found = run(root, tmp_path / "out", "folder", skip=True)
    assert found.written == 1
    assert [fault.name for fault in found.faults] == ["b_scan"]
    assert "not on the grid" in found.faults[0].sentence


def test_voxels_of_two_sizes(tmp_path: Path) -> None:
    root = tmp_path / "Dataset009_Two"
    about(root, {"tumour": 1})
    for name, side in (("a", 0.3), ("b", 0.5)):
        write_volume(root / "imagesTr" / f"{name}_0000.mha", grey(), side)
        write_volume(root / "labelsTr" / f"{name}.mha", np.ones(SHAPE, np.uint8), side)
    with pytest.raises(CosegError, match=r"b has voxels of 0.5 .*convert to nnunet"):
        run(root, tmp_path / "a", "folder")
    run(root, tmp_path / "b", "nnunet")
    assert_same(open_dataset(root), open_dataset(tmp_path / "b"))


def test_layouts_without_volumes(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="choose --to folder or nnunet"):
        run(root, tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()


def test_validation_is_a_fold(root: Path, tmp_path: Path) -> None:
    path = root / "dataset.toml"
    path.write_text(path.read_text("utf-8").replace("test =", "validation ="), encoding="utf-8")
    run(root, tmp_path / "out", "nnunet")
    folds = json.loads((tmp_path / "out" / "splits_final.json").read_text("utf-8"))
    assert folds == [{"train": ["ä scan"], "val": ["b_scan"]}]


def test_objects_without_classes() -> None:
    instances = np.array([[0, 7, 8]])
    labels, ignored = semantic_labels({"instances": instances}, 0, 1)
    assert (labels.tolist(), ignored) == ([[0, 1, 1]], False)
    classes = np.array([[0, 0, 2]], np.uint8)
    labels, ignored = semantic_labels({"instances": instances, "classes": classes}, 2, 2)
    assert (labels.tolist(), ignored) == ([[0, 5, 4]], True)

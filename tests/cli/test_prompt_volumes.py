from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_coseg.cli.main import main
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_volume
from napari_coseg.imaging.volumes import read_label_volume
from napari_coseg.weights import loading
from napari_coseg.weights.catalogue import FOLDER_VARIABLE
from tests.inference.fake_prompts import FakePromptModel
from tests.inference.test_propagation import Bright, rod

TRUTH = rod(6, 25, 30, 20, 8, 30) | rod(9, 28, 30, 48, 8, 30)
GRID = VolumeGrid(
    (30, 64, 64),
    (0.8, 0.4, 0.4),
    (5.0, -3.0, 20.0),
    ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)
BOXES = """label,plane,row0,column0,row1,column1,class
7,15,22,12,39,29,molar
3,15,22,40,39,57,canine
"""


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    fake = FakePromptModel(Bright())
    monkeypatch.setattr(loading, "load_prompt_model", lambda name, device: fake)


def volume(folder: Path, name: str = "jaw.nrrd") -> Path:
    path = folder / name
    voxels = np.where(TRUTH, 1800, -400).astype(np.int16)
    # Around the field of view.
    voxels[:, :4] = -1000
    write_volume(path, voxels, GRID)
    return path


def table(folder: Path, text: str = BOXES, name: str = "boxes.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def prompt(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["prompt", *map(str, words), "--device", "cpu", "--model", "bright"])
    return int(left.value.code or 0)


@pytest.mark.parametrize("name", ["jaw.nrrd", "jaw.nii.gz"])
def test_a_box_on_a_plane_becomes_an_object_of_the_volume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "out"
    assert prompt(volume(tmp_path, name), "--out", out, "--boxes", table(tmp_path)) == 0
    assert "jaw: 2 objects" in capsys.readouterr().out
    # In its own format and on its grid, or this would be refused.
    labels = read_label_volume(out / name.replace("jaw", "jaw_instances"), GRID).voxels
    assert np.unique(labels).tolist() == [0, 3, 7]
    for label, truth in ((7, rod(6, 25, 30, 20, 8, 30)), (3, rod(9, 28, 30, 48, 8, 30))):
        found = labels == label
        assert 2 * (found & truth).sum() > 0.9 * (found.sum() + truth.sum())
    objects = pd.read_csv(out / "jaw_objects.csv").set_index("label")
    assert objects.loc[7, "class_name"] == "molar"
    assert objects.loc[3, "volume_vx"] == (labels == 3).sum()
    assert objects["score"].between(0.5, 1).all()
    facts = json.loads((out / "run.json").read_text("utf-8"))
    assert facts["settings"]["axis"] == 0


def test_a_second_run_skips_and_other_settings_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, boxes, out = volume(tmp_path), table(tmp_path), tmp_path / "out"
    assert prompt(path, "--out", out, "--boxes", boxes) == 0
    capsys.readouterr()
    assert prompt(path, "--out", out, "--boxes", boxes) == 0
    assert "skipped" in capsys.readouterr().out
    assert prompt(path, "--out", out, "--boxes", boxes, "--planes-only") == 2
    assert "other settings (follow)" in capsys.readouterr().err


def test_planes_only_ends_at_the_prompts(tmp_path: Path) -> None:
    boxes = table(tmp_path, BOXES + "7,11,22,12,39,29,molar\n")
    out = tmp_path / "out"
    words = ("--boxes", boxes, "--planes-only", "--window", -400, 1800)
    assert prompt(volume(tmp_path), "--out", out, *words) == 0
    labels = read_label_volume(out / "jaw_instances.nrrd", GRID).voxels
    assert np.flatnonzero((labels == 7).any(axis=(1, 2))).tolist() == [11, 12, 13, 14, 15]
    assert np.flatnonzero((labels == 3).any(axis=(1, 2))).tolist() == [15]


def test_points_on_a_plane_of_another_axis(tmp_path: Path) -> None:
    # Seen along the rows: 30 planes by 64 columns.
    points = table(tmp_path, "label,plane,row,column,positive\n2,30,15,20,1\n", "points.csv")
    out = tmp_path / "out"
    words = ("--points", points, "--axis", 1, "--size", 19)
    assert prompt(volume(tmp_path), "--out", out, *words) == 0
    labels = read_label_volume(out / "jaw_instances.nrrd", GRID).voxels
    truth = rod(6, 25, 30, 20, 8, 30)
    assert 2 * (labels[truth] == 2).sum() > 0.8 * ((labels == 2).sum() + truth.sum())


def test_what_does_not_go_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = volume(tmp_path), tmp_path / "out"
    plain = table(tmp_path, "label,row0,column0,row1,column1\n1,2,2,9,9\n", "plain.csv")
    picture = tmp_path / "tile.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(picture)
    assert prompt(path, "--out", out, "--boxes", plain) == 2
    assert "give them a column plane" in capsys.readouterr().err
    assert prompt(picture, "--out", out, "--boxes", table(tmp_path)) == 2
    assert "is a picture, and the tables have a column plane" in capsys.readouterr().err
    half = table(tmp_path, "label,plane,row0,column0,row1,column1\n1,1.5,2,2,9,9\n")
    assert prompt(path, "--out", out, "--boxes", half) == 2
    assert "a whole number" in capsys.readouterr().err
    points = table(tmp_path, "label,row,column,positive\n1,4,4,1\n", "points.csv")
    assert prompt(path, "--out", out, "--boxes", table(tmp_path), "--points", points) == 2
    assert "a column plane, or none" in capsys.readouterr().err
    twice = table(tmp_path, BOXES + "7,15,1,1,9,9,molar\n", "twice.csv")
    assert prompt(path, "--out", out, "--boxes", twice) == 2
    assert "second box of label 7 on plane 15" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("7,30,22,12,39,29", "plane 30, and the volume has the planes 0 to 29"),
        ("7,-1,22,12,39,29", "plane -1, and the volume has the planes 0 to 29"),
        ("7,15,70,12,90,29", "outside of the image of 64 x 64"),
    ],
)
def test_prompts_outside_of_the_volume_fail_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, words: str
) -> None:
    boxes = table(tmp_path, f"label,plane,row0,column0,row1,column1\n{row}\n")
    out = tmp_path / "out"
    assert prompt(volume(tmp_path), "--out", out, "--boxes", boxes) == 1
    assert words in " ".join(capsys.readouterr()).replace("\n", " ")
    assert not (out / "jaw_instances.nrrd").exists()

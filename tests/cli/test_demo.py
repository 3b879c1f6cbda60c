"""``napari-coseg demo``: its files, its folder, its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_coseg.cli import demo_samples
from napari_coseg.cli.demo import MARKER, METRICS, demo, prepare_folder, truth_picture
from napari_coseg.cli.demo_samples import GENERATED, REAL, Sample
from napari_coseg.cli.demo_scores import class_of_objects, score_tile
from napari_coseg.datasets.synthetic_histology import generate_tile
from napari_coseg.imaging.labels import read_labels
from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.types import ClassTable, CosegError, PanopticResult
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.loading import save_model

FILES = (
    ".png",
    "_regions.tif",
    "_instances.tif",
    "_objects.csv",
    ".geojson",
    "_overlay.png",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights; half of its pixels are nuclei, more or less."""
    torch.manual_seed(0)
    config = CosegConfig(
        encoder="test_efficientnet",
        region_classes=1,
        instance_classes=2,
        tile=64,
        width=16,
        mlp_width=16,
        heads=2,
        depth=1,
        pixel_channels=(8, 8),
        state_width=8,
        state_size=4,
        spatial_width=4,
    )
    card = ModelCard(
        name="tiny",
        region_classes=[{"name": "gland", "colour": (0, 158, 115)}],
        instance_classes=[
            {"name": "epithelial", "colour": (230, 159, 0)},
            {"name": "other", "colour": (86, 180, 233)},
        ],
        region_mpp=1.0,
        instance_mpp=0.5,
        licence="CC0-1.0",
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_model(path, CosegNetwork(config).eval(), card)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few thousand pixels, so that a demo takes a second."""

    def real() -> Sample:
        whole = demo_samples.real_sample()
        return Sample(REAL, whole.image[:96, :128], whole.mpp, whole.note)

    monkeypatch.setattr(demo_samples, "GENERATED_SHAPE", (96, 112))
    monkeypatch.setattr(demo_samples, "SAMPLES", (real, demo_samples.generated_sample))


def run(*words: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(demo)
    result = CliRunner().invoke(app, list(words), catch_exceptions=True)
    if isinstance(result.exception, CosegError):
        raise result.exception
    return result.exit_code, result.output


def test_writes_every_file_and_says_where(tmp_path: Path, weights: Path, small: None) -> None:
    out = tmp_path / "new" / "folder"
    code, said = run("--out", str(out), "--model", str(weights), "--device", "cpu")
    assert code == 0, said
    expected = {name + ending for name in (REAL, GENERATED) for ending in FILES}
    expected |= {MARKER, METRICS, f"{GENERATED}_truth.png"}
    assert {path.name for path in out.iterdir()} == expected
    assert str(out) in said
    for word in ("tiny", "CC0-1.0", "not a medical device", "0.4 µm", "Dice", "AJI", "PQ"):
        assert word in said
    for name, shape in ((REAL, (96, 128)), (GENERATED, (96, 112))):
        with Image.open(out / f"{name}.png") as picture:
            assert picture.size == shape[::-1]
        with Image.open(out / f"{name}_overlay.png") as picture:
            assert picture.height > shape[0], "the legend stands below"
        instances = read_labels(out / f"{name}_instances.tif", shape)
        objects = pd.read_csv(out / f"{name}_objects.csv")
        assert set(objects["label"]) == set(np.unique(instances)) - {0}
        features = json.loads((out / f"{name}.geojson").read_text("utf-8"))["features"]
        assert len(features) >= len(objects)
    record = json.loads((out / MARKER).read_text("utf-8"))
    assert record["finished"] is True
    assert set(record["pictures"]) == {REAL, GENERATED}
    assert record["seconds"] > 0


def test_metrics_are_those_of_the_files(tmp_path: Path, weights: Path, small: None) -> None:
    code, _ = run("--out", str(tmp_path / "demo"), "--model", str(weights), "--device", "cpu")
    assert code == 0
    scores = pd.read_csv(tmp_path / "demo" / METRICS).set_index(["task", "class"])
    assert set(scores.index) == {
        ("regions", "gland"),
        ("instances", "all"),
        ("instances", "epithelial"),
    }
    truth = generate_tile(demo_samples.GENERATED_SEED, (96, 112), demo_samples.GENERATED_MPP)
    regions = read_labels(tmp_path / "demo" / f"{GENERATED}_regions.tif")
    both = 2 * np.sum((regions == 1) & (truth.regions == 1))
    dice = both / (np.sum(regions == 1) + np.sum(truth.regions == 1))
    assert scores.loc[("regions", "gland"), "dice"] == pytest.approx(dice)


def test_second_run_reuses_its_folder(tmp_path: Path, weights: Path, small: None) -> None:
    words = ("--out", str(tmp_path), "--model", str(weights), "--device", "cpu")
    assert run(*words)[0] == 0
    before = (tmp_path / f"{GENERATED}_instances.tif").read_bytes()
    assert run(*words)[0] == 0
    assert (tmp_path / f"{GENERATED}_instances.tif").read_bytes() == before


def test_strange_folder_is_refused_and_left_alone(
    tmp_path: Path, weights: Path, small: None
) -> None:
    mine = tmp_path / f"{GENERATED}.png"
    mine.write_text("mine")
    with pytest.raises(CosegError, match="not from an earlier demo"):
        run("--out", str(tmp_path), "--model", str(weights))
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"program": "other"}', "\xff"])
def test_a_marker_of_something_else_does_not_count(tmp_path: Path, text: str) -> None:
    (tmp_path / MARKER).write_text(text, encoding="latin-1")
    with pytest.raises(CosegError):
        prepare_folder(tmp_path)


def test_file_instead_of_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(CosegError, match="is a file"):
        prepare_folder(path)


def test_nothing_is_made_when_the_model_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CosegError):
        run("--out", str(tmp_path / "demo"), "--model", str(tmp_path / "no.safetensors"))
    assert not (tmp_path / "demo").exists()


def test_perfect_prediction_scores_one() -> None:
    truth = generate_tile(0, (128, 128))
    # The model knows the classes in another order, and one more.
    names = ["miscellaneous", "spindle", "epithelial", "inflammatory"]
    table = ClassTable.from_names(names)
    kinds = class_of_objects(truth)
    objects = pd.DataFrame(
        {
            "label": list(kinds),
            "class_name": [truth.instance_classes.name_of(kind) for kind in kinds.values()],
        }
    )
    result = PanopticResult(
        regions=2 * truth.regions,
        instances=truth.instances,
        objects=objects,
        region_classes=ClassTable.from_names(["stroma", "gland"]),
        instance_classes=table,
        mpp=truth.mpp,
    )
    scores = score_tile("tile", result, truth)
    assert set(scores["class"]) == {"gland", "all", "inflammatory", "epithelial", "spindle"}
    np.testing.assert_allclose(scores["pq"].dropna(), 1.0)
    np.testing.assert_allclose(scores["dice"].dropna(), 1.0)
    # One object of the wrong class costs two classes, and nothing class-free.
    objects.loc[0, "class_name"] = "miscellaneous"
    changed = score_tile("tile", result, truth).set_index("class")["pq"]
    assert changed["all"] == 1.0
    assert changed[truth.instance_classes.name_of(kinds[1])] < 1.0


def test_truth_is_drawn_in_the_colours_of_the_result() -> None:
    truth = generate_tile(0, (128, 128))
    names = ["spindle", "epithelial"]
    result = PanopticResult(
        regions=None,
        instances=None,
        objects=pd.DataFrame(),
        region_classes=ClassTable(),
        instance_classes=ClassTable.from_names(names, {"epithelial": (1, 2, 253)}),
    )
    sample = Sample("tile", truth.image, truth.mpp, "", truth)
    picture = truth_picture(sample, result)[:128, :128]
    rim = (picture == (1, 2, 253)).all(axis=2)
    assert rim.sum() > 50
    assert (truth.classes[rim] == truth.instance_classes.names.index("epithelial") + 1).all()


def test_installed_program_with_the_bundled_model(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("napari-coseg")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "napari_coseg.cli.main"]
    done = subprocess.run(
        [*program, "demo", "--out", str(tmp_path / "demo"), "--device", "cpu"],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(tmp_path / "demo" / METRICS).set_index(["task", "class"])
    # Far below what the model reaches; far above what chance or an empty picture would.
    assert scores.loc[("regions", "gland"), "dice"] > 0.6
    assert scores.loc[("instances", "all"), "pq"] > 0.25
    real = pd.read_csv(tmp_path / "demo" / f"{REAL}_objects.csv")
    # Brown DAB is far from the H&E that the model learnt: it finds some nuclei, not most.
    assert len(real) > 10

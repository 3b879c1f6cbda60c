"""From labels to a comparison, as a lab would run it with the installed program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.synthetic_histology import write_dataset
from tests.e2e.test_program import start


def shifted(root: Path, out: Path, rows: int) -> Path:
    """Predictions of a data set: its truth, moved."""
    out.mkdir()
    dataset = FolderDataset(root)
    about = {
        "region_classes": [{"name": info.name} for info in dataset.region_classes],
        "instance_classes": [],
    }
    (out / "run.json").write_text(json.dumps(about), encoding="utf-8")
    for number, item in enumerate(dataset.items):
        regions = dataset.read(item).regions
        assert regions is not None
        moved = np.roll(regions, rows + number % 7, axis=0)
        tifffile.imwrite(out / f"{item.name}_regions.tif", moved)
    return out


def test_two_runs_are_scored_and_compared(tmp_path: Path) -> None:
    # Seven slides of four tiles: six are the fewest of which a test can say something.
    write_dataset(tmp_path / "set", count=28, seed=0, shape=(96, 96), mpp=0.5)
    for name, rows in (("a", 3), ("b", 1)):
        folder = shifted(tmp_path / "set", tmp_path / name, rows)
        done = start(
            *("evaluate", str(folder), str(tmp_path / "set"), "--as", "coseg-table-1:glas"),
            *("--out", str(tmp_path / f"{name}.csv")),
        )
        assert done.returncode == 0, done.stderr
        assert "91.56" in done.stdout
        assert "published, not re-run" in " ".join(done.stdout.split())
    done = start(
        *("compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")),
        *("--scores", "dice", "--json"),
    )
    assert done.returncode == 0, done.stderr
    rows_ = {row["class"]: row for row in json.loads(done.stdout)["rows"]}
    # Less moved is better in the images of each slide that have a gland.
    assert rows_["gland"]["pairs"] > 20
    assert rows_["gland"]["better"] == rows_["gland"]["groups"] == 7
    assert rows_["gland"]["p"] < 0.05
    assert rows_["gland"]["effect"] == 1


def test_a_prompted_model_is_scored_from_its_name(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", count=2, seed=0, shape=(128, 128), mpp=0.5)
    done = start(
        *("evaluate", "syncsam-lite", str(tmp_path / "set"), "--objects", "6"),
        *("--as", "syncsam-table-3", "--device", "cpu", "--json"),
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert len(content["images"]) == 6
    box, point, five = content["published"]["ours"]
    assert 20 < box <= 100
    assert 0 <= point <= 100
    assert 0 <= five <= 100
    assert content["published"]["rows"][-1]["values"] == [89.6, 87.3, 89.7]


def test_wrong_words_start_nothing(tmp_path: Path) -> None:
    assert start("compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")).returncode == 2
    done = start("predict", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "--of" in done.stderr

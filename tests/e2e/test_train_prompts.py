"""``napari-coseg train`` with a SyncSAM config."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tomli_w

from napari_coseg.datasets.synthetic_histology import write_dataset
from napari_coseg.weights.card import read_card
from tests.training.conftest import TINY_PROMPT_NETWORK


def test_train(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", count=2, seed=0, shape=(64, 64), mpp=0.5)
    config = {
        "kind": "syncsam",
        "model": {"name": "tiny-prompts", "network": TINY_PROMPT_NETWORK},
        "data": [{"path": "data"}],
        "split": {"by": "image", "folds": 2},
        "run": {"steps": 2, "batch": 1, "workers": 0, "threads": 1, "device": "cpu"},
    }
    path = tmp_path / "tiny.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "napari_coseg", "train", path, "--out", out],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Done after 2 steps" in done.stdout
    card = read_card(out / "best.safetensors")
    assert card.kind == "syncsam"
    assert card.trained_parameters == card.parameters
    assert {path.name for path in out.iterdir()} >= {
        "best.safetensors",
        "last.safetensors",
        "last.pt",
        "losses.csv",
        "scores.csv",
        "validation.csv",
        "pictures",
        "tensorboard",
        "config.json",
    }

"""``napari-coseg data`` as a person starts it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.test_program import start


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for kind, pixels in (
        ("images", np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)),
        ("instances", np.repeat(np.arange(3, dtype=np.uint8), 10)[:, None].repeat(40, 1)),
    ):
        (root / kind).mkdir(parents=True)
        Image.fromarray(pixels).save(root / kind / "a.png")
    (root / "dataset.toml").write_text("name = 'mine'\nmpp = 0.5\n", encoding="utf-8")
    return root


def test_check_and_convert(root: Path, tmp_path: Path) -> None:
    done = start("data", "check", str(root), "--out", str(tmp_path / "check"))
    assert done.returncode == 0, done.stderr
    assert "1 items" in done.stdout
    assert "no class" in done.stdout
    assert (tmp_path / "check" / "check.html").is_file()
    done = start("data", "convert", str(root), str(tmp_path / "coco"), "--to", "coco")
    assert done.returncode == 0, done.stderr
    told = start("data", "check", str(tmp_path / "coco"), "--mpp", "0.5", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["objects"] == {"object": {"count": 2, "items": 1}}


def test_faults_and_mistakes(root: Path, tmp_path: Path) -> None:
    (root / "instances" / "stray.png").write_bytes((root / "instances" / "a.png").read_bytes())
    done = start("data", "check", str(root))
    assert done.returncode == 1
    assert "stray" in done.stdout
    done = start("data", "convert", str(root), str(tmp_path / "out"))
    assert done.returncode == 2
    assert "--faults skip" in done.stderr
    done = start("data", "convert", str(root), str(tmp_path / "out"), "--faults", "skip")
    assert done.returncode == 1
    assert "Left out stray" in done.stderr
    assert start("data", "check", str(tmp_path)).returncode == 2

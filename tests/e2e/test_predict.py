"""``napari-coseg predict`` as a person runs it, with a small network of random weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.tables import read_objects
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.weights.loading import save_model
from tests.e2e.test_program import PROGRAM
from tests.inference.fake import TINY, card


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = CosegNetwork(TINY)
    return save_model(tmp_path_factory.mktemp("weights") / "tiny.safetensors", network, card())


def command(*words: object) -> list[str]:
    return [str(PROGRAM), "predict", *map(str, words), "--device", "cpu", "--threads", "1"]


def start(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, encoding="utf-8", check=False)


def draw(path: Path, rows: int, columns: int, mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_any_kind_of_image_and_a_second_run(weights: Path, tmp_path: Path) -> None:
    draw(tmp_path / "rgb.png", 100, 90)
    draw(tmp_path / "grey.jpg", 70, 130, "L")
    draw(tmp_path / "alpha.tif", 64, 64, "RGBA")
    draw(tmp_path / "one.bmp", 1, 1)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not a picture", "utf-8")
    out = tmp_path / "out"
    done = start(tmp_path, "--out", out, "--model", weights)
    assert done.returncode == 1, done.stderr
    assert "4 done, 2 failed" in done.stdout
    assert "Traceback" not in done.stderr
    for name, shape in [
        ("rgb", (100, 90)),
        ("grey", (70, 130)),
        ("alpha", (64, 64)),
        ("one", (1, 1)),
    ]:
        labels = read_labels(out / f"{name}_instances.tif", shape)
        read_labels(out / f"{name}_regions.tif", shape)
        table = read_objects(out / f"{name}_objects.csv")
        assert len(table) == labels.max()
        assert "features" in json.loads((out / f"{name}.geojson").read_text("utf-8"))
    assert (out / "failures.csv").read_text("utf-8").count("\n") == 3
    before = {path: path.read_bytes() for path in out.glob("*.tif")}
    again = start(tmp_path, "--out", out, "--model", weights)
    assert "4 skipped, 2 failed" in again.stdout
    assert start(tmp_path / "rgb.png", "--out", out, "--model", weights, "--tta").returncode == 2
    other = tmp_path / "other"
    assert start(tmp_path / "rgb.png", "--out", other, "--model", weights).returncode == 0
    # The same pixels give the same file, bit for bit.
    same = (other / "rgb_instances.tif").read_bytes()
    assert same == before[out / "rgb_instances.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to whole groups")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_nothing_half_written(
    weights: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    image = draw(tmp_path / "large.png", 3000, 3000)
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(image, "--out", out, "--model", weights),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ,
        # A shell that starts the tests in the background lets all its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (out / "records" / "large.json").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors
    assert sorted(path.name for path in out.iterdir()) == ["records", "run.json"]
    assert [path.name for path in (out / "records").iterdir()] == ["large.json"]

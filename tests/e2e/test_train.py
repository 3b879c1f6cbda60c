"""``napari-coseg train`` as a person starts, stops and resumes it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from napari_coseg.datasets.synthetic_histology import write_dataset

CONFIG = """
[model]
name = "tiny"
region_classes = ["gland"]
instance_classes = ["inflammatory", "epithelial", "spindle"]
region_mpp = 1.0
instance_mpp = 0.5

[model.network]
encoder = "mobilenetv3_small_050"
tile = 64
width = 32
mlp_width = 32
heads = 2
pixel_channels = [16, 12, 8]
state_width = 16
state_size = 4
spatial_width = 8

[[data]]
path = "data"

[split]
by = "image"
folds = 2

[run]
steps = 100000
batch = 1
workers = 0
threads = 1
validate_every = 50000
save_every = 4
log_every = 2
device = "cpu"
tensorboard = false
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of Unix")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config that trains for ever, beside its data."""
    write_dataset(tmp_path / "data", count=2, seed=0, shape=(64, 64), mpp=0.5)
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    return path


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "napari_coseg", "train", *map(str, words)]


def test_ctrl_c_keeps_the_last_step_and_resume_goes_on(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(config, "--out", out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # A shell that starts the tests in the background lets all its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (out / "last.pt").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    stopped = steps(out)[-1]
    resumed = subprocess.run(
        command(config, "--out", out, "--resume", "--set", f"run.steps={stopped + 4}"),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert steps(out)[-1] == stopped + 4
    assert sorted(set(steps(out))) == list(range(2, stopped + 5, 2))


def test_a_disk_that_fills_up_keeps_the_checkpoint_before(config: Path, tmp_path: Path) -> None:
    """A file-size limit makes the kernel refuse the write in the middle, as a full disk does."""
    out = tmp_path / "run"
    short = ("--set", "run.steps=4")
    first = subprocess.run(
        command(config, "--out", out, *short), capture_output=True, encoding="utf-8", check=False
    )
    assert first.returncode == 0, first.stderr
    before = (out / "last.pt").read_bytes()

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        command(config, "--out", out, "--resume", "--set", "run.steps=8"),
        capture_output=True,
        encoding="utf-8",
        check=False,
        preexec_fn=limited,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert (out / "last.pt").read_bytes() == before
    assert not list(out.glob(".part-*"))


def test_two_processes(config: Path, tmp_path: Path) -> None:
    """Partial labels leave a task without truth in one process and not in the other."""
    for task, kinds in (("glands", ("instances", "classes")), ("nuclei", ("regions",))):
        write_dataset(tmp_path / task, count=2, seed=1, shape=(64, 64), mpp=0.5)
        for kind in (*kinds, "region_instances"):
            shutil.rmtree(tmp_path / task / kind, ignore_errors=True)
    text = config.read_text(encoding="utf-8").replace(
        'path = "data"', 'path = "glands"\n[[data]]\npath = "nuclei"'
    )
    config.write_text(text)
    out = tmp_path / "run"
    short = ["run.steps=4", "run.validate_every=2", "run.log_every=1", "run.patience=1"]
    done = in_two_processes(config, out, *short)
    assert done.returncode == 0, done.stderr[-2000:]
    # One log, written by one of them.
    assert steps(out) in ([1, 2, 3, 4], [1, 2])
    assert (out / "best.safetensors").exists()


def test_two_processes_learn_what_one_does(config: Path, tmp_path: Path) -> None:
    """The same samples in the same batches: two processes, or one that adds two gradients."""
    short = ["run.steps=6", "run.log_every=1", "run.validate_every=6", "optimiser.warmup=0"]
    short += ["run.batch=2", "run.seed=3", "optimiser.rate=0.002"]
    done = in_two_processes(config, tmp_path / "two", *short)
    assert done.returncode == 0, done.stderr[-2000:]
    alone = subprocess.run(
        command(config, "--out", tmp_path / "one", *_set(*short, "run.accumulate=2")),
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert alone.returncode == 0, alone.stderr[-2000:]
    two, one = curve(tmp_path / "two"), curve(tmp_path / "one")
    assert len(one) == 6
    assert one[0] != pytest.approx(one[-1], rel=0.02)
    assert two == pytest.approx(one, rel=1e-3)
    first, second = (load_file(tmp_path / name / "last.safetensors") for name in ("two", "one"))
    # What is learnt; batch norms saw the batches one after another there, and together here.
    learnt = [name for name in first if not name.endswith(("running_mean", "running_var"))]
    difference = max(float((first[n].float() - second[n].float()).abs().max()) for n in learnt)
    assert difference < 2e-3


def in_two_processes(config: Path, out: Path, *keys: str) -> subprocess.CompletedProcess[str]:
    # `accelerate launch --cpu` starts one process alone, whatever number it is told.
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launch += ["-m", "napari_coseg", "train"]
    return subprocess.run(
        [sys.executable, *launch, config, "--out", out, *_set(*keys)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _set(*keys: str) -> list[str]:
    return [word for key in keys for word in ("--set", key)]


def curve(folder: Path) -> list[float]:
    lines = (folder / "losses.csv").read_text().splitlines()[1:]
    return [float(line.split(",")[2]) for line in lines if ",loss," in line]


def steps(folder: Path) -> list[int]:
    lines = (folder / "losses.csv").read_text().splitlines()[1:]
    return [int(line.split(",")[0]) for line in lines if ",loss," in line]

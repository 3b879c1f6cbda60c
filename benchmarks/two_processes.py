"""The loss of two processes beside one with the same images a step, over small steps on a CPU.

Three runs of a small Co-Seg++ on generated tiles: two processes with a batch each, one that adds
the gradients of two batches, and one with a batch of twice the size. All see the same images at
each step. The first two must agree but for rounding; the third pools its Dice terms over four
images where the others pool over two and take the mean. Curves are compared as means over
`--window` steps, and step by step.

    python benchmarks/two_processes.py [--steps 40] [--batch 2] [--window 10]
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.synthetic_histology import write_dataset

AIM = 0.01
CONFIG = """
[model]
name = "tiny"
region_classes = ["gland"]
instance_classes = ["inflammatory", "epithelial", "spindle"]
region_mpp = 1.0
instance_mpp = 0.5

[model.network]
encoder = "mobilenetv3_small_050"
folded_norm = FOLDED
tile = 64
width = 32
mlp_width = 32
heads = 2
pixel_channels = [16, 12, 8]
instance_stride = 2
state_width = 16
state_size = 4
spatial_width = 8

[[data]]
path = "data"

[split]
by = "image"
folds = 4

[optimiser]
warmup = 5

[run]
steps = STEPS
workers = 0
threads = 1
validate_every = STEPS
log_every = 1
pictures = 0
device = "cpu"
tensorboard = false
"""


def main() -> None:
    """Train three times and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--window", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root / "data", count=8, seed=0, shape=(96, 96), mpp=0.5)
        text = CONFIG.replace("STEPS", str(given.steps)).replace("FOLDED", "true")
        (root / "tiny.toml").write_text(text)
        two = run(root, "two processes", 2, batch=given.batch)
        added = run(root, "one, two gradients added", 1, batch=given.batch, accumulate=2)
        large = run(root, "one, a batch of twice the size", 1, batch=2 * given.batch)
    for name, one in (("two gradients added", added), ("a batch of twice the size", large)):
        compare(name, two, one, given.window)


def run(root: Path, name: str, processes: int, **keys: int) -> npt.NDArray[np.float64]:
    """Train, and return the loss of each step."""
    out = root / name.replace(" ", "-")
    words = [word for key, value in keys.items() for word in ("--set", f"run.{key}={value}")]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    begun = time.perf_counter()
    train = ["-m", "napari_coseg", "train", str(root / "tiny.toml"), "--out", str(out)]
    subprocess.run(
        [sys.executable, *launch, *train, *words],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with (out / "losses.csv").open() as file:
        found = [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "loss"]
    print(
        f"{name}: {len(found)} steps, {found[0]:.4f} to {found[-1]:.4f}, "
        f"{time.perf_counter() - begun:.0f} s with its start"
    )
    return np.array(found)


def compare(
    name: str, two: npt.NDArray[np.float64], one: npt.NDArray[np.float64], window: int
) -> None:
    """Print how far two curves are apart."""
    single = np.abs(two / one - 1)
    kernel = np.ones(window) / window
    smooth = np.abs(np.convolve(two, kernel, "valid") / np.convolve(one, kernel, "valid") - 1)
    verdict = "ok" if smooth.max() < AIM else "NO"
    print(
        f"two processes against {name}: {smooth.max():.3%} at most over {window} steps (aim: "
        f"under {AIM:.0%}) {verdict}; single steps {single.mean():.3%} on average, "
        f"{single.max():.3%} at most"
    )


if __name__ == "__main__":
    main()

"""Many images by Dask workers, one of which is killed now and then: each is done once.

A cluster of its own on this machine, the bundled histology model, generated tiles. A worker chosen
at random is killed with SIGKILL every `--every` seconds while the run goes on; Dask starts another
in its place. At the end each image must have its files, a record that says "done", and the labels
that one process without Dask gives it.

    python benchmarks/dask_kill.py [--images 60] [--workers 4] [--every 30] [--side 512]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from distributed import LocalCluster

from napari_coseg.datasets.synthetic_histology import write_dataset
from napari_coseg.imaging.labels import read_labels
from napari_coseg.inference.batch import PredictionFolder
from napari_coseg.inference.dask_batch import DaskPredictionFolder, connect
from napari_coseg.inference.jobs import find_jobs
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.weights.loading import load_model

MODEL = "coseg-lite-histology"


def main() -> None:
    """Predict with Dask and without, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--every", type=float, default=30.0)
    parser.add_argument("--side", type=int, default=512)
    given = parser.parse_args()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root / "data", count=given.images, seed=0, shape=(given.side,) * 2, mpp=0.5)
        model, settings = load_model(MODEL), PredictSettings()
        jobs = find_jobs([root / "data" / "images"], root / "dask")
        with (
            LocalCluster(
                n_workers=given.workers,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=50,
            ) as cluster,
            connect(cluster.scheduler_address) as client,
        ):
            by_dask = DaskPredictionFolder(
                root / "dask", model, settings, client=client, name=MODEL, device="cpu", threads=1
            )
            over = threading.Event()
            killer = threading.Thread(target=kill, args=(cluster, given.every, over))
            killer.start()
            begun = time.perf_counter()
            told = [(one.job.name, one.outcome) for one in by_dask.run(jobs)]
            over.set()
            killer.join()
        seconds = time.perf_counter() - begun
        print(f"{len(told)} of {given.images} images in {seconds:.0f} s, {KILLED} workers killed")
        alone = PredictionFolder(root / "alone", model, settings)
        list(alone.run(jobs))
        sys.exit(0 if right(root, told, given.images) else 1)


KILLED = 0


def kill(cluster: LocalCluster, every: float, over: threading.Event) -> None:
    """Kill a worker now and then."""
    global KILLED
    choose = random.Random(0)
    while not over.wait(every):
        processes = sorted(one.pid for one in cluster.workers.values() if one.pid)
        if processes and not over.is_set():
            os.kill(choose.choice(processes), signal.SIGKILL)
            KILLED += 1


def right(root: Path, told: list[tuple[str, str]], images: int) -> bool:
    """Say whether every image was told once, is done, and equals that of one process."""
    once = Counter(name for name, _ in told)
    outcomes = Counter(outcome for _, outcome in told)
    records = json.loads((root / "dask" / "run.json").read_text("utf-8"))["images"]
    states = Counter(record["status"] for record in records.values())
    files = sorted((root / "alone").glob("*.tif"))
    same = sum(
        np.array_equal(read_labels(path), read_labels(root / "dask" / path.name)) for path in files
    )
    left = [path.name for path in (root / "dask").rglob("*") if path.name.startswith(".")]
    print(f"told {dict(outcomes)}, at most {max(once.values())} times; records {dict(states)}")
    print(f"{same} of {len(files)} label files are those of one process without Dask")
    print(f"unfinished files that killed workers left: {len(left)}")
    fine = len(once) == images == outcomes["done"] == states["done"] and max(once.values()) == 1
    return fine and same == len(files) == 2 * images


if __name__ == "__main__":
    main()

"""Memory of the worker's process after many runs of mixed sizes: it must not grow.

Segments images of 200 to 700 pixels a side, cut from a generated tile, one after the other with one
host, as the docks do, and reads the host's resident memory after 20 runs and after all.

    python benchmarks/worker_memory.py [--runs 200] [--first 20] [--model NAME] [--device cpu]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np
from window import say_load

from napari_coseg.datasets.synthetic_histology import generate_tile
from napari_coseg.imaging.source import ArraySource
from napari_coseg.weights.catalogue import DEFAULT_MODEL
from napari_coseg.worker.client import Client
from napari_coseg.worker.launcher import LocalHost
from napari_coseg.worker.requests import SegmentRequest

#: Share by which memory may differ.
REACH = 0.05
PATIENCE = 600.0
SMALLEST, LARGEST, MPP = 200, 700, 0.5


def main() -> None:
    """Run, and print the memory on the way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=20, help="runs before the first look")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.runs <= given.first:
        parser.error("--runs must be more than --first")
    say_load()
    random = np.random.default_rng(0)
    picture = generate_tile(0, (LARGEST, LARGEST), MPP).image
    client = Client(LocalHost())
    assert isinstance(client.host, LocalHost)
    start = time.perf_counter()
    seen: dict[int, float] = {}
    try:
        client.load(given.model, given.device).result(PATIENCE)
        print(f"model loaded: {resident(client.host):.0f} MB", flush=True)
        pid = client.host.pid
        for run in range(1, given.runs + 1):
            rows, columns = (int(n) for n in random.integers(SMALLEST, LARGEST + 1, 2))
            wanted = SegmentRequest(
                model=given.model, device=given.device, shape=(rows, columns), mpp=MPP
            )
            source = ArraySource(picture[:rows, :columns])
            client.segment(source, wanted).future.result(PATIENCE)
            if run % given.first == 0 or run == given.runs:
                seen[run] = resident(client.host)
                seconds = time.perf_counter() - start
                print(f"{run} runs: {seen[run]:.0f} MB, {seconds:.0f} s", flush=True)
        assert client.host.pid == pid, "the host was started again"
    finally:
        client.close()
    growth = seen[given.runs] / seen[given.first] - 1
    print(
        f"from {given.first} to {given.runs} runs: {growth:+.1%}; "
        f"within {REACH:.0%}: {'yes' if growth < REACH else 'NO'}"
    )
    say_load()


def resident(host: LocalHost) -> float:
    """Return the resident memory of the host's process in MB."""
    pid = host.pid
    assert pid is not None
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process(pid).memory_info().rss) / 1e6
    told = subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)], text=True)
    return int(told) * 1024 / 1e6


if __name__ == "__main__":
    main()

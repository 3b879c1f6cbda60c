"""Peak memory and time of ``napari-coseg predict`` on large tiled TIFFs of two (or more) sizes.

Makes the images (JPEG tiles of generated H&E-like tissue, written tile by tile), runs the program
on each in a process of its own, and prints peak memory and time by area. Memory should stay below
2.5 GB whatever the size, and time be proportional to area. Takes the bundled model, or any other;
without one, its architecture with random weights.

    python benchmarks/large_image.py [--sides 10000 20000] [--model NAME] [--folder DIR] [--keep]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

REACH = 2.5
MPP = 0.25
TILE = 512
PATTERN = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[10_000, 20_000])
    parser.add_argument("--model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=Path, help="where images and results go")
    parser.add_argument("--keep", action="store_true", help="leave them there")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--random-model", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.make is not None:
        return write_image(chosen.make, chosen.sides[0])
    if chosen.random_model is not None:
        from random_model import write_random_model

        write_random_model(chosen.random_model)
        return None
    with tempfile.TemporaryDirectory(dir=chosen.folder) as scratch:
        folder = chosen.folder if chosen.keep and chosen.folder else Path(scratch)
        model = chosen.model or bundled_or_random(folder)
        rows = [measure(folder, side, model, chosen) for side in chosen.sides]
    peaks = [row["peak"] for row in rows]
    rates = [row["seconds"] / row["megapixels"] for row in rows]
    print(
        f"peak memory {max(peaks):.2f} GB; below {REACH} GB: "
        f"{'yes' if max(peaks) < REACH else 'NO'} ({REACH / max(peaks):.2f} x)"
    )
    if len(rows) > 1:
        areas, times = (rows[-1][key] / rows[0][key] for key in ("megapixels", "seconds"))
        print(f"{areas:.2f} x the area took {times:.2f} x the time ({times / areas:.2f})")
    print("seconds a megapixel:", ", ".join(f"{rate:.3f}" for rate in rates))
    return None


def bundled_or_random(folder: Path) -> str:
    """Name of the bundled model, or a file with random weights of its architecture."""
    from napari_coseg.weights.catalogue import DEFAULT_MODEL, bundled_models

    if DEFAULT_MODEL in bundled_models():
        return DEFAULT_MODEL
    path = folder / "random.safetensors"
    print(f"{DEFAULT_MODEL} is not bundled with this copy: random weights instead.")
    run_self("--random-model", path)
    return str(path)


def measure(folder: Path, side: int, model: str, chosen: argparse.Namespace) -> dict[str, float]:
    image, out = folder / f"large_{side}.tif", folder / f"out_{side}"
    if not image.exists():
        # In another process: what a child has before it becomes the program counts as its peak.
        run_self("--sides", side, "--make", image)
    words = ["predict", image, "--out", out, "--model", model, "--device", chosen.device]
    if chosen.threads:
        words += ["--threads", chosen.threads]
    start = time.perf_counter()
    peak, code = run_program([str(word) for word in words])
    seconds = time.perf_counter() - start
    if code:
        sys.exit(f"the program left with {code}")
    told = json.loads((out / "run.json").read_text("utf-8"))["images"][image.stem]["result"]
    megapixels = side * side / 1e6
    print(
        f"{side:,} x {side:,} ({image.stat().st_size / 1e6:,.0f} MB): {peak:.2f} GB, "
        f"{seconds:,.0f} s, {told['objects']:,} objects, "
        + ", ".join(f"{name} {value:,.0f} s" for name, value in told["seconds"].items())
    )
    return {"peak": peak, "seconds": seconds, "megapixels": megapixels}


def run_program(words: list[str]) -> tuple[float, int]:
    """Run the program; return its peak resident memory in GB and its exit code."""
    code = "import sys; from napari_coseg.cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, *words])
    if not hasattr(os, "wait4"):
        return _sampled_peak(process), process.wait()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e9, process.returncode


def _sampled_peak(process: subprocess.Popen[bytes]) -> float:
    """Peak on a system that does not tell it: looked at every 50 ms (needs psutil)."""
    import psutil

    peak, ended = 0, threading.Event()
    watched = psutil.Process(process.pid)
    while not ended.is_set() and process.poll() is None:
        peak = max(peak, watched.memory_info().rss)
        time.sleep(0.05)
    return peak / 1e9


def run_self(*words: object) -> None:
    subprocess.run([sys.executable, __file__, *map(str, words)], check=True)


def write_image(path: Path, side: int) -> None:
    """Write a tiled TIFF of repeated, flipped and shifted generated tissue, tile by tile."""
    import tifffile

    from napari_coseg.datasets.synthetic_histology import generate_tile

    pattern = generate_tile(0, (PATTERN, PATTERN), MPP).image
    # Written under another name first: a run that was broken off must not leave half an image.
    part = path.with_suffix(".part")
    with tifffile.TiffWriter(part, bigtiff=True) as writer:
        writer.write(
            _tiles(pattern, side),
            shape=(side, side, 3),
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": 90},
            resolution=(1e4 / MPP, 1e4 / MPP),
            resolutionunit="CENTIMETER",
            maxworkers=1,
        )
    part.rename(path)


def _tiles(pattern: npt.NDArray[np.uint8], side: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Cut windows from the pattern, mirrored at its edges so that tissue goes on."""
    mirrored = np.concatenate([pattern, pattern[::-1]])
    mirrored = np.concatenate([mirrored, mirrored[:, ::-1]], 1)
    period = 2 * PATTERN
    for row in range(0, side, TILE):
        for column in range(0, side, TILE):
            top, left = row % period, column % period
            tile = np.zeros((TILE, TILE, 3), np.uint8)
            height, width = min(TILE, side - row), min(TILE, side - column)
            tile[:height, :width] = mirrored[top : top + height, left : left + width]
            yield tile


if __name__ == "__main__":
    main()

"""An index of a million generated entries of SA-Med2D-20M: its building, memory and draws.

Writes the list of images and masks that the published set has (no pixels), opens the set in a
process of its own, and looks items up by random numbers there: the file is warm in the system's
memory, as it is in training after the first minutes. Then a fold is held out, and drawn from.

    python benchmarks/large_index.py [--images 1000000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.datasets.opening import open_dataset

BUILD, MEMORY, DRAW = 600.0, 500.0, 1.0
SETS = ("AbdomenCT1K", "BraTS2013", "TotalSegmentator_dataset", "ISLES2022")


def main() -> None:
    """Generate, build and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", help="for the set, 1 GB for a million; a temporary one else")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(Path(given.measure))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = Path(folder)
        masks = generate(root, given.images)
        print(f"{given.images:,} images with {masks:,} masks, {size(root):.0f} MB of JSON")
        subprocess.run([sys.executable, __file__, "--measure", str(root)], check=True)


def generate(root: Path, images: int) -> int:
    """Write the list and the classes as they are published, with 1 to 8 masks an image."""
    random = np.random.default_rng(0)
    counts = random.integers(1, 9, images)
    with (root / "SAMed2D_v1.json").open("w") as file:
        for number, count in enumerate(counts):
            case = number // 60
            name = f"mr_t1--{SETS[case % 4]}--Case_{case:05d}--x_{number % 60:04d}"
            listed = [f"masks/{name}--{kind:04d}_000.png" for kind in range(count)]
            file.write(f'{"{" if number == 0 else ", "}"images/{name}.png": {json.dumps(listed)}')
        file.write("}")
    classes = {f"class {kind}": f"{kind:04d}" for kind in range(9)}
    (root / "SAMed2D_v1_class_mapping_id.json").write_text(json.dumps(dict.fromkeys(SETS, classes)))
    return int(counts.sum())


def measure(root: Path) -> None:
    """Build the index and draw from it."""
    before = peak()
    begun = time.perf_counter()
    dataset = open_dataset(root)
    built = time.perf_counter() - begun
    say("build", built, "s", BUILD)
    say("memory of building, beyond the imports", peak() - before, "MB", MEMORY)
    begun = time.perf_counter()
    dataset = open_dataset(root)
    print(f"open again {1000 * (time.perf_counter() - begun):.1f} ms")
    print(f"index {sum(p.stat().st_size for p in root.glob('.napari*')) / 1e6:.0f} MB")
    items = dataset.items
    assert isinstance(items, ManyItems)
    draws("draw", items)
    begun = time.perf_counter()
    train, held = (items.of_folds(some, 5, 0, by_group=True) for some in ([1, 2, 3, 4], [0]))
    print(f"split {1000 * (time.perf_counter() - begun):.1f} ms: {len(train):,} and {len(held):,}")
    draws("draw from the fold", train)
    print(f"what a loading process is sent: {len(pickle.dumps(train)):,} bytes")
    print(f"memory at the end, all in all {peak():.0f} MB")


def draws(name: str, items: ManyItems, count: int = 20_000) -> None:
    """Look items up by random numbers."""
    numbers = np.random.default_rng(1).integers(len(items), size=count)
    times = np.empty(count)
    for place, number in enumerate(numbers):
        begun = time.perf_counter()
        items[int(number)]
        times[place] = time.perf_counter() - begun
    say(f"{name}, mean of {count:,}", 1000 * float(times.mean()), "ms", DRAW)
    print(f"    99 of 100 within {1000 * float(np.quantile(times, 0.99)):.3f} ms")


def size(root: Path) -> float:
    """Return the MB of the list."""
    return (root / "SAMed2D_v1.json").stat().st_size / 1e6


def peak() -> float:
    """Return the most memory that the process has had, MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)


def say(name: str, value: float, unit: str, aim: float) -> None:
    """Print a figure beside its aim."""
    print(f"{name}: {value:.3g} {unit} (aim: under {aim:g} {unit}) {'ok' if value < aim else 'NO'}")


if __name__ == "__main__":
    main()

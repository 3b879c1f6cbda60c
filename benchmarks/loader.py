"""Samples of Co-Seg++ a second without a network, and what bounds them.

Generated stained tiles of 1024² are drawn from with everything of training's augmentation on: first
in one process, where each step is timed (decoding, warping, stain, light, JPEG, blur, noise, HV
maps), then by loading processes as training has them. `decode` is reading an image and its labels
from their files, which training does once while the tile stays in its memory: "cached" is the rate
with all tiles in memory, "cold" the one where each sample reads its tile. Each step's time is its
mean over the samples, also over those that do not take it; "when taken" is over those that do.

    python benchmarks/loader.py [--tiles 16] [--samples 200] [--workers 2] [--side 1024]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from napari_coseg.datasets.synthetic_histology import write_dataset
from napari_coseg.training import augment, drawing, items, samples
from napari_coseg.training.config import TrainingConfig
from napari_coseg.training.coseg_task import CosegTask

LOOKS = {"stain": 0.2, "brightness": 0.08, "blur": 1.0, "noise": 1.0, "jpeg": 1.0}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=16)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024, help="of the tiles and of the samples")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root, count=given.tiles, seed=0, shape=(given.side,) * 2, mpp=0.5)
        steps(drawn(root, given.side, given.samples), given.samples)
        for cached in (True, False):
            rate(drawn(root, given.side, 10 * given.samples), given, cached)


def drawn(root: Path, side: int, count: int) -> samples.SampleDataset:
    """Return samples with every augmentation, each of which is taken each time."""
    network = {
        "encoder": "mobilenetv3_small_050",
        "tile": side,
        "width": 32,
        "mlp_width": 32,
        "heads": 2,
        "pixel_channels": [16, 12, 8],
        "instance_stride": 2,
    }
    config = TrainingConfig.model_validate(
        {
            "model": {
                "name": "loader",
                "region_classes": ["gland"],
                "instance_classes": ["inflammatory", "epithelial", "spindle"],
                "region_mpp": 0.5,
                "instance_mpp": 0.5,
                "network": network,
            },
            "data": [{"path": root}],
            "augment": {**LOOKS, "rotate": True},
            "split": {"by": "image", "folds": 8},
            "run": {"steps": 1, "seed": 0},
        }
    )
    return CosegTask(config).samples(count)


def steps(dataset: samples.SampleDataset, count: int) -> None:
    """Time the steps of drawing in one process."""
    spent: dict[str, list[float]] = defaultdict(list)
    drawing.CACHE_BYTES = 0

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*words: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            out = call(*words, **named)
            spent[name].append(time.perf_counter() - begun)
            return out

        return inner

    originals = [
        (items.TrainingSet, "read", "decode (image and labels)"),
        (samples.Warp, "apply", "warp"),
        (samples, "hv_maps", "HV maps"),
        (augment, "jitter_stain", "stain"),
        (augment, "_jitter_light", "light"),
        (augment, "_blur", "blur"),
        (augment, "_noise", "noise"),
        (augment, "_jpeg", "JPEG"),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in originals]
    for place, name, told in originals:
        setattr(place, name, timed(told, getattr(place, name)))
    begun = time.perf_counter()
    for index in range(count):
        dataset[index]
    whole = (time.perf_counter() - begun) / count
    for place, name, original in before:
        setattr(place, name, original)
    print(f"one process, every tile read anew: {1000 * whole:.1f} ms a sample")
    decoding = sum(spent["decode (image and labels)"]) / count
    for name, times in sorted(spent.items(), key=lambda pair: -sum(pair[1])):
        share = sum(times) / count
        verdict = "" if name.startswith("decode") else ("ok" if share <= decoding else "SLOWER")
        print(f"  {name:28} {1000 * share:7.2f} ms  {share / whole:5.1%}  {verdict}")
    rest = whole - sum(map(sum, spent.values())) / count
    print(f"  {'the rest':28} {1000 * rest:7.2f} ms  {rest / whole:5.1%}")


def rate(dataset: samples.SampleDataset, given: argparse.Namespace, cached: bool) -> None:
    """Count samples a second of loading processes, after each has begun."""
    first = given.workers * 8
    loader = DataLoader(
        dataset,
        batch_size=4,
        num_workers=given.workers,
        multiprocessing_context="spawn",
        worker_init_fn=None if cached else _forget,
    )
    begun = 0.0
    number = 0
    for number, _ in enumerate(loader):
        if number == first:
            begun = time.perf_counter()
        if number == first + given.samples // 4:
            break
    seconds = time.perf_counter() - begun
    name = "cached" if cached else "cold"
    print(
        f"{given.workers} processes, {name}: {4 * (number - first) / seconds:.1f} samples a second"
    )


def _forget(worker: int) -> None:
    drawing.CACHE_BYTES = 0
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()

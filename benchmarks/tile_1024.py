"""Time of a 1024 x 1024 tile, all in after loading, with a breakdown by stage.

Reads the tile from a PNG file, segments it, and writes the four result files; the last is told
apart, since the figure to reach (1.5 s on two cores) is for an image in memory. Takes the bundled
model, or any other; without one, the bundled model's architecture with random weights, whose
objects are noise but whose network takes as long.

    python benchmarks/tile_1024.py [--model NAME] [--threads 2] [--repeats 5] [--batch 1 2 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from napari_coseg.datasets.synthetic_histology import generate_tile
from napari_coseg.imaging.source import open_image
from napari_coseg.inference.files import predict_file
from napari_coseg.inference.panoptic import segment_image
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.types import CosegError
from napari_coseg.weights.catalogue import DEFAULT_MODEL
from napari_coseg.weights.loading import LoadedModel, load_model

SIDE = 1024
REACH = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model = load(chosen.model, chosen.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tile.png"
        Image.fromarray(generate_tile(0, (SIDE, SIDE), 0.25).image).save(path)
        for batch in chosen.batch:
            measure(model, path, PredictSettings(batch=batch), chosen.repeats)


def load(name: str, device: str) -> LoadedModel:
    try:
        return load_model(name, device)
    except CosegError as error:
        print(f"{error} Random weights instead.")
    # Imported here: with a model at hand this has no part in the figure.
    from random_model import random_model

    return random_model(device)


def measure(model: LoadedModel, path: Path, settings: PredictSettings, repeats: int) -> None:
    whole, stages, to_disk = [], [], []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        with open_image(path) as source:
            opened = time.perf_counter() - start
            result = segment_image(source, model, mpp=0.25, settings=settings)
        seconds = time.perf_counter() - start
        predict_file(path, path.with_suffix(""), model, mpp=0.25, settings=settings)
        if repeat == 0:
            # The first run builds what PyTorch keeps.
            continue
        whole.append(seconds)
        stages.append({"open": opened, **result.metadata["seconds"]})
        to_disk.append(time.perf_counter() - start - seconds)
    middle = statistics.median(whole)
    print(
        f"{SIDE} x {SIDE}, {model.card.name}, batch {settings.batch}, "
        f"{torch.get_num_threads()} threads, {result.metadata['device']}: "
        f"{middle:.2f} s ({min(whole):.2f} to {max(whole):.2f}), {len(result.objects)} objects; "
        f"reach {REACH} s: {'yes' if middle < REACH else 'NO'} ({REACH / middle:.2f} x)"
    )
    for name in stages[0]:
        if name != "all":
            value = statistics.median(stage.get(name, 0.0) for stage in stages)
            print(f"  {name:16} {value:7.3f} s")
    print(f"  {'from file to four files':16} {statistics.median(to_disk):7.3f} s")


if __name__ == "__main__":
    main()

"""Objects followed through volumes: time of one tooth and of 16 over 60 planes, and 3D Dice.

1. One tooth over 60 planes; 2. 16 teeth together over 60 planes. Both with ends that are given, so
that each run does the same work wherever a model takes a tooth to end. 3. Each tooth from its truth
box on its middle plane, all teeth of a volume together, against the truth; with --alone one after
the other, as a person does it: what a tooth may take of its neighbours nobody holds against it.

Takes volumes that it generates, or the volumes of a folder with images/ and instances/ (and tunes
nothing: settings are those of the program).

    python benchmarks/propagation.py [--data FOLDER] [--model NAME] [--threads 2] [--every 1]
    python benchmarks/propagation.py --alone --skip-time --seeds 9301 9302 9303
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from napari_coseg.datasets.synthetic_cbct import CbctSettings, generate_cbct
from napari_coseg.imaging.volume_pictures import VolumePictures
from napari_coseg.imaging.volumes import read_label_volume, read_volume
from napari_coseg.inference.key_planes import KeyPlane, PlaneMask
from napari_coseg.inference.prompted import Prompter
from napari_coseg.inference.propagation import WalkSettings, propagate
from napari_coseg.types import Prompt
from napari_coseg.weights.listing import default_prompt_model
from napari_coseg.weights.loading import load_prompt_model

PLANES, TEETH = 60, 16
#: Seconds for one tooth and for 16 of them; 3D Dice.
ONE, MANY, DICE = 5.0, 25.0, 0.85
#: Seed of a volume that is generated: one that no training has.
SEED = 9100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with images/ and instances/")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--step", type=float, help="mm between planes that are looked at")
    parser.add_argument("--every", type=int, default=1, help="of how many teeth one is scored")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="of generated volumes")
    parser.add_argument("--alone", action="store_true", help="score each tooth by itself")
    parser.add_argument("--skip-time", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model = load_prompt_model(chosen.model or default_prompt_model(), chosen.device)
    prompter = Prompter(model)
    settings = WalkSettings() if chosen.step is None else WalkSettings(step_mm=chosen.step)
    loads = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{model.card.name}, {chosen.device}, {chosen.threads} threads of {os.cpu_count()} cores; "
        f"load before: {loads}"
    )
    scores = []
    for number, (name, pictures, truth) in enumerate(volumes(chosen.data, chosen.seeds)):
        if number == 0 and not chosen.skip_time:
            timing(prompter, pictures, truth, settings)
        keys = boxes(truth, chosen.every)
        together = [[key] for key in keys] if chosen.alone else [keys]
        scores += scored(prompter, name, pictures, truth, settings, together)
    middle = statistics.median(scores)
    low, high = np.percentile(scores, [10, 90])
    print(
        f"3D Dice of {len(scores)} teeth from one box: median {middle:.3f} (10 % {low:.3f}, 90 % "
        f"{high:.3f}); {sum(score < 0.5 for score in scores)} below 0.5, "
        f"{sum(score < DICE for score in scores)} below {DICE}; reach {DICE}: "
        f"{'yes' if middle > DICE else 'NO'}"
    )


def volumes(
    folder: Path | None, seeds: Sequence[int]
) -> Iterator[tuple[str, VolumePictures, np.ndarray]]:
    if folder is None:
        for seed in seeds:
            made = generate_cbct(seed, CbctSettings())
            pictures = VolumePictures(made.image, made.grid.spacing)
            yield f"generated {seed}", pictures, made.instances
        return
    for path in sorted((folder / "images").glob("*.nii.gz")):
        volume = read_volume(path)
        truth = read_label_volume(folder / "instances" / path.name, volume.grid).voxels
        yield path.name, VolumePictures(volume.voxels, volume.grid.spacing), truth


def timing(
    prompter: Prompter, pictures: VolumePictures, truth: np.ndarray, settings: WalkSettings
) -> None:
    keys = boxes(truth)
    # Neighbours: the teeth of one jaw are numbered one after the other.
    jaw = keys[:TEETH]
    for some, reach in ((jaw[4:5], ONE), (jaw, MANY)):
        # The first answers of a program are slow.
        prompter.segment(pictures.picture(some[0].plane), [some[0].prompt or Prompt()])
        ends = {
            key.label: (max(0, key.plane - PLANES // 2), key.plane + PLANES // 2) for key in some
        }
        looked = prompter.encoded, prompter.decoded
        start, cpu = time.perf_counter(), time.process_time()
        found = [*propagate(prompter, pictures, some, settings=settings, reach=ends)]
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        planes = len({(one.label, one.plane) for one in found if one.mask.area})
        print(
            f"{len(some)} teeth, up to {PLANES} planes each ({planes} in all): {took:.1f} s, "
            f"{cpu:.1f} s of processor; {prompter.encoded - looked[0]} crops, "
            f"{prompter.decoded - looked[1]} prompts; reach {reach:g} s: "
            f"{'yes' if took < reach else 'NO'}"
        )


def boxes(truth: np.ndarray, every: int = 1) -> list[KeyPlane]:
    """The box of each tooth on its middle plane."""
    keys = []
    for label, place in list(enumerate(ndimage.find_objects(truth), 1))[::every]:
        if place is None:
            continue
        bits = truth[place] == label
        there = np.flatnonzero(bits.any(axis=(1, 2)))
        plane = int(there[len(there) // 2])
        rows, columns = (np.flatnonzero(bits[plane].any(axis=axis)) for axis in (1, 0))
        row, column = place[1].start, place[2].start
        box = (row + rows[0], column + columns[0], row + rows[-1] + 1, column + columns[-1] + 1)
        keys.append(KeyPlane(label, place[0].start + plane, Prompt(tuple(map(float, box)))))
    return keys


def scored(
    prompter: Prompter,
    name: str,
    pictures: VolumePictures,
    truth: np.ndarray,
    settings: WalkSettings,
    together: Sequence[Sequence[KeyPlane]],
) -> list[float]:
    scores = []
    start, cpu = time.perf_counter(), time.process_time()
    for keys in together:
        found = [*propagate(prompter, pictures, keys, settings=settings)]
        scores += [dice(truth, found, key.label) for key in keys]
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"{name}: {len(scores)} teeth in {took:.0f} s, {cpu:.0f} s of processor; Dice median "
        f"{statistics.median(scores):.3f}, least {min(scores):.3f}",
        flush=True,
    )
    return scores


def dice(truth: np.ndarray, found: Sequence[PlaneMask], label: int) -> float:
    ours: Any = [one for one in found if one.label == label and one.mask.area]
    both = sum(
        int(((truth[one.plane][one.mask.window] == label) & one.mask.bits).sum()) for one in ours
    )
    return 2 * both / (sum(one.mask.area for one in ours) + int((truth == label).sum()))


if __name__ == "__main__":
    main()

"""Linking of planes, jaws and FDI numbers on generated CBCT volumes whose truth is known.

True teeth are taken apart into the 2D components of each plane, as a perfect network would see
them, and put together again: once so, and once after planes were lost, crowns that touch were
joined on runs of planes, and debris was strewn. Prints teeth found (F1 at IoU 0.5), their mean
IoU, jaws and FDI numbers that are right (of the true teeth, and of those that were linked), and
the processor's seconds. Exits with 1 where the F1 is below the aim.

    python benchmarks/linking.py [--data FOLDER] [--volumes 3] [--seed 700]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from napari_coseg.datasets.synthetic_cbct import generate_cbct
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volumes import read_grid, read_label_volume
from napari_coseg.inference.fdi import propose_fdi
from napari_coseg.inference.volume_linking import link_planes
from napari_coseg.metrics.instance import match_objects
from napari_coseg.metrics.overlap import overlap_of

Labels = npt.NDArray[np.int32]
Case = tuple[str, Labels, npt.NDArray[np.uint8], pd.DataFrame, VolumeGrid]
AIMS = {"clean": 0.99, "disturbed": 0.97}
LOST, RUN, EVERY, CRUMBS = 0.03, 5, 12, 60


def cases(data: Path | None, volumes: int, seed: int) -> Iterator[Case]:
    """Read volumes of a generated folder, or generate some."""
    if data is None:
        for number in range(seed, seed + volumes):
            made = generate_cbct(number)
            yield f"seed {number}", made.instances, made.regions, made.teeth, made.grid
        return
    for path in sorted((data / "instances").glob("*.nii.gz"))[:volumes]:
        name = path.name.removesuffix(".nii.gz")
        grid = read_grid(path)
        if grid is None:
            raise SystemExit(f"{path} does not say where it lies.")
        regions = read_label_volume(data / "regions" / path.name).voxels.astype(np.uint8)
        teeth = pd.read_csv(data / "teeth" / f"{name}.csv")
        yield name, read_label_volume(path).voxels.astype(np.int32), regions, teeth, grid


def parts(truth: Labels) -> Labels:
    """The components of each tooth in each plane."""
    found = np.zeros(truth.shape, np.int32)
    for plane, out in zip(truth, found, strict=True):
        count = 0
        for label, box in enumerate(ndimage.find_objects(plane), start=1):
            if box is None:
                continue
            pieces, more = ndimage.label(plane[box] == label)
            out[box][pieces > 0] = pieces[pieces > 0] + count
            count += more
    return found


def disturb(components: Labels, random: np.random.Generator) -> None:
    """Join what touches on runs of planes, lose planes, strew debris; in place."""
    planes = np.flatnonzero(components.any((1, 2)))
    for start in range(int(planes[0]), int(planes[-1]), EVERY):
        first = start + int(random.integers(0, EVERY - RUN))
        for plane in components[first : first + int(random.integers(1, RUN + 1))]:
            plane[...] = ndimage.label(ndimage.binary_dilation(plane > 0))[0]
    components[random.choice(planes, max(1, round(LOST * len(planes))), replace=False)] = 0
    _, rows, columns = components.shape
    for _ in range(CRUMBS):
        plane = components[int(random.choice(planes))]
        row, column = int(random.integers(0, rows - 4)), int(random.integers(0, columns - 4))
        window = plane[row : row + 4, column : column + 4]
        if not window.any():
            window[...] = plane.max() + 1


def main() -> int:
    """Link, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of generated volumes with teeth/")
    parser.add_argument("--volumes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=700)
    options = parser.parse_args()
    sums = {kind: np.zeros(8) for kind in AIMS}
    for name, truth, regions, teeth, grid in cases(options.data, options.volumes, options.seed):
        number = teeth.set_index("label")["fdi"]
        jaw = teeth.set_index("label")["jaw"]
        straight = propose_fdi(truth, regions, grid, 1, 2).set_index("label")["fdi"]
        for kind, total in sums.items():
            found = parts(truth)
            if kind == "disturbed":
                disturb(found, np.random.default_rng(options.seed))
            start = time.process_time()
            count = link_planes(found, grid.spacing)
            seconds = time.process_time() - start
            overlap = overlap_of(truth, found)
            matches = match_objects(overlap)
            own = overlap.truth_ids[matches.truth_index]
            table = propose_fdi(found, regions, grid, 1, 2).set_index("label")
            said = table.loc[overlap.prediction_ids[matches.prediction_index]]
            fdi = np.count_nonzero(said["fdi"].to_numpy() == number[own].to_numpy())
            jaws = np.count_nonzero(said["jaw"].to_numpy() == jaw[own].to_numpy())
            hits = len(own)
            right = np.count_nonzero(straight.to_numpy() == number[straight.index].to_numpy())
            total += [hits, len(number), count, matches.iou.sum(), fdi, jaws, right, seconds]
            print(f"{name} {kind}: {hits} of {len(number)}, {count} found, {fdi} FDI", flush=True)
    print(f"{'':10}    F1  mean IoU  jaw    FDI  FDI of true teeth  s")
    good = True
    for kind, (hits, true, count, iou, fdi, jaws, right, seconds) in sums.items():
        f1 = 2 * hits / (true + count)
        good &= f1 >= AIMS[kind]
        print(
            f"{kind:10} {f1:.3f}  {iou / max(hits, 1):.3f}  {jaws / max(hits, 1):.3f}  "
            f"{fdi / max(hits, 1):.3f}  {right / true:.3f}  {seconds:.1f}"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Instance scores of one large image at ten thresholds: ours against stardist's ``matching``.

Needs ``stardist`` in the environment (its ``matching`` module needs no TensorFlow); makes its own
label images. Prints the times, their ratio, and whether the figures agree. Exits with 1 where
they do not.

    python benchmarks/instance_metrics.py [--side 2048] [--repeats 5]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_coseg.metrics.instance import aji_from_overlap
from napari_coseg.metrics.overlap import overlap_of
from napari_coseg.metrics.panoptic import PanopticCounts, counts_from_overlap

#: COCO's ten, and the ten that need an assignment of objects below one half.
THRESHOLD_SETS = {
    "0.50 to 0.95": [round(0.5 + 0.05 * i, 2) for i in range(10)],
    "0.10 to 1.00": [round(0.1 * i, 1) for i in range(1, 11)],
}
REACH = 10.0
#: stardist computes IoU in single precision.
TOLERANCE = 1e-6
Labels = npt.NDArray[np.int32]


def label_images(side: int, seed: int = 0) -> tuple[Labels, Labels]:
    """Draw ellipses on a jittered grid, and a prediction that moves, loses, splits and invents."""
    random = np.random.default_rng(seed)
    step = 34
    truth = np.zeros((side, side), np.int32)
    prediction = np.zeros((side, side), np.int32)
    centres = np.stack(np.mgrid[: side // step, : side // step], axis=-1).reshape(-1, 2)
    ids = random.permutation(len(centres)) + 1
    for label, centre in zip(ids, (centres + 0.5) * step, strict=True):
        place = centre + random.normal(0, 2, 2)
        radii = random.uniform(6, 15, 2)
        _ellipse(truth, place, radii, label)
        fate = random.random()
        if fate < 0.08:
            continue
        seen = place + random.normal(0, 1.5, 2)
        _ellipse(prediction, seen, radii * random.uniform(0.75, 1.25, 2), label)
        if fate < 0.16:
            right = seen + np.array([0.0, radii[1] / 2])
            _ellipse(prediction, right, radii * [1, 0.6], label + 10_000)
        elif fate < 0.2:
            _ellipse(prediction, centre + step / 2, np.array([4.0, 4.0]), label + 20_000)
    return truth, prediction


def _ellipse(
    labels: Labels, centre: npt.NDArray[np.float64], radii: npt.NDArray[np.float64], label: int
) -> None:
    low = np.maximum(np.floor(centre - radii), 0).astype(int)
    high = np.minimum(np.ceil(centre + radii) + 1, labels.shape).astype(int)
    rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
    inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
    labels[low[0] : high[0], low[1] : high[1]][inside] = label


def ours(truth: Labels, prediction: Labels, thresholds: list[float]) -> list[PanopticCounts]:
    """Count the label pairs once, then match at each threshold, equality included as theirs."""
    overlap = overlap_of(truth, prediction)
    return [counts_from_overlap(overlap, t, inclusive=True) for t in thresholds]


def best_time(call: Callable[[], object], repeats: int) -> float:
    """Shortest of some runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048, help="pixels a side")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    try:
        from stardist.matching import matching
    except ImportError as error:
        print(f"stardist is needed for this comparison ({error}): pip install stardist")
        return 2
    truth, prediction = label_images(arguments.side)
    counts = [len(np.unique(labels)) - 1 for labels in (truth, prediction)]
    print(
        f"{arguments.side} x {arguments.side}, {counts[0]} true and {counts[1]} predicted objects"
    )
    agree = True
    for name, thresholds in THRESHOLD_SETS.items():
        theirs = matching(truth, prediction, thresh=thresholds)  # also compiles its loop
        found = ours(truth, prediction, thresholds)
        for threshold, one, other in zip(thresholds, found, theirs, strict=True):
            same = (one.tp, one.fp, one.fn) == (other.tp, other.fp, other.fn)
            same &= bool(np.isclose(one.pq, other.panoptic_quality, rtol=TOLERANCE))
            same &= bool(np.isclose(one.sq, other.mean_matched_score, rtol=TOLERANCE))
            same &= bool(np.isclose(one.f1, other.f1, rtol=TOLERANCE))
            if not same:
                print(f"DIFFERENT at {threshold}: ours {one}, stardist {other}")
            agree &= same
        mine = best_time(lambda t=thresholds: ours(truth, prediction, t), arguments.repeats)
        peer = best_time(
            lambda t=thresholds: matching(truth, prediction, thresh=t), arguments.repeats
        )
        print(
            f"ten thresholds {name}: ours {mine * 1e3:.0f} ms, stardist {peer * 1e3:.0f} ms, "
            f"ratio {peer / mine:.1f} x (aim {REACH:.0f} x)"
        )
    both = best_time(lambda: aji_from_overlap(overlap_of(truth, prediction)), arguments.repeats)
    print(f"aggregated Jaccard index, all in: {both * 1e3:.0f} ms")
    print("figures agree" if agree else "FIGURES DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())

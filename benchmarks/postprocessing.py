"""Objects from HV maps and their facts: ours against TIAToolbox's HoVer-Net post-processing.

Needs ``tiatoolbox`` in the environment; makes its own maps of about 3,600 nuclei, many of which
touch another. Times `instances_from_maps` (labels, classes and facts in one) against
``HoVerNet._proc_np_hv`` followed by ``HoVerNet.get_instance_info``, and `object_table` alone
against ``get_instance_info`` alone. TIAToolbox's facts include a contour of each nucleus, ours its
area and score: neither program can leave these out.

Exits with 1 where the two do not find the same nuclei, and with 2 where TIAToolbox is missing.

    python benchmarks/postprocessing.py [--side 2048] [--nuclei 3600] [--repeats 3]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.imaging.objects import object_table
from napari_coseg.inference.instances import InstanceSettings, instances_from_maps

Labels = npt.NDArray[np.int32]
Maps = npt.NDArray[np.float32]

CLASSES = 4
#: Centres of nuclei are at least this many pixels apart.
DISTANCE = 12
#: Share of the nuclei that must have a partner of IoU above one half, in the truth and in the
#: other program's result.
AGREEMENT = 0.97


def nuclei(side: int, count: int, random: np.random.Generator) -> Labels:
    """Discs of 6 to 12 pixels radius, many in clusters; where two meet, the nearer centre wins."""
    clusters = random.uniform(0, side, (max(count // 12, 1), 2))
    crowded = clusters[random.integers(0, len(clusters), 3 * count)]
    places = np.concatenate(
        [crowded + random.normal(0, 30, crowded.shape), random.uniform(0, side, (3 * count, 2))]
    )
    taken = np.zeros((side, side), bool)
    seeds = np.zeros((side, side), np.int32)
    found = 0
    for row, column in random.permutation(places.astype(int) % side):
        if taken[row, column]:
            continue
        found += 1
        seeds[row, column] = found
        near = np.s_[
            max(row - DISTANCE, 0) : row + DISTANCE, max(column - DISTANCE, 0) : column + DISTANCE
        ]
        taken[near] = True
        if found == count:
            break
    distance, (rows, columns) = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    labels = seeds[rows, columns]
    radius = random.uniform(6, 12, found + 1)
    return np.where(distance <= radius[labels], labels, 0).astype(np.int32)


def maps_of(labels: Labels, random: np.random.Generator) -> tuple[Maps, Maps, Maps]:
    """Foreground, HV and class maps as a fair network might say them: blurred and noisy."""
    inside = labels > 0
    row, column = np.nonzero(inside)
    ids = labels[inside]
    area = np.maximum(np.bincount(ids), 1)
    hv = np.zeros((2, *labels.shape), np.float32)
    for plane, position in zip(hv, (column, row), strict=True):
        offset = position - (np.bincount(ids, position) / area)[ids]
        extent = np.zeros(area.size)
        np.maximum.at(extent, ids, np.abs(offset))
        plane[inside] = offset / extent[ids]
    kind = random.integers(1, CLASSES + 1, area.size)
    kind[0] = 0
    kinds = kind[labels]

    def seen(plane: npt.NDArray[np.generic], noise: float) -> Maps:
        blurred = ndimage.gaussian_filter(plane.astype(np.float32), 1)
        random_part = random.standard_normal(plane.shape, np.float32)
        return np.asarray(blurred + noise * ndimage.gaussian_filter(random_part, 1.5), np.float32)

    foreground = np.clip(seen(inside, 0.3), 0, 1)
    hv = np.stack([seen(plane, 0.3) for plane in hv])
    classes = np.stack([seen(kinds == k, 0.0) for k in range(CLASSES + 1)])
    return foreground, hv, classes


def partners(truth: Labels, found: Labels) -> int:
    """Count the objects of two label images that overlap by more than half of their union."""
    both = (truth > 0) & (found > 0)
    width = int(found.max()) + 1
    pairs, overlap = np.unique(
        truth[both].astype(np.int64) * width + found[both], return_counts=True
    )
    first, second = np.divmod(pairs, width)
    union = np.bincount(truth.ravel())[first] + np.bincount(found.ravel())[second] - overlap
    return int((overlap / union > 0.5).sum())


def best_time(repeats: int, run: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> int:
    """Run the comparison; the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--nuclei", type=int, default=3600)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    try:
        from tiatoolbox.models.architecture.hovernet import HoVerNet
    except ImportError:
        print(
            "TIAToolbox is not in this environment: make one with `pip install tiatoolbox` "
            "and this package, and run the benchmark there.",
            file=sys.stderr,
        )
        return 2
    random = np.random.default_rng(0)
    truth = nuclei(given.side, given.nuclei, random)
    foreground, hv, classes = maps_of(truth, random)
    count = int(truth.max())
    print(
        f"{count} nuclei in {ndimage.label(truth)[1]} connected parts on {given.side}², "
        f"{(truth > 0).mean():.0%} foreground, {CLASSES} classes"
    )

    # what their own pipeline hands on: channels last, and a map of the most probable class
    their_foreground = np.ascontiguousarray(foreground[..., None])
    their_hv = np.ascontiguousarray(np.moveaxis(hv, 0, -1))
    their_types = classes.argmax(0)
    their_labels = HoVerNet._proc_np_hv(their_foreground, their_hv)
    their_facts = HoVerNet.get_instance_info(their_labels, their_types, verbose=False)
    labels, objects = instances_from_maps(foreground, hv, classes)

    theirs = best_time(given.repeats, lambda: HoVerNet._proc_np_hv(their_foreground, their_hv))
    their_table = best_time(
        given.repeats,
        lambda: HoVerNet.get_instance_info(their_labels, their_types, verbose=False),
    )
    ours = best_time(given.repeats, lambda: instances_from_maps(foreground, hv, classes))
    our_table = best_time(given.repeats, lambda: object_table(labels, foreground, classes))
    print(f"{'':14}{'TIAToolbox':>12}{'ours':>10}{'ratio':>9}")
    for what, their_time, our_time in (
        ("all in", theirs + their_table, ours),
        ("facts alone", their_table, our_table),
    ):
        ratio = their_time / our_time
        print(f"{what:14}{their_time:10.3f} s{our_time:8.3f} s{ratio:8.1f}x")

    shared = partners(their_labels, labels)
    print(
        f"found: TIAToolbox {len(their_facts)}, ours {len(objects)}, the same {shared}; "
        f"of the truth: TIAToolbox {partners(truth, their_labels)}, ours {partners(truth, labels)}"
    )
    good = min(shared, partners(truth, labels)) >= AGREEMENT * count

    # of nuclei with the same pixels, class and centroid must be the same too
    window, window_objects = instances_from_maps(
        foreground, hv, classes, settings=InstanceSettings.hovernet()
    )
    identical = bool(
        np.array_equal(window > 0, their_labels > 0)
        and partners(their_labels, window) == int(window.max()) == len(np.unique(their_labels)) - 1
    )
    print(f"with scaling by the window both find the same nuclei: {identical}")
    row, column = window_objects[["row", "column"]].round().astype(int).to_numpy().T
    twins = their_labels[row, column]
    known = np.array([label in their_facts for label in twins])
    centroids = np.array([their_facts[label]["centroid"] for label in twins[known]])
    apart = np.abs(centroids - window_objects.loc[known, ["column", "row"]].to_numpy()).max()
    print(f"largest distance of two centroids: {apart:.2g} pixels")
    good &= identical and known.mean() > AGREEMENT and apart < 0.5
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

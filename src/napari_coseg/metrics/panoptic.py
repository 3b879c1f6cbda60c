"""Panoptic quality of instances and of regions.

Source: Kirillov et al., Panoptic Segmentation, CVPR 2019, equations 1 and 2. Classes are
matched inside themselves: an object that was found under a wrong class is a miss of one class
and a false alarm of the other, as in HoVer-Net's and PanNuke's multi-class PQ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.metrics.instance import match_objects
from napari_coseg.metrics.overlap import (
    BoolArray,
    Int64Array,
    ObjectOverlap,
    count_pairs,
    overlap_of,
)
from napari_coseg.types import IGNORE, CosegError, IntArray

#: Class of each object: by its id, as a mapping or as an array indexed by the id.
ObjectClasses = Mapping[int, int] | IntArray
#: Turns a mask into labels 1, 2, ... of its parts.
Components = Callable[[BoolArray], npt.NDArray[np.integer[Any]]]


@dataclass(frozen=True)
class PanopticCounts:
    """Matches and misses; those of several images add up to the pooled score.

    ``sum(list_of_counts, PanopticCounts())`` pools. Where neither side has an object the
    ratios are NaN, and means over images leave that image out. Where there are objects but no
    match, all of them are 0.

    Attributes
    ----------
    tp, fp, fn : int
        Matched pairs, predictions without a true object, true objects without a prediction.
    iou_sum : float
        Sum of the matched pairs' intersection over union.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: PanopticCounts) -> PanopticCounts:
        return PanopticCounts(
            self.tp + other.tp,
            self.fp + other.fp,
            self.fn + other.fn,
            self.iou_sum + other.iou_sum,
        )

    @property
    def truths(self) -> int:
        """Number of true objects."""
        return self.tp + self.fn

    @property
    def predictions(self) -> int:
        """Number of predicted objects that count."""
        return self.tp + self.fp

    @property
    def pq(self) -> float:
        """Panoptic quality, SQ x RQ."""
        return self._over(self.iou_sum, self.tp + (self.fp + self.fn) / 2)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matched pairs."""
        return self._over(self.iou_sum, self.tp)

    @property
    def rq(self) -> float:
        """Recognition (detection) quality, which is the F1 of the matches."""
        return self._over(self.tp, self.tp + (self.fp + self.fn) / 2)

    @property
    def f1(self) -> float:
        """Another name of `rq`."""
        return self.rq

    @property
    def precision(self) -> float:
        """Share of the predictions that match; 0 where there are true objects only."""
        return self._over(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the true objects that are matched; 0 where there are predictions only."""
        return self._over(self.tp, self.tp + self.fn)

    def _over(self, numerator: float, denominator: float) -> float:
        if self.tp + self.fp + self.fn == 0:
            return math.nan
        return numerator / denominator if denominator else 0.0


def connected_components(mask: BoolArray) -> npt.NDArray[np.integer[Any]]:
    """Label the parts of a mask that hang together, over corners too (8 or 26 neighbours)."""
    labels, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return np.asarray(labels)


def instance_panoptic_counts(
    truth: IntArray, prediction: IntArray, threshold: float = 0.5
) -> PanopticCounts:
    """Match the objects of two label images whatever their class.

    Parameters
    ----------
    truth, prediction : ndarray of int, (rows, columns) or (planes, rows, columns)
        Instance ids, 0 for background; gaps between ids do not matter.
    threshold : float
        IoU that a match must exceed.

    Raises
    ------
    CosegError
        If the shapes differ, or labels are negative or no integers.
    """
    return counts_from_overlap(overlap_of(truth, prediction), threshold)


def instance_panoptic_counts_by_class(
    truth: IntArray,
    truth_classes: ObjectClasses,
    prediction: IntArray,
    prediction_classes: ObjectClasses,
    class_ids: Iterable[int],
    ignore_classes: Iterable[int] = (0, IGNORE),
    threshold: float = 0.5,
) -> dict[int, PanopticCounts]:
    """Match the objects of each class among themselves.

    Parameters
    ----------
    truth, prediction : ndarray of int, (rows, columns) or (planes, rows, columns)
        Instance ids, 0 for background.
    truth_classes, prediction_classes : mapping or ndarray of int
        Class id of each object. An object that is not in it has class 0, none.
    class_ids : iterable of int
        Classes to count.
    ignore_classes : iterable of int
        True objects of these classes are neither misses nor background: they are cut out, and
        a prediction that lies mostly there is no false positive. By default objects whose
        class is unknown (0) or to be ignored (255).
    threshold : float
        IoU that a match must exceed.

    Raises
    ------
    CosegError
        If the shapes differ, or labels are negative or no integers.
    """
    return counts_by_class(
        overlap_of(truth, prediction),
        truth_classes,
        prediction_classes,
        class_ids,
        ignore_classes,
        threshold,
    )


def region_panoptic_counts(
    truth: IntArray,
    prediction: IntArray,
    class_ids: Iterable[int],
    truth_instances: IntArray | None = None,
    ignore: int | None = IGNORE,
    *,
    prediction_instances: IntArray | None = None,
    threshold: float = 0.5,
    components: Components = connected_components,
    prediction_components: Components | None = None,
) -> dict[int, PanopticCounts]:
    """Match the separate regions of each class among themselves.

    Regions are the 8-connected (3D: 26-connected) components of a class, or the region
    instances where they are given; an instance has the class of most of its pixels.

    Parameters
    ----------
    truth, prediction : ndarray of int, (rows, columns) or (planes, rows, columns)
        Class ids, 0 for background.
    class_ids : iterable of int
        Classes to count.
    truth_instances, prediction_instances : ndarray of int, same shape, or None
        Ids of the separate regions.
    ignore : int or None
        Value of `truth` at pixels that do not count. A predicted region that lies mostly there
        is no false positive.
    threshold : float
        IoU that a match must exceed.
    components, prediction_components : callable
        How a mask is taken apart; the second for the prediction where it differs.

    Raises
    ------
    CosegError
        If the shapes differ, or labels are negative or no integers.
    """
    wanted = list(class_ids)
    if ignore is not None and ignore in wanted:
        raise CosegError(f"Class {ignore} marks ignored pixels and cannot be scored itself.")
    parts, classes = region_parts(truth, wanted, truth_instances, components, ignore)
    predicted, predicted_classes = region_parts(
        prediction, wanted, prediction_instances, prediction_components or components
    )
    if ignore is None:
        ignored: tuple[int, ...] = ()
    else:
        # One more true object, which `counts_by_class` cuts out of the picture by its class.
        unknown = max(classes, default=0) + 1
        parts = np.where(truth == ignore, unknown, parts)
        classes[unknown] = ignore
        ignored = (ignore,)
    return counts_by_class(
        overlap_of(parts, predicted), classes, predicted_classes, wanted, ignored, threshold
    )


def region_parts(
    regions: IntArray,
    class_ids: Iterable[int],
    instances: IntArray | None = None,
    components: Components = connected_components,
    ignore: int | None = None,
) -> tuple[IntArray, dict[int, int]]:
    """Separate regions of some classes as one label image.

    Parameters
    ----------
    regions : ndarray of int, (rows, columns) or (planes, rows, columns)
        Class ids, 0 for background.
    class_ids : iterable of int
        Classes whose components are looked for; without meaning where `instances` are given.
    instances : ndarray of int, same shape, or None
        Ids of the separate regions.
    components : callable
        How a mask is taken apart where there are no `instances`.
    ignore : int or None
        Value of `regions` at pixels that belong to no region.

    Returns
    -------
    labels : ndarray of int, shape of `regions`
        Ids of the separate regions, 0 for background.
    classes : dict
        Class of each id.
    """
    if instances is not None:
        known = instances if ignore is None else np.where(regions == ignore, 0, instances)
        return known, majority_classes(known, regions)
    labels = np.zeros(regions.shape, np.int64)
    classes: dict[int, int] = {}
    for class_id in class_ids:
        parts = components(regions == class_id)
        found = int(parts.max(initial=0))
        labels += np.where(parts > 0, parts + len(classes), 0)
        classes |= dict.fromkeys(range(len(classes) + 1, len(classes) + found + 1), class_id)
    return labels, classes


def majority_classes(instances: IntArray, classes: IntArray) -> dict[int, int]:
    """Class of most pixels of each object; 0 only where it has no other.

    Parameters
    ----------
    instances, classes : ndarray of int, one shape
        Object ids and class ids of the pixels. Of equally frequent classes the lowest is taken.

    Raises
    ------
    CosegError
        If the shapes differ, or labels are negative or no integers.
    """
    pairs = count_pairs(instances, classes)
    pixels = np.where(pairs.prediction == 0, 0, pairs.pixels)
    order = np.lexsort((-pairs.prediction, pixels, pairs.truth))
    # The last row of each object in this order wins.
    ids, winners = pairs.truth[order].tolist(), pairs.prediction[order].tolist()
    return {i: c for i, c in zip(ids, winners, strict=True) if i > 0}


def counts_from_overlap(
    overlap: ObjectOverlap, threshold: float = 0.5, *, inclusive: bool = False
) -> PanopticCounts:
    """Count matches and misses at one threshold; see `match_objects`."""
    matches = match_objects(overlap, threshold, inclusive=inclusive)
    unmatched = np.ones(len(overlap.prediction_ids), bool)
    unmatched[matches.prediction_index] = False
    return PanopticCounts(
        tp=len(matches.iou),
        fp=int((unmatched & ~overlap.excused).sum()),
        fn=len(overlap.truth_ids) - len(matches.iou),
        iou_sum=float(matches.iou.sum()),
    )


def counts_by_class(
    overlap: ObjectOverlap,
    truth_classes: ObjectClasses,
    prediction_classes: ObjectClasses,
    class_ids: Iterable[int],
    ignore_classes: Iterable[int] = (0, IGNORE),
    threshold: float = 0.5,
) -> dict[int, PanopticCounts]:
    """`instance_panoptic_counts_by_class` from an overlap that was counted before."""
    ignored = np.isin(classes_of(overlap.truth_ids, truth_classes), list(ignore_classes))
    overlap = overlap.without_truths(ignored)
    truths = classes_of(overlap.truth_ids, truth_classes)
    predictions = classes_of(overlap.prediction_ids, prediction_classes)
    return {
        class_id: counts_from_overlap(
            overlap.select(truths == class_id, predictions == class_id), threshold
        )
        for class_id in class_ids
    }


def classes_of(ids: Int64Array, classes: ObjectClasses) -> Int64Array:
    """Class of each object; 0 for those that `classes` does not hold."""
    if isinstance(classes, Mapping):
        return np.array([classes.get(i, 0) for i in ids.tolist()], np.int64)
    found = np.zeros(len(ids), np.int64)
    inside = ids < len(classes)
    found[inside] = classes[ids[inside]]
    return found

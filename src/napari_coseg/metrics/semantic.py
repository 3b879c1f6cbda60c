"""Dice and IoU of semantic regions, from sums that add up over images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from napari_coseg.metrics.overlap import LabelPairs, count_pairs
from napari_coseg.types import IGNORE, IntArray


@dataclass(frozen=True)
class DiceCounts:
    """Pixels of one class; those of several images or windows add up to the pooled score.

    Attributes
    ----------
    intersection, truth, prediction : int
        Pixels of the class on both sides, in truth, in the prediction.
    """

    intersection: int = 0
    truth: int = 0
    prediction: int = 0

    def __add__(self, other: DiceCounts) -> DiceCounts:
        return DiceCounts(
            self.intersection + other.intersection,
            self.truth + other.truth,
            self.prediction + other.prediction,
        )

    @property
    def dice(self) -> float:
        """2 |T and P| / (|T| + |P|); 0 where only one side has the class, NaN where none has."""
        total = self.truth + self.prediction
        return 2 * self.intersection / total if total else math.nan

    @property
    def iou(self) -> float:
        """|T and P| / |T or P|; 0 where only one side has the class, NaN where none has."""
        union = self.truth + self.prediction - self.intersection
        return self.intersection / union if union else math.nan


def dice_counts(
    truth: IntArray, prediction: IntArray, class_ids: Iterable[int], ignore: int | None = IGNORE
) -> dict[int, DiceCounts]:
    """Count the pixels of each class.

    Parameters
    ----------
    truth, prediction : ndarray of int, (rows, columns) or (planes, rows, columns)
        Class ids of one shape, 0 for background.
    class_ids : iterable of int
        Classes to count.
    ignore : int or None
        Value of `truth` at pixels that do not count on either side.

    Raises
    ------
    CosegError
        If the shapes differ, or labels are negative or no integers.
    """
    return dice_from_pairs(count_pairs(truth, prediction), class_ids, ignore)


def dice_from_pairs(
    pairs: LabelPairs, class_ids: Iterable[int], ignore: int | None = IGNORE
) -> dict[int, DiceCounts]:
    """`dice_counts` from pairs of class ids that were counted before."""
    known = pairs.truth != (-1 if ignore is None else ignore)
    counts = {}
    for class_id in class_ids:
        true, predicted = pairs.truth == class_id, (pairs.prediction == class_id) & known
        counts[class_id] = DiceCounts(
            int(pairs.pixels[true & predicted].sum()),
            int(pairs.pixels[true & known].sum()),
            int(pairs.pixels[predicted].sum()),
        )
    return counts

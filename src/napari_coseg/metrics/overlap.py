"""How many pixels each true object shares with each predicted one, from counted label pairs.

Everything that scores objects starts here. The pixels are looked at once; what follows costs
by the number of pairs that touch, which is about the number of objects, and never by
objects x objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError, FloatArray, IntArray

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: Pixels looked at in one go; bounds the memory beside the images themselves.
_BLOCK = 1 << 24


@dataclass(frozen=True)
class LabelPairs:
    """Pixels counted by (true label, predicted label): a sparse contingency table.

    Tables of windows that tile an image, under the same ids, add up to the table of the
    image: ``count_pairs(left, ...) + count_pairs(right, ...)``.

    Attributes
    ----------
    truth, prediction : ndarray of int64, (pairs,)
        Labels of each pair that occurs, 0 (background) included; sorted, each pair once.
    pixels : ndarray of int64, (pairs,)
        How often it occurs.
    """

    truth: Int64Array
    prediction: Int64Array
    pixels: Int64Array

    def __add__(self, other: LabelPairs) -> LabelPairs:
        return _table(
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.prediction, other.prediction]),
            np.concatenate([self.pixels, other.pixels]),
        )


@dataclass(frozen=True)
class ObjectOverlap:
    """Areas of the objects of both sides, and the pairs of them that touch.

    Attributes
    ----------
    truth_ids, prediction_ids : ndarray of int64, (truths,) and (predictions,)
        Labels of the objects, ascending, without 0.
    truth_areas, prediction_areas : ndarray of int64
        Their areas in pixels (voxels).
    truth_index, prediction_index : ndarray of int64, (pairs,)
        Positions in `truth_ids` and `prediction_ids` of each pair with a common pixel.
    intersection : ndarray of int64, (pairs,)
        Common pixels of each pair, at least 1.
    excused : ndarray of bool, (predictions,)
        Predictions that lie mostly where truth says nothing: no false positives when unmatched.
    """

    truth_ids: Int64Array
    prediction_ids: Int64Array
    truth_areas: Int64Array
    prediction_areas: Int64Array
    truth_index: Int64Array
    prediction_index: Int64Array
    intersection: Int64Array
    excused: BoolArray

    @property
    def union(self) -> Int64Array:
        """Pixels of either object of each pair."""
        areas = self.truth_areas[self.truth_index] + self.prediction_areas[self.prediction_index]
        return areas - self.intersection

    @property
    def iou(self) -> FloatArray:
        """Intersection over union of each pair, above 0 and at most 1."""
        return self.intersection / self.union

    def select(self, truths: BoolArray, predictions: BoolArray) -> ObjectOverlap:
        """Keep only some objects of each side, as if the others had not been drawn.

        Parameters
        ----------
        truths, predictions : ndarray of bool, (truths,) and (predictions,)
            Which ones stay.
        """
        pairs = truths[self.truth_index] & predictions[self.prediction_index]
        new_truth = np.cumsum(truths) - 1
        new_prediction = np.cumsum(predictions) - 1
        return ObjectOverlap(
            self.truth_ids[truths],
            self.prediction_ids[predictions],
            self.truth_areas[truths],
            self.prediction_areas[predictions],
            new_truth[self.truth_index[pairs]],
            new_prediction[self.prediction_index[pairs]],
            self.intersection[pairs],
            self.excused[predictions],
        )

    def without_truths(self, ignored: BoolArray) -> ObjectOverlap:
        """Cut ignored true objects out of the picture, with the pixels that they cover.

        A prediction loses its pixels there. One that loses more than half of them is excused:
        it may still match, but is no false positive (the rule for void pixels of Kirillov et
        al., Panoptic Segmentation, CVPR 2019, section 4.2).

        Parameters
        ----------
        ignored : ndarray of bool, (truths,)
            True objects that are not to count.
        """
        if not ignored.any():
            return self
        in_ignored = ignored[self.truth_index]
        lost = np.zeros(len(self.prediction_ids), np.int64)
        np.add.at(lost, self.prediction_index[in_ignored], self.intersection[in_ignored])
        rest = ObjectOverlap(
            self.truth_ids,
            self.prediction_ids,
            self.truth_areas,
            self.prediction_areas - lost,
            self.truth_index,
            self.prediction_index,
            self.intersection,
            self.excused | (2 * lost > self.prediction_areas),
        )
        return rest.select(~ignored, rest.prediction_areas > 0)


def count_pairs(truth: IntArray, prediction: IntArray) -> LabelPairs:
    """Count the pixels of each pair of labels.

    Label images are made of runs of equal pixels, so the runs are found first (two comparisons
    a pixel) and only they are sorted.

    Parameters
    ----------
    truth, prediction : ndarray of int, (rows, columns) or (planes, rows, columns)
        Label images of one shape. Ids may have gaps.

    Raises
    ------
    CosegError
        If the shapes differ, or labels are negative or no integers.
    """
    flat_truth, flat_prediction = _checked(truth, "truth"), _checked(prediction, "prediction")
    if truth.shape != prediction.shape:
        raise CosegError(
            f"Truth is {_size(truth)} and prediction is {_size(prediction)}: "
            "only label images of one size can be compared."
        )
    table = LabelPairs(*np.zeros((3, 0), np.int64))
    for start in range(0, flat_truth.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        table = table + _count_runs(flat_truth[block], flat_prediction[block])
    return table


def object_overlap(pairs: LabelPairs) -> ObjectOverlap:
    """Objects of both sides and their common pixels, from counted pairs; 0 is background."""
    truth_ids, truth_areas = _areas(pairs.truth, pairs.pixels)
    prediction_ids, prediction_areas = _areas(pairs.prediction, pairs.pixels)
    both = (pairs.truth > 0) & (pairs.prediction > 0)
    return ObjectOverlap(
        truth_ids,
        prediction_ids,
        truth_areas,
        prediction_areas,
        np.searchsorted(truth_ids, pairs.truth[both]),
        np.searchsorted(prediction_ids, pairs.prediction[both]),
        pairs.pixels[both],
        np.zeros(len(prediction_ids), bool),
    )


def overlap_of(truth: IntArray, prediction: IntArray) -> ObjectOverlap:
    """`object_overlap` of two label images; see `count_pairs`."""
    return object_overlap(count_pairs(truth, prediction))


def _count_runs(truth: IntArray, prediction: IntArray) -> LabelPairs:
    """Count the pairs of two flat arrays that are not empty."""
    changes = truth[1:] != truth[:-1]
    changes |= prediction[1:] != prediction[:-1]
    starts = _starts(changes)
    lengths = np.diff(starts, append=len(truth))
    return _table(truth[starts].astype(np.int64), prediction[starts].astype(np.int64), lengths)


def _checked(labels: npt.NDArray[Any], side: str) -> npt.NDArray[Any]:
    """Flatten a label image in C order, or say what is wrong with it."""
    if labels.dtype == bool:
        return labels.reshape(-1).view(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise CosegError(
            f"Labels of the {side} are of type {labels.dtype}: label images hold whole numbers."
        )
    if labels.size and np.issubdtype(labels.dtype, np.signedinteger) and labels.min() < 0:
        raise CosegError(
            f"Labels of the {side} go down to {labels.min()}: 0 is background, objects are above."
        )
    if labels.size and labels.dtype == np.uint64 and labels.max() > np.iinfo(np.int64).max:
        raise CosegError(f"Labels of the {side} go up to {labels.max()}: too large for an id.")
    return labels.reshape(-1)


def _table(truth: Int64Array, prediction: Int64Array, pixels: Int64Array) -> LabelPairs:
    """Sum `pixels` over equal pairs."""
    if len(truth) == 0:
        return LabelPairs(truth, prediction, pixels)
    span, bits = int(prediction.max()) + 1, int(pixels.max()).bit_length()
    if (int(truth.max()) + 1) * span < 1 << (63 - bits):
        # Pair and count in one number: plain numbers sort many times faster than an argsort.
        packed = np.sort(((truth * span + prediction) << bits) | pixels)
        joint = packed >> bits
        starts = _starts(joint[1:] != joint[:-1])
        truth, prediction = np.divmod(joint[starts], span)
        return LabelPairs(truth, prediction, np.add.reduceat(packed & ((1 << bits) - 1), starts))
    order = np.lexsort((prediction, truth))
    truth, prediction = truth[order], prediction[order]
    starts = _starts((truth[1:] != truth[:-1]) | (prediction[1:] != prediction[:-1]))
    return LabelPairs(truth[starts], prediction[starts], np.add.reduceat(pixels[order], starts))


def _starts(changes: BoolArray) -> Int64Array:
    """Where runs start, from whether each element after the first differs from the one before."""
    return np.concatenate([np.zeros(1, np.int64), np.flatnonzero(changes) + 1])


def _areas(labels: Int64Array, pixels: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Ids above 0, ascending, and their pixels."""
    ids, position = np.unique(labels, return_inverse=True)
    areas = np.zeros(len(ids), np.int64)
    np.add.at(areas, position, pixels)
    return ids[ids > 0], areas[ids > 0]


def _size(labels: npt.NDArray[Any]) -> str:
    return " x ".join(map(str, labels.shape))

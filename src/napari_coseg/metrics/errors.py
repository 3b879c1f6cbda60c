"""Where a prediction is wrong, as an image: matched, missed, spurious, split or merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.metrics.instance import match_objects
from napari_coseg.metrics.overlap import BoolArray, Int64Array, overlap_of
from napari_coseg.types import IGNORE, CosegError, IntArray

MATCHED, MISSED, SPURIOUS, CONFUSED = 1, 2, 3, 4

_UInt8 = npt.NDArray[np.uint8]
#: An object belongs to another one when more than this share of its area lies in it.
_MOST = 0.5


@dataclass(frozen=True)
class ErrorImage:
    """What is right and wrong at each pixel.

    Attributes
    ----------
    labels : ndarray of uint8
        0 nothing, `MATCHED`, `MISSED`, `SPURIOUS`, `CONFUSED`.
    counts : dict of int to int
        How many objects (of regions: pixels) each code stands for.
    """

    labels: _UInt8
    counts: dict[int, int]


def object_errors(truth: IntArray, prediction: IntArray, threshold: float = 0.5) -> ErrorImage:
    """Compare objects.

    A pair with an IoU above `threshold` is matched. Of the others, two or more predictions that
    lie mostly in one true object are its splits, and two or more true objects that lie mostly in
    one prediction are merged by it: both are `CONFUSED`. What is left is missed or spurious.
    Where the two sides differ at a pixel, a mistake is shown rather than a match.

    Parameters
    ----------
    truth, prediction : ndarray of int, of equal shape
        Object ids, 0 background.
    threshold : float
        IoU that a match must exceed.

    Raises
    ------
    CosegError
        If shapes differ, or labels are negative or no integers.
    """
    overlap = overlap_of(truth, prediction)
    matches = match_objects(overlap, threshold)
    truths, predictions = len(overlap.truth_ids), len(overlap.prediction_ids)
    of_truth = np.full(truths, MISSED, np.uint8)
    of_prediction = np.full(predictions, SPURIOUS, np.uint8)
    inside_truth = overlap.intersection > _MOST * overlap.prediction_areas[overlap.prediction_index]
    inside_prediction = overlap.intersection > _MOST * overlap.truth_areas[overlap.truth_index]
    pieces = np.bincount(overlap.truth_index[inside_truth], minlength=truths)
    members = np.bincount(overlap.prediction_index[inside_prediction], minlength=predictions)
    split = inside_truth & (pieces[overlap.truth_index] > 1)
    merged = inside_prediction & (members[overlap.prediction_index] > 1)
    for wrong in (split, merged):
        of_truth[overlap.truth_index[wrong]] = CONFUSED
        of_prediction[overlap.prediction_index[wrong]] = CONFUSED
    of_truth[matches.truth_index] = MATCHED
    of_prediction[matches.prediction_index] = MATCHED
    labels = _painted(truth, overlap.truth_ids, of_truth)
    predicted = _painted(prediction, overlap.prediction_ids, of_prediction)
    # MATCHED is the least of the codes, so that the larger one is the mistake.
    np.maximum(labels, predicted, out=labels)
    return ErrorImage(
        labels,
        {
            MATCHED: len(matches.truth_index),
            MISSED: int((of_truth == MISSED).sum()),
            SPURIOUS: int((of_prediction == SPURIOUS).sum()),
            CONFUSED: int((of_truth == CONFUSED).sum()),
        },
    )


def region_errors(truth: IntArray, prediction: IntArray, ignore: int = IGNORE) -> ErrorImage:
    """Compare regions pixel by pixel; `CONFUSED` is one class taken for another.

    Raises
    ------
    CosegError
        If shapes differ.
    """
    if truth.shape != prediction.shape:
        raise CosegError(
            f"The prediction has the shape {prediction.shape}, the truth {truth.shape}."
        )
    labels = np.zeros(truth.shape, np.uint8)
    labels[(truth > 0) & (prediction == 0)] = MISSED
    labels[(truth == 0) & (prediction > 0)] = SPURIOUS
    both = (truth > 0) & (prediction > 0)
    labels[both] = np.where(truth[both] == prediction[both], MATCHED, CONFUSED)
    labels[truth == ignore] = 0
    found = np.bincount(labels.ravel(), minlength=5)
    return ErrorImage(labels, {code: int(found[code]) for code in range(1, 5)})


def _painted(labels: IntArray, ids: Int64Array, codes: _UInt8) -> _UInt8:
    """Give every pixel the code of its object; ids may be large and have gaps."""
    out = np.zeros(labels.shape, np.uint8)
    inside: BoolArray = labels > 0
    if len(ids):
        out[inside] = codes[np.searchsorted(ids, labels[inside])]
    return out

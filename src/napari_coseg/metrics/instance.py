"""Pairs of true and predicted objects: unique matches, aggregated Jaccard index, centroids."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from napari_coseg.metrics.overlap import BoolArray, Int64Array, ObjectOverlap, overlap_of
from napari_coseg.types import FloatArray, IntArray


@dataclass(frozen=True)
class Matches:
    """Matched objects, each at most once.

    Attributes
    ----------
    truth_index, prediction_index : ndarray of int64, (matches,)
        Positions in the overlap's `truth_ids` and `prediction_ids`.
    iou : ndarray of float64, (matches,)
        Intersection over union of each match.
    """

    truth_index: Int64Array
    prediction_index: Int64Array
    iou: FloatArray


@dataclass(frozen=True)
class AjiCounts:
    """Sums of the aggregated Jaccard index; those of several images add up.

    Attributes
    ----------
    intersection, union : int
        Pixels.
    """

    intersection: int = 0
    union: int = 0

    def __add__(self, other: AjiCounts) -> AjiCounts:
        return AjiCounts(self.intersection + other.intersection, self.union + other.union)

    @property
    def aji(self) -> float:
        """Aggregated Jaccard index, 0 to 1; NaN where neither side has an object."""
        return self.intersection / self.union if self.union else math.nan


def match_objects(
    overlap: ObjectOverlap, threshold: float = 0.5, *, inclusive: bool = False
) -> Matches:
    """Match each true object with at most one predicted object by intersection over union.

    Above 0.5 a pair is unique by itself: two objects of one side cannot both share more than
    half of a union with the same object of the other. Below, the largest number of matches is
    taken, and among those the largest sum of IoU over all paired objects (the rule of
    stardist's ``matching``).

    Parameters
    ----------
    overlap : ObjectOverlap
    threshold : float
        IoU that a match must exceed, 0 to 1.
    inclusive : bool
        Take pairs at exactly `threshold` too, as stardist does.
    """
    iou = overlap.iou
    enough = iou >= threshold if inclusive else iou > threshold
    if threshold > 0.5 or (threshold == 0.5 and not inclusive):
        chosen = np.flatnonzero(enough)
    else:
        smaller_side = max(min(len(overlap.truth_ids), len(overlap.prediction_ids)), 1)
        # All the IoU together weigh at most 1/2, so that they never outweigh one more match.
        weight = enough + iou / (2 * smaller_side)
        chosen = best_assignment(overlap.truth_index, overlap.prediction_index, weight)
        chosen = chosen[enough[chosen]]
    return Matches(overlap.truth_index[chosen], overlap.prediction_index[chosen], iou[chosen])


def best_assignment(rows: Int64Array, columns: Int64Array, weight: FloatArray) -> Int64Array:
    """Choose pairs so that no row or column is used twice and the sum of weights is largest.

    Parameters
    ----------
    rows, columns : ndarray of int64, (pairs,)
        Ends of each candidate pair; a pair stands there once.
    weight : ndarray of float, (pairs,)
        Worth of each pair, above 0 and at most 2.

    Returns
    -------
    ndarray of int64
        Positions of the chosen pairs, ascending.
    """
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    contested = np.flatnonzero(~alone)
    if len(contested) == 0:
        return np.flatnonzero(alone)
    row_ids, row = np.unique(rows[contested], return_inverse=True)
    column_ids, column = np.unique(columns[contested], return_inverse=True)
    # Each row also gets a column of its own that costs as much as a pair without worth, so
    # that an assignment of all rows exists; 3 keeps all costs positive.
    spare = np.arange(len(row_ids))
    cost = csr_array(
        (
            np.concatenate([3.0 - weight[contested], np.full(len(row_ids), 3.0)]),
            (np.concatenate([row, spare]), np.concatenate([column, len(column_ids) + spare])),
        ),
        shape=(len(row_ids), len(column_ids) + len(row_ids)),
    )
    chosen_row, chosen_column = min_weight_full_bipartite_matching(cost)
    partner = np.full(len(row_ids), -1)
    partner[chosen_row] = chosen_column
    return np.sort(np.concatenate([np.flatnonzero(alone), contested[partner[row] == column]]))


def aji_counts(truth: IntArray, prediction: IntArray) -> AjiCounts:
    """Sum up the aggregated Jaccard index of two label images; see `aji_from_overlap`."""
    return aji_from_overlap(overlap_of(truth, prediction))


def aji_plus_counts(truth: IntArray, prediction: IntArray) -> AjiCounts:
    """Sum up AJI+ of two label images; see `aji_plus_from_overlap`."""
    return aji_plus_from_overlap(overlap_of(truth, prediction))


def aji_from_overlap(overlap: ObjectOverlap) -> AjiCounts:
    """Sum up the aggregated Jaccard index as HoVer-Net does.

    Each true object is paired with the prediction of the highest IoU, which may serve several
    true objects. Their intersections and unions are summed; true objects that touch nothing,
    and predictions that no true object chose, are added to the union. Of equal IoU the larger
    pair is taken, then the lower id.

    Source: Kumar et al., IEEE Transactions on Medical Imaging 2017, algorithm 1; ties as in
    HoVer-Net's published code (Graham et al., Medical Image Analysis 2019).
    """
    best_last = np.lexsort(
        (-overlap.prediction_index, overlap.intersection, overlap.iou, overlap.truth_index)
    )
    truths = overlap.truth_index[best_last]
    last_of_truth = np.ones(len(truths), bool)
    last_of_truth[:-1] = truths[1:] != truths[:-1]
    return _aggregate(overlap, best_last[last_of_truth])


def aji_plus_from_overlap(overlap: ObjectOverlap) -> AjiCounts:
    """Sum up AJI+: as `aji_from_overlap`, but pairs are one to one, of the largest sum of IoU.

    Source: Graham et al., Medical Image Analysis 2019 (HoVer-Net's published code).
    """
    chosen = best_assignment(overlap.truth_index, overlap.prediction_index, overlap.iou)
    return _aggregate(overlap, chosen)


def _aggregate(overlap: ObjectOverlap, pairs: Int64Array) -> AjiCounts:
    """Sum over chosen pairs, and add the objects that are in none of them to the union."""
    lone_truths = _others(len(overlap.truth_ids), overlap.truth_index[pairs])
    lone_predictions = _others(len(overlap.prediction_ids), overlap.prediction_index[pairs])
    union = (
        overlap.union[pairs].sum()
        + overlap.truth_areas[lone_truths].sum()
        + overlap.prediction_areas[lone_predictions].sum()
    )
    return AjiCounts(int(overlap.intersection[pairs].sum()), int(union))


def _others(count: int, used: Int64Array) -> BoolArray:
    mask = np.ones(count, bool)
    mask[used] = False
    return mask

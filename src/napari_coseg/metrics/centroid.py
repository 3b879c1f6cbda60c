"""Detection scored by centroids, as HoVer-Net's paper does for nuclei.

Source: Graham et al., HoVer-Net, Medical Image Analysis 2019, section 4.2.2, equations of F_d
and F_c; the radius of 12 pixels at 40x (3 µm) is that of its published code.
Its code pairs points in a way of its own, `pair_all_points`; the default here is `pair_points`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from napari_coseg.metrics.instance import best_assignment
from napari_coseg.metrics.overlap import Int64Array
from napari_coseg.types import IGNORE, CosegError, FloatArray, IntArray

#: Farthest that a detection may lie from the true centroid.
RADIUS_PX, RADIUS_UM = 12.0, 3.0
#: Most distances that `pair_all_points` holds at once: 0.8 GB.
LARGEST_TABLE = 10**8

#: Pairs points of truth and prediction within a radius: (truth_index, prediction_index).
PairPoints = Callable[[FloatArray, FloatArray, float], tuple[Int64Array, Int64Array]]


@dataclass(frozen=True)
class CentroidCounts:
    """Paired and lone centroids; those of several images add up.

    Attributes
    ----------
    right : int
        Pairs; for a class, those whose both ends are of the class.
    wrong_prediction, wrong_truth : int
        Pairs of which only the prediction, or only the truth, is of the class.
    lone_predictions, lone_truths : int
        Objects (of the class) without a partner.
    """

    right: int = 0
    wrong_prediction: int = 0
    wrong_truth: int = 0
    lone_predictions: int = 0
    lone_truths: int = 0

    def __add__(self, other: CentroidCounts) -> CentroidCounts:
        return CentroidCounts(
            self.right + other.right,
            self.wrong_prediction + other.wrong_prediction,
            self.wrong_truth + other.wrong_truth,
            self.lone_predictions + other.lone_predictions,
            self.lone_truths + other.lone_truths,
        )

    @property
    def f(self) -> float:
        """F_d, or F_c of a class, where wrong classes weigh twice; NaN without any object."""
        errors = 2 * (self.wrong_prediction + self.wrong_truth)
        errors += self.lone_predictions + self.lone_truths
        total = 2 * self.right + errors
        return 2 * self.right / total if total else math.nan


def centroids(
    labels: IntArray, spacing: Sequence[float] | None = None
) -> tuple[Int64Array, FloatArray]:
    """Centres of mass of all objects, from the runs of equal pixels in each row.

    Parameters
    ----------
    labels : ndarray of int, (rows, columns) or (planes, rows, columns)
        Instance ids, 0 for background.
    spacing : sequence of float or None
        Size of a pixel along each axis; None for pixels.

    Returns
    -------
    ids : ndarray of int64, (objects,)
    points : ndarray of float64, (objects, axes)
        Centre of pixel [0, 0] is (0.0, 0.0).
    """
    if labels.size == 0:
        return np.zeros(0, np.int64), np.zeros((0, labels.ndim))
    changes = np.ones(labels.shape, bool)
    changes[..., 1:] = labels[..., 1:] != labels[..., :-1]
    starts = np.flatnonzero(changes)
    lengths = np.diff(starts, append=labels.size)
    run_labels = labels.reshape(-1)[starts]
    objects = run_labels > 0
    starts, lengths, run_labels = starts[objects], lengths[objects], run_labels[objects]
    ids, position = np.unique(run_labels, return_inverse=True)
    areas = np.bincount(position, lengths, minlength=len(ids))
    middle = np.stack(np.unravel_index(starts, labels.shape)).astype(float)
    middle[-1] += (lengths - 1) / 2
    sums = [np.bincount(position, lengths * axis, minlength=len(ids)) for axis in middle]
    points = np.stack(sums, axis=1) / areas[:, None]
    return ids.astype(np.int64), points if spacing is None else points * np.asarray(spacing)


def pair_points(
    truth: FloatArray, prediction: FloatArray, radius: float = RADIUS_PX
) -> tuple[Int64Array, Int64Array]:
    """Pair points one to one: as many pairs within the radius as can be, then the closest.

    Cost and memory grow with the pairs within the radius.

    Parameters
    ----------
    truth, prediction : ndarray of float, (points, axes)
    radius : float
        Largest distance of a pair, in the unit of the points.

    Returns
    -------
    truth_index, prediction_index : ndarray of int64, (pairs,)
    """
    if len(truth) == 0 or len(prediction) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    near = KDTree(truth).sparse_distance_matrix(KDTree(prediction), radius, output_type="ndarray")
    smaller_side = min(len(truth), len(prediction))
    # All the closeness together weighs at most 1/2, so that it never outweighs one more pair.
    weight = 1 + (1 - near["v"] / radius) / (2 * smaller_side)
    chosen = near[best_assignment(near["i"], near["j"], weight)]
    return chosen["i"].astype(np.int64), chosen["j"].astype(np.int64)


def pair_all_points(
    truth: FloatArray, prediction: FloatArray, radius: float = RADIUS_PX
) -> tuple[Int64Array, Int64Array]:
    """Pair as HoVer-Net's published code does, for figures to set beside published ones.

    All points of the smaller side are paired by the least total distance, however far, and the
    pairs beyond the radius are dropped afterwards. Where both sides have points without a
    counterpart, chains of near objects are moved on by one to bridge the distance, and true
    detections are lost: on CoNSeP tiles with a fifth of the nuclei missed and as many invented,
    F is about 0.66 where `pair_points` has 0.81. Centroids are not cut to whole pixels here.

    Parameters
    ----------
    truth, prediction : ndarray of float, (points, axes)
    radius : float
        Largest distance of a pair, in the unit of the points.

    Returns
    -------
    truth_index, prediction_index : ndarray of int64, (pairs,)

    Raises
    ------
    CosegError
        If there are so many points that the table of all distances would not fit.
    """
    if len(truth) * len(prediction) > LARGEST_TABLE:
        raise CosegError(
            f"HoVer-Net's pairing of {len(truth)} with {len(prediction)} centroids needs a table "
            "of all distances: score smaller images, or use the pairing of near points."
        )
    distances = cdist(truth, prediction)
    i, j = linear_sum_assignment(distances)
    near = distances[i, j] <= radius
    return i[near].astype(np.int64), j[near].astype(np.int64)


def centroid_counts(
    truth: FloatArray,
    prediction: FloatArray,
    radius: float = RADIUS_PX,
    pair: PairPoints = pair_points,
) -> CentroidCounts:
    """Count paired and lone centroids whatever their class; see `pair_points`."""
    pairs = len(pair(truth, prediction, radius)[0])
    return CentroidCounts(
        right=pairs,
        lone_predictions=len(prediction) - pairs,
        lone_truths=len(truth) - pairs,
    )


def centroid_counts_by_class(
    truth: FloatArray,
    truth_classes: Int64Array,
    prediction: FloatArray,
    prediction_classes: Int64Array,
    class_ids: Iterable[int],
    radius: float = RADIUS_PX,
    ignore_classes: Iterable[int] = (0, IGNORE),
    pair: PairPoints = pair_points,
) -> dict[int, CentroidCounts]:
    """Count paired and lone centroids of each class; pairs are made whatever the class.

    Parameters
    ----------
    truth, prediction : ndarray of float, (points, axes)
    truth_classes, prediction_classes : ndarray of int, (points,)
        Class of each point.
    class_ids : iterable of int
        Classes to count.
    radius : float
        Largest distance of a pair, in the unit of the points.
    ignore_classes : iterable of int
        True points of these classes do not count, nor does what is paired with them.
    pair : callable
        `pair_points` or `pair_all_points`.
    """
    i, j = pair(truth, prediction, radius)
    true, predicted = truth_classes[i], prediction_classes[j]
    lone_truths, lone_predictions = np.delete(truth_classes, i), np.delete(prediction_classes, j)
    known = ~np.isin(true, list(ignore_classes))
    return {
        c: CentroidCounts(
            right=int(((true == c) & (predicted == c)).sum()),
            wrong_prediction=int(((true != c) & (predicted == c) & known).sum()),
            wrong_truth=int(((true == c) & (predicted != c)).sum()),
            lone_predictions=int((lone_predictions == c).sum()),
            lone_truths=int((lone_truths == c).sum()),
        )
        for c in class_ids
    }

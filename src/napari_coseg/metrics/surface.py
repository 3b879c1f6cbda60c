"""Hausdorff distances between the surfaces of two masks, in pixels or in physical units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from napari_coseg.metrics.overlap import BoolArray
from napari_coseg.types import CosegError, FloatArray


@dataclass(frozen=True)
class SurfaceScores:
    """Distances between two surfaces, in the unit of the spacing or in pixels.

    Attributes
    ----------
    hd : float
        Hausdorff distance: the farthest that a point of one surface lies from the other one.
    hd95 : float
        The larger of the two directed 95th percentiles (MONAI's definition).
    """

    hd: float
    hd95: float


def surface_scores(
    truth: BoolArray, prediction: BoolArray, spacing: Sequence[float] | None = None
) -> SurfaceScores:
    """Measure how far the surfaces of two masks lie apart.

    The surface of a mask are its pixels with a face neighbour outside of it; the world beyond
    the image is outside. Cost and memory grow with the surfaces, not with the image.

    Parameters
    ----------
    truth, prediction : ndarray of bool, (rows, columns) or (planes, rows, columns)
    spacing : sequence of float or None
        Size of a pixel along each axis, in µm or mm; None for distances in pixels.

    Returns
    -------
    SurfaceScores
        0 where both masks are empty; the diagonal of the image where one of them is, so that a
        class that was missed or invented costs as much as can be.

    Raises
    ------
    CosegError
        If the shapes differ, or the spacing has another number of axes or is not above 0.
    """
    if truth.shape != prediction.shape:
        raise CosegError(
            f"Truth is {truth.shape} and prediction is {prediction.shape}: "
            "only masks of one size can be compared."
        )
    size = np.ones(truth.ndim) if spacing is None else np.asarray(spacing, float)
    if size.shape != (truth.ndim,) or not (size > 0).all():
        raise CosegError(
            f"Spacing {spacing} must be {truth.ndim} numbers above 0, one for each axis."
        )
    true_points, predicted_points = _surface(truth) * size, _surface(prediction) * size
    if len(true_points) == 0 and len(predicted_points) == 0:
        return SurfaceScores(0.0, 0.0)
    if len(true_points) == 0 or len(predicted_points) == 0:
        diagonal = math.hypot(*(np.array(truth.shape) * size))
        return SurfaceScores(diagonal, diagonal)
    there = KDTree(predicted_points).query(true_points)[0]
    back = KDTree(true_points).query(predicted_points)[0]
    return SurfaceScores(
        hd=float(max(there.max(), back.max())),
        hd95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
    )


def _surface(mask: BoolArray) -> FloatArray:
    """Coordinates of the surface pixels, (points, axes)."""
    if not mask.any():
        return np.zeros((0, mask.ndim))
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    cropped = mask[box]
    edge = cropped & ~ndimage.binary_erosion(cropped)
    corner = np.array([side.start for side in box])
    return np.asarray(np.argwhere(edge) + corner, float)

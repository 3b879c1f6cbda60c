"""Scores by the rules of Co-Seg++'s authors, for figures to set beside published ones.

Labels are resized to 1024 x 1024 and scored plane by plane, an image counts for a class only where
its truth has it, distances are in pixels of that square and those that are not finite are left out,
and predicted regions are closed before they are taken apart, the small parts dropped. The figure of
a class is the mean over its images. Source: MODELS, section 4, in the project's documents, and the
paper's section IV-A (Xu et al. 2025); that volumes are scored by plane is what the paper's tables
seem to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.metrics.image_scores import (
    ClassScores,
    ImagePair,
    RegionCounts,
    ScoreSettings,
    score_image,
)
from napari_coseg.metrics.overlap import BoolArray
from napari_coseg.metrics.panoptic import connected_components
from napari_coseg.metrics.report import Evaluation
from napari_coseg.types import CosegError, IntArray

#: Side of the square that everything is scored in.
SIDE = 1024
#: Side of the square that predicted regions are closed with; pixels of the smallest part kept.
CLOSING, SMALLEST_PART = 5, 200
_IMAGES = (
    "truth_regions",
    "prediction_regions",
    "truth_instances",
    "prediction_instances",
)


class PaperEvaluation(Evaluation):
    """An `Evaluation` by the authors' rules; volumes give one image a plane.

    Parameters
    ----------
    settings : ScoreSettings
        What is scored; how regions are taken apart is the authors'.
    """

    def __init__(self, settings: ScoreSettings) -> None:
        own = replace(settings, components=connected_components, prediction_components=closed_parts)
        super().__init__(own)

    def add(self, pair: ImagePair) -> None:
        """Score one more image, or each plane of a volume; see `Evaluation.add`."""
        found: list[ClassScores] = []
        for plane in planes_of(pair):
            found += score_by_paper(squared(plane), self.settings)
        self._scores += found


def score_by_paper(pair: ImagePair, settings: ScoreSettings) -> list[ClassScores]:
    """Score one square picture: the classes that its truth has.

    Raises
    ------
    CosegError
        If the shapes of the two sides differ, or labels are negative or no integers.
    """
    objects = replace(pair, truth_regions=None, prediction_regions=None)
    found = score_image(objects, settings)
    areas = replace(pair, truth_instances=None, prediction_instances=None)
    # One class at a time: closed regions of two classes may lie on each other.
    for class_id, name in settings.region_classes.items():
        found += score_image(areas, replace(settings, region_classes={class_id: name}))
    return [_finite(scores) for scores in found if in_truth(scores)]


def in_truth(scores: ClassScores) -> bool:
    """Whether the truth of the image has the class."""
    counts = scores.counts
    return (counts.pixels.truth if isinstance(counts, RegionCounts) else counts.objects.truths) > 0


def _finite(scores: ClassScores) -> ClassScores:
    """Leave distances out that are infinite, since nothing was predicted."""
    if scores.distances and scores.counts.pixels.prediction == 0:
        return replace(scores, distances=dict.fromkeys(scores.distances, float("nan")))
    return scores


def closed_parts(mask: BoolArray) -> npt.NDArray[np.int64]:
    """Close a mask with a square of 5 pixels, take it apart, and drop what is below 200 pixels.

    Parameters
    ----------
    mask : ndarray of bool, (rows, columns)

    Returns
    -------
    ndarray of int, (rows, columns)
        Labels 1, 2, ... of the parts that hang together, over corners too.
    """
    # What lies at the image's edge must not be eroded from beyond it.
    wide = np.pad(mask, CLOSING)
    closed = ndimage.binary_closing(wide, np.ones((CLOSING, CLOSING), bool))
    labels = connected_components(closed[CLOSING:-CLOSING, CLOSING:-CLOSING])
    kept = np.bincount(labels.ravel()) >= SMALLEST_PART
    kept[0] = False
    numbers = np.cumsum(kept) * kept
    return np.asarray(numbers[labels], np.int64)


def to_square(labels: IntArray, side: int = SIDE) -> IntArray:
    """Resize labels to a square, each pixel as the nearest one was.

    Parameters
    ----------
    labels : ndarray of int, (rows, columns)
    side : int

    Returns
    -------
    ndarray of int, (side, side)
    """
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) * length / side).astype(np.intp), length - 1)
        for length in labels.shape
    )
    return labels[np.ix_(rows, columns)]


def squared(pair: ImagePair, side: int = SIDE) -> ImagePair:
    """Resize a pair of pictures to a square without a pixel size.

    Regions are separate where they do not hang together, also where the truth says more. A class
    of an object is told by its id, so that classes stay as they are.
    """
    resized: dict[str, Any] = {
        name: to_square(labels, side)
        for name in _IMAGES
        if (labels := getattr(pair, name)) is not None
    }
    return replace(
        pair,
        **resized,
        truth_region_instances=None,
        prediction_region_instances=None,
        spacing=None,
    )


def planes_of(pair: ImagePair) -> Iterator[ImagePair]:
    """Give a picture as it is, and a volume plane by plane, each with its number in its name.

    Raises
    ------
    CosegError
        If the two sides differ in shape.
    """
    arrays = {name: labels for name in _IMAGES if (labels := getattr(pair, name)) is not None}
    shapes = {labels.shape for labels in arrays.values()}
    if len(shapes) > 1:
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise CosegError(f"The labels of {pair.name} differ in size: {sizes}.")
    if not shapes or len(shape := shapes.pop()) < 3:
        yield pair
        return
    separate = replace(
        pair, truth_region_instances=None, prediction_region_instances=None, spacing=None
    )
    # Planes of one volume are alike.
    group = pair.name if pair.group is None else pair.group
    for number in range(shape[0]):
        flat: dict[str, Any] = {name: labels[number] for name, labels in arrays.items()}
        yield replace(separate, name=f"{pair.name} plane {number}", group=group, **flat)

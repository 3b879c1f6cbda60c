"""All scores of one pair of label images, as counts that add up to pooled scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_coseg.metrics.centroid import (
    RADIUS_PX,
    RADIUS_UM,
    CentroidCounts,
    PairPoints,
    centroid_counts,
    centroid_counts_by_class,
    centroids,
    pair_points,
)
from napari_coseg.metrics.instance import AjiCounts, aji_from_overlap, aji_plus_from_overlap
from napari_coseg.metrics.overlap import ObjectOverlap, overlap_of
from napari_coseg.metrics.panoptic import (
    Components,
    ObjectClasses,
    PanopticCounts,
    classes_of,
    connected_components,
    counts_from_overlap,
    region_panoptic_counts,
)
from napari_coseg.metrics.semantic import DiceCounts, dice_counts
from napari_coseg.metrics.surface import surface_scores
from napari_coseg.types import IGNORE, IntArray


@dataclass(frozen=True)
class ScoreSettings:
    """What is scored, and how.

    Attributes
    ----------
    region_classes, instance_classes : mapping of int to str
        Classes to score, by id. Without instance classes objects are scored class-free only.
    threshold : float
        IoU that a match must exceed.
    ignore : int
        Value of true regions at pixels that do not count.
    ignore_classes : tuple of int
        True objects of these classes do not count in the scores by class.
    surface : bool
        Whether to measure HD and HD95 of regions.
    radius_px, radius_um : float
        Largest distance of paired centroids, without and with a pixel size (volumes: mm).
    pair : callable
        How centroids are paired: `pair_points`, or `pair_all_points` as HoVer-Net's code.
    components, prediction_components : callable
        How regions are taken apart; the second for the prediction where it differs.
    """

    region_classes: Mapping[int, str] = field(default_factory=dict)
    instance_classes: Mapping[int, str] = field(default_factory=dict)
    threshold: float = 0.5
    ignore: int = IGNORE
    ignore_classes: tuple[int, ...] = (0, IGNORE)
    surface: bool = True
    radius_px: float = RADIUS_PX
    radius_um: float = RADIUS_UM
    pair: PairPoints = pair_points
    components: Components = connected_components
    prediction_components: Components | None = None


@dataclass(frozen=True)
class ImagePair:
    """Truth and prediction of one image; what is None on one side is not scored.

    Attributes
    ----------
    name : str
    truth_regions, prediction_regions : ndarray of int or None
        Class ids, (rows, columns) or (planes, rows, columns).
    truth_region_instances, prediction_region_instances : ndarray of int or None
        Ids of the separate regions; None for connected components.
    truth_instances, prediction_instances : ndarray of int or None
        Object ids.
    truth_classes, prediction_classes : mapping or ndarray of int, or None
        Class of each object id.
    spacing : tuple of float or None
        Size of a pixel along each axis, in µm (volumes: mm).
    group : str or None
        Patient, slide or volume that it is a part of; None where nobody knows.
    """

    name: str
    truth_regions: IntArray | None = None
    prediction_regions: IntArray | None = None
    truth_region_instances: IntArray | None = None
    prediction_region_instances: IntArray | None = None
    truth_instances: IntArray | None = None
    prediction_instances: IntArray | None = None
    truth_classes: ObjectClasses | None = None
    prediction_classes: ObjectClasses | None = None
    spacing: tuple[float, ...] | None = None
    group: str | None = None


@dataclass(frozen=True)
class RegionCounts:
    """Counts of one class of regions.

    Attributes
    ----------
    pixels : DiceCounts
    parts : PanopticCounts
        Separate regions.
    """

    pixels: DiceCounts
    parts: PanopticCounts

    def __add__(self, other: RegionCounts) -> RegionCounts:
        return RegionCounts(self.pixels + other.pixels, self.parts + other.parts)

    def scores(self) -> dict[str, float]:
        """Scores by name, 0 to 1; NaN where neither side has the class."""
        return {
            "dice": self.pixels.dice,
            "iou": self.pixels.iou,
            "pq": self.parts.pq,
            "sq": self.parts.sq,
            "rq": self.parts.rq,
        }


@dataclass(frozen=True)
class InstanceCounts:
    """Counts of objects, of one class or class-free.

    Attributes
    ----------
    objects : PanopticCounts
    aji, aji_plus : AjiCounts
    centres : CentroidCounts
    pixels : DiceCounts
        Of all objects together.
    """

    objects: PanopticCounts
    aji: AjiCounts
    aji_plus: AjiCounts
    centres: CentroidCounts
    pixels: DiceCounts

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(
            self.objects + other.objects,
            self.aji + other.aji,
            self.aji_plus + other.aji_plus,
            self.centres + other.centres,
            self.pixels + other.pixels,
        )

    def scores(self) -> dict[str, float]:
        """Scores by name, 0 to 1; NaN where neither side has an object."""
        return {
            "pq": self.objects.pq,
            "sq": self.objects.sq,
            "f1": self.objects.f1,
            "precision": self.objects.precision,
            "recall": self.objects.recall,
            "aji": self.aji.aji,
            "aji_plus": self.aji_plus.aji,
            "centroid_f": self.centres.f,
            "dice": self.pixels.dice,
        }


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class in one image.

    Attributes
    ----------
    image : str
    task : str
        ``"regions"`` or ``"instances"``.
    class_id : int
        0 for all objects whatever their class.
    counts : RegionCounts or InstanceCounts
    distances : dict of str to float
        Scores that cannot be pooled: ``hd``, ``hd95``.
    group : str or None
        As of `ImagePair`.
    """

    image: str
    task: str
    class_id: int
    counts: RegionCounts | InstanceCounts
    distances: dict[str, float] = field(default_factory=dict)
    group: str | None = None

    def scores(self) -> dict[str, float]:
        """All scores by name."""
        return self.counts.scores() | self.distances


def score_image(pair: ImagePair, settings: ScoreSettings) -> list[ClassScores]:
    """Score one image: each region class, all objects, and each class of objects.

    Raises
    ------
    CosegError
        If the shapes of the two sides differ, or labels are negative or no integers.
    """
    return _score_regions(pair, settings) + _score_instances(pair, settings)


def without_crowds(prediction: IntArray, crowds: npt.NDArray[np.bool_]) -> IntArray:
    """Leave out predicted objects of which more than half lies where objects were not told apart.

    They can be neither right nor wrong; COCO's evaluation matches a detection with a crowd by the
    same share, the intersection over the detection's own area.

    Parameters
    ----------
    prediction : ndarray of int
        Object ids from 0.
    crowds : ndarray of bool
        Of the same shape.
    """
    area = np.bincount(prediction.ravel())
    inside = np.bincount(prediction[crowds], minlength=len(area))
    return np.where((2 * inside > area)[prediction], 0, prediction)


def _score_regions(pair: ImagePair, settings: ScoreSettings) -> list[ClassScores]:
    truth, prediction = pair.truth_regions, pair.prediction_regions
    if truth is None or prediction is None:
        return []
    class_ids = list(settings.region_classes)
    pixels = dice_counts(truth, prediction, class_ids, settings.ignore)
    parts = region_panoptic_counts(
        truth,
        prediction,
        class_ids,
        pair.truth_region_instances,
        settings.ignore,
        prediction_instances=pair.prediction_region_instances,
        threshold=settings.threshold,
        components=settings.components,
        prediction_components=settings.prediction_components,
    )
    scores = []
    for class_id in class_ids:
        distances = {}
        if settings.surface:
            known = truth != settings.ignore
            surfaces = surface_scores(
                truth == class_id, (prediction == class_id) & known, pair.spacing
            )
            absent = pixels[class_id].truth + pixels[class_id].prediction == 0
            distances = {
                "hd": np.nan if absent else surfaces.hd,
                "hd95": np.nan if absent else surfaces.hd95,
            }
        counts = RegionCounts(pixels[class_id], parts[class_id])
        scores.append(ClassScores(pair.name, "regions", class_id, counts, distances, pair.group))
    return scores


def _score_instances(pair: ImagePair, settings: ScoreSettings) -> list[ClassScores]:
    truth, prediction = pair.truth_instances, pair.prediction_instances
    if truth is None or prediction is None:
        return []
    overlap = overlap_of(truth, prediction)
    _, true_points = centroids(truth, pair.spacing)
    _, predicted_points = centroids(prediction, pair.spacing)
    radius = settings.radius_px if pair.spacing is None else settings.radius_um
    centres = centroid_counts(true_points, predicted_points, radius, settings.pair)
    counts = {0: _count(overlap, centres, settings)}
    if pair.truth_classes is not None and pair.prediction_classes is not None:
        true_classes = classes_of(overlap.truth_ids, pair.truth_classes)
        predicted_classes = classes_of(overlap.prediction_ids, pair.prediction_classes)
        centres_by_class = centroid_counts_by_class(
            true_points,
            true_classes,
            predicted_points,
            predicted_classes,
            settings.instance_classes,
            radius,
            settings.ignore_classes,
            settings.pair,
        )
        ignored = np.isin(true_classes, settings.ignore_classes)
        known = overlap.without_truths(ignored)
        true_classes = classes_of(known.truth_ids, pair.truth_classes)
        predicted_classes = classes_of(known.prediction_ids, pair.prediction_classes)
        for class_id in settings.instance_classes:
            chosen = known.select(true_classes == class_id, predicted_classes == class_id)
            counts[class_id] = _count(chosen, centres_by_class[class_id], settings)
    return [ClassScores(pair.name, "instances", c, n, group=pair.group) for c, n in counts.items()]


def _count(
    overlap: ObjectOverlap, centres: CentroidCounts, settings: ScoreSettings
) -> InstanceCounts:
    # What lies mostly in ignored objects and touches no other must not weigh on areas either.
    meets_truth = np.zeros(len(overlap.prediction_ids), bool)
    meets_truth[overlap.prediction_index] = True
    scored = overlap.select(np.ones(len(overlap.truth_ids), bool), meets_truth | ~overlap.excused)
    return InstanceCounts(
        counts_from_overlap(overlap, settings.threshold),
        aji_from_overlap(scored),
        aji_plus_from_overlap(scored),
        centres,
        DiceCounts(
            int(scored.intersection.sum()),
            int(scored.truth_areas.sum()),
            int(scored.prediction_areas.sum()),
        ),
    )

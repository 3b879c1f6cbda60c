"""Two Labels layers as prediction and truth, scored as the command line does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.layers.results import class_table, own_facts
from napari_coseg.metrics.errors import ErrorImage, object_errors, region_errors
from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings
from napari_coseg.metrics.report import Evaluation
from napari_coseg.types import CosegError

Kind = Literal["regions", "instances"]

# More labels than this are objects; looked for in so many pixels along each axis.
_FEW, _GUESS = 20, 512


@dataclass(frozen=True)
class Scored:
    """What comes of comparing two layers.

    Attributes
    ----------
    summary : DataFrame
        As `napari_coseg.metrics.report.Evaluation.summary`.
    errors : ErrorImage
    notes : tuple of str
        What a person should know.
    """

    summary: pd.DataFrame
    errors: ErrorImage
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """One layer, as much of it as a thread needs: a layer itself belongs to the GUI's.

    Attributes
    ----------
    labels : array
        NumPy, or what can be turned into it.
    classes : dict of int to str
        Class name of each id in `of_object` (instances) or of each label (regions).
    of_object : dict of int to int, or None
        Class of each object; None where the layer does not say.
    """

    name: str
    labels: Any
    classes: dict[int, str]
    of_object: dict[int, int] | None
    spacing: tuple[float, ...] | None

    def array(self) -> npt.NDArray[np.integer[Any]]:
        """Read the labels."""
        return np.asarray(self.labels)


def kind_of(layer: Any) -> Kind:
    """Guess what a Labels layer holds: our own say so, others by the number of their labels."""
    facts = own_facts(layer)
    if facts is not None:
        return "regions" if facts["role"] == "regions" else "instances"
    features = getattr(layer, "features", None)
    if features is not None and "class" in features:
        return "instances"
    data = layer.data[-1] if getattr(layer, "multiscale", False) else layer.data
    # A part is enough for a guess, and all of it may lie on a disk.
    part = data[tuple(slice(0, _GUESS) for _ in data.shape)]
    return "instances" if int(np.max(np.asarray(part), initial=0)) > _FEW else "regions"


def side_of(layer: Any, kind: Kind) -> Side:
    """Take from a layer what scoring needs."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    features = layer.features
    known: dict[int, str] = {info.id: info.name for info in class_table(layer)}
    of_object: dict[int, int] | None = None
    if kind == "instances" and {"index", "class"} <= set(features):
        of_object = dict(
            zip(features["index"].astype(int), features["class"].astype(int), strict=True)
        )
        if not known:
            known = _names(features, "class")
    elif kind == "regions" and not known and "index" in features:
        known = _names(features, "index")
    return Side(layer.name, data, known, of_object, _spacing(layer))


def score_layers(prediction: Side, truth: Side, kind: Kind) -> Scored:
    """Score one layer against another; long work, for a thread.

    Raises
    ------
    CosegError
        If shapes differ, or labels are negative or no integers.
    """
    predicted, true = prediction.array(), truth.array()
    if predicted.shape != true.shape:
        raise CosegError(
            f"{prediction.name} has {_size(predicted)} pixels and {truth.name} {_size(true)}: "
            "choose two layers of the same image."
        )
    notes: list[str] = []
    names, renumber = _match(prediction.classes, truth.classes)
    if kind == "regions":
        if not names:
            names = {int(i): f"class {i}" for i in np.union1d(predicted, true) if i not in (0, 255)}
            renumber = {}
        table = np.arange(int(predicted.max(initial=0)) + 1)
        for old, new in renumber.items():
            if old < len(table):
                table[old] = new
        predicted = table[predicted]
        pair = ImagePair(
            truth.name,
            truth_regions=true,
            prediction_regions=predicted,
            spacing=truth.spacing or prediction.spacing,
        )
        settings = ScoreSettings(region_classes=names)
        errors = region_errors(true, predicted)
    else:
        classes: dict[str, Any] = {}
        if prediction.of_object is None or truth.of_object is None:
            if prediction.of_object is not None or truth.of_object is not None:
                bare = truth if truth.of_object is None else prediction
                notes.append(f"{bare.name} does not say the classes of its objects: class-free.")
            names = {}
        else:
            classes = {
                "truth_classes": truth.of_object,
                "prediction_classes": {
                    label: renumber.get(kind_id, kind_id)
                    for label, kind_id in prediction.of_object.items()
                },
            }
        pair = ImagePair(
            truth.name,
            truth_instances=true,
            prediction_instances=predicted,
            spacing=truth.spacing or prediction.spacing,
            **classes,
        )
        settings = ScoreSettings(instance_classes=names)
        errors = object_errors(true, predicted)
    evaluation = Evaluation(settings)
    evaluation.add(pair)
    return Scored(evaluation.summary(resamples=1), errors, tuple(notes))


def _match(
    prediction: Mapping[int, str], truth: Mapping[int, str]
) -> tuple[dict[int, str], dict[int, int]]:
    """Match classes by name: the truth's ids, and what each id of the prediction becomes."""
    names = dict(truth)
    by_name = {name: number for number, name in truth.items()}
    renumber = {}
    fresh = max([0, *truth]) + 1
    for number, name in prediction.items():
        if name not in by_name:
            by_name[name], names[fresh] = fresh, name
            fresh += 1
        renumber[number] = by_name[name]
    return names, renumber


def _names(features: pd.DataFrame, column: str) -> dict[int, str]:
    ids = features[column].astype(int)
    if "class_name" not in features:
        return {number: f"class {number}" for number in sorted(set(ids)) if number}
    return {
        int(number): str(name)
        for number, name in zip(ids, features["class_name"], strict=True)
        if number
    }


def _spacing(layer: Any) -> tuple[float, ...] | None:
    units = tuple(str(unit) for unit in layer.units)
    if any(unit == "pixel" for unit in units):
        return None
    return tuple(abs(float(value)) for value in layer.scale)


def _size(labels: npt.NDArray[Any]) -> str:
    return " × ".join(f"{length:,}" for length in labels.shape)

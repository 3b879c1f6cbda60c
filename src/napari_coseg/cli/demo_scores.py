"""Scores of the demo's prediction against a generated tile's exact truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings
from napari_coseg.metrics.report import Evaluation

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from rich.table import Table

    from napari_coseg.datasets.synthetic_histology import SyntheticTile
    from napari_coseg.types import ClassTable, PanopticResult

#: Scores that are printed, and their headings.
_PRINTED = {"dice": "Dice", "pq": "PQ", "aji": "AJI", "f1": "F1"}


def score_tile(name: str, result: PanopticResult, truth: SyntheticTile) -> pd.DataFrame:
    """Score regions and objects of one tile, classes matched by name.

    Returns
    -------
    DataFrame
        One row a task and class, as `napari_coseg.metrics.report.Evaluation.images`; classes that
        the model or the tile lacks have none.
    """
    regions = _shared(truth.region_classes, result.region_classes)
    kinds = _shared(truth.instance_classes, result.instance_classes)
    evaluation = Evaluation(ScoreSettings(region_classes=regions, instance_classes=kinds))
    predicted_kinds = None
    if result.instances is not None:
        numbers = {kind: class_id for class_id, kind in kinds.items()}
        predicted_kinds = {
            int(label): numbers.get(str(kind), 0)
            for label, kind in zip(
                result.objects["label"], result.objects["class_name"], strict=True
            )
        }
    evaluation.add(
        ImagePair(
            name,
            truth_regions=truth.regions if regions else None,
            prediction_regions=_renumbered(result, regions) if regions else None,
            truth_region_instances=truth.region_instances if regions else None,
            truth_instances=truth.instances,
            prediction_instances=result.instances,
            truth_classes=class_of_objects(truth),
            prediction_classes=predicted_kinds,
            spacing=(truth.mpp, truth.mpp),
        )
    )
    return evaluation.images()


def score_table(scores: pd.DataFrame) -> Table:
    """Table of the scores for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(
        title="Generated tile against its exact truth",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("task")
    table.add_column("class")
    shown = [score for score in _PRINTED if score in scores]
    for score in shown:
        table.add_column(_PRINTED[score], justify="right")
    for _, row in scores.iterrows():
        values = ("-" if np.isnan(row[score]) else f"{row[score]:.3f}" for score in shown)
        table.add_row(str(row["task"]), str(row["class"]), *values)
    return table


def _shared(truth: ClassTable, model: ClassTable) -> dict[int, str]:
    """Truth's ids and names of the classes that both have."""
    return {info.id: info.name for info in truth if info.name in model.names}


def _renumbered(result: PanopticResult, classes: dict[int, str]) -> npt.NDArray[np.uint8] | None:
    """Predicted regions with the truth's ids; classes that the truth lacks become background."""
    if result.regions is None:
        return None
    ids = {name: class_id for class_id, name in classes.items()}
    table = np.zeros(256, np.uint8)
    for info in result.region_classes:
        table[info.id] = ids.get(info.name, 0)
    return table[result.regions]


def class_of_objects(truth: SyntheticTile) -> dict[int, int]:
    """Class of each true object."""
    labels, first = np.unique(truth.instances, return_index=True)
    classes = truth.classes.ravel()[first]
    return {int(label): int(kind) for label, kind in zip(labels, classes, strict=True) if label > 0}

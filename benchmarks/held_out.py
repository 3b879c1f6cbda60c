"""Scores of a model on the held-out items of its training config, with calibration.

What the tables of docs/models/ are made with. The held-out items are those of the config's fold,
so the figures are comparable between folds and not with published test-set figures.

    python benchmarks/held_out.py CONFIG --model FILE [--set key=value ...] [--tta]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.instances import InstanceSettings
from napari_coseg.inference.panoptic import segment_image
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings
from napari_coseg.metrics.instance import match_objects
from napari_coseg.metrics.overlap import overlap_of
from napari_coseg.metrics.panoptic import majority_classes
from napari_coseg.metrics.report import Evaluation
from napari_coseg.training.config import load_config
from napari_coseg.training.setup import held_out_sets
from napari_coseg.training.validation import HeldOut
from napari_coseg.types import PanopticResult
from napari_coseg.weights.loading import LoadedModel, load_model

#: Edges of the bins in which a stated score is compared with what came true.
BINS = np.array([0, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0001])


@dataclass
class Calibration:
    """Stated scores of objects and whether they were right."""

    object_score: list[float] = field(default_factory=list)
    matched: list[bool] = field(default_factory=list)
    class_score: list[float] = field(default_factory=list)
    class_right: list[bool] = field(default_factory=list)

    def add(
        self, truth: np.ndarray, classes: dict[int, int] | None, result: PanopticResult
    ) -> None:
        """Take one image's objects."""
        overlap = overlap_of(truth, result.instances)
        matches = match_objects(overlap)
        partner = dict(
            zip(
                overlap.prediction_ids[matches.prediction_index].tolist(),
                overlap.truth_ids[matches.truth_index].tolist(),
                strict=True,
            )
        )
        for row in result.objects.itertuples():
            self.object_score.append(row.score)
            self.matched.append(row.label in partner)
            if classes is not None and row.label in partner:
                self.class_score.append(getattr(row, "class_score", np.nan))
                self.class_right.append(classes[partner[row.label]] == result_class(row))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Bins of each score: how many, mean score, share that was right."""
        return {
            "object score against matched at IoU 0.5": _bins(self.object_score, self.matched),
            "class score against right class": _bins(self.class_score, self.class_right),
        }


def result_class(row: object) -> int:
    """Class id of an object's row (``class`` is no attribute name in Python)."""
    return int(row[2])  # type: ignore[index]


def _bins(scores: Sequence[float], right: Sequence[bool]) -> pd.DataFrame:
    frame = pd.DataFrame({"score": scores, "right": right}).dropna()
    if frame.empty:
        return frame
    frame["bin"] = pd.cut(frame["score"], BINS, right=False)
    grouped = frame.groupby("bin", observed=True)
    return grouped.agg(objects=("score", "size"), stated=("score", "mean"), true=("right", "mean"))


def score(model: LoadedModel, one: HeldOut, settings: PredictSettings) -> None:
    """Predict and print one data set."""
    regions = {info.id: info.name for info in model.card.region_table}
    instances = {}
    if "classes" in one.dataset.kinds:
        instances = {info.id: info.name for info in model.card.instance_table}
    evaluation = Evaluation(
        ScoreSettings(region_classes=regions, instance_classes=instances, surface=True)
    )
    calibration = Calibration()
    started = time.perf_counter()
    for item in one.items:
        read = one.dataset.read(item)
        result = segment_image(ArraySource(read.image, mpp=read.mpp), model, settings=settings)
        classes = None
        if read.instances is not None and read.classes is not None:
            classes = majority_classes(read.instances, read.classes)
        if read.instances is not None:
            calibration.add(read.instances, classes, result)
        evaluation.add(
            ImagePair(
                name=item.name,
                truth_regions=read.regions,
                prediction_regions=result.regions,
                truth_region_instances=read.region_instances,
                truth_instances=read.instances,
                prediction_instances=result.instances,
                truth_classes=classes,
                prediction_classes=dict(
                    zip(result.objects["label"], result.objects["class"], strict=True)
                ),
                spacing=(read.mpp, read.mpp),
            )
        )
    seconds = time.perf_counter() - started
    names = ", ".join(item.name for item in one.items)
    print(f"\n== {one.dataset.name}: {len(one.items)} held out ({names}), {seconds:.0f} s")
    table = evaluation.summary()
    wide = table.pivot_table(
        index=["task", "class"], columns="score", values="pooled", sort=False
    ).round(3)
    print(wide.to_string())
    means = table.pivot_table(index=["task", "class"], columns="score", values="mean", sort=False)
    print("mean over images:")
    print(means.round(3).to_string())
    if calibration.object_score:
        for title, frame in calibration.tables().items():
            if len(frame):
                print(f"{title}:")
                print(frame.round(3).to_string())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--tta", action="store_true")
    parser.add_argument("--foreground", type=float, default=None, help="foreground threshold")
    parser.add_argument("--min-region", type=float, default=0.0, help="smallest region, µm²")
    parser.add_argument("--only", default=None, help="name of one data set")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.changes)
    model = load_model(arguments.model)
    objects = None
    if arguments.foreground is not None:
        objects = InstanceSettings(foreground_threshold=arguments.foreground)
    settings = PredictSettings(
        tta=arguments.tta, instances=objects, min_region_um2=arguments.min_region
    )
    for one in held_out_sets(config):
        if arguments.only in (None, one.dataset.name):
            score(model, one, settings)


if __name__ == "__main__":
    main()

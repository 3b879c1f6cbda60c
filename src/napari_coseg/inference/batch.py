"""Prediction of many images into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_coseg.imaging.result_files import written_paths
from napari_coseg.inference.files import predict_file
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.result_folder import JobResult, ResultFolder
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancel, Model, Progress, has_instances, has_regions
from napari_coseg.types import ClassTable

__all__ = ["JobResult", "PredictionFolder"]


class PredictionFolder(ResultFolder):
    """A folder of predictions, made by one model with one set of settings.

    Parameters
    ----------
    out : Path
        The folder; made if it is not there.
    model : LoadedModel
        Network, card, hash.
    settings : PredictSettings
        How to predict.
    mpp : float or None
        µm per pixel of all images, instead of what their files say.

    Raises
    ------
    CosegError
        If the pixel size is not a positive number.
    """

    def __init__(
        self, out: Path, model: Model, settings: PredictSettings, mpp: float | None = None
    ) -> None:
        self._settings = settings.for_model(model.card)
        super().__init__(out, model, self._settings.as_dict(), self._settings.identity(), mpp)

    def _make(
        self, job: Job, base: Path, progress: Progress | None, cancel: Cancel | None
    ) -> dict[str, Any]:
        return predict_file(
            job.path,
            base,
            self._model,
            mpp=self._mpp,
            settings=self._settings,
            progress=progress,
            cancel=cancel,
        )

    def _written(self, job: Job) -> tuple[Path, ...]:
        card = self._model.card
        return written_paths(
            self.out / job.name, regions=has_regions(card), instances=has_instances(card)
        )

    def _classes(self) -> dict[str, ClassTable]:
        card = self._model.card
        return {"region_classes": card.region_table, "instance_classes": card.instance_table}

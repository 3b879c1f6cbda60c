"""Prediction of many pictures or volumes into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_coseg.imaging.result_files import written_paths
from napari_coseg.imaging.volume_opening import label_suffix
from napari_coseg.imaging.volume_results import volume_result_paths, written_volume_paths
from napari_coseg.inference.files import predict_file
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.result_folder import JobResult, ResultFolder
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancel, Model, Progress, has_instances, has_regions
from napari_coseg.inference.volume_files import predict_volume_file
from napari_coseg.types import ClassTable, CosegError

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
        µm per pixel of all pictures, instead of what their files say.

    Raises
    ------
    CosegError
        If the pixel size is not a positive number, or given to a model of volumes.
    """

    def __init__(
        self, out: Path, model: Model, settings: PredictSettings, mpp: float | None = None
    ) -> None:
        if mpp is not None and model.card.planes is not None:
            raise CosegError(
                f"{model.card.name} segments volumes, which say how large their voxels are: leave "
                "the pixel size out."
            )
        self._settings = settings.for_model(model.card)
        super().__init__(out, model, self._settings.as_dict(), self._settings.identity(), mpp)

    def _make(
        self, job: Job, base: Path, progress: Progress | None, cancel: Cancel | None
    ) -> dict[str, Any]:
        if job.volume:
            return predict_volume_file(
                job.path,
                base,
                self._model,
                settings=self._settings,
                progress=progress,
                cancel=cancel,
            )
        self._model.card.expect_input(volume=False)
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
        base, card = self.out / job.name, self._model.card
        regions, instances = has_regions(card), has_instances(card)
        if job.volume:
            suffix = label_suffix(job.path)
            return written_volume_paths(base, suffix, regions=regions, instances=instances)
        return written_paths(base, regions=regions, instances=instances)

    def _possible(self, job: Job) -> tuple[Path, ...]:
        base = self.out / job.name
        return volume_result_paths(base) if job.volume else super()._possible(job)

    def _classes(self) -> dict[str, ClassTable]:
        card = self._model.card
        return {"region_classes": card.region_table, "instance_classes": card.instance_table}

"""A whole volume, segmented in the host as the command line does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psutil

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Progress
from napari_coseg.inference.volumes import AXIAL, has_jaws, segment_voxels
from napari_coseg.types import CosegError
from napari_coseg.worker.job import Job
from napari_coseg.worker.pulled_voxels import PulledVoxels
from napari_coseg.worker.volume_answer import send_result
from napari_coseg.worker.volume_request import VolumeRequest

#: Bytes a voxel of labels: regions, instances, and a copy of these while axes are turned.
_LABELS = 1 + 4 + 5


def segment_pulled(
    job: Job,
    wanted: VolumeRequest,
    model: Any,
    progress: Progress,
    stopped: Callable[[], bool],
) -> None:
    """Segment the volume of a request, and send what was found.

    Voxels are not kept but for a few planes; labels are.

    Parameters
    ----------
    job : Job
    wanted : VolumeRequest
    model : LoadedModel
        A model of volumes.
    progress : callable
        Called with the planes done and all planes.
    stopped : callable
        Whether the work is to end; asked between tiles.

    Raises
    ------
    CosegError
        If the memory does not suffice, or as
        `napari_coseg.inference.volumes.segment_volume`.
    napari_coseg.inference.stream.Cancelled
        If it was to end.
    """
    _check_memory(wanted)
    card = model.card
    voxels = PulledVoxels(job.pull_plane, wanted.shape, np.dtype(wanted.dtype), wanted.window)
    grid = wanted.grid if wanted.oriented else _as_it_lies(wanted.grid)
    settings = _settings(wanted, card)
    result = segment_voxels(
        voxels,
        grid,
        model,
        notes=_notes(wanted, dental=has_jaws(card)),
        settings=settings,
        progress=progress,
        cancel=stopped,
    )
    if voxels.faulty:
        result.metadata["notes"].append(
            f"Some voxels of {wanted.name} are no numbers: they were taken for dark ones."
        )
    if wanted.spacing_origin == "assumed":
        result.objects[["volume_mm3", "surface_mm2"]] = np.nan
    result.metadata |= {
        "spacing": list(wanted.spacing),
        "spacing_origin": wanted.spacing_origin,
        "oriented": wanted.oriented,
    }
    send_result(result, job.send)


def _as_it_lies(grid: VolumeGrid) -> VolumeGrid:
    """Return a grid that is seen as it is stored: its planes count as axial from head to foot."""
    return replace(grid, direction=_DIRECTIONS)


#: Of a grid whose orientation is `AXIAL`.
_DIRECTIONS = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
assert VolumeGrid((1, 1, 1), (1, 1, 1), direction=_DIRECTIONS).orientation == AXIAL


def _settings(wanted: VolumeRequest, card: Any) -> PredictSettings:
    settings = PredictSettings(
        window=wanted.window, tta=wanted.tta, min_region_mm3=wanted.min_region_mm3
    ).for_model(card)
    assert settings.instances is not None
    if wanted.min_score is None:
        return settings
    return replace(settings, instances=replace(settings.instances, min_score=wanted.min_score))


def _notes(wanted: VolumeRequest, *, dental: bool) -> list[str]:
    notes = []
    if wanted.spacing_origin == "assumed":
        said = " x ".join(f"{side:g}" for side in wanted.spacing)
        notes.append(
            f"{wanted.name} does not say how large a voxel is: {said} mm was assumed, from the "
            "model, and volumes are in voxels."
        )
    if dental and not wanted.oriented:
        notes.append(
            f"{wanted.name} does not say how it lies in the patient: its planes were taken for "
            "axial ones, the first nearest to the head. If they lie otherwise, jaws and FDI "
            "numbers are wrong."
        )
    return notes


def _check_memory(wanted: VolumeRequest) -> None:
    needed = int(np.prod(wanted.shape, dtype=np.int64)) * _LABELS
    free = psutil.virtual_memory().available
    if needed > free:
        raise CosegError(
            f"{wanted.name} needs {needed / 1e9:.1f} GB of memory in the model worker, and "
            f"{free / 1e9:.1f} GB are free: close other programs, or cut or resample the volume."
        )

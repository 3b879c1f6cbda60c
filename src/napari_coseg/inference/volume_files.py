"""A volume file or DICOM series in, its result files out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from napari_coseg.imaging.volume_opening import label_suffix, open_volume
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.imaging.volume_results import write_volume_results
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancel, Model, Progress
from napari_coseg.inference.volumes import segment_volume

#: What a result's metadata tell that a record keeps.
_TOLD = ("window", "seen", "planes", "tiles", "device", "precision", "batch")


def predict_volume_file(
    path: Path,
    base: Path,
    model: Model,
    *,
    settings: PredictSettings | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Any]:
    """Segment a volume and write its results on exactly its grid.

    Parameters
    ----------
    path : Path
        As `napari_coseg.imaging.volume_opening.open_volume` takes it.
    base : Path
        Folder and name of the results; the folder must exist. Files of that name are replaced.
    model : LoadedModel
        A model of volumes.
    settings : PredictSettings, optional
        Defaults where left out.
    progress, cancel : callable, optional
        As in `napari_coseg.inference.volumes.segment_volume`.

    Returns
    -------
    dict
        Grid, window, number of objects, device, seconds by stage, notes.

    Raises
    ------
    CosegError
        If the volume cannot be read, the model is one of pictures, or a file cannot be written.
    napari_coseg.inference.stream.Cancelled
        If `cancel` said so.
    """
    started = time.perf_counter()
    # Before minutes go by for nothing.
    model.card.expect_input(volume=True)
    volume = open_volume(path)
    read = time.perf_counter() - started
    result = segment_volume(volume, model, settings=settings, progress=progress, cancel=cancel)
    # Writers copy labels: its voxels are not needed any more.
    del volume
    begun = time.perf_counter()
    write_volume_results(
        base,
        label_suffix(path),
        result.regions,
        result.instances,
        result.objects,
        VOLUME_COLUMNS,
        result.grid,
    )
    told = result.metadata
    now = time.perf_counter()
    return {
        "shape": list(result.grid.shape),
        "grid": result.grid.as_dict(),
        "objects": len(result.objects),
        **{name: told[name] for name in _TOLD},
        "notes": told["notes"],
        "seconds": {
            **told["seconds"],
            "open": round(read, 3),
            "write": round(now - begun, 3),
            "all": round(now - started, 3),
        },
    }

"""An image file in, its result files out, streaming in between."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from napari_coseg.imaging.result_files import write_results
from napari_coseg.imaging.source import open_image
from napari_coseg.inference.canvas import Renumbered, make_canvas
from napari_coseg.inference.panoptic import pixel_size
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import (
    Cancel,
    Model,
    PanopticStream,
    Progress,
    has_instances,
    has_regions,
)


def predict_file(
    path: Path,
    base: Path,
    model: Model,
    *,
    mpp: float | None = None,
    settings: PredictSettings | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Any]:
    """Segment an image file and write its results.

    Memory is set by the blocks, not by the image (a PNG or JPEG is decoded whole, though). While
    it works, labels of a large image stand in nameless files in the folder of the results.

    Parameters
    ----------
    path : Path
        PNG, JPEG, BMP or TIFF.
    base : Path
        Folder and name of the results; the folder must exist. Files of that name are replaced.
    model : LoadedModel
        Network and card.
    mpp : float, optional
        µm per pixel, instead of what the file says.
    settings : PredictSettings, optional
        Defaults where left out.
    progress, cancel : callable, optional
        As in `napari_coseg.inference.panoptic.segment_image`.

    Returns
    -------
    dict
        Shape, pixel size, number of objects, device, seconds by stage, notes.

    Raises
    ------
    CosegError
        If the image cannot be read, its pixel size not be used, or a file not be written.
    napari_coseg.inference.stream.Cancelled
        If `cancel` said so.
    """
    started = time.perf_counter()
    card = model.card
    with open_image(path) as source, ExitStack() as stack:
        size = pixel_size(source, card, mpp)
        note = size.note(path.name)
        stream = PanopticStream(source, model, size.mpp, settings, progress=progress, cancel=cancel)
        shape = source.shape
        regions = make_canvas(shape, np.uint8, base.parent, stack) if has_regions(card) else None
        instances = (
            make_canvas(shape, np.int32, base.parent, stack) if has_instances(card) else None
        )
        objects, numbers = stream.run(regions, instances)
        notes = [*([note] if note else []), *source.notes]
        if size.known is None:
            objects["area_um2"] = np.nan
        with stream.timings.of("write"):
            # Writers look at labels through windows only, so a canvas does for an array.
            labels: Any = None if instances is None else Renumbered(instances, numbers)
            write_results(
                base, regions, labels, objects, card.region_table, card.instance_table, size.known
            )
    return {
        "shape": list(shape),
        "mpp": size.mpp,
        "mpp_origin": size.origin,
        "objects": len(objects),
        "device": str(stream.device),
        "precision": stream.precision,
        "batch": stream.batch,
        "notes": notes,
        "seconds": {
            **stream.timings.as_dict(),
            "all": round(time.perf_counter() - started, 3),
        },
    }

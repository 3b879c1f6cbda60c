"""The results of one image on disk: labels, table and outlines, all of them or none."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.geojson import write_geojson
from napari_coseg.imaging.labels import write_label_tiff
from napari_coseg.imaging.source import open_image
from napari_coseg.imaging.tables import write_objects
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
from napari_coseg.weights.card import ModelCard

ENDINGS = ("_regions.tif", "_instances.tif", "_objects.csv", ".geojson")


def result_paths(base: Path) -> tuple[Path, ...]:
    """Every file that a prediction may write for one image.

    Parameters
    ----------
    base : Path
        Folder and name of the results.
    """
    return tuple(base.with_name(base.name + ending) for ending in ENDINGS)


def written_paths(base: Path, card: ModelCard) -> tuple[Path, ...]:
    """Return the files that a model writes: those of tasks that it has, and the outlines."""
    regions, instances, objects, outlines = result_paths(base)
    return (
        *((regions,) if has_regions(card) else ()),
        *((instances, objects) if has_instances(card) else ()),
        outlines,
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
        if size.known is None:
            objects["area_um2"] = np.nan
        with stream.timings.of("write"), ExitStack() as files:
            # Writers look at labels through windows only, so a canvas does for an array.
            labels: Any = None if instances is None else Renumbered(instances, numbers)
            areas: Any = regions
            parts = {
                target: files.enter_context(atomic_path(target))
                for target in written_paths(base, card)
            }
            region_path, instance_path, object_path, outline_path = result_paths(base)
            if areas is not None:
                write_label_tiff(parts[region_path], areas, size.known)
            if labels is not None:
                write_label_tiff(parts[instance_path], labels, size.known)
                write_objects(parts[object_path], objects)
            write_geojson(
                parts[outline_path],
                labels,
                objects,
                card.instance_table,
                areas,
                None if areas is None else card.region_table,
                mpp=size.known,
            )
        for stale in set(result_paths(base)) - set(parts):
            # An earlier model had a task that this one lacks.
            stale.unlink(missing_ok=True)
    return {
        "shape": list(shape),
        "mpp": size.mpp,
        "mpp_origin": size.origin,
        "objects": len(objects),
        "device": str(stream.device),
        "batch": stream.batch,
        "notes": [note] if note else [],
        "seconds": {
            **stream.timings.as_dict(),
            "all": round(time.perf_counter() - started, 3),
        },
    }

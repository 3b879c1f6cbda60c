"""The files of one image's results: labels, table and outlines, all of them or none."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.geojson import write_geojson
from napari_coseg.imaging.labels import write_label_tiff
from napari_coseg.imaging.tables import write_objects
from napari_coseg.types import ClassTable

if TYPE_CHECKING:
    import pandas as pd

#: How the names of the files end.
ENDINGS = ("_regions.tif", "_instances.tif", "_objects.csv", ".geojson")


def result_paths(base: Path) -> tuple[Path, ...]:
    """Every file that there may be for one image.

    Parameters
    ----------
    base : Path
        Folder and name of the results.
    """
    return tuple(base.with_name(base.name + ending) for ending in ENDINGS)


def written_paths(base: Path, *, regions: bool, instances: bool) -> tuple[Path, ...]:
    """Return the files of the tasks that there are, and the outlines."""
    region_path, instance_path, object_path, outline_path = result_paths(base)
    return (
        *((region_path,) if regions else ()),
        *((instance_path, object_path) if instances else ()),
        outline_path,
    )


def write_results(
    base: Path,
    regions: Any | None,
    instances: Any | None,
    objects: pd.DataFrame,
    region_classes: ClassTable,
    instance_classes: ClassTable,
    mpp: float | None,
    origin: tuple[float, float] = (0, 0),
    step: tuple[float, float] = (1, 1),
) -> tuple[Path, ...]:
    """Write every file of an image's results, whole or not at all.

    Files of that name are replaced; those of a task that is not there are removed.

    Parameters
    ----------
    base : Path
        Folder and name of the results; the folder must exist.
    regions, instances : array-like, (rows, columns), or None
        Label images; looked at through windows only, so they may be larger than memory.
    objects : DataFrame
        With the columns of `napari_coseg.types.OBJECT_COLUMNS`.
    region_classes, instance_classes : ClassTable
    mpp : float or None
        µm per pixel.
    origin, step : tuple of float
        As in `napari_coseg.imaging.geojson.write_geojson`: outlines are in the pixels of the whole
        image, labels and table in their own.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    CosegError
        If a file cannot be written.
    """
    targets = written_paths(base, regions=regions is not None, instances=instances is not None)
    with ExitStack() as files:
        parts = {target: files.enter_context(atomic_path(target)) for target in targets}
        region_path, instance_path, object_path, outline_path = result_paths(base)
        if regions is not None:
            write_label_tiff(parts[region_path], regions, mpp, classes=region_classes)
        if instances is not None:
            write_label_tiff(parts[instance_path], instances, mpp, classes=instance_classes)
            write_objects(parts[object_path], objects)
        write_geojson(
            parts[outline_path],
            instances,
            objects,
            instance_classes,
            regions,
            None if regions is None else region_classes,
            mpp=mpp,
            origin=origin,
            step=step,
        )
    for stale in set(result_paths(base)) - set(targets):
        stale.unlink(missing_ok=True)
    return targets

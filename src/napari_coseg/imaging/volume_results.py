"""The files of one volume's results: labels on its grid and the table, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.tables import write_objects
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import LABEL_SUFFIXES, write_labels

if TYPE_CHECKING:
    import pandas as pd

_REGIONS, _INSTANCES, _OBJECTS = "_regions", "_instances", "_objects.csv"


def volume_result_paths(base: Path) -> tuple[Path, ...]:
    """Every file that there may be for one volume, in whatever format.

    Parameters
    ----------
    base : Path
        Folder and name of the results.
    """
    labels = [kind + suffix for kind in (_REGIONS, _INSTANCES) for suffix in LABEL_SUFFIXES]
    return tuple(base.with_name(base.name + ending) for ending in (*labels, _OBJECTS))


def written_volume_paths(
    base: Path, suffix: str, *, regions: bool, instances: bool
) -> tuple[Path, ...]:
    """Return the files of the tasks that there are.

    Parameters
    ----------
    base : Path
    suffix : str
        Of the labels, one of `napari_coseg.imaging.volume_writing.LABEL_SUFFIXES`.
    regions, instances : bool
    """
    endings = (
        *((_REGIONS + suffix,) if regions else ()),
        *((_INSTANCES + suffix, _OBJECTS) if instances else ()),
    )
    return tuple(base.with_name(base.name + ending) for ending in endings)


def write_volume_results(
    base: Path,
    suffix: str,
    regions: npt.NDArray[Any] | None,
    instances: npt.NDArray[Any] | None,
    objects: pd.DataFrame,
    columns: Sequence[str],
    grid: VolumeGrid,
) -> tuple[Path, ...]:
    """Write every file of a volume's results, whole or not at all.

    Files of that name are replaced; those of another format, or of a task that is not there, are
    removed.

    Parameters
    ----------
    base : Path
        Folder and name of the results; the folder must exist.
    suffix : str
        Of the labels.
    regions, instances : ndarray, (planes, rows, columns), or None
    objects : DataFrame
    columns : sequence of str
        Those of its columns that are written, in their order.
    grid : VolumeGrid
        Of the volume.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    CosegError
        If a file cannot be written.
    """
    targets = written_volume_paths(
        base, suffix, regions=regions is not None, instances=instances is not None
    )
    with ExitStack() as files:
        parts = [files.enter_context(atomic_path(target)) for target in targets]
        unwritten = iter(parts)
        if regions is not None:
            write_labels(next(unwritten), regions, grid)
        if instances is not None:
            write_labels(next(unwritten), instances, grid)
            write_objects(next(unwritten), objects, columns)
    for stale in set(volume_result_paths(base)) - set(targets):
        stale.unlink(missing_ok=True)
    return targets

"""The layers of a run over a volume as files, as ``napari-coseg predict`` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.imaging.volume_results import volume_result_paths, write_volume_results
from napari_coseg.layers.physical import millimetres
from napari_coseg.layers.results import class_table, role_of
from napari_coseg.layers.volume_layers import grid_in
from napari_coseg.types import ClassTable, CosegError

if TYPE_CHECKING:
    import pandas as pd

_SUFFIX = ".nii.gz"
#: Of an object that the layer's table does not name.
_UNKNOWN = {"class": 0, "jaw": "", "fdi": 0, "fdi_confidence": 0.0}


@dataclass(frozen=True)
class Taken:
    """What is written: pixels are copied, so that a person can go on.

    Attributes
    ----------
    facts : DataFrame or None
        The table of the instances, by label.
    """

    grid: VolumeGrid
    regions: npt.NDArray[np.uint8] | None
    instances: npt.NDArray[np.int32] | None
    facts: pd.DataFrame | None
    region_classes: ClassTable
    instance_classes: ClassTable


def take(layers: Sequence[Any]) -> Taken:
    """Copy what a file needs of the layers of one run; on the GUI thread.

    Raises
    ------
    CosegError
        If nobody knows how large a voxel is.
    """
    by_role = {role_of(layer): layer for layer in layers}
    regions, instances = by_role.get("regions"), by_role.get("instances")
    facts = None
    if instances is not None:
        facts = instances.features.drop_duplicates("index").set_index("index")
    return Taken(
        _grid_of(layers[0]),
        None if regions is None else np.array(regions.data, np.uint8),
        None if instances is None else np.array(instances.data, np.int32),
        facts,
        ClassTable() if regions is None else class_table(regions),
        ClassTable() if instances is None else class_table(instances),
    )


def free_volume_base(folder: Path, name: str) -> Path:
    """Return a base in a folder under which no results of a volume are yet."""
    plain = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in name).strip(" .")
    base, number = folder / (plain or "volume"), 1
    while any(path.exists() for path in volume_result_paths(base)):
        number += 1
        base = folder / f"{plain or 'volume'} ({number})"
    return base


def write(base: Path, taken: Taken) -> tuple[Path, ...]:
    """Write labels and table; long work, for a thread.

    Volumes, surfaces and places are counted anew from the labels; classes, scores and FDI numbers
    are those of the layer's table.

    Raises
    ------
    CosegError
        If a file cannot be written.
    """
    import pandas as pd

    objects = pd.DataFrame({name: [] for name in VOLUME_COLUMNS})
    if taken.instances is not None and taken.facts is not None:
        objects = table_of(taken)
    return write_volume_results(
        base, _SUFFIX, taken.regions, taken.instances, objects, VOLUME_COLUMNS, taken.grid
    )


def table_of(taken: Taken) -> pd.DataFrame:
    """Make the table of the objects as they are now, columns `VOLUME_COLUMNS`."""
    # Not with the dock: it brings half of SciPy and scikit-image.
    from napari_coseg.imaging.volume_objects import volume_objects

    assert taken.instances is not None
    assert taken.facts is not None
    table = volume_objects(
        taken.instances,
        taken.regions,
        taken.grid,
        taken.region_classes,
        taken.instance_classes,
    )
    own = taken.facts.reindex(table["label"])
    told = {
        name: own[name].fillna(empty).to_numpy() for name, empty in _UNKNOWN.items() if name in own
    }
    kinds = told["class"].astype(np.int64)
    names = [taken.instance_classes.name_of(int(kind)) if kind else "" for kind in kinds]
    told |= {"class": kinds, "score": own["score"].to_numpy(float)}
    if "fdi" in told:
        told["fdi"] = told["fdi"].astype(np.int64)
    return table.assign(**told, class_name=names)[list(VOLUME_COLUMNS)]


def _grid_of(layer: Any) -> VolumeGrid:
    shape: Any = tuple(int(length) for length in layer.data.shape)
    grid = grid_in(layer.metadata)
    if grid is not None and grid.shape == shape:
        return grid
    spacing = millimetres(layer.scale, layer.units)
    if spacing is None:
        raise CosegError(
            f"{layer.name} does not say how large a voxel is: give the image a scale in mm, and "
            "run again."
        )
    return VolumeGrid(shape, spacing)

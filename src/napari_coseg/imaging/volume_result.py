"""What a model found in one volume: regions, instances, and the table of objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.types import ClassTable

if TYPE_CHECKING:
    import pandas as pd

#: Columns of an object table of a volume, in their order. ``label`` is the id in the instance
#: volume; ``class`` the class id; ``score`` in 0..1; ``plane``, ``row``, ``column`` the centroid
#: in voxel centres; the box is inclusive of its first and exclusive of its last edge; ``region``
#: the region id that holds most of the object or, for a tooth, lies round it; ``jaw`` is
#: "upper", "lower" or empty; ``fdi`` the proposed FDI number, 0 for none.
VOLUME_COLUMNS: tuple[str, ...] = (
    "label",
    "class",
    "class_name",
    "score",
    "volume_vx",
    "volume_mm3",
    "surface_mm2",
    "plane",
    "row",
    "column",
    "plane0",
    "row0",
    "column0",
    "plane1",
    "row1",
    "column1",
    "region",
    "region_name",
    "jaw",
    "fdi",
    "fdi_confidence",
)


@dataclass
class VolumeResult:
    """Regions and instances of one volume, on its own grid.

    Attributes
    ----------
    regions : ndarray of uint8, (planes, rows, columns), or None
        Region class ids, 0 background; None where the model has no region classes.
    instances : ndarray of int32, (planes, rows, columns), or None
        Object ids, 0 background; from a model worker in 16 bits where these are enough.
    objects : DataFrame
        One row an object, columns `VOLUME_COLUMNS`.
    region_classes, instance_classes : ClassTable
        What the ids mean.
    grid : VolumeGrid
    metadata : dict
        Model, settings and times, as in ``run.json``.
    """

    regions: npt.NDArray[np.uint8] | None
    instances: npt.NDArray[np.integer[Any]] | None
    objects: pd.DataFrame
    region_classes: ClassTable
    instance_classes: ClassTable
    grid: VolumeGrid
    metadata: dict[str, Any] = field(default_factory=dict)

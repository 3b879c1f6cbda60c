"""Facts of the objects of a volume: size in mm, surface, place, box, region, jaw, FDI number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.types import ClassTable, CosegError

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]

#: mm round an object that lies in no region in which the region is looked for.
_AROUND = 2.5


def volume_objects(
    instances: Int32,
    regions: npt.NDArray[np.uint8] | None,
    grid: VolumeGrid,
    region_classes: ClassTable,
    instance_classes: ClassTable,
    *,
    classes: npt.NDArray[np.integer[Any]] | None = None,
    foreground: npt.NDArray[Any] | None = None,
    scores: npt.NDArray[np.floating[Any]] | None = None,
    numbers: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row for each object of a volume, in the order of the ids.

    Parameters
    ----------
    instances : ndarray of int32, (planes, rows, columns)
        Object ids, 0 background.
    regions : ndarray of uint8, (planes, rows, columns), or None
        Region ids; without them no object has one.
    grid : VolumeGrid
    region_classes, instance_classes : ClassTable
        What the ids mean.
    classes : ndarray of integers, (planes, rows, columns), optional
        Class of each voxel; an object has that of most of its voxels. The first class for all
        without it.
    foreground : ndarray, (planes, rows, columns), optional
        Probability of each voxel, as floats in 0..1 or in 8 bits (255 is 1): an object's score is
        the mean.
    scores : ndarray of float, (largest id + 1,), optional
        Score of each object, in place of `foreground`.
    numbers : DataFrame, optional
        What `propose_fdi` returned.

    Returns
    -------
    DataFrame
        Columns `VOLUME_COLUMNS`. ``surface_mm2`` is the area of a surface of triangles through
        the half-way points between voxels (marching cubes); it is nearer to a smooth surface than
        the voxels' faces are, and still about a tenth too large. ``region`` is the region of most
        of the object's own voxels where half of them are in regions, else that of most voxels
        within 2.5 mm round it: teeth stand in no region, but in their jaw. The ``score`` is 1
        without `foreground` and `scores`.

    Raises
    ------
    CosegError
        If shapes do not fit, or an id is negative.
    """
    if instances.ndim != 3 or instances.shape != grid.shape:
        raise CosegError(
            f"The objects have the shape {instances.shape} and their grid {grid.shape}; "
            "they must be equal."
        )
    for name, other in (("regions", regions), ("classes", classes), ("foreground", foreground)):
        if other is not None and other.shape != instances.shape:
            raise CosegError(
                f"The {name} have the shape {other.shape}, the objects {instances.shape}; "
                "they must be equal."
            )
    if instances.size and int(instances.min()) < 0:
        raise CosegError("Object labels must not be negative; 0 is background.")
    rows = []
    for label, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        inside = instances[box] == label
        size = int(np.count_nonzero(inside))
        index = np.nonzero(inside)
        kind = _class_of(None if classes is None else classes[box][inside], instance_classes)
        score = 1.0
        if scores is not None:
            score = float(scores[label])
        elif foreground is not None:
            score = float(foreground[box][inside].mean(dtype=np.float64))
            if np.issubdtype(foreground.dtype, np.integer):
                score /= 255
        region = 0 if regions is None else _region_of(instances, regions, box, label, grid)
        first = [side.start for side in box]
        rows.append(
            (
                label,
                kind,
                instance_classes.name_of(kind) if kind else "",
                score,
                size,
                size * float(np.prod(grid.spacing)),
                _surface(inside, grid),
                *(float(axis.mean()) + start for axis, start in zip(index, first, strict=True)),
                *first,
                *(side.stop for side in box),
                region,
                region_classes.name_of(region) if len(region_classes) else "",
            )
        )
    table = pd.DataFrame(rows, columns=list(VOLUME_COLUMNS[:-3]))
    table = table.astype(
        {
            name: np.float64
            if name in ("score", "volume_mm3", "surface_mm2", "plane", "row", "column")
            else object
            if name.endswith("_name")
            else np.int64
            for name in table.columns
        }
    )
    return _with_numbers(table, numbers)[list(VOLUME_COLUMNS)]


def _with_numbers(table: pd.DataFrame, numbers: pd.DataFrame | None) -> pd.DataFrame:
    if numbers is None:
        return table.assign(jaw="", fdi=np.int64(0), fdi_confidence=0.0)
    own = numbers.set_index("label").reindex(table["label"])
    return table.assign(
        jaw=own["jaw"].fillna("").to_numpy(object),
        fdi=own["fdi"].fillna(0).to_numpy(np.int64),
        fdi_confidence=own["fdi_confidence"].fillna(0.0).to_numpy(np.float64),
    )


def _class_of(values: npt.NDArray[np.integer[Any]] | None, table: ClassTable) -> int:
    if values is None:
        return 1 if len(table) else 0
    counts = np.bincount(values)
    counts[:1] = 0
    return int(counts.argmax()) if counts.any() else 0


def _region_of(
    instances: Int32,
    regions: npt.NDArray[np.uint8],
    box: tuple[slice, ...],
    label: int,
    grid: VolumeGrid,
) -> int:
    own = np.bincount(regions[box][instances[box] == label], minlength=2)
    if own[0] > own.sum() / 2:
        margins = [int(np.ceil(_AROUND / side)) for side in grid.spacing]
        wide = tuple(
            slice(max(0, side.start - margin), side.stop + margin)
            for side, margin in zip(box, margins, strict=True)
        )
        away = ndimage.distance_transform_edt(instances[wide] != label, sampling=grid.spacing)
        own = np.bincount(regions[wide][away <= _AROUND], minlength=2)
    own[0] = 0
    return int(own.argmax()) if own.any() else 0


def _surface(inside: Bool, grid: VolumeGrid) -> float:
    """Area in mm2 of the surface of a mask."""
    vertices, faces, _, _ = marching_cubes(
        np.pad(inside, 1).astype(np.float32), 0.5, spacing=grid.spacing
    )
    return float(mesh_surface_area(vertices, faces))

"""Label images: read from PNG and TIFF, written as tiled TIFF."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.opening import (
    check_complete,
    check_file,
    check_pixels,
    kind_of,
    opened_pillow,
    opened_tiff,
)
from napari_coseg.types import ClassTable, CosegError

_LARGEST = np.iinfo(np.int32).max
# A classic TIFF addresses 4 GiB; some room is left for its directory.
_CLASSIC_BYTES = (1 << 32) - (1 << 26)
_OWN = "napari_coseg"
_MODES = {"1": "boolean", "L": "uint8", "P": "palette", "I": "int32", "I;16": "uint16"}


def read_labels(
    path: Path | str, expected_shape: tuple[int, int] | None = None
) -> npt.NDArray[np.int32]:
    """Read a label image: region ids, class ids or object ids.

    Parameters
    ----------
    path : Path or str
        PNG (8 or 16 bit grey, one bit, or a palette, whose indices are the ids) or TIFF of any
        integer type, with one plane.
    expected_shape : tuple of int, optional
        Rows and columns of the image that the labels belong to.

    Returns
    -------
    ndarray of int32, (rows, columns)
        The ids, 0 background.

    Raises
    ------
    CosegError
        If the file cannot be read, is a colour picture, a JPEG or a stack, has float or negative
        values or ids beyond 2,147,483,647, or is not of the expected size.
    """
    path = check_file(path)
    kind = kind_of(path)
    if kind == "JPEG":
        raise CosegError(
            f"{path} is a JPEG, which changes label values: save labels as PNG or TIFF."
        )
    values = _read_tiff(path) if kind == "TIFF" else _read_pillow(path, kind)
    if expected_shape is not None and values.shape != tuple(expected_shape):
        rows, columns = expected_shape
        raise CosegError(
            f"{path} has {values.shape[0]} x {values.shape[1]} pixels, but its image has "
            f"{rows} x {columns}: labels must have the size of their image."
        )
    return _as_ids(path, values)


def write_label_tiff(
    path: Path | str,
    labels: npt.NDArray[Any],
    mpp: float | None = None,
    compression: str = "zlib",
    tile: int = 512,
    classes: ClassTable | None = None,
) -> None:
    """Write a label image as a tiled TIFF, whole or not at all.

    The labels are taken and compressed a tile at a time, so that a memory-mapped array of any
    size is written with the memory of a few tiles. Files whose pixels would not fit a classic
    TIFF become BigTIFF.

    Parameters
    ----------
    path : Path or str
        File to write.
    labels : ndarray or memmap, (rows, columns)
        Boolean (written as uint8), uint8, uint16 or int32.
    mpp : float, optional
        µm per pixel, stored as pixels per centimetre.
    compression : str
        Any of tifffile's lossless ones.
    tile : int
        Side of a tile, a multiple of 16. Images smaller than a tile get one that fits them.
    classes : ClassTable, optional
        What the ids, or the classes of the objects, mean: kept as JSON in the description, where
        `read_label_classes` finds it.

    Raises
    ------
    CosegError
        If the file cannot be written.
    ValueError
        If the array is not 2D, empty, or of another type.
    """
    if labels.ndim != 2 or labels.size == 0:
        raise ValueError(f"labels must be 2D and not empty, got shape {labels.shape}")
    dtype = np.dtype(np.uint8) if labels.dtype == bool else labels.dtype.newbyteorder("=")
    if dtype not in (np.uint8, np.uint16, np.int32):
        raise ValueError(f"labels must be uint8, uint16 or int32, got {labels.dtype}")
    if mpp is not None and not (np.isfinite(mpp) and mpp > 0):
        raise ValueError(f"mpp must be positive, got {mpp}")
    sides = tuple(min(tile, -(-length // 16) * 16) for length in labels.shape)
    resolution: dict[str, Any] = {}
    if mpp is not None:
        resolution = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    bytes_at_most = labels.size * dtype.itemsize
    with (
        atomic_path(path) as part,
        tifffile.TiffWriter(part, bigtiff=bytes_at_most > _CLASSIC_BYTES) as writer,
    ):
        writer.write(
            _tiles(labels, dtype, sides),
            shape=labels.shape,
            dtype=dtype,
            tile=sides,
            photometric="minisblack",
            compression=compression,
            software="napari-coseg",
            description=None if classes is None else _description(classes),
            metadata=None,
            # More workers make tifffile gather tiles ahead of the one being written.
            maxworkers=1,
            **resolution,
        )


def read_label_classes(path: Path | str) -> ClassTable | None:
    """Read the classes that `write_label_tiff` kept with a label image.

    Returns
    -------
    ClassTable or None
        None for a file that does not say any.

    Raises
    ------
    CosegError
        If the file cannot be read.
    """
    path = check_file(path)
    if kind_of(path) != "TIFF":
        return None
    with opened_tiff(path) as tiff:
        described = tiff.pages.first.description
    try:
        listed = json.loads(described)[_OWN]["classes"]
        return ClassTable.from_names(
            [one["name"] for one in listed], {one["name"]: one["colour"] for one in listed}
        )
    except (ValueError, KeyError, TypeError, CosegError):
        # Somebody else's description.
        return None


def _description(classes: ClassTable) -> str:
    listed = [{"name": info.name, "colour": list(info.colour)} for info in classes]
    return json.dumps({_OWN: {"classes": listed}})


def _tiles(
    labels: npt.NDArray[Any], dtype: np.dtype[Any], sides: tuple[int, ...]
) -> Iterator[npt.NDArray[Any]]:
    height, width = sides
    for row in range(0, labels.shape[0], height):
        for column in range(0, labels.shape[1], width):
            window = labels[row : row + height, column : column + width]
            tile = np.zeros(sides, dtype)
            tile[: window.shape[0], : window.shape[1]] = window
            yield tile


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    with opened_tiff(path) as tiff:
        level = tiff.series[0].levels[0]
        shape = tuple(level.shape)
        kept = [(name, n) for name, n in zip(level.axes, shape, strict=True) if n != 1]
        if any(name == "S" for name, _ in kept):
            raise _colour(path)
        if len(kept) > 2 or any(name not in "YX" for name, _ in kept):
            raise CosegError(
                f"{path} has the shape {' x '.join(map(str, shape))}: a label image has one plane."
            )
        page = level.keyframe
        # A palette colours ids for the eye; the ids themselves are its indices.
        check_pixels(path, page.imagelength, page.imagewidth)
        check_complete(path, page)
        return np.asarray(level.asarray()).reshape(page.imagelength, page.imagewidth)


def _read_pillow(path: Path, kind: str) -> npt.NDArray[Any]:
    with opened_pillow(path, kind) as image:
        if image.mode not in (*_MODES, "I;16B", "F"):
            raise _colour(path)
        return np.array(image)


def _colour(path: Path) -> CosegError:
    return CosegError(
        f"{path} is a colour picture, not labels: a label image has one number a pixel."
    )


def _as_ids(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    if values.dtype.kind not in "biu":
        raise CosegError(
            f"{path} has {values.dtype} values, and labels are whole numbers: save it as an "
            "integer type."
        )
    if values.dtype.kind == "i" and values.min(initial=0) < 0:
        raise CosegError(f"{path} has negative labels (down to {values.min()}): ids start at 0.")
    if values.dtype.itemsize >= 4 and values.max(initial=0) > _LARGEST:
        raise CosegError(
            f"{path} has labels up to {values.max()}, above the largest id {_LARGEST}: "
            "number them again from 1."
        )
    return values.astype(np.int32, copy=False)

"""Pixels and ids of an item, checked, as every reader gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import Item
from napari_coseg.imaging.source import open_image
from napari_coseg.types import CosegError

_LARGEST = np.iinfo(np.int32).max


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image file whole, as RGB.

    Raises
    ------
    CosegError
        If it cannot be read.
    """
    with open_image(path) as source:
        return source.read(0, 0, *source.shape)


def refuse_planes(item: Item, planes: Sequence[float] | None) -> None:
    """Raise `CosegError` if planes of a volume are asked of a picture."""
    if planes is not None:
        raise CosegError(f"{item.image} is no volume, and the model sees planes of volumes.")


def check_size(path: Path, labels: npt.NDArray[Any], image: npt.NDArray[Any]) -> None:
    """Raise `CosegError` if labels have not the rows and columns of their image."""
    if labels.shape != image.shape[:2]:
        given = " x ".join(map(str, labels.shape))
        raise CosegError(
            f"{path} has {given} pixels, but its image has {image.shape[0]} x {image.shape[1]}: "
            "labels must have the size of their image."
        )


def whole_ids(path: Path, values: npt.NDArray[Any], what: str) -> npt.NDArray[np.int32]:
    """Return ids as int32, whatever type of number they were stored as.

    Parameters
    ----------
    path : Path
        For messages.
    values : ndarray
        Ids from 0; MATLAB and NumPy store them as floats too.
    what : str
        Their name in the file.

    Raises
    ------
    CosegError
        If one is no whole number, below 0 or beyond 2,147,483,647.
    """
    if values.dtype.kind not in "biuf":
        raise CosegError(f"{path} has no numbers in {what!r}.")
    if values.dtype.kind == "f":
        odd = values[~np.isfinite(values) | (values != np.round(values))]
        if odd.size:
            raise CosegError(f"{path} has {odd[0]} in {what!r}, and ids are whole numbers.")
    low, high = values.min(initial=0), values.max(initial=0)
    if low < 0 or high > _LARGEST:
        wrong = low if low < 0 else high
        raise CosegError(
            f"{path} has the id {wrong:.0f} in {what!r}: ids are 0 to {_LARGEST}; number them "
            "again from 1."
        )
    return values.astype(np.int32)


def compact(ids: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the ids that are drawn, without sorting pixels where ids are small.

    Returns
    -------
    tuple of ndarray of int64, (n,), ndarray of int64 of the shape of `ids`
        The ids in their order; the place in it of each pixel's id.
    """
    highest = int(ids.max(initial=0))
    if highest > ids.size:
        drawn, places = np.unique(ids, return_inverse=True)
        return drawn.astype(np.int64), places.reshape(ids.shape).astype(np.int64)
    present = np.flatnonzero(np.bincount(ids.ravel(), minlength=1)).astype(np.int64)
    table = np.zeros(highest + 1, np.int64)
    table[present] = np.arange(present.size)
    return present, table[ids]


def without_background(
    instances: npt.NDArray[np.int32], classes: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int32]:
    """Return the objects that have a class: a person may take one for background."""
    return np.where(classes == 0, 0, instances).astype(np.int32, copy=False)

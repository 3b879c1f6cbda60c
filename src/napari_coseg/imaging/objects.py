"""Facts of the objects of a label image: class, score, area, centroid, box.

Every fact is a sum or an extreme over the object's pixels, so all of them come from a few passes
over the pixels that belong to an object, whatever the number of objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

if TYPE_CHECKING:
    import pandas as pd

#: Columns of `object_table`, in their order.
WINDOW_COLUMNS: tuple[str, ...] = (
    "label",
    "class",
    "score",
    "area_px",
    "row",
    "column",
    "row0",
    "column0",
    "row1",
    "column1",
    "class_score",
)

#: Ids above this multiple of the number of object pixels are renumbered before counting, so that
#: memory follows the pixels and not the largest id.
_SPARSE_IDS = 4


def object_table(
    labels: npt.NDArray[np.integer[Any]],
    foreground: npt.NDArray[np.floating[Any]] | None = None,
    classes: npt.NDArray[np.floating[Any]] | None = None,
) -> pd.DataFrame:
    """One row for each object of a label image, in the order of the ids.

    Parameters
    ----------
    labels : ndarray of integers, (rows, columns)
        Object ids, 0 background; ids may have gaps and objects several parts.
    foreground : ndarray of float, (rows, columns), optional
        Probability that a pixel belongs to an object.
    classes : ndarray of float, (C + 1, rows, columns), optional
        Class probabilities, background first.

    Returns
    -------
    DataFrame
        Columns `WINDOW_COLUMNS`. ``area_px`` counts pixels; ``row`` and ``column`` are the
        centroid in pixel centres; the box includes its first and excludes its last edge.
        ``score`` is the object's mean foreground probability, 1 without `foreground`. ``class``
        is the class with the largest summed probability over the object, background excluded
        (the lower id where two are equal), and ``class_score`` its share of that sum over all
        classes; 0 and NaN where `classes` is missing, has no class, or is zero all over the
        object.

    Raises
    ------
    CosegError
        If shapes do not fit, ids are negative, or a probability in an object is not finite.
    """
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise CosegError(
            f"Object labels must be integers in two dimensions, not {labels.dtype} {labels.shape}."
        )
    if foreground is not None and foreground.shape != labels.shape:
        raise CosegError(
            f"The foreground map has the shape {foreground.shape}, the labels {labels.shape}; "
            "they must be equal."
        )
    if classes is not None and classes.shape[1:] != labels.shape:
        raise CosegError(
            f"The class maps have the shape {classes.shape}, the labels {labels.shape}; "
            "they must have the same rows and columns."
        )
    pixels = np.flatnonzero(labels)
    ids = labels.ravel()[pixels]
    if pixels.size and int(ids.min()) < 0:
        raise CosegError("Object labels must not be negative; 0 is background.")
    return pixel_table(pixels, ids, labels.shape[1], foreground, classes)


def pixel_table(
    pixels: npt.NDArray[np.intp],
    ids: npt.NDArray[np.integer[Any]],
    columns: int,
    foreground: npt.NDArray[np.floating[Any]] | None = None,
    classes: npt.NDArray[np.floating[Any]] | None = None,
) -> pd.DataFrame:
    """Do the work of `object_table` for pixels that are known already.

    Parameters
    ----------
    pixels : ndarray of int, (n,)
        Raveled positions of the objects' pixels in ascending order.
    ids : ndarray of int, (n,)
        Object id of each, at least 1.
    columns : int
        Width of the image.
    foreground, classes
        As in `object_table`.

    Returns
    -------
    DataFrame
        As in `object_table`.

    Raises
    ------
    CosegError
        If a probability in an object is not finite.
    """
    import pandas as pd

    numbers: npt.NDArray[np.integer[Any]] | None = None
    if ids.size and int(ids.max()) > _SPARSE_IDS * ids.size:
        numbers, ids = np.unique(ids, return_inverse=True)
    count = int(ids.max()) + 1 if ids.size else 0
    area = np.bincount(ids, minlength=count)
    present = np.flatnonzero(area)
    rows = pixels // max(columns, 1)
    cols = pixels - rows * columns

    def total(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        sums = np.bincount(ids, weights=values, minlength=count)
        return np.asarray(sums[present], np.float64)

    def extremes(values: npt.NDArray[np.intp]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        low = np.full(count, np.iinfo(values.dtype).max, values.dtype)
        high = np.full(count, -1, values.dtype)
        np.minimum.at(low, ids, values)
        np.maximum.at(high, ids, values)
        return low[present], high[present] + 1

    size = area[present]
    row0, row1 = extremes(rows)
    column0, column1 = extremes(cols)
    score = np.ones(present.size)
    if foreground is not None:
        score = total(foreground.ravel()[pixels]) / size
    class_id = np.zeros(present.size, np.int64)
    class_score = np.full(present.size, np.nan)
    if classes is not None and len(classes) > 1:
        sums = np.stack([total(plane.ravel()[pixels]) for plane in classes[1:]])
        whole = sums.sum(0)
        if not np.isfinite(whole).all():
            raise CosegError("The class maps hold values that are not finite inside an object.")
        best = sums.argmax(0)
        known = whole > 0
        class_id[known] = best[known] + 1
        class_score[known] = sums.max(0)[known] / whole[known]
    if not np.isfinite(score).all():
        raise CosegError("The foreground map holds values that are not finite inside an object.")
    return pd.DataFrame(
        {
            "label": (present if numbers is None else numbers[present]).astype(np.int64),
            "class": class_id,
            "score": score,
            "area_px": size.astype(np.int64),
            "row": total(rows) / size,
            "column": total(cols) / size,
            "row0": row0.astype(np.int64),
            "column0": column0.astype(np.int64),
            "row1": row1.astype(np.int64),
            "column1": column1.astype(np.int64),
            "class_score": class_score,
        }
    )

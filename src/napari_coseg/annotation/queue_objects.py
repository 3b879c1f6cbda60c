"""The table of a case's objects as an export has it: what was counted, and what a person said."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.annotation.queue_images import CaseImage
from napari_coseg.annotation.stored_labels import StoredLabels
from napari_coseg.imaging.objects import object_table
from napari_coseg.imaging.volume_objects import volume_objects
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.types import IGNORE, OBJECT_COLUMNS, ClassTable

Classes = npt.NDArray[np.uint8]


def objects_of(
    objects: StoredLabels,
    kinds: Classes,
    regions: Classes | None,
    image: CaseImage,
    mpp: float | None,
    names: tuple[Sequence[str], Sequence[str]],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Make the table of the objects of a case.

    Parameters
    ----------
    objects : StoredLabels
        Labels and what is known of them.
    kinds : ndarray of uint8, (largest label + 1,)
        Class of each label in the data set, 255 for none.
    regions : ndarray of uint8, (rows, columns) or (planes, rows, columns), or None
        In the data set's numbers, 255 for what is not to be looked at.
    image : CaseImage
    mpp : float or None
        µm per pixel of a picture.
    names : pair of sequence of str
        The data set's classes of regions and of objects.

    Returns
    -------
    DataFrame
        A row an object, in the order of the labels.
    tuple of str
        Its columns: those that `napari-coseg predict` writes of a volume, or of a picture.
    """
    tables = ClassTable.from_names(names[0]), ClassTable.from_names(names[1])
    areas = None if regions is None else np.where(regions == IGNORE, 0, regions).astype(np.uint8)
    if image.grid is not None:
        frame = volume_objects(objects.labels, areas, image.grid, *tables)
        columns = VOLUME_COLUMNS
    else:
        frame = _flat(objects.labels, areas, tables[0], mpp)
        columns = OBJECT_COLUMNS
    labels = frame["label"].to_numpy(np.int64)
    ids = np.where(kinds == IGNORE, 0, kinds)[labels].astype(np.int64)
    records = [objects.objects.get(int(label)) for label in labels]
    frame["class"] = ids
    frame["class_name"] = [tables[1].name_of(int(kind)) if kind else "" for kind in ids]
    frame["score"] = np.array([math.nan if r is None else r.score for r in records], float)
    if image.grid is not None:
        frame["fdi"] = np.array([0 if r is None else r.fdi for r in records], np.int64)
        frame["fdi_confidence"] = np.array(
            [0.0 if r is None else r.fdi_confidence for r in records], float
        )
        frame["jaw"] = ["" if r is None else r.jaw for r in records]
    return frame[list(columns)], columns


def _flat(
    labels: npt.NDArray[np.int32], regions: Classes | None, classes: ClassTable, mpp: float | None
) -> pd.DataFrame:
    """Count the objects of a picture; without their classes."""
    frame = object_table(labels)
    frame["area_um2"] = frame["area_px"] * (math.nan if mpp is None else mpp**2)
    region = np.zeros(len(frame), np.int64)
    if regions is not None and len(classes) and len(frame):
        inside = labels > 0
        width = len(classes) + 1
        places = np.searchsorted(frame["label"].to_numpy(), labels[inside])
        counts = np.bincount(places * width + regions[inside], minlength=len(frame) * width)
        region = counts.reshape(len(frame), width).argmax(axis=1)
    frame["region"] = region
    frame["region_name"] = [classes.name_of(int(one)) if len(classes) else "" for one in region]
    return frame

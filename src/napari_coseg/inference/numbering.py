"""The object table of a whole image out of the tables of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.types import OBJECT_COLUMNS, empty_objects
from napari_coseg.weights.card import ModelCard


def whole_table(
    tables: Sequence[pd.DataFrame], card: ModelCard, mpp: float | None
) -> tuple[pd.DataFrame, npt.NDArray[np.int32]]:
    """Join the blocks' tables; number the objects by their place and not by their block.

    Parameters
    ----------
    tables : sequence of DataFrame
        As `object_table`, with a column ``region``. ``label`` counts on from table to table.
    card : ModelCard
        Names of the classes.
    mpp : float or None
        µm per pixel of the image.

    Returns
    -------
    objects : DataFrame
        `OBJECT_COLUMNS` and ``class_score``, in the order of the boxes (first row, then first
        column), which the labels follow.
    numbers : ndarray of int32, (objects + 1,)
        The final label for each one of `tables`.
    """
    filled = [table for table in tables if len(table)]
    if not filled:
        return empty_objects().assign(class_score=np.zeros(0)), np.zeros(1, np.int32)
    objects = pd.concat(filled, ignore_index=True)
    objects = objects.sort_values(
        ["row0", "column0", "row1", "column1", "row", "column"], kind="stable", ignore_index=True
    )
    numbers = np.zeros(len(objects) + 1, np.int32)
    numbers[objects["label"].to_numpy()] = np.arange(1, len(objects) + 1)
    objects["label"] = np.arange(1, len(objects) + 1)
    objects["area_um2"] = objects["area_px"] * (np.nan if mpp is None else mpp**2)
    for column, table in (("class", card.instance_table), ("region", card.region_table)):
        names = np.array([table.name_of(i) for i in range(len(table) + 1)], object)
        if column == "class" or len(table) == 0:
            names[0] = ""
        objects[f"{column}_name"] = names[objects[column].to_numpy()]
    return objects[[*OBJECT_COLUMNS, "class_score"]], numbers

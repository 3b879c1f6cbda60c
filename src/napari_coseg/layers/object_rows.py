"""What is known of objects as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_coseg.types import ClassTable

if TYPE_CHECKING:
    import pandas as pd


class Record(Protocol):
    """What the table needs to know of an object: `napari_coseg.annotation` has such records."""

    @property
    def label(self) -> int:
        """Its id."""

    @property
    def class_id(self) -> int:
        """Its class, 0 for none."""

    @property
    def score(self) -> float:
        """0 to 1, NaN where it is unknown."""

    @property
    def area(self) -> int:
        """Number of pixels."""

    @property
    def box(self) -> tuple[int, ...]:
        """First index along each axis, then the one behind the last along each."""

    @property
    def origin(self) -> str:
        """Where it comes from."""

    @property
    def fdi(self) -> int:
        """FDI number of a tooth, 0 for none."""

    @property
    def fdi_confidence(self) -> float:
        """0 to 1."""

    @property
    def jaw(self) -> str:
        """Of a tooth, "upper" or "lower"; "" where it is unknown."""


def object_rows(
    objects: Mapping[int, Record],
    classes: ClassTable,
    mpp: float | None,
    before: pd.DataFrame | None,
) -> pd.DataFrame:
    """Write down facts of objects, by label; in a volume, FDI numbers too.

    Parameters
    ----------
    objects : mapping of int to Record
    classes : ClassTable
    mpp : float or None
        µm per pixel; None where it is unknown.
    before : DataFrame or None
        The table before: columns that are not ours stay as they were.
    """
    import pandas as pd

    records = list(objects.values())
    axes = len(records[0].box) // 2 if records and records[0].box else 2
    names = ["row", "column"] if axes == 2 else ["plane", "row", "column"]
    frame = pd.DataFrame(
        {
            "index": np.array([r.label for r in records], np.int64),
            "class": np.array([r.class_id for r in records], np.int64),
            "class_name": [classes.name_of(r.class_id) if r.class_id else "" for r in records],
            "score": np.array([r.score for r in records], float),
            "area_px": np.array([r.area for r in records], np.int64),
            "area_um2": np.array([r.area * mpp**2 if mpp else math.nan for r in records], float),
        }
    )
    for edge, offset in (("0", 0), ("1", axes)):
        for axis, name in enumerate(names):
            frame[f"{name}{edge}"] = np.array(
                [r.box[offset + axis] if r.box else 0 for r in records], np.int64
            )
    frame["origin"] = [r.origin for r in records]
    if axes == 3:
        frame["jaw"] = np.array([r.jaw for r in records], object)
        frame["fdi"] = np.array([r.fdi for r in records], np.int64)
        frame["fdi_confidence"] = np.array([r.fdi_confidence for r in records], float)
    frame = frame.set_index("index", drop=False)
    if before is not None:
        for column in before.columns:
            if column not in frame:
                frame[column] = before[column].reindex(frame.index)
    return frame

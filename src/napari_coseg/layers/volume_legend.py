"""Counts and volumes by class of what was found in a volume, and its objects in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_coseg.layers.results import class_table, own_facts
from napari_coseg.types import RGB, ClassInfo

#: Key of the sides of a voxel, in mm, in our part of a layer's metadata; None there if unknown.
SPACING = "spacing"
#: Key of the voxels of background and of each region, in the metadata of a layer of regions.
REGION_VOXELS = "region_voxels"


@dataclass(frozen=True)
class VolumeRow:
    """One class in the legend of a volume.

    Attributes
    ----------
    count : int or None
        Objects; None for regions.
    voxels : int
    mm3 : float or None
        None where the size of a voxel is unknown.
    """

    id: int
    name: str
    colour: RGB
    count: int | None
    voxels: int
    mm3: float | None

    @property
    def area(self) -> str:
        """The volume as a person reads it."""
        return format_volume(self.voxels, self.mm3)


def is_volume_result(layer: Any) -> bool:
    """Whether one of our layers is what was found in a volume."""
    return SPACING in (own_facts(layer) or {})


def format_volume(voxels: float, cubic_millimetres: float | None) -> str:
    """Write a volume with a fitting unit."""
    if cubic_millimetres is None or not math.isfinite(cubic_millimetres):
        return f"{voxels:,.0f} voxels"
    if cubic_millimetres >= 1e5:
        return f"{cubic_millimetres / 1000:,.0f} cm³"
    # A molar has two thousand mm³: so much a person still reads.
    if cubic_millimetres >= 1e4:
        return f"{cubic_millimetres / 1000:.1f} cm³"
    return f"{cubic_millimetres:,.0f} mm³"


def volume_rows(layer: Any) -> list[VolumeRow]:
    """Return a row a class, and one for objects without a class.

    Regions are as the model left them: a volume is too large to be counted while a person waits.
    """
    facts = own_facts(layer) or {}
    classes = class_table(layer)
    most = len(classes) + 1
    counts: list[int | None] = [None] * most
    if facts["role"] == "regions":
        voxels = np.zeros(most, np.int64)
        told = np.asarray(layer.metadata.get(REGION_VOXELS, ()), np.int64)[:most]
        voxels[: len(told)] = told
    else:
        kinds = layer.features["class"].to_numpy(np.int64)
        voxels = np.bincount(kinds, layer.features["volume_vx"].to_numpy(float), most)
        counts = list(np.bincount(kinds, minlength=most).tolist())
    shown = list(classes)
    if counts[0]:
        shown.append(ClassInfo(0, "no class", classes.colour_of(0)))
    voxel = None if facts.get(SPACING) is None else math.prod(facts[SPACING])
    return [
        VolumeRow(
            info.id,
            info.name,
            info.colour,
            counts[info.id],
            int(voxels[info.id]),
            None if voxel is None else float(voxels[info.id]) * voxel,
        )
        for info in shown
    ]


def describe_volume_object(layer: Any, label: int) -> str:
    """Say in one line what an object is: a tooth by its FDI number, others by their class."""
    rows = layer.features[layer.features["index"] == label]
    if rows.empty:
        return f"Object {label}"
    row = rows.iloc[0]
    name = str(row.get("class_name") or "object")
    number = int(row.get("fdi") or 0)
    parts = [f"{name.capitalize()} {number}" if number else name.capitalize()]
    if not number and row.get("jaw"):
        parts.append(f"{row['jaw']} jaw, no number")
    parts.append(format_volume(row["volume_vx"], row["volume_mm3"]))
    if number:
        parts.append(f"confidence {float(row['fdi_confidence']):.2f}")
    elif np.isfinite(score := float(row.get("score", np.nan))):
        parts.append(f"score {score:.2f}")
    parts.append(f"object {label}")
    if row.get("region_name") not in ("", "background", None) and not row.get("jaw"):
        parts.append(f"in {row['region_name']}")
    return " · ".join(parts)

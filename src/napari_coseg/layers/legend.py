"""Counts and areas by class, from a layer's table or pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_coseg.layers.results import class_table, own_facts
from napari_coseg.layers.volume_legend import (
    VolumeRow,
    describe_volume_object,
    is_volume_result,
    volume_rows,
)
from napari_coseg.types import RGB, ClassInfo


@dataclass(frozen=True)
class LegendRow:
    """One class in the legend.

    Attributes
    ----------
    count : int or None
        Objects; None for regions.
    area_px : int
    area_um2 : float or None
        None where the pixel size is unknown.
    """

    id: int
    name: str
    colour: RGB
    count: int | None
    area_px: int
    area_um2: float | None

    @property
    def area(self) -> str:
        """The area as a person reads it."""
        return format_area(self.area_px, self.area_um2)


def format_area(pixels: float, square_micrometres: float | None) -> str:
    """Write an area with a fitting unit."""
    if square_micrometres is None:
        return f"{pixels / 1e6:,.3g} Mpx" if pixels >= 1e7 else f"{pixels:,.0f} px"
    if square_micrometres >= 1e5:
        return f"{square_micrometres / 1e6:.3g} mm²"
    return f"{square_micrometres:,.0f} µm²"


def legend_rows(layer: Any) -> list[LegendRow] | list[VolumeRow]:
    """Return a row a class of one of our layers, and one for objects without a class."""
    facts = own_facts(layer)
    if facts is None:
        return []
    if is_volume_result(layer):
        return volume_rows(layer)
    classes = class_table(layer)
    pixel = facts["mpp"] ** 2 if facts.get("mpp") else None
    if facts["role"] == "regions":
        area = np.bincount(np.asarray(layer.data).ravel(), minlength=len(classes) + 1)
        counts: list[int | None] = [None] * len(area)
    else:
        kinds = layer.features["class"].to_numpy(np.int64)
        area = np.bincount(kinds, layer.features["area_px"].to_numpy(), len(classes) + 1)
        counts = list(np.bincount(kinds, minlength=len(classes) + 1).tolist())
    shown = list(classes)
    if counts[0]:
        shown.append(ClassInfo(0, "no class", classes.colour_of(0)))
    return [
        LegendRow(
            info.id,
            info.name,
            info.colour,
            counts[info.id],
            int(area[info.id]),
            None if pixel is None else float(area[info.id]) * pixel,
        )
        for info in shown
    ]


def label_at(layer: Any, event: Any) -> int:
    """Return the label of a Labels layer under the mouse, 0 where there is none.

    Parameters
    ----------
    layer : Labels layer
        Hidden, or not.
    event : mouse event of the viewer
    """
    if layer.visible:
        found = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=list(event.dims_displayed),
            world=True,
        )
        return int(found or 0)
    if len(event.dims_displayed) > 2:
        # What a ray meets first is known for what is drawn alone.
        return 0
    place = np.round(layer.world_to_data(event.position[-layer.ndim :])).astype(int)
    if (place < 0).any() or (place >= layer.data.shape).any():
        return 0
    return int(layer.data[tuple(place)])


def describe_object(layer: Any, label: int) -> str | None:
    """Say in one line what a label of one of our layers is; None where there is none."""
    facts = own_facts(layer)
    if facts is None or not label:
        return None
    if facts["role"] == "regions":
        return class_table(layer).name_of(int(label))
    if is_volume_result(layer):
        return describe_volume_object(layer, label)
    rows = layer.features[layer.features["index"] == label]
    if rows.empty:
        return f"Object {label}"
    row = rows.iloc[0]
    parts = [f"Object {label}"]
    if row.get("class_name"):
        share = row.get("class_score", np.nan)
        certain = f" {share:.2f}" if np.isfinite(share) else ""
        parts.append(f"{row['class_name']}{certain}")
    known = facts.get("mpp")
    parts.append(format_area(row["area_px"], row["area_px"] * known**2 if known else None))
    if row.get("region_name"):
        parts.append(f"in {row['region_name']}")
    return " · ".join(parts)

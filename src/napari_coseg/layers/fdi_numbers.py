"""FDI numbers of teeth in the table of a layer, corrected by a person."""

from __future__ import annotations

from typing import Any

from napari_coseg.types import FDI_NUMBERS, jaw_of


def has_teeth(layer: Any) -> bool:
    """Whether the objects of a layer have FDI numbers, or may have."""
    features = layer.features
    return "fdi" in features and bool((features["jaw"] != "").any() or (features["fdi"] > 0).any())


def fdi_of(layer: Any, label: int) -> int | None:
    """Return the number of an object, 0 for none; None where there is no such object."""
    rows = layer.features[layer.features["index"] == label]
    return None if rows.empty else int(rows["fdi"].iloc[0])


def set_fdi(layer: Any, label: int, number: int) -> list[int]:
    """Give a tooth a number; its jaw follows, and its confidence is 1.

    Parameters
    ----------
    layer : Labels layer
        Of instances in a volume.
    label : int
        Of the tooth.
    number : int
        0 for a tooth without one.

    Returns
    -------
    list of int
        Other objects of that number.

    Raises
    ------
    ValueError
        If there is no such number.
    """
    if number not in (0, *FDI_NUMBERS):
        raise ValueError(f"no FDI number: {number}")
    features = layer.features.copy()
    here = features["index"] == label
    features.loc[here, "fdi"] = number
    features.loc[here, "fdi_confidence"] = 1.0 if number else 0.0
    if number:
        features.loc[here, "jaw"] = jaw_of(number)
    layer.features = features
    same = features[~here & (features["fdi"] == number)] if number else features.iloc[:0]
    return [int(one) for one in same["index"]]

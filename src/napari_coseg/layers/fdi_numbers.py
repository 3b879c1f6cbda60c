"""FDI numbers of teeth in the table of a layer, corrected by a person.

FDI two-digit notation (ISO 3950): the first digit is the quadrant, upper right, upper left, lower
left, lower right, of the permanent teeth 1 to 4 and of the deciduous ones 5 to 8.
"""

from __future__ import annotations

from typing import Any

#: All numbers that a tooth may have, in the order of a chart.
FDI_NUMBERS: tuple[int, ...] = tuple(
    10 * quadrant + tooth
    for quadrant in range(1, 9)
    for tooth in range(1, 9 if quadrant <= 4 else 6)
)
_UPPER = (1, 2, 5, 6)


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
        features.loc[here, "jaw"] = "upper" if number // 10 in _UPPER else "lower"
    layer.features = features
    same = features[~here & (features["fdi"] == number)] if number else features.iloc[:0]
    return [int(one) for one in same["index"]]

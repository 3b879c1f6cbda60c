"""Pictures of a result: regions and objects drawn over the image, with a legend."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from napari_coseg.types import RGB, ClassTable

# Contours are drawn on a dark line, since several of Okabe and Ito's colours are as light or as
# purple as a stained section.
_LINE: RGB = (20, 20, 20)
_FONT_SIZE = 15
_GAP = 8
_SWATCH = 14
_SMALLEST_LEGEND = 220
_BACKGROUND: RGB = (255, 255, 255)
_INK: RGB = (30, 30, 30)


def overlay(
    image: npt.NDArray[np.uint8],
    regions: npt.NDArray[np.integer[Any]] | None,
    instances: npt.NDArray[np.integer[Any]] | None,
    objects: pd.DataFrame,
    region_classes: ClassTable,
    instance_classes: ClassTable,
    *,
    region_alpha: float = 0.3,
    contour: int = 2,
) -> npt.NDArray[np.uint8]:
    """Draw a result over its image.

    Regions are tinted in the colour of their class and outlined in it; objects are outlined,
    inside of their own pixels, in the colour of theirs, and parted from what is around them and
    from each other by a thin dark line.

    Parameters
    ----------
    image : ndarray of uint8, (rows, columns, 3)
        Not changed.
    regions : ndarray, (rows, columns), or None
        Region ids; 0 and ids without a class stay as they are.
    instances : ndarray, (rows, columns), or None
        Object ids.
    objects : DataFrame
        ``label`` and ``class`` of the objects; those that it lacks are drawn as background's.
    region_classes, instance_classes : ClassTable
        The colours.
    region_alpha : float
        Opacity of the tint, 0 to 1.
    contour : int
        Width of the outlines in pixels, 1 or more; 0 draws none.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)

    Raises
    ------
    ValueError
        If sizes differ.
    """
    for name, labels in (("regions", regions), ("instances", instances)):
        if labels is not None and labels.shape != image.shape[:2]:
            raise ValueError(f"{name} of {labels.shape} for an image of {image.shape[:2]}")
    out = image.copy()
    if regions is not None:
        for info in region_classes:
            mask = regions == info.id
            tint = np.asarray(info.colour, np.float32) * region_alpha
            out[mask] = np.rint(out[mask] * (1 - np.float32(region_alpha)) + tint).astype(np.uint8)
            out[mask & _rim(np.asarray(regions), contour)] = info.colour
    if instances is not None and contour > 0:
        instances = np.asarray(instances)
        found = instances > 0
        out[_around(found) & ~found] = _LINE
        rim = found & _rim(instances, contour)
        colours = np.array(
            [instance_classes.colour_of(k) for k in range(len(instance_classes) + 1)], np.uint8
        )
        out[rim] = colours[_classes_of(instances[rim], objects, len(instance_classes))]
        out[_seams(instances)] = _LINE
    return out


def legend_strip(
    width: int,
    regions: npt.NDArray[np.integer[Any]] | None,
    objects: pd.DataFrame,
    region_classes: ClassTable,
    instance_classes: ClassTable,
    mpp: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw a legend: regions with their share of the area, objects with their number.

    Parameters
    ----------
    width : int
        Pixels; a narrower strip than can be read is made wider.
    regions : ndarray, (rows, columns), or None
        Region ids.
    objects : DataFrame
        Their ``class`` is counted.
    region_classes, instance_classes : ClassTable
        Names and colours, in the order shown.
    mpp : float, optional
        µm per pixel; with it the area of regions is told in square millimetres too.

    Returns
    -------
    ndarray of uint8, (height, at least `width`, 3)
    """
    entries: list[_Entry] = []
    if regions is not None and len(region_classes):
        counts = np.bincount(np.asarray(regions).ravel(), minlength=len(region_classes) + 1)
        for info in region_classes:
            pixels = int(counts[info.id])
            text = f"{info.name}  {100 * pixels / regions.size:.1f} %"
            if mpp is not None:
                text += f"  {pixels * mpp**2 / 1e6:.3f} sq mm"
            entries.append(_Entry(_plain(text), info.colour, filled=True))
    kinds = objects["class"].to_numpy(np.int64)
    for info in instance_classes:
        number = int(np.count_nonzero(kinds == info.id))
        entries.append(_Entry(_plain(f"{info.name}  {number}"), info.colour, filled=False))
    others = int(np.count_nonzero((kinds < 1) | (kinds > len(instance_classes))))
    if others or not entries:
        name = "without class" if len(instance_classes) else "objects"
        entries.append(_Entry(f"{name}  {others}", instance_classes.colour_of(0), filled=False))
    return _draw(max(width, _SMALLEST_LEGEND), entries)


def add_legend(
    picture: npt.NDArray[np.uint8], strip: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Put a legend under a picture; the narrower of the two gets a white margin at its right."""
    width = max(picture.shape[1], strip.shape[1])
    rows = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
        for part in (picture, strip)
    ]
    return np.concatenate(rows)


@dataclass(frozen=True)
class _Entry:
    text: str
    colour: RGB
    filled: bool


def _plain(text: str) -> str:
    """Return text that Pillow's own font can draw: letters without accents, ? for others."""
    parts = unicodedata.normalize("NFKD", text)
    kept = "".join(letter for letter in parts if not unicodedata.combining(letter))
    return kept.encode("ascii", "replace").decode("ascii")


def _rim(labels: npt.NDArray[Any], width: int) -> npt.NDArray[np.bool_]:
    """Return pixels within `width` of another label; the image's own edge is no outline."""
    rim = np.zeros(labels.shape, bool)
    for _ in range(width):
        wider = rim.copy()
        for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            same = labels[a] == labels[b]
            # A neighbour on the rim makes a pixel of the same label one; so does another label.
            wider[a] |= ~same | rim[b]
            wider[b] |= ~same | rim[a]
        rim = wider
    return rim


def _around(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return `mask` and the pixels beside it."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def _seams(instances: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return pixels of objects whose lower or right neighbour is of another object."""
    seams = np.zeros(instances.shape, bool)
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        first, second = instances[a], instances[b]
        seams[a] |= (first != second) & (first > 0) & (second > 0)
    return seams


def _classes_of(
    labels: npt.NDArray[Any], objects: pd.DataFrame, largest: int
) -> npt.NDArray[np.int64]:
    """Return the class of each label, 0 for those without a row or with a class of no colour."""
    known = objects["label"].to_numpy(np.int64)
    if known.size == 0:
        return np.zeros(labels.shape, np.int64)
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known, labels, sorter=order), known.size - 1)
    row = order[place]
    kinds: npt.NDArray[np.int64] = objects["class"].to_numpy(np.int64)[row]
    unknown = (known[row] != labels) | (kinds < 0) | (kinds > largest)
    return np.where(unknown, 0, kinds)


def _draw(width: int, entries: list[_Entry]) -> npt.NDArray[np.uint8]:
    font = ImageFont.load_default(_FONT_SIZE)
    line = _FONT_SIZE + _GAP
    places, x, row = [], _GAP, 0
    for index, entry in enumerate(entries):
        length = _SWATCH + _GAP // 2 + int(np.ceil(font.getlength(entry.text)))
        # Regions and objects do not share a line.
        other = index > 0 and entries[index - 1].filled != entry.filled
        if x > _GAP and (other or x + length + _GAP > width):
            x, row = _GAP, row + 1
        places.append((x, _GAP + row * line))
        x += length + 3 * _GAP
    picture = Image.new("RGB", (width, 2 * _GAP + (row + 1) * line - _GAP // 2), _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for entry, (left, top) in zip(entries, places, strict=True):
        box = (left, top + 1, left + _SWATCH - 1, top + _SWATCH)
        if entry.filled:
            draw.rectangle(box, fill=entry.colour, outline=_LINE)
        else:
            draw.ellipse(box, outline=_LINE, width=5)
            inner = (box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1)
            draw.ellipse(inner, outline=entry.colour, width=3)
        middle = (left + _SWATCH + _GAP // 2, top + _SWATCH // 2)
        draw.text(middle, entry.text, fill=_INK, font=font, anchor="lm")
    return np.asarray(picture).copy()

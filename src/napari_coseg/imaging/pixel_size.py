"""The physical size of a pixel, as far as a file says it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile
from PIL import Image

from napari_coseg.imaging.opening import check_file, kind_of, opened_pillow, opened_tiff

#: Pixels this large (in µm) or larger are not a microscope's: a resolution of fewer than about
#: 1,300 dots per inch is what a program writes when it knows nothing (72, 96, 300, 600).
LARGEST_MPP = 20.0
_SMALLEST_MPP = 0.005
# Rows and columns may differ by this much (calibration of the two axes) before a pixel counts as
# not square, which this package does not handle.
_SQUARE = 0.05

_MICRONS = {
    "": 1.0,
    "nm": 1e-3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
_APERIO_MPP = re.compile(r"\bMPP\s*=\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)")


def read_mpp(path: Path | str) -> float | None:
    """Return the size of a pixel in µm that an image or label file states.

    Returns
    -------
    float or None
        None where the file says nothing, says something that is not a microscope's (see
        `LARGEST_MPP`), or pixels are not square.

    Raises
    ------
    CosegError
        If the file cannot be read.
    """
    path = check_file(path)
    kind = kind_of(path)
    if kind == "TIFF":
        with opened_tiff(path) as tiff:
            return mpp_of_tiff(tiff)
    with opened_pillow(path, kind) as image:
        return mpp_of_pillow(image)


def mpp_of_tiff(tiff: tifffile.TiffFile) -> float | None:
    """Return µm per pixel of the first image of a TIFF, None if unknown.

    Asked in this order: OME-XML (``PhysicalSizeX``), the ``MPP = 0.25`` of an Aperio description,
    ImageJ's unit with the resolution tags, the resolution tags in centimetres or inches.
    """
    page = tiff.pages.first
    if tiff.is_ome and tiff.ome_metadata:
        found = _ome(tiff.ome_metadata)
        if found is not None:
            return found
    aperio = _APERIO_MPP.search(page.description) if tiff.is_svs else None
    if aperio:
        return _plausible(float(aperio[1]), float(aperio[1]))
    x, y = (_ratio(page, name) for name in ("XResolution", "YResolution"))
    if x is None or y is None:
        return None
    imagej = tiff.imagej_metadata if tiff.is_imagej else None
    if imagej:
        name = str(imagej.get("unit") or "none").replace("\\u00B5", "µ").lower()
        unit = _MICRONS.get(name)
    else:
        tag = page.tags.get("ResolutionUnit")
        # TIFF 6.0: 2 is the inch, and what holds where the tag is left out; 1 is no unit at all.
        unit = {2: 25400.0, 3: 10000.0}.get(int(tag.value) if tag else 2)
    return None if unit is None else _plausible(unit / x, unit / y)


def mpp_of_pillow(image: Image.Image) -> float | None:
    """Return µm per pixel by the resolution in a PNG, JPEG or BMP, None if unknown."""
    try:
        x, y = (25400.0 / float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return _plausible(x, y)


def _ratio(page: Any, name: str) -> float | None:
    tag = page.tags.get(name)
    try:
        numerator, denominator = tag.value
        value = numerator / denominator
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return None
    return value if value > 0 else None


def _ome(xml: str) -> float | None:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    for element in root.iter():
        if element.tag.rpartition("}")[2] != "Pixels":
            continue
        sizes = []
        for axis in "XY":
            unit = _MICRONS.get(element.get(f"PhysicalSize{axis}Unit", "µm").lower())
            try:
                sizes.append(float(element.get(f"PhysicalSize{axis}", "")) * (unit or math.nan))
            except ValueError:
                return None
        return _plausible(*sizes)
    return None


def _plausible(x: float, y: float) -> float | None:
    """Return the side of a square pixel of the same area, None if the sizes make no sense."""
    if not all(math.isfinite(size) and _SMALLEST_MPP <= size < LARGEST_MPP for size in (x, y)):
        return None
    if max(x, y) > min(x, y) * (1 + _SQUARE):
        return None
    # Tags store ratios of whole numbers: 0.25 comes back as 0.25.
    return float(f"{math.sqrt(x * y):.9g}")

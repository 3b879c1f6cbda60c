"""2D images read by window, wherever their pixels are: a file is opened here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from napari_coseg.imaging.array_source import ArraySource, ImageSource
from napari_coseg.imaging.opening import check_file, kind_of, opened_pillow
from napari_coseg.imaging.pixel_size import mpp_of_pillow
from napari_coseg.imaging.tiff_source import CACHE_BYTES, TiffSource

__all__ = ["CACHE_BYTES", "ArraySource", "ImageSource", "TiffSource", "open_image"]


def open_image(path: Path | str, cache_bytes: int = CACHE_BYTES) -> ImageSource:
    """Open a PNG, JPEG, BMP or TIFF; what it is is seen by its content, not by its name.

    PNG, JPEG and BMP are decoded whole, here. TIFF is read by window (see `TiffSource`). EXIF
    orientation is applied, palettes and CMYK become RGB, transparency is laid over white, colour
    profiles are not applied. 16-bit grey is scaled as `white_level` says; of 16-bit colour in a
    PNG the upper eight bits are taken.

    Parameters
    ----------
    path : Path or str
        The file.
    cache_bytes : int
        Decoded tiles or strips of a TIFF that are kept.

    Raises
    ------
    CosegError
        If the file is missing, empty, truncated, too large to be decoded whole
        (`opening.MAX_WHOLE_PIXELS`), a stack, or no image.
    """
    path = check_file(path)
    kind = kind_of(path)
    if kind == "TIFF":
        return TiffSource(path, cache_bytes)
    with opened_pillow(path, kind) as image:
        mpp = mpp_of_pillow(image)
        pixels = np.asarray(_plain_mode(ImageOps.exif_transpose(image)))
    return ArraySource(pixels, mpp, str(path))


def _plain_mode(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "1", "I;16", "I", "F") else image.convert("RGB")

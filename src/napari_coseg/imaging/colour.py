"""Pixels of any type and number of samples turned into 8-bit RGB.

What is white is decided once for an image, by `white_level`, so that all windows of it agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

#: White levels that an image may have, beside 1.0 for floats: 8 to 16 bits as cameras and scanners
#: store them.
_LEVELS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
# A level is chosen by this percentile and not by the maximum, so that hot pixels do not count.
_PERCENTILE = 99.9
# Floats that were interpolated overshoot white a little.
_OVERSHOOT = 1.05
_SAMPLE_PIXELS = 1 << 20
# Rows that are converted at a time, since float64 copies of a large image would be its many-fold.
_BLOCK_PIXELS = 1 << 18


def to_rgb8(array: npt.NDArray[Any], white: float | None = None) -> npt.NDArray[np.uint8]:
    """Turn a picture into 8-bit RGB.

    Grey is repeated, transparency is laid over white, NaN and negative values become 0 (black),
    infinity becomes white, booleans are black and white. ``uint8`` is taken as it is; other types
    are scaled so that `white` becomes 255.

    Parameters
    ----------
    array : ndarray, (rows, columns) or (rows, columns, samples)
        One sample is grey, three are RGB, four RGBA with alpha not multiplied in.
    white : float, optional
        Value that becomes 255, by default `white_level` of this very array. Give it where the
        array is a window of an image, so that windows agree.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)
        A new array.

    Raises
    ------
    CosegError
        If the shape or type is not a picture's.
    """
    array = np.asarray(array)
    check_picture(array.shape, array.dtype)
    if array.ndim == 2:
        array = array[..., None]
    if white is None:
        white = white_level(array)
    rows, columns, _ = array.shape
    out = np.empty((rows, columns, 3), np.uint8)
    step = max(1, _BLOCK_PIXELS // max(1, columns))
    for row in range(0, rows, step):
        block = _to_uint8(array[row : row + step], white)
        if block.shape[2] == 4:
            block = over_white(block[..., :3], block[..., 3:])
        out[row : row + step] = block
    return out


def check_picture(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Raise `CosegError` unless these are the shape and the type of a 2D picture."""
    name = " x ".join(map(str, shape)) or "no axes"
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise CosegError(
            f"An array of shape {name} is not a 2D image with 1, 3 or 4 samples a pixel (the "
            "samples last): pick one plane or three channels."
        )
    if 0 in shape:
        raise CosegError(f"An image of {name} pixels is empty.")
    if np.dtype(dtype).kind not in "buif":
        raise CosegError(f"An image of type {np.dtype(dtype)} is not supported: use numbers.")


def white_level(sample: npt.NDArray[Any]) -> float:
    """Return the value of `sample` that becomes 255.

    The fixed rule: ``uint8`` 255, ``bool`` 1. For other types the smallest of 255, 1023, 4095,
    16383 and 65535 (the largest values of 8, 10, 12, 14 and 16 bits) that 99.9 % of the sampled
    values do not exceed; for floats also 1.0. So a 16-bit copy of an 8-bit picture, scaled or
    not, looks as the original does, a dark corner is not stretched to white, and two tiles of
    one scanner agree. Values above are the level of their own (unsigned 32 bit, floats).

    Parameters
    ----------
    sample : ndarray
        Some pixels of the image, or all of it: about a million of them are looked at.
    """
    dtype = sample.dtype
    if dtype.kind == "b":
        return 1.0
    if dtype == np.uint8:
        return 255.0
    if sample.ndim >= 2:
        step = max(1, int(np.sqrt(sample.shape[0] * sample.shape[1] / _SAMPLE_PIXELS)))
        sample = sample[::step, ::step]
        # Only colour counts: an opaque alpha would make any picture look as if it used all bits.
        if sample.ndim == 3 and sample.shape[2] == 4:
            sample = sample[..., :3]
    values = np.asarray(sample, np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 1.0 if dtype.kind == "f" else _LEVELS[0]
    high = float(np.percentile(values, _PERCENTILE))
    levels: tuple[float, ...] = _LEVELS
    if dtype.kind == "f":
        levels = (1.0, *_LEVELS)
        high /= _OVERSHOOT
    return next((level for level in levels if high <= level), high)


def over_white(
    colour: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8], *, multiplied: bool = False
) -> npt.NDArray[np.uint8]:
    """Lay a transparent picture over white.

    Parameters
    ----------
    colour : ndarray of uint8, (rows, columns, 3)
    alpha : ndarray of uint8, (rows, columns, 1)
        255 is opaque.
    multiplied : bool
        Whether `alpha` has been multiplied into `colour` ("associated" in TIFF 6.0).
    """
    weight = alpha.astype(np.uint32)
    part = colour.astype(np.uint32) * (255 if multiplied else weight)
    total = part + 255 * (255 - weight)
    result: npt.NDArray[np.uint8] = np.minimum((total + 127) // 255, 255).astype(np.uint8)
    return result


def _to_uint8(block: npt.NDArray[Any], white: float) -> npt.NDArray[np.uint8]:
    if block.dtype == np.uint8 and white == 255:
        return block
    # 16 bits fit float32, whose rounding is below a step of the result.
    kind = "f8" if block.dtype.itemsize > 2 else "f4"
    values: npt.NDArray[np.floating[Any]] = block.astype(kind)
    values *= 255.0 / white
    if block.dtype.kind == "f":
        np.nan_to_num(values, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    rounded: npt.NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rounded

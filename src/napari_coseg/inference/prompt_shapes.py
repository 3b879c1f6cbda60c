"""What a person draws, as prompts: boxes, points, scribbles, outlines. Torch-free.

Networks of SAM's kind take boxes, points and a mask (Kirillov et al. 2023, section 3). Scribbles
and outlines become these. ScribblePrompt (Wong et al. 2024) trains its network with scribbles as
an input picture of their own; SyncSAM, like SAM, has none for them. So a scribble is here a few
points spread along it, and an outline its box, its filled area as the mask before, and the point
farthest inside of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError, Mask, Prompt

#: Points that stand for a scribble at the most.
SCRIBBLE_POINTS = 5
# Longest side at which a mask is searched for its deepest point; larger ones are thinned out.
_CENTRE_SIDE = 512


def checked(prompt: Prompt, shape: tuple[int, int], name: str = "The prompt") -> Prompt:
    """Return a prompt as it can be used: corners in order, everything inside of the image.

    Parameters
    ----------
    prompt : Prompt
    shape : tuple of int
        Rows and columns of the image.
    name : str
        What messages call it.

    Raises
    ------
    CosegError
        If there is nothing that says where the object is, a number is not finite, a box has no
        size, or box, point or mask lie outside of the image.
    """
    box = None if prompt.box is None else _checked_box(prompt.box, shape, name)
    for row, column, _ in prompt.points:
        if not (math.isfinite(row) and math.isfinite(column)):
            raise CosegError(f"{name} has a point without a place ({row}, {column}).")
        if not (-0.5 <= row <= shape[0] - 0.5 and -0.5 <= column <= shape[1] - 0.5):
            raise CosegError(
                f"{name} has a point at row {row:.0f}, column {column:.0f}, outside of the image "
                f"of {shape[0]} x {shape[1]} pixels: put it on the image."
            )
    mask = None if prompt.mask is None else _checked_mask(prompt.mask, shape, name)
    if mask is not None and mask.area == 0:
        mask = None
    if box is None and mask is None and not any(positive for _, _, positive in prompt.points):
        raise CosegError(f"{name} does not say where the object is: draw a box or click on it.")
    return Prompt(box, prompt.points, mask)


def scribble_points(
    line: npt.ArrayLike, positive: bool, most: int = SCRIBBLE_POINTS
) -> tuple[tuple[float, float, bool], ...]:
    """Return points that stand for a scribble: its first one, then always the farthest from all.

    Farthest point sampling (Gonzalez 1985) of the line at steps of a pixel, so that points spread
    evenly, however fast the hand was.

    Parameters
    ----------
    line : array-like of float, (n, 2)
        Rows and columns of the line's corners, in pixel centres.
    positive : bool
        Whether it is drawn on the object.
    most : int
        Points at the most. A line shorter than that many pixels has fewer.

    Raises
    ------
    CosegError
        If there is no point, or one is not finite.
    """
    along = _along(_corners(line, 1, "A scribble"))
    chosen = [0]
    away = np.linalg.norm(along - along[0], axis=1)
    while len(chosen) < most and away.max() >= 1:
        farthest = int(away.argmax())
        chosen.append(farthest)
        away = np.minimum(away, np.linalg.norm(along - along[farthest], axis=1))
    return tuple((float(row), float(column), positive) for row, column in along[sorted(chosen)])


def outline_prompt(outline: npt.ArrayLike, shape: tuple[int, int]) -> Prompt:
    """Return the prompt for a lasso or polygon drawn round an object.

    Parameters
    ----------
    outline : array-like of float, (n, 2)
        Rows and columns of its corners, in pixel centres; it is closed by itself.
    shape : tuple of int
        Rows and columns of the image. What lies outside is cut off.

    Returns
    -------
    Prompt
        The box, the filled outline as the mask before, and the point farthest from its edge.

    Raises
    ------
    CosegError
        If there are fewer than three corners, or no pixel of the image inside.
    """
    corners = _corners(outline, 3, "An outline")
    mask = filled(corners, shape)
    if mask.area == 0:
        raise CosegError("The outline has no pixel of the image inside: draw it round the object.")
    (row, column), (rows, columns) = mask.origin, mask.bits.shape
    centre = deepest(mask)
    box = (float(row), float(column), float(row + rows), float(column + columns))
    return Prompt(box, ((*centre, True),), mask)


def filled(corners: npt.NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """Fill a closed outline: pixels whose centres lie in it, by the even-odd rule."""
    first = np.clip(np.ceil(corners.min(0)), 0, shape).astype(int)
    last = np.clip(np.ceil(corners.max(0)) + 1, 0, shape).astype(int)
    rows, columns = (int(v) for v in np.maximum(last - first, 0))
    # A row's pixels change sides wherever an edge crosses it; one column more for those beyond.
    crossed = np.zeros((rows, columns + 1), np.uint8)
    for (row0, column0), (row1, column1) in zip(
        corners - first, np.roll(corners, -1, 0) - first, strict=True
    ):
        low, high = sorted((row0, row1))
        at = np.arange(max(0, math.ceil(low)), max(0, min(rows, math.ceil(high))))
        if at.size:
            across = column0 + (at - row0) * ((column1 - column0) / (row1 - row0))
            crossed[at, np.clip(np.ceil(across), 0, columns).astype(int)] ^= 1
    return Mask.of(np.bitwise_xor.accumulate(crossed, axis=1)[:, :-1].astype(bool), first)


def deepest(mask: Mask) -> tuple[float, float]:
    """Return row and column of the pixel of a mask that is farthest from its edge."""
    from scipy import ndimage

    step = max(1, math.ceil(max(mask.bits.shape) / _CENTRE_SIDE))
    seen = mask.bits[::step, ::step]
    if not seen.any():
        seen, step = mask.bits, 1
    depth = ndimage.distance_transform_edt(np.pad(seen, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(mask.origin[0] + step * row), float(mask.origin[1] + step * column)


def _checked_box(
    box: tuple[float, float, float, float], shape: tuple[int, int], name: str
) -> tuple[float, float, float, float]:
    if not all(math.isfinite(v) for v in box):
        raise CosegError(f"{name} has a box with a corner that is no number: {_listed(box)}.")
    # Drawn from whichever corner to the opposite one.
    row0, row1 = sorted((float(box[0]), float(box[2])))
    column0, column1 = sorted((float(box[1]), float(box[3])))
    if row0 == row1 or column0 == column1:
        raise CosegError(
            f"{name} has a box without a size ({_listed(box)}): draw it from one corner of the "
            "object to the opposite one."
        )
    inside = (max(row0, 0.0), max(column0, 0.0), min(row1, shape[0]), min(column1, shape[1]))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise CosegError(
            f"{name} has a box (rows {row0:.0f} to {row1:.0f}, columns {column0:.0f} to "
            f"{column1:.0f}) that lies outside of the image of {shape[0]} x {shape[1]} pixels: "
            "draw it on the image."
        )
    return inside[0], inside[1], float(inside[2]), float(inside[3])


def _checked_mask(mask: Mask, shape: tuple[int, int], name: str) -> Mask:
    if mask.bits.ndim != 2:
        raise CosegError(f"{name} has a mask of {mask.bits.ndim} axes: give one of a plane.")
    slices, origin = [], []
    for axis in (0, 1):
        first, length = mask.origin[axis], mask.bits.shape[axis]
        low = max(0, -first)
        slices.append(slice(low, max(low, min(length, shape[axis] - first))))
        origin.append(first + low)
    return Mask.of(mask.bits[tuple(slices)], origin)


def _corners(line: npt.ArrayLike, least: int, name: str) -> npt.NDArray[np.float64]:
    corners = np.asarray(line, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < least:
        raise CosegError(f"{name} needs at least {least} point{'s' * (least > 1)}: draw it again.")
    if not np.isfinite(corners).all():
        raise CosegError(f"{name} has a point without a place: draw it again.")
    return corners


def _along(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return places along a line, at most a pixel apart."""
    if len(corners) == 1:
        return corners
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    wanted = np.linspace(0, at[-1], max(2, math.ceil(at[-1]) + 1))
    return np.stack([np.interp(wanted, at, corners[:, axis]) for axis in (0, 1)], 1)


def _listed(box: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in box)

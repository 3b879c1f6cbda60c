"""Generated objects: random shapes of one texture pasted into another.

Much of what is drawn round in a medical image is not of one piece: glands and vessels have a lumen,
teeth a pulp, bones marrow. So some shapes have a core, which belongs to them, and which may look
like what is outside.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.measure import label as connected

Bits = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]

#: Least difference of mean brightness between a shape and what is round it, in grey levels.
_DIFFERENCE = (12.0, 70.0)
#: Pixels that a shape has at the least, and the radius in pixels of a disc which has as many even
#: in a corner of the square.
_SMALLEST, _LEAST_RADIUS = 20, 6.0
#: Deviation in pixels of the edge's softness.
_SOFTNESS = (0.3, 2.0)
#: Share of the shapes that have a core, and the depth at which it begins, as a part of the deepest.
_CORES, _DEPTH = 0.4, (0.2, 0.75)
#: Share of the shapes that the square's edge cuts, as an image's does, by up to this part of their
#: radius.
_CUT, _BEYOND = 0.2, 0.9


def paste_shapes(
    base: Picture, texture: Picture, fills: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[Picture, list[Bits]]:
    """Paste shapes into a picture.

    Parameters
    ----------
    base, texture : ndarray of uint8, (side, side, 3)
        What is outside, and what the shapes are made of.
    fills : ndarray of float64, (N,)
        Size of each shape, as a part of the side.
    rng : Generator

    Returns
    -------
    picture : ndarray of uint8, (side, side, 3)
    masks : list of ndarray of bool, (side, side)
        At least one, apart from each other.
    """
    side = base.shape[0]
    canvas = base.astype(np.float32)
    taken = np.zeros((side, side), bool)
    masks: list[Bits] = []
    for fill in fills:
        bits = random_shape(side, float(fill), rng)
        if (bits & taken).any():
            continue
        _fill(canvas, bits, texture, rng)
        if rng.random() < _CORES:
            depth = ndimage.distance_transform_edt(bits)
            core = depth > rng.uniform(*_DEPTH) * depth.max()
            _fill(canvas, core, base if rng.random() < 0.5 else texture, rng)
        masks.append(bits)
        taken |= ndimage.binary_dilation(bits, iterations=2)
    return np.clip(canvas, 0, 255).astype(np.uint8), masks


def _fill(
    canvas: npt.NDArray[np.float32], bits: Bits, texture: Picture, rng: np.random.Generator
) -> None:
    """Paste some piece of a texture where a mask is, so that it differs from what was there."""
    soft = ndimage.gaussian_filter(bits.astype(np.float32), rng.uniform(*_SOFTNESS))
    filling = np.roll(texture, tuple(rng.integers(0, len(bits), 2)), (0, 1)).astype(np.float32)
    before = float(canvas[bits].mean())
    difference = float(filling[bits].mean()) - before
    wanted = math.copysign(rng.uniform(*_DIFFERENCE), difference)
    if abs(difference) < abs(wanted):
        # White cannot become brighter, nor the black of air darker.
        if not 0 <= before + wanted <= 255:
            wanted = -wanted
        filling += wanted - difference
    canvas += soft[..., None] * (filling - canvas)


def random_shape(side: int, fill: float, rng: np.random.Generator) -> Bits:
    """Draw a shape whose longer side is about `fill` of the square's.

    An ellipse, a blob of Fourier radii, a polygon with corners, or a lump of thresholded noise,
    inside of the square or cut by its edge.

    Returns
    -------
    ndarray of bool, (side, side)
        In one piece, of 20 pixels or more.
    """
    radius = 0.5 * fill * side
    room = max(side / 2 - radius, 0.0)
    if rng.random() < _CUT:
        room += rng.uniform(0, _BEYOND) * radius
    centre = side / 2 + rng.uniform(-room, room, 2)
    bits = _drawn(side, radius, centre, rng)
    if bits.sum() < _SMALLEST:
        # Few corners near each other, or noise that is low all round.
        rows, columns = np.mgrid[:side, :side] + 0.5
        near = np.clip(centre, 0, side)
        bits = np.hypot(rows - near[0], columns - near[1]) <= max(radius, _LEAST_RADIUS)
    return bits


def _drawn(
    side: int, radius: float, centre: npt.NDArray[np.float64], rng: np.random.Generator
) -> Bits:
    kind = rng.integers(4)
    if kind == 3:
        return _noise(side, radius, centre, rng)
    count = int(rng.integers(4, 9)) if kind == 2 else 72
    angles = np.sort(rng.uniform(0, 2 * math.pi, count)) if kind == 2 else _even(count)
    radii = np.ones(count)
    if kind == 1:
        for wave in range(2, 6):
            radii += rng.normal(0, 0.28 / wave) * np.cos(wave * angles + rng.uniform(0, 7))
    elif kind == 2:
        radii = rng.uniform(0.6, 1.0, count)
    radii = np.clip(radii, 0.2, None) / np.abs(radii).max()
    squeeze, turn = rng.uniform(0.35, 1.0), rng.uniform(0, math.pi)
    along, across = radius * radii * np.cos(angles), radius * squeeze * radii * np.sin(angles)
    rows = centre[0] + along * math.cos(turn) - across * math.sin(turn)
    columns = centre[1] + along * math.sin(turn) + across * math.cos(turn)
    bits: Bits = polygon2mask((side, side), np.stack([rows, columns], 1))
    return _largest(bits)


def _even(count: int) -> npt.NDArray[np.float64]:
    return np.linspace(0, 2 * math.pi, count, endpoint=False)


def _noise(
    side: int, radius: float, centre: npt.NDArray[np.float64], rng: np.random.Generator
) -> Bits:
    grid = max(4, round(side / max(radius * rng.uniform(0.4, 0.9), 2.0)))
    noise = rng.standard_normal((grid, grid))
    fine = ndimage.zoom(noise, side / grid, order=3, mode="nearest", grid_mode=True)[:side, :side]
    rows, columns = np.mgrid[:side, :side]
    away = np.hypot(rows - centre[0], columns - centre[1]) / max(radius, 1.0)
    return _largest((fine + 1.2 - 1.6 * away**2 > 0) & (away < 1))


def _largest(bits: Bits) -> Bits:
    parts = connected(bits, connectivity=1)
    if parts.max() <= 1:
        return bits
    biggest: Bits = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    return biggest

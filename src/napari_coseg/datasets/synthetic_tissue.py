"""Geometry of a generated colon tile: glands with wall and lumen, stroma, vessels.

Everything is laid out in µm on a canvas that is wider than the tile by `MARGIN_UM` on each side,
so that what is cut by the tile's edge goes on outside, as in a real section.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, exp, sin, sqrt

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.datasets.synthetic_fields import Field, smooth_noise

#: Tissue drawn beyond each edge of the tile. Wider than the thickest wall, since the depth inside
#: a gland must be known to the lumen.
MARGIN_UM = 34.0

#: Area below which a piece of a gland is dropped, in µm² of the canvas.
SMALLEST_GLAND_UM2 = 350.0


@dataclass(frozen=True)
class Tissue:
    """Where things are on the canvas.

    Attributes
    ----------
    glands : ndarray of int32, (rows, columns)
        Gland ids from 1, 0 outside. A gland is its wall and its lumen.
    depth : ndarray of float32
        µm from the gland's own outline inwards; 0 outside of glands.
    outside : ndarray of float32
        µm from the nearest gland; 0 inside of one.
    wall : ndarray of float32
        Thickness of the epithelium in µm, meaningful inside glands.
    lumen, vessels : ndarray of bool
        Space inside glands that holds no cells, and inside blood vessels.
    outward : ndarray of float32
        Angle in radians across the gland's wall.
    fibres : ndarray of float32
        Angle of the tissue's grain: along fibres in the stroma, across the wall in glands.
    mpp : float
        Size of a pixel in µm.
    margin : int
        Pixels that lie outside of the tile on each side.
    """

    glands: npt.NDArray[np.int32]
    depth: Field
    outside: Field
    wall: Field
    lumen: npt.NDArray[np.bool_]
    vessels: npt.NDArray[np.bool_]
    outward: Field
    fibres: Field
    mpp: float
    margin: int

    @property
    def epithelium(self) -> npt.NDArray[np.bool_]:
        """Wall of the glands."""
        return np.asarray((self.glands > 0) & ~self.lumen, bool)

    @property
    def stroma(self) -> npt.NDArray[np.bool_]:
        """What is neither gland nor vessel."""
        return np.asarray((self.glands == 0) & ~self.vessels, bool)


def make_tissue(rng: np.random.Generator, shape: tuple[int, int], mpp: float) -> Tissue:
    """Lay out glands, vessels and the grain of the stroma.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
        Rows and columns of the tile, without the margin.
    mpp : float
        µm per pixel.
    """
    margin = int(np.ceil(MARGIN_UM / mpp))
    canvas = shape[0] + 2 * margin, shape[1] + 2 * margin
    glands = _glands(rng, canvas, mpp)
    inner = (glands > 0) & ~_edges_between(glands)
    depth = _distance(inner, mpp)
    outside = _distance(glands == 0, mpp) if glands.any() else np.full(canvas, 1e3, np.float32)
    wall, lumen = _lumens(rng, glands, depth, mpp)
    vessels = _vessels(rng, outside, mpp)
    outward = _angle_across(depth, 2.0 / mpp)
    fibres = _grain(rng, glands > 0, outside, outward, mpp)
    return Tissue(glands, depth, outside, wall, lumen, vessels, outward, fibres, mpp, margin)


def _distance(mask: npt.NDArray[np.bool_], mpp: float) -> Field:
    """µm to the nearest pixel that is not in `mask`; 0 outside of it."""
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    return np.asarray(ndimage.distance_transform_edt(mask), np.float32) * np.float32(mpp)


def _edges_between(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Pixels of a label whose lower or right neighbour has another one."""
    edge = np.zeros(labels.shape, bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return edge


def _glands(rng: np.random.Generator, canvas: tuple[int, int], mpp: float) -> npt.NDArray[np.int32]:
    """Ids of irregular, partly touching glands."""
    extent = canvas[0] * mpp, canvas[1] * mpp
    usual = rng.uniform(26.0, 62.0)  # a crypt is 50 to 120 µm across, a tumour gland more
    closeness = rng.uniform(0.7, 1.12)
    fill = 0.0 if rng.random() < 0.06 else rng.uniform(0.35, 1.0)
    wanted = fill * extent[0] * extent[1] / (np.pi * (closeness * usual) ** 2)
    placed: list[tuple[float, float, float]] = []
    for _ in range(int(12 * wanted) + 4 if fill else 0):
        row, column = (rng.uniform(-0.3 * usual, size + 0.3 * usual) for size in extent)
        radius = usual * float(np.exp(rng.normal(0.0, 0.25)))
        if len(placed) < wanted and all(
            np.hypot(row - r, column - c) > closeness * (radius + q) for r, c, q in placed
        ):
            placed.append((float(row), float(column), radius))
    warp_row = 7.0 * smooth_noise(rng, canvas, 45.0 / mpp) + 1.5 * smooth_noise(
        rng, canvas, 14.0 / mpp
    )
    warp_column = 7.0 * smooth_noise(rng, canvas, 45.0 / mpp) + 1.5 * smooth_noise(
        rng, canvas, 14.0 / mpp
    )
    best = np.full(canvas, 1e6, np.float32)
    second = best.copy()
    owner = np.zeros(canvas, np.int32)
    tilt = rng.uniform(0, np.pi)
    touching = np.zeros(len(placed) + 1, bool)
    for number, (row, column, radius) in enumerate(placed, start=1):
        touching[number] = rng.random() < 0.75
        angle = tilt + rng.normal(0.0, 0.5)
        aspect = exp(abs(rng.normal(0.0, 0.35)))
        half = 1.5 * radius * aspect + 20.0
        rows = slice(*np.clip([(row - half) / mpp, (row + half) / mpp], 0, canvas[0]).astype(int))
        columns = slice(
            *np.clip([(column - half) / mpp, (column + half) / mpp], 0, canvas[1]).astype(int)
        )
        down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] * mpp - row
        right = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] * mpp - column
        if not down.size or not right.size:
            continue
        down = down + warp_row[rows, columns]
        right = right + warp_column[rows, columns]
        along = (cos(angle) * right + sin(angle) * down) / sqrt(aspect)
        across = (cos(angle) * down - sin(angle) * right) * sqrt(aspect)
        distance = np.hypot(along, across)
        # cos(k bearing + phase) for k = 2 to 5, as the real part of a polynomial in z.
        z = (along + 1j * across) / np.maximum(distance, 1e-3)
        lobes = np.arange(2, 6)
        waves = rng.normal(0, 0.16 / lobes) * np.exp(1j * rng.uniform(0, 2 * np.pi, 4))
        waves = waves.astype(np.complex64)
        outline = 1.0 + (z * z * (waves[0] + z * (waves[1] + z * (waves[2] + z * waves[3])))).real
        # Measured in µm beyond the outline, so that gaps between glands are in µm too.
        beyond = distance - radius * outline
        nearer = beyond < best[rows, columns]
        second[rows, columns] = np.where(
            nearer, best[rows, columns], np.minimum(second[rows, columns], beyond)
        )
        owner[rows, columns] = np.where(nearer, number, owner[rows, columns])
        best[rows, columns] = np.minimum(best[rows, columns], beyond)
    gap = np.where(touching[owner], 0.0, rng.uniform(4.0, 14.0))
    owner[(best > 0) | (second - best < gap)] = 0
    return _whole_pieces(owner, SMALLEST_GLAND_UM2 / mpp**2)


def _whole_pieces(labels: npt.NDArray[np.int32], smallest: float) -> npt.NDArray[np.int32]:
    """Keep the largest piece of each label where it is big enough, and number from 1."""
    answer = np.zeros_like(labels)
    number = 0
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        filled = ndimage.binary_fill_holes(labels[box] == label)
        pieces, count = ndimage.label(filled)
        if count == 0:
            continue
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        largest = int(sizes.argmax())
        if sizes[largest] < smallest:
            continue
        number += 1
        window = answer[box]
        window[(pieces == largest) & (window == 0)] = number
    return answer


def _lumens(
    rng: np.random.Generator, glands: npt.NDArray[np.int32], depth: Field, mpp: float
) -> tuple[Field, npt.NDArray[np.bool_]]:
    """Thickness of the wall in µm, and the space inside of it."""
    count = int(glands.max())
    usual = rng.uniform(15.0, 24.0)
    deepest = np.zeros(count + 1, np.float32)
    np.maximum.at(deepest, glands.ravel(), depth.ravel())
    thickness = usual * np.exp(rng.normal(0, 0.12, count + 1))
    thickness = np.minimum(thickness, 0.72 * np.maximum(deepest, 1.0))
    solid = rng.random(count + 1) < 0.15
    wall = thickness[glands] * (1.0 + 0.22 * smooth_noise(rng, glands.shape, 22.0 / mpp))
    wall = np.clip(wall, 6.0, None).astype(np.float32)
    lumen = (glands > 0) & (depth > wall) & ~solid[glands]
    wall = np.where(solid[glands], np.maximum(deepest[glands], 6.0), wall).astype(np.float32)
    return wall, np.asarray(ndimage.binary_opening(lumen, iterations=2), bool)


def _vessels(rng: np.random.Generator, outside: Field, mpp: float) -> npt.NDArray[np.bool_]:
    """Slit-like to round lumens of vessels in the stroma, about one in 20,000 µm²."""
    vessels = np.zeros(outside.shape, bool)
    area = float((outside > 0).sum()) * mpp**2
    for _ in range(rng.poisson(area / 20_000.0)):
        row, column = (int(rng.integers(size)) for size in outside.shape)
        long, short = rng.uniform(5.0, 15.0), rng.uniform(2.5, 7.0)
        angle = rng.uniform(0, np.pi)
        if outside[row, column] < short + 3.0:
            continue
        reach = int(np.ceil(long / mpp)) + 1
        rows = slice(max(row - reach, 0), row + reach + 1)
        columns = slice(max(column - reach, 0), column + reach + 1)
        down, right = np.mgrid[rows, columns]
        window = vessels[rows, columns]
        down = (down[: window.shape[0], : window.shape[1]] - row) * mpp
        right = (right[: window.shape[0], : window.shape[1]] - column) * mpp
        along = np.cos(angle) * right + np.sin(angle) * down
        across = np.cos(angle) * down - np.sin(angle) * right
        window |= (along / long) ** 2 + (across / short) ** 2 < 1.0
    return vessels & (outside > 2.0)


def _angle_across(distance: Field, sigma: float) -> Field:
    """Angle of a distance map's gradient."""
    smooth = ndimage.gaussian_filter(distance, sigma)
    down, right = np.gradient(smooth)
    return np.asarray(np.arctan2(down, right), np.float32)


def _grain(
    rng: np.random.Generator,
    glands: npt.NDArray[np.bool_],
    outside: Field,
    outward: Field,
    mpp: float,
) -> Field:
    """Angle of fibres: free in the open stroma, along a gland near it, across its wall inside."""
    free = rng.uniform(0, np.pi) + rng.uniform(0.3, 0.9) * smooth_noise(
        rng, outside.shape, 70.0 / mpp
    )
    along_gland = _angle_across(outside, 3.0 / mpp) + np.pi / 2
    weight = np.exp(-outside / 14.0)
    # Twice the angle makes opposite directions equal, so that they can be averaged.
    blended = (1 - weight) * np.exp(2j * free) + weight * np.exp(2j * along_gland)
    return np.where(glands, outward, np.angle(blended) / 2).astype(np.float32)

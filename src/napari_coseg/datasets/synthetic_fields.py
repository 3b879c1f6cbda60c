"""Random fields for the generators: smooth noise, and streaks along a direction.

All of them are made from a `numpy.random.Generator` that the caller hands in, so that a seed
decides every pixel, and all lengths are in pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from scipy.sparse import csr_array

Field = npt.NDArray[np.float32]


def resized(field: npt.NDArray[np.float32], shape: tuple[int, int]) -> Field:
    """Stretch a field over `shape` with bicubic interpolation.

    Parameters
    ----------
    field : ndarray of float32, (rows, columns)
    shape : tuple of int
        Rows and columns of the answer.
    """
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Gaussian noise that changes over about `scale` pixels.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
        Rows and columns.
    scale : float
        Distance in pixels over which values are alike. At one pixel or less, white noise.

    Returns
    -------
    ndarray of float32, (rows, columns)
        Mean 0 and standard deviation about 1 (over many fields, not within one: a field that is
        smaller than its scale is nearly constant).
    """
    if scale <= 1.0:
        return rng.standard_normal(shape, dtype=np.float32)
    if scale <= 3.0:
        field = rng.standard_normal(shape, dtype=np.float32)
        sigma = scale / 2.0
        # A Gaussian filter of this width leaves 1 / (2 sqrt(pi) sigma) of white noise's deviation.
        gain = np.float32(2.0 * np.sqrt(np.pi) * sigma)
        return np.asarray(ndimage.gaussian_filter(field, sigma, mode="wrap") * gain, np.float32)
    # Knots of bicubic stretching; it keeps about 0.7 of the deviation.
    step = 0.75 * scale
    knots = tuple(int(np.ceil(size / step)) + 4 for size in shape)
    coarse = rng.standard_normal((knots[0], knots[1]), dtype=np.float32)
    whole = resized(coarse, (round(knots[0] * step), round(knots[1] * step)))
    start = round(step)
    return whole[start : start + shape[0], start : start + shape[1]] * np.float32(1.4)


def streaks(rng: np.random.Generator, direction: Field, *, width: float, length: float) -> Field:
    """Noise drawn out along a field of directions (line integral convolution).

    Parameters
    ----------
    rng : numpy.random.Generator
    direction : ndarray of float32, (rows, columns)
        Angle in radians, measured from the column axis towards the row axis. An angle and the
        opposite one mean the same.
    width, length : float
        Width and length of a streak in pixels.

    Returns
    -------
    ndarray of float32, (rows, columns)
        Mean 0, standard deviation 1.

    Notes
    -----
    Cabral and Leedom, "Imaging vector fields using line integral convolution", 1993, worked on a
    grid whose cell is the width of a streak, so that the cost does not depend on the pixel size.
    """
    shape = direction.shape
    small = tuple(max(2, int(np.ceil(size / max(width, 1.0)))) for size in shape)
    rows = np.linspace(0, shape[0] - 1, small[0]).astype(int)
    columns = np.linspace(0, shape[1] - 1, small[1]).astype(int)
    angle = direction[np.ix_(rows, columns)]
    stride = np.float32(1.5)  # cells a step: noise of neighbouring cells is kept apart by it
    steps = max(2, round(length / max(width, 1.0) / 2.0 / float(stride)))
    step_row, step_column = stride * np.sin(angle).ravel(), stride * np.cos(angle).ravel()
    noise = rng.standard_normal(angle.size, dtype=np.float32)
    total = noise.copy()
    cells = np.indices(angle.shape, dtype=np.float32).reshape(2, -1)
    limit_row, limit_column = np.float32(small[0] - 1), np.float32(small[1] - 1)
    for sign in (np.float32(1), np.float32(-1)):
        row, column = cells.copy()
        heading_row, heading_column = sign * step_row, sign * step_column
        for _ in range(steps):
            row = np.clip(row + heading_row, 0, limit_row)
            column = np.clip(column + heading_column, 0, limit_column)
            at = (row + np.float32(0.5)).astype(np.int32) * np.int32(small[1])
            at += (column + np.float32(0.5)).astype(np.int32)
            total += noise[at]
            # Directions have no sign: go on along the one that does not turn back.
            next_row, next_column = step_row[at], step_column[at]
            turn = np.copysign(np.float32(1), next_row * heading_row + next_column * heading_column)
            heading_row, heading_column = turn * next_row, turn * next_column
    # Strides of more than a cell leave gaps like a perforation: close them.
    closed = ndimage.gaussian_filter(total.reshape(angle.shape), 0.7)
    closed = (closed - closed.mean()) / max(float(closed.std()), 1e-6)
    return resized(closed, (shape[0], shape[1]))


def smooth_volume(
    rng: np.random.Generator, shape: tuple[int, int, int], scale: float
) -> npt.NDArray[np.float32]:
    """Gaussian noise in three dimensions that changes over about `scale` voxels.

    Cubic B-splines over random knots, applied axis by axis: the cost hardly depends on `scale`.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
        Planes, rows and columns.
    scale : float
        Distance between knots in voxels, above 0.

    Returns
    -------
    ndarray of float32, (planes, rows, columns)
        Mean 0 and standard deviation about 1 (over many fields).
    """
    counts = [int(np.ceil(size / scale)) + 4 for size in shape]
    field = rng.standard_normal(counts, dtype=np.float32)
    planes, rows, columns = (_spline(size, scale) for size in shape)
    field = (columns @ field.reshape(-1, counts[2]).T).T.reshape(counts[0], counts[1], shape[2])
    field = field.transpose(1, 0, 2).reshape(counts[1], -1)
    field = (rows @ field).reshape(shape[1], counts[0], shape[2]).transpose(1, 0, 2)
    # Named again first: else the turned copy and what it was made of stay until the end.
    field = field.reshape(counts[0], -1)
    field = (planes @ field).reshape(shape)
    # A cubic B-spline keeps 151/315 of the variance along each axis.
    field *= np.float32((151 / 315) ** -1.5)
    return np.ascontiguousarray(field, np.float32)


def _spline(size: int, step: float) -> csr_array:
    """Weights of cubic B-splines: one row a place, one column a knot."""
    place = np.arange(size) / step
    first = np.floor(place).astype(np.int32)
    t = place - first
    weights = np.stack(
        [
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        ],
        axis=1,
    )
    knots = first[:, None] + np.arange(4, dtype=np.int32)
    starts = np.arange(0, 4 * size + 1, 4, dtype=np.int32)
    columns = int(np.ceil(size / step)) + 4
    return csr_array(
        (weights.ravel().astype(np.float32), knots.ravel(), starts), shape=(size, columns)
    )

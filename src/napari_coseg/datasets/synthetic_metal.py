"""Streaks that metal leaves in a CT: made in projection space, and put back by filtering.

An approximation, documented here: parallel beams, plane by plane, on a grid of about
`_SIDE` pixels a side. Projections are made of the metal and of the head. What a scanner measures
behind metal differs from the truth in two ways: a beam of many energies is hardened, so that
the sum of two metal parts is measured as less than both (a term in the square of the metal's
length, and one in metal times body), and hardly a photon arrives, so that the noise grows with the
exponential of the length. Only that error is reconstructed (filtered back-projection) and added.
Scatter, cone angle and the partial filling of detector cells are left out.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import csr_array

from napari_coseg.datasets.synthetic_grid import Field

#: Pixels a side of the grid that is projected, and angles over half a turn.
_SIDE, _ANGLES = 128, 160

#: mm between planes that are projected; those between are interpolated.
_BETWEEN = 0.8


@lru_cache(maxsize=2)
def _back_projector(side: int) -> tuple[csr_array, int]:
    """Matrix from projections to pixels (its transpose projects), and cells of a detector."""
    cells = int(np.ceil(side * np.sqrt(2))) + 3
    angles = np.pi * np.arange(_ANGLES) / _ANGLES
    place = np.arange(side) - (side - 1) / 2
    rows, columns = (axis.ravel() for axis in np.meshgrid(place, place, indexing="ij"))
    at = columns[:, None] * np.cos(angles) + rows[:, None] * np.sin(angles) + cells / 2
    first = np.floor(at).astype(np.int32)
    share = (at - first).astype(np.float32)
    base = first + (np.arange(_ANGLES, dtype=np.int32) * cells)[None]
    indices = np.stack([base, base + 1], axis=2).reshape(-1)
    weights = np.stack([1 - share, share], axis=2).reshape(-1)
    starts = np.arange(0, indices.size + 1, 2 * _ANGLES, dtype=np.int32)
    matrix = csr_array((weights, indices, starts), shape=(side * side, _ANGLES * cells))
    return matrix, cells


def metal_streaks(
    rng: np.random.Generator, image: Field, metal: npt.NDArray[np.bool_], spacing: float
) -> Field | None:
    """Return what metal adds to each voxel, or None where there is none.

    Parameters
    ----------
    rng : numpy.random.Generator
    image : ndarray of float32, (planes, rows, columns)
        Grey values without faults, Hounsfield-like.
    metal : ndarray of bool
        Where it is.
    spacing : float
        mm.

    Returns
    -------
    ndarray of float32, or None
    """
    planes = np.flatnonzero(metal.any(axis=(1, 2)))
    if planes.size == 0:
        return None
    first, last = int(planes[0]), int(planes[-1]) + 1
    step = max(1, round(_BETWEEN / spacing))
    chosen = np.arange(first, last, step)
    side = min(_SIDE, max(image.shape[1:]))
    factor = side / max(image.shape[1:])
    pixel = spacing / factor
    matrix, cells = _back_projector(side)
    body = np.clip((_squared(image[chosen], side, -1000.0) + 1000) / 1000, 0, 2.5)
    parts = np.stack([metal[k : k + step].mean(axis=0, dtype=np.float32) for k in chosen])
    parts = _squared(parts, side, 0.0)
    project = matrix.T
    through = (project @ parts.reshape(len(chosen), -1).T) * np.float32(pixel)
    water = (project @ body.reshape(len(chosen), -1).T) * np.float32(pixel)
    # Per mm: how strongly metal hardens the beam, and how soon the photons run out.
    harden = rng.uniform(0.5, 1.5)
    error = -(through**2 * (0.035 * harden) + through * water * (0.0022 * harden))
    starved = np.exp(np.minimum(0.16 * through + 0.006 * water, 4.5)) - 1
    noise = rng.standard_normal(error.shape, dtype=np.float32)
    # A cell that is nearly dark is so in the next view too: streaks, not snow.
    views = noise.reshape(_ANGLES, cells, -1)
    noise = ndimage.gaussian_filter1d(views, 0.7, axis=0).reshape(error.shape)
    error += noise * starved * (through > 0.2) * np.float32(rng.uniform(0.03, 0.1))
    field = _reconstructed(error.astype(np.float32), matrix, cells, side)
    typical = max(float(np.percentile(np.abs(field), 98.0)), 1e-6)
    field *= np.float32(rng.uniform(250.0, 1000.0) / typical)
    return _stretched(field, image.shape, first, last, step)


def _squared(planes: Field, side: int, outside: float) -> Field:
    """Fill planes up to squares and bring them to `side` pixels."""
    rows, columns = planes.shape[1:]
    size = max(rows, columns)
    before = ((size - rows) // 2, (size - columns) // 2)
    square = np.full((len(planes), size, size), outside, np.float32)
    square[:, before[0] : before[0] + rows, before[1] : before[1] + columns] = planes
    if size == side:
        return square
    smooth = ndimage.uniform_filter(square, (1, round(size / side), round(size / side)))
    at = (np.arange(side) + 0.5) * size / side - 0.5
    near = np.clip(np.round(at).astype(int), 0, size - 1)
    return np.ascontiguousarray(smooth[:, near][:, :, near])


def _reconstructed(error: Field, matrix: csr_array, cells: int, side: int) -> Field:
    """Back-project projections (angles * cells, planes) after a ramp filter."""
    length = int(2 ** np.ceil(np.log2(2 * cells)))
    frequency = np.fft.rfftfreq(length).astype(np.float32)
    ramp = frequency * np.cos(np.pi * frequency)
    views = error.reshape(_ANGLES, cells, -1)
    spectrum = np.fft.rfft(views, length, axis=1) * ramp[None, :, None]
    filtered = np.fft.irfft(spectrum, length, axis=1)[:, :cells].astype(np.float32)
    pixels = matrix @ filtered.reshape(_ANGLES * cells, -1)
    return np.ascontiguousarray(pixels.T.reshape(-1, side, side), np.float32)


def _stretched(field: Field, shape: tuple[int, ...], first: int, last: int, step: int) -> Field:
    """Bring the field to the volume's voxels; it fades out within two steps."""
    planes, rows, columns = shape
    size, side = max(rows, columns), field.shape[1]
    row_at = (np.arange(rows) + (size - rows) // 2 + 0.5) * side / size - 0.5
    column_at = (np.arange(columns) + (size - columns) // 2 + 0.5) * side / size - 0.5
    whole = np.zeros((planes, rows, columns), np.float32)
    faded = np.concatenate([0.35 * field[:1], field, 0.35 * field[-1:]])
    for plane in range(max(first - step, 0), min(last + step, planes)):
        at = np.clip((plane - first) / step + 1, 0, len(faded) - 1)
        low = min(int(at), len(faded) - 2)
        mixed = faded[low] * np.float32(low + 1 - at) + faded[low + 1] * np.float32(at - low)
        whole[plane] = _bilinear(mixed, row_at, column_at)
    return whole


def _bilinear(
    plane: Field, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> Field:
    for axis, places in ((0, rows), (1, columns)):
        places = np.clip(places, 0, plane.shape[axis] - 1)
        low = np.minimum(places.astype(int), plane.shape[axis] - 2)
        share = (places - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        near, far = np.take(plane, low, axis=axis), np.take(plane, low + 1, axis=axis)
        plane = near + share * (far - near)
    return plane

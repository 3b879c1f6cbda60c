"""What a cone-beam scanner does to a head: blur, streaks, noise, cupping, rings, field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_coseg.datasets.synthetic_fields import smooth_volume
from napari_coseg.datasets.synthetic_grid import Field
from napari_coseg.datasets.synthetic_intensities import METAL
from napari_coseg.datasets.synthetic_metal import metal_streaks

#: Grey value of what a scanner never reconstructs, and of what it shows as brightest.
OUTSIDE, CEILING = -1000.0, 3071.0


@dataclass(frozen=True)
class Scanner:
    """Faults of one scan; grey values in Hounsfield-like units.

    Attributes
    ----------
    blur : float
        Standard deviation of the point spread in mm.
    noise : float
        Standard deviation of the noise.
    grain : float
        Its correlation in voxels.
    cupping : float
        How much darker the middle is than the rim of a head.
    shading : float
        Slow unevenness (scatter, truncated projections).
    rings : float
        Standard deviation of rings about the axis.
    ceiling : float
        Brightest value.
    gamma : float
        Exponent of a monotone change of the grey scale; 1 for none.
    thick : bool
        Whether the scan was once stored at about 1 x 1 x 2 mm.
    """

    blur: float
    noise: float
    grain: float
    cupping: float
    shading: float
    rings: float
    ceiling: float = CEILING
    gamma: float = 1.0
    thick: bool = False


def draw_scanner(rng: np.random.Generator, *, randomised: bool) -> Scanner:
    """Draw a scanner: an ordinary one, or one of the wide spread that training wants."""
    if not randomised:
        return Scanner(
            blur=float(rng.uniform(0.15, 0.32)),
            noise=float(rng.uniform(35.0, 90.0)),
            grain=float(rng.uniform(0.5, 0.8)),
            cupping=float(rng.uniform(0.0, 90.0)),
            shading=float(rng.uniform(5.0, 35.0)),
            rings=float(rng.uniform(0.0, 14.0)),
        )
    return Scanner(
        blur=float(rng.uniform(0.05, 0.7)),
        noise=float(rng.uniform(5.0, 220.0)),
        grain=float(rng.uniform(0.3, 1.3)),
        cupping=float(rng.uniform(-80.0, 250.0)),
        shading=float(rng.uniform(0.0, 110.0)),
        rings=float(rng.choice([0.0, rng.uniform(0.0, 45.0)])),
        ceiling=float(rng.uniform(1400.0, 4000.0)),
        gamma=float(np.exp(rng.normal(0.0, 0.25))),
        thick=bool(rng.random() < 0.3),
    )


def scan(rng: np.random.Generator, image: Field, spacing: float, scanner: Scanner) -> Field:
    """Image as the scanner gives it.

    Parameters
    ----------
    rng : numpy.random.Generator
    image : ndarray of float32, (planes, rows, columns)
        Grey values without faults; where they are above half of `METAL` there is metal.
    spacing : float
        mm.
    scanner : Scanner
    """
    metal = image > 0.5 * METAL
    streaks = metal_streaks(rng, np.minimum(image, CEILING), metal, spacing)
    # Metal is so bright that even a clipped edge of it would bloom far.
    seen = np.minimum(image, np.float32(0.6 * METAL))
    ndimage.gaussian_filter(seen, scanner.blur / spacing, truncate=3.0, output=seen)
    if streaks is not None:
        # Metal itself stays brighter than the scale, however the beam is hardened.
        bright = metal.astype(np.float32)
        ndimage.gaussian_filter(bright, 0.7 / spacing, truncate=3.0, output=bright)
        for plane, streak, glow in zip(seen, streaks, bright, strict=True):
            plane += streak * (1 - np.minimum(3.0 * glow, 1))
        del bright, streaks
    del metal
    inside = np.empty_like(seen)
    for plane, share in zip(seen, inside, strict=True):
        np.clip((plane + 1000) / 1000, 0, 1, out=share)
    field = _unevenness(rng, image.shape, spacing, scanner)
    field *= inside
    seen += field
    del field
    grains = rng.standard_normal(image.shape, dtype=np.float32)
    ndimage.gaussian_filter(grains, scanner.grain, truncate=2.5, output=grains)
    # Photons are fewer behind more bone; in air a scanner's noise is lower.
    grains *= np.float32(scanner.noise / max(float(grains[::4, ::4, ::4].std()), 1e-6))
    inside *= np.float32(0.45)
    inside += np.float32(0.55)
    grains *= inside
    seen += grains
    del grains, inside
    if scanner.thick:
        seen = _stored_coarsely(seen, spacing)
    for plane in seen:
        plane[...] = _remapped(plane, scanner)
    return np.clip(seen, OUTSIDE, scanner.ceiling, out=seen)


def _unevenness(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: float, scanner: Scanner
) -> Field:
    """Cupping, slow shading, and rings about the axis of rotation."""
    planes, rows, columns = shape
    row = (np.arange(rows, dtype=np.float32) - np.float32(rows / 2)) * np.float32(spacing)
    column = (np.arange(columns, dtype=np.float32) - np.float32(columns / 2)) * np.float32(spacing)
    radius = np.hypot(row[:, None], column[None, :])
    largest = 0.5 * spacing * max(rows, columns)
    cup = np.float32(-scanner.cupping) * (1 - np.clip(radius / largest, 0, 1) ** 2)
    bins = int(radius.max() / spacing) + 2
    ring = rng.standard_normal((2, bins), dtype=np.float32) * np.float32(scanner.rings)
    # Near the axis a detector's fault is drawn over few pixels, and so is stronger.
    ring *= 1.0 + 2.0 * np.exp(-np.arange(bins, dtype=np.float32) * np.float32(spacing) / 8)
    index = (radius / np.float32(spacing)).astype(np.int32)
    drift = np.linspace(0, 1, planes, dtype=np.float32)
    field = smooth_volume(rng, (planes, rows, columns), 30.0 / spacing)
    field *= np.float32(scanner.shading)
    # Plane by plane: a term for the whole volume is as large as the volume.
    for plane, part in zip(field, drift, strict=True):
        plane += cup + ring[0][index] * (1 - part) + ring[1][index] * part
    return field


def _stored_coarsely(image: Field, spacing: float) -> Field:
    """Average to about 1 x 1 x 2 mm and interpolate back."""
    factors = [max(1, round(size / spacing)) for size in (2.0, 1.0, 1.0)]
    smooth: Field = ndimage.uniform_filter(image, factors)
    for axis, factor in enumerate(factors):
        if factor > 1:
            smooth = _thinned(smooth, factor, axis)
    return smooth


def _thinned(image: Field, factor: int, axis: int) -> Field:
    """Keep every `factor`-th sample along an axis and draw lines between them."""
    size = image.shape[axis]
    kept = np.arange(factor // 2, size, factor)
    place = np.clip((np.arange(size) - kept[0]) / factor, 0, len(kept) - 1)
    low = np.minimum(place.astype(int), max(len(kept) - 2, 0))
    share = (place - low).astype(np.float32)
    share = share.reshape([-1 if i == axis else 1 for i in range(3)])
    near = np.take(image, kept[low], axis=axis)
    far = np.take(image, kept[np.minimum(low + 1, len(kept) - 1)], axis=axis)
    return np.asarray(near + share * (far - near), np.float32)


def _remapped(image: Field, scanner: Scanner) -> Field:
    if scanner.gamma == 1.0:
        return image
    span = np.float32(scanner.ceiling - OUTSIDE)
    share = np.clip((image - np.float32(OUTSIDE)) / span, 0, 1)
    return np.asarray(share ** np.float32(scanner.gamma) * span + np.float32(OUTSIDE), np.float32)


def field_of_view(shape: tuple[int, int], spacing: float) -> Field:
    """Part of each pixel that lies in the cylinder that a scanner reconstructs."""
    rows, columns = shape
    row = np.arange(rows, dtype=np.float32) - np.float32((rows - 1) / 2)
    column = np.arange(columns, dtype=np.float32) - np.float32((columns - 1) / 2)
    radius = np.hypot(row[:, None], column[None, :])
    return np.asarray(np.clip(np.float32(max(rows, columns) / 2) - radius, 0, 1), np.float32)

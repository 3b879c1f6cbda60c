"""Staining and imaging of a generated tile: dyes, Beer-Lambert, optics, sensor.

Each pixel gets amounts of haematoxylin, of eosin and of haemoglobin. Light is absorbed as
``I = I0 exp(-sum of amount x vector)`` (Ruifrok and Johnston 2001, with the natural logarithm),
then blurred, made noisy and, sometimes, compressed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from napari_coseg.datasets.synthetic_fields import Field, smooth_noise, streaks
from napari_coseg.datasets.synthetic_nuclei import NucleusMap
from napari_coseg.datasets.synthetic_tissue import Tissue

# Directions of the dyes in optical density of red, green, blue. Slides lie between the pairs.
_HAEMATOXYLIN_BLUE = np.array([0.76, 0.60, 0.25])
_HAEMATOXYLIN_PURPLE = np.array([0.56, 0.77, 0.30])
_EOSIN_MAGENTA = np.array([0.08, 0.90, 0.42])
_EOSIN_SALMON = np.array([0.12, 0.80, 0.58])
_HAEMOGLOBIN = np.array([0.10, 0.74, 0.66])


@dataclass(frozen=True)
class Stain:
    """Dyes, light and camera of one slide.

    Attributes
    ----------
    vectors : ndarray of float32, (3, 3)
        Optical density of red, green, blue (columns) of one unit of haematoxylin, eosin and
        haemoglobin (rows).
    light : ndarray of float32, (3,)
        Intensity where there is no tissue, 0 to 255.
    basophilia : float
        Haematoxylin in the cytoplasm of the epithelium.
    blur : float
        Standard deviation of the optics in µm.
    noise : float
        Standard deviation of the sensor in grey levels.
    quality : int or None
        JPEG quality, None for none.
    """

    vectors: npt.NDArray[np.float32]
    light: npt.NDArray[np.float32]
    basophilia: float
    blur: float
    noise: float
    quality: int | None

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Stain:
        """Draw the stain of one slide."""
        hue, warmth = rng.random(2)
        dyes = np.stack(
            [
                hue * _HAEMATOXYLIN_BLUE + (1 - hue) * _HAEMATOXYLIN_PURPLE,
                warmth * _EOSIN_SALMON + (1 - warmth) * _EOSIN_MAGENTA,
                _HAEMOGLOBIN,
            ]
        )
        dyes = np.clip(dyes + rng.normal(0, 0.025, (3, 3)), 0.01, None)
        dyes /= np.linalg.norm(dyes, axis=1, keepdims=True)
        strength = np.array([1.15, 0.78, 0.9]) * np.exp(rng.normal(0, 0.17, 3))
        return cls(
            vectors=(dyes * strength[:, None]).astype(np.float32),
            light=(rng.uniform(238, 250) + rng.normal(0, 1.5, 3)).astype(np.float32),
            basophilia=float(rng.uniform(0.12, 0.5)),
            blur=float(rng.uniform(0.16, 0.36)),
            noise=float(rng.uniform(0.8, 2.6)),
            quality=int(rng.integers(60, 96)) if rng.random() < 0.6 else None,
        )


def render(
    rng: np.random.Generator, tissue: Tissue, nuclei: NucleusMap, stain: Stain
) -> npt.NDArray[np.uint8]:
    """Picture of the tile, without the margin.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)
    """
    mpp = tissue.mpp
    haematoxylin, eosin = _ground(rng, tissue, stain)
    haemoglobin = _blood(rng, tissue)
    _goblets(rng, tissue, nuclei, haematoxylin, eosin)
    grain = smooth_noise(rng, eosin.shape, 1.1 / mpp)
    halo = np.clip(ndimage.gaussian_filter(nuclei.cover, 1.3 / mpp) * 1.6 - nuclei.cover, 0, 1)
    eosin *= (1 - 0.55 * nuclei.cover) * (1 - 0.3 * halo)
    haematoxylin *= 1 - 0.5 * nuclei.cover
    # Cytoplasm full of ribosomes, as of plasma cells, is blue too.
    haematoxylin += rng.uniform(0.0, 0.4) * halo
    chromatin = smooth_noise(rng, eosin.shape, 1.4 / mpp)
    haematoxylin += nuclei.haematoxylin * np.clip(1 + 1.25 * nuclei.clumping * chromatin, 0.2, 1.9)
    haematoxylin += _specks(rng, tissue, nuclei) + _ghosts(rng, tissue, nuclei)
    eosin *= np.clip(1 + 0.12 * grain, 0.5, 1.6)
    amounts = np.stack([haematoxylin, eosin, haemoglobin], axis=-1)
    inner = slice(tissue.margin, eosin.shape[0] - tissue.margin)
    across = slice(tissue.margin, eosin.shape[1] - tissue.margin)
    # Two pixels more than the tile, so that blurring its edge sees what lies beyond.
    more = 2
    wide = amounts[inner.start - more : inner.stop + more, across.start - more : across.stop + more]
    density = np.clip(wide, 0, None) @ stain.vectors
    picture = stain.light * np.exp(-density)
    sigma = stain.blur / mpp
    picture = ndimage.gaussian_filter(picture, (sigma, sigma, 0), truncate=3.0)[
        more:-more, more:-more
    ]
    picture += stain.noise * rng.standard_normal(picture.shape, dtype=np.float32)
    image = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    return image if stain.quality is None else _jpeg(image, stain.quality)


def _jpeg(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Image after JPEG compression."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _ground(rng: np.random.Generator, tissue: Tissue, stain: Stain) -> tuple[Field, Field]:
    """Haematoxylin and eosin of everything but nuclei."""
    mpp = tissue.mpp
    shape = tissue.glands.shape
    loose = smooth_noise(rng, shape, 50.0 / mpp)
    patch = smooth_noise(rng, shape, 7.0 / mpp)
    grain = smooth_noise(rng, shape, 2.6 / mpp)
    bundles = streaks(rng, tissue.fibres, width=max(1.0, 1.7 / mpp), length=26.0 / mpp)
    threads = streaks(rng, tissue.fibres, width=max(1.0, 0.8 / mpp), length=14.0 / mpp)
    # Stroma is fibrous here and loose there, where it looks like crumbs more than like threads.
    fibrous = np.clip(rng.uniform(0.3, 1.0) + 0.3 * smooth_noise(rng, shape, 60.0 / mpp), 0.05, 1)
    fibres = fibrous * (0.7 * bundles + 0.5 * threads) + (1 - fibrous) * (0.7 * patch + 0.3 * grain)
    openness = rng.uniform(-1.9, -0.2)
    strength = rng.uniform(0.5, 0.9)
    stroma = strength * np.clip(0.85 + 0.22 * fibres + 0.12 * loose, 0.05, None)
    # Clefts between bundles let the light through.
    torn_along = fibrous * bundles + (1 - fibrous) * patch
    cleft = np.clip(0.8 * (openness + 0.5 * loose - torn_along - 0.15 * fibres), 0, 1)
    stroma *= 1 - 0.85 * cleft
    relative = np.clip(tissue.depth / np.maximum(tissue.wall, 1.0), 0, 1)
    ridges = 0.08 * threads + 0.06 * bundles + 0.05 * patch
    wall_eosin = rng.uniform(0.35, 0.75) * (0.85 + 0.35 * relative + ridges)
    wall_haematoxylin = (
        stain.basophilia * (1.15 - 0.7 * relative) * np.clip(1 + 0.25 * patch + 0.3 * grain, 0, 2)
    )
    inside = np.clip(tissue.depth / 1.0, 0, 1)
    eosin = (1 - inside) * stroma + inside * wall_eosin
    crumbs = np.clip(0.5 + 0.5 * patch + 0.35 * grain + 0.2 * threads, 0, None)
    stroma_haematoxylin = rng.uniform(0.04, 0.2) * crumbs * (1 - cleft)
    haematoxylin = (1 - inside) * stroma_haematoxylin + inside * wall_haematoxylin
    # Shrinkage tears some glands off the stroma; a basement membrane lines the others.
    torn = np.clip(smooth_noise(rng, shape, 40.0 / mpp) - rng.uniform(0.2, 1.8), 0, 1)
    gap = np.exp(-(((tissue.outside - 1.8) / 1.4) ** 2)) * (tissue.outside > 0)
    eosin *= 1 - 0.9 * np.clip(3 * torn, 0, 1) * gap
    mucus = np.clip(smooth_noise(rng, shape, 16.0 / mpp) + rng.uniform(-1.5, 0.3), 0, 1)
    empty = ndimage.gaussian_filter((tissue.lumen | tissue.vessels).astype(np.float32), 0.5 / mpp)
    wisps = mucus * np.clip(0.45 + 0.35 * patch + 0.2 * grain, 0, 1)
    eosin = (1 - empty) * eosin + empty * (0.015 + 0.3 * wisps)
    haematoxylin = (1 - empty) * haematoxylin + empty * 0.16 * wisps
    return haematoxylin.astype(np.float32), eosin.astype(np.float32)


def _disc(
    shape: tuple[int, int], row: float, column: float, radius: float, edge: float = 0.7
) -> tuple[tuple[slice, slice], Field]:
    """Window and soft mask of a disc; lengths in pixels."""
    reach = int(np.ceil(radius + edge)) + 1
    rows = slice(max(int(row) - reach, 0), min(int(row) + reach + 1, shape[0]))
    columns = slice(max(int(column) - reach, 0), min(int(column) + reach + 1, shape[1]))
    down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - row
    right = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - column
    return (rows, columns), np.clip((radius - np.hypot(down, right)) / edge + 0.5, 0, 1)


def _blood(rng: np.random.Generator, tissue: Tissue) -> Field:
    """Red cells in vessels and, where the section has bled, between the fibres."""
    height, width = tissue.glands.shape
    blood = np.zeros((height, width), np.float32)
    mpp = tissue.mpp
    spots = []
    for mask, spacing in ((tissue.vessels, 45.0), (tissue.stroma, 9000.0)):
        number = rng.poisson(float(mask.sum()) * mpp**2 / spacing * rng.uniform(0.2, 1.6))
        at = np.flatnonzero(mask)
        if at.size and number:
            spots.append(rng.choice(at, number))
    for index in np.concatenate(spots) if spots else []:
        row, column = divmod(int(index), width)
        radius = rng.uniform(2.3, 3.2) / mpp
        window, disc = _disc((height, width), row, column, radius)
        hollow = _disc((height, width), row, column, 0.4 * radius, radius)[1]
        if hollow.shape == disc.shape:
            disc = disc * (1 - 0.25 * hollow)
        np.maximum(blood[window], rng.uniform(0.6, 1.1) * disc, out=blood[window])
    return blood


def _goblets(
    rng: np.random.Generator,
    tissue: Tissue,
    nuclei: NucleusMap,
    haematoxylin: Field,
    eosin: Field,
) -> None:
    """Empty goblet cells' mucin out of the wall, in place, sparing the nuclei."""
    mpp = tissue.mpp
    relative = tissue.depth / np.maximum(tissue.wall, 1.0)
    wall = tissue.epithelium
    apical = wall & (relative > 0.5) & (relative < 0.9) & (nuclei.owner == 0)
    at = np.flatnonzero(apical)
    number = rng.poisson(at.size * mpp**2 / 130.0 * rng.uniform(0.0, 1.4) ** 2)
    if not at.size or not number:
        return
    bluish = rng.uniform(0.02, 0.2)
    for index in rng.choice(at, number):
        row, column = divmod(int(index), relative.shape[1])
        window, disc = _disc(relative.shape, row, column, rng.uniform(2.2, 4.6) / mpp, 1.2 / mpp)
        disc = disc * (1 - nuclei.cover[window]) * wall[window]
        eosin[window] *= 1 - 0.8 * disc
        haematoxylin[window] = haematoxylin[window] * (1 - disc) + bluish * disc


def _specks(rng: np.random.Generator, tissue: Tissue, nuclei: NucleusMap) -> Field:
    """Haematoxylin of nucleoli, and of dust and debris that is no nucleus."""
    mpp = tissue.mpp
    height, width = tissue.glands.shape
    specks = np.zeros((height, width), np.float32)
    inside = np.flatnonzero(nuclei.nearness < 0.5)
    debris = np.flatnonzero((nuclei.owner == 0) & ((tissue.glands == 0) | tissue.lumen))
    whole = specks.size * mpp**2
    jobs = (
        (inside, inside.size * mpp**2 / 10.0 * rng.uniform(0.2, 1.2), (0.35, 0.6), (0.3, 0.8)),
        (debris, whole / 4000.0 * rng.uniform(0.2, 2.0), (0.35, 1.1), (0.5, 1.4)),
    )
    for at, mean, radii, strengths in jobs:
        number = rng.poisson(mean)
        if not at.size or not number:
            continue
        for index in rng.choice(at, number):
            row, column = divmod(int(index), width)
            radius = rng.uniform(*radii) / mpp
            window, disc = _disc((height, width), row, column, radius, 0.5 / mpp)
            specks[window] += rng.uniform(*strengths) * disc
    return specks


def _ghosts(rng: np.random.Generator, tissue: Tissue, nuclei: NucleusMap) -> Field:
    """Haematoxylin of nuclei far out of focus, which nobody would label."""
    mpp = tissue.mpp
    height, width = tissue.glands.shape
    ghosts = np.zeros((height, width), np.float32)
    at = np.flatnonzero((nuclei.owner == 0) & ~tissue.lumen & ~tissue.vessels)
    number = rng.poisson(at.size * mpp**2 / 500.0 * rng.uniform(0.1, 1.5))
    for index in rng.choice(at, number) if at.size else []:
        row, column = divmod(int(index), width)
        radius = rng.uniform(1.5, 2.8) / mpp
        window, disc = _disc((height, width), row, column, radius, rng.uniform(2.5, 4.0) / mpp)
        ghosts[window] += rng.uniform(0.12, 0.4) * disc
    return ghosts

"""How the look of an image varies: stain, light, focus, noise, compression, scanner."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from napari_coseg.training.sections import LookSection

Picture = npt.NDArray[np.uint8]

#: Optical densities of haematoxylin, eosin and DAB in red, green and blue (Ruifrok and Johnston
#: 2001), a row a stain, each of length one.
STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
UNMIX = np.linalg.inv(STAINS)
#: Optical density of each 8-bit value; 0 would be infinitely dark, so 1 stands in for it.
DENSITY = -np.log(np.maximum(np.arange(256), 1) / 255).astype(np.float32)


def augment(image: Picture, settings: LookSection, rng: np.random.Generator) -> Picture:
    """Vary the look of a uint8 RGB picture (rows, columns, 3); its geometry stays."""
    if settings.stain:
        image = jitter_stain(image, settings.stain, rng)
    if settings.brightness:
        image = _jitter_light(image, settings.brightness, rng)
    if settings.remap and rng.random() < settings.remap:
        image = _remap(image, rng)
    if settings.coarse and rng.random() < settings.coarse:
        image = _coarsen(image, rng)
    if rng.random() < settings.blur:
        image = _blur(image, rng)
    if rng.random() < settings.noise:
        image = _noise(image, rng)
    if rng.random() < settings.jpeg:
        image = _jpeg(image, rng)
    return image


def _blur(image: Picture, rng: np.random.Generator) -> Picture:
    picture = Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    return np.asarray(picture)


def _noise(image: Picture, rng: np.random.Generator) -> Picture:
    noise = rng.standard_normal(image.shape, np.float32)
    # In place: an array of 12 MB costs as much as the sum.
    noise *= np.float32(rng.uniform(1, 7))
    noise += image
    return np.clip(noise, 0, 255, out=noise).astype(np.uint8)


def _jpeg(image: Picture, rng: np.random.Generator) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(50, 96)))
    return np.asarray(Image.open(buffer))


def jitter_stain(image: Picture, deviation: float, rng: np.random.Generator) -> Picture:
    """Scale and shift the concentrations of each stain (Tellez et al. 2018, HED jitter).

    Unmixing, scaling and mixing are linear in optical density, so they are one 3 x 3 matrix.
    """
    scale = np.clip(1 + deviation * rng.standard_normal(3), 0.3, 2.0)
    shift = 0.5 * deviation * 0.15 * rng.standard_normal(3)
    matrix = (UNMIX @ np.diag(scale) @ STAINS).astype(np.float32)
    density = DENSITY.take(image) @ matrix
    density += (shift @ STAINS).astype(np.float32)
    light = np.exp(np.negative(density, out=density), out=density)
    light *= np.float32(255)
    out: Picture = np.clip(light, 0, 255, out=light).astype(np.uint8)
    return out


def _jitter_light(image: Picture, deviation: float, rng: np.random.Generator) -> Picture:
    contrast, brightness = 1 + deviation * rng.standard_normal(2)
    values = np.arange(256, dtype=np.float32)
    table = (values - 128) * contrast + 128 * brightness
    out: Picture = np.clip(table, 0, 255).astype(np.uint8).take(image)
    return out


def _remap(image: Picture, rng: np.random.Generator) -> Picture:
    """Send grey values through a curve that rises, through four random points, and may clip."""
    low, high = rng.uniform(-30, 50), rng.uniform(190, 330)
    steps = rng.dirichlet((3, 3, 3, 3))
    heights = low + (high - low) * np.concatenate([[0.0], np.cumsum(steps)])
    curve = np.interp(np.arange(256), np.linspace(0, 255, len(heights)), heights)
    out: Picture = np.clip(curve, 0, 255).astype(np.uint8)[image]
    return out


def _coarsen(image: Picture, rng: np.random.Generator) -> Picture:
    """Make voxels larger: pixels are averaged, and channels share what lies between them."""
    factor = rng.uniform(1.3, 3.0)
    picture = Image.fromarray(image)
    columns, rows = (max(1, round(side / factor)) for side in picture.size)
    small = picture.resize((columns, rows), Image.Resampling.BOX)
    image = np.asarray(small.resize(picture.size, Image.Resampling.BILINEAR))
    # Red and blue are the planes beside green's: thick planes hold a part of each other.
    own = rng.uniform(0.4, 1.0)
    middle = image[..., 1:2].astype(np.float32)
    mixed = np.rint(own * image + (1 - own) * middle)
    out: Picture = mixed.astype(np.uint8)
    return out

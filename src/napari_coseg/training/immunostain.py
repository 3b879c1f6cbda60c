"""H&E pictures as if a marker had been stained instead: brown DAB, pale stroma, blue nuclei.

Labels of nuclei and glands exist for H&E and hardly for immunohistochemistry, where brown cytoplasm
may be darker than the nuclei in it. What a marker binds to is drawn anew for each sample: regions
and cells of some classes, their membranes and cytoplasm or their nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.training.augment import DENSITY, STAINS, UNMIX, Picture
from napari_coseg.types import IGNORE

Plane = npt.NDArray[np.float32]

#: Haematoxylin beside DAB is weaker and bluer than beside eosin.
_BLUE = np.array([0.80, 0.56, 0.22])
_BROWN = STAINS[2]
#: Least optical density of tissue; what is lighter is glass, which no marker binds to.
_GLASS = 0.12
#: Pixels of the instances' scale from a nucleus to where its cell may end.
_REACH = (8.0, 30.0)


@dataclass(frozen=True)
class Known:
    """What is known of a sample, each (rows, columns) at the picture's own size, or None.

    Attributes
    ----------
    regions, classes : ndarray of uint8
        Class ids; 0 background, 255 unknown.
    instances : ndarray of int32
        0 no object, below 0 unknown.
    """

    regions: npt.NDArray[np.uint8] | None = None
    classes: npt.NDArray[np.uint8] | None = None
    instances: npt.NDArray[np.int32] | None = None


def immunostain(image: Picture, known: Known, rng: np.random.Generator) -> Picture:
    """Exchange eosin for DAB where a random marker would be.

    Parameters
    ----------
    image : ndarray of uint8, (rows, columns, 3)
        H&E.
    known : Known
        Of the same rows and columns.
    rng : Generator

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)
    """
    stains = DENSITY.take(image) @ UNMIX.astype(np.float32)
    np.clip(stains, 0, None, out=stains)
    blue, pink = stains[..., 0], stains[..., 1]
    tissue = np.clip(stains.sum(2) / _GLASS - 0.5, 0, 1)
    nuclei = _nuclei(blue, known)
    brown = rng.uniform(0.4, 1.6) * _texture(pink, rng) * tissue
    if rng.random() < 0.2:
        # A marker of nuclei, such as Ki-67.
        brown *= nuclei * _bound(known, pink.shape, rng)
    else:
        brown *= _bound(known, pink.shape, rng) * (1 - rng.uniform(0.4, 0.95) * nuclei)
    rest = rng.uniform(0, 0.25)
    parts = (
        (blue * np.float32(rng.uniform(0.35, 0.9)), _varied(_BLUE, rng)),
        # Unstained stroma is still a shade darker than glass.
        (pink * np.float32(rest), _varied(_BLUE + STAINS[1], rng)),
        (brown, _varied(_BROWN, rng)),
    )
    density = sum(amount[..., None] * colour.astype(np.float32) for amount, colour in parts)
    out: Picture = np.clip(255 * np.exp(-density), 0, 255).astype(np.uint8)
    return out


def _nuclei(blue: Plane, known: Known) -> Plane:
    """How much of a nucleus a pixel is, 0 to 1; from the haematoxylin where nobody knows."""
    if known.instances is None or (known.instances < 0).all():
        low, high = np.percentile(blue, (50, 97))
        stained: Plane = (blue - low) / max(float(high - low), 1e-3)
        return np.clip(stained, 0, 1).astype(np.float32)
    return _soft(known.instances > 0, 1.0)


def _bound(known: Known, shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Where the marker is, 0 to 1: at some kinds of regions and cells, else in patches."""
    found = np.zeros(shape, bool)
    asked = rng.random() < 0.85
    if asked and known.regions is not None:
        found |= np.isin(known.regions, _some(known.regions, rng))
    if asked and known.classes is not None:
        cells = np.isin(known.classes, _some(known.classes, rng))
        if cells.any():
            found |= ndimage.distance_transform_edt(~cells) < rng.uniform(*_REACH)
    where = _soft(found, rng.uniform(0.5, 3.0))
    if not found.any() or rng.random() < 0.3:
        patches = _cloud(shape, rng.uniform(20, 90), rng) > rng.uniform(-1.0, 1.0)
        where = np.maximum(where, _soft(patches, 3.0) * np.float32(rng.uniform(0.2, 1.0)))
    # Some of it binds everywhere.
    return np.maximum(where, np.float32(rng.uniform(0, 0.06)))


def _some(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> list[int]:
    """Draw kinds that a marker binds to, at least one of those that are there."""
    kinds = [int(kind) for kind in np.unique(labels) if kind not in (0, IGNORE)]
    chosen = [kind for kind in kinds if rng.random() < 0.5]
    return chosen or kinds[:1]


def _texture(pink: Plane, rng: np.random.Generator) -> Plane:
    """Return fibres and membranes as the eosin shows them, and grain of their size."""
    fine = pink / (ndimage.gaussian_filter(pink, 6) + 0.05)
    own = rng.uniform(0.3, 1.0)
    grain = _cloud(pink.shape, rng.uniform(2.0, 5.0), rng) * rng.uniform(0.05, 0.25)
    slow = _cloud(pink.shape, rng.uniform(15, 60), rng) * rng.uniform(0.1, 0.4)
    out: Plane = np.clip(own * fine + (1 - own) + grain + slow, 0.05, 3).astype(np.float32)
    return out


def _cloud(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> Plane:
    """Smooth noise of deviation 1 whose blobs are about `size` pixels."""
    step = max(1.0, size / 2)
    small = rng.standard_normal([int(side / step) + 3 for side in shape]).astype(np.float32)
    small = ndimage.gaussian_filter(small, size / step / 2)
    factors = [side / (cells - 1) + 1e-3 for side, cells in zip(shape, small.shape, strict=True)]
    large = ndimage.zoom(small, factors, order=1)[tuple(map(slice, shape))]
    cloud: Plane = (large - large.mean()) / (large.std() + 1e-6)
    return cloud


def _soft(mask: npt.NDArray[np.bool_], sigma: float) -> Plane:
    out: Plane = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    return out


def _varied(colour: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a stain as another laboratory has it, of length one."""
    varied = np.clip(colour + 0.045 * rng.standard_normal(3), 0.02, None)
    out: npt.NDArray[np.float64] = varied / np.linalg.norm(varied)
    return out

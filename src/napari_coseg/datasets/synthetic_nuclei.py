"""Nuclei of a generated colon tile: where they lie, how they are shaped, which pixel is whose.

The class of a nucleus follows from its place as much as from its looks: `LOOKALIKES` of each
class are drawn so that only the tissue around them tells them apart (an epithelial one from a
lymphocyte or from a fibroblast). Sizes follow CoNSeP's tiles: median half axes of 2.5 and 1.75 µm
(inflammatory), 3.5 and 2.0 (epithelial), 4 and 1.4 (uncut spindle).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.synthetic_fields import Field, smooth_noise
from napari_coseg.datasets.synthetic_tissue import Tissue

#: Class names in the order of their ids.
INFLAMMATORY, EPITHELIAL, SPINDLE = 1, 2, 3
NUCLEUS_CLASSES = ("inflammatory", "epithelial", "spindle")

#: Part of each class whose size, shape and darkness come from a distribution shared with another.
LOOKALIKES = 0.3

#: Part of a new nucleus that may lie over nuclei which are there already.
LARGEST_OVERLAP = 0.16


@dataclass(frozen=True)
class Nucleus:
    """One nucleus before it is drawn.

    Attributes
    ----------
    kind : int
        Class id.
    row, column : float
        Centre in pixels of the canvas.
    angle : float
        Direction of the long axis in radians, from the column axis towards the row axis.
    long, short : float
        Half axes in µm.
    bend, taper : float
        Curvature (fraction of the short axis) and thinning of the ends (0 to 1).
    density : float
        Haematoxylin, in units of the tile's stain.
    clumping : float
        Contrast of the chromatin.
    pale : float
        How much lighter the middle is than the rim, 0 to 1.
    softness : float
        Width of the edge in µm: large where the nucleus lies out of focus.
    """

    kind: int
    row: float
    column: float
    angle: float
    long: float
    short: float
    bend: float = 0.0
    taper: float = 0.0
    density: float = 1.0
    clumping: float = 0.3
    pale: float = 0.2
    softness: float = 0.3


@dataclass
class NucleusMap:
    """Canvas on which nuclei are drawn.

    Attributes
    ----------
    owner : ndarray of int32
        Number of the nucleus that a pixel belongs to, from 1; 0 for none.
    kinds : list of int
        Class by number, with 0 for none at the front.
    haematoxylin, cover, clumping : ndarray of float32
        Amount of dye, fraction of the pixel that is nucleus, and contrast of the chromatin.
    nearness : ndarray of float32
        Distance from the owner's centre as a fraction of its outline (2 where there is none).
    shove_along, shove_across : ndarray of float32
        µm by which outlines are pushed out of their smooth shape.
    mpp : float
        Size of a pixel in µm.
    """

    owner: npt.NDArray[np.int32]
    haematoxylin: Field
    cover: Field
    clumping: Field
    nearness: Field
    shove_along: Field
    shove_across: Field
    mpp: float
    kinds: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def empty(cls, rng: np.random.Generator, shape: tuple[int, int], mpp: float) -> NucleusMap:
        """Canvas without nuclei; `rng` makes the unevenness of their outlines."""
        return cls(
            owner=np.zeros(shape, np.int32),
            haematoxylin=np.zeros(shape, np.float32),
            cover=np.zeros(shape, np.float32),
            clumping=np.zeros(shape, np.float32),
            nearness=np.full(shape, 2.0, np.float32),
            shove_along=0.26 * smooth_noise(rng, shape, 2.8 / mpp),
            shove_across=0.26 * smooth_noise(rng, shape, 2.8 / mpp),
            mpp=mpp,
        )

    def draw(self, nucleus: Nucleus) -> bool:
        """Draw one nucleus unless too much of it lies over others; say whether it was drawn.

        Where two overlap, a pixel belongs to the one whose centre is nearer in units of its own
        outline, and both add their dye, as in a section of finite thickness.
        """
        reach = int(np.ceil(1.25 * nucleus.long / self.mpp)) + 1
        row, column = round(nucleus.row), round(nucleus.column)
        shape = self.owner.shape
        window = (
            slice(max(row - reach, 0), min(row + reach + 1, shape[0])),
            slice(max(column - reach, 0), min(column + reach + 1, shape[1])),
        )
        down = np.arange(window[0].start, window[0].stop, dtype=np.float32) - nucleus.row
        right = np.arange(window[1].start, window[1].stop, dtype=np.float32) - nucleus.column
        down, right = down[:, None] * self.mpp, right[None, :] * self.mpp
        cosine, sine = np.cos(nucleus.angle), np.sin(nucleus.angle)
        along = (cosine * right + sine * down + self.shove_along[window]) / nucleus.long
        square = along * along
        across = (cosine * down - sine * right + self.shove_across[window]) / nucleus.short
        across = (across + nucleus.bend * square) / (
            1.0 - nucleus.taper * np.minimum(square, np.float32(1.0))
        )
        distance = np.sqrt(square + across * across)
        inside = distance < 1.0
        area = int(np.count_nonzero(inside))
        if area == 0:
            return False
        taken = int(np.count_nonzero(inside & (self.nearness[window] < 1.0)))
        if taken > LARGEST_OVERLAP * area:
            return False
        number = len(self.kinds)
        self.kinds.append(nucleus.kind)
        edge = max(nucleus.softness, 0.5 * self.mpp)
        cover = np.clip((1.0 - distance) * (nucleus.short / edge) + 0.5, 0.0, 1.0)
        rim = 1.0 - nucleus.pale * np.clip(1.0 - distance, 0.0, 1.0)
        self.haematoxylin[window] += nucleus.density * cover * rim
        np.maximum(self.cover[window], cover, out=self.cover[window])
        mine = inside & (distance < self.nearness[window])
        self.owner[window][mine] = number
        self.clumping[window][mine] = nucleus.clumping
        self.nearness[window][mine] = distance[mine]
        return True


def _round_lookalike(rng: np.random.Generator) -> dict[str, float]:
    """Draw looks that lymphocytes and small epithelial nuclei share."""
    long = float(rng.normal(2.9, 0.3))
    return {
        "long": max(long, 2.0),
        "short": max(long * float(rng.uniform(0.72, 0.95)), 1.5),
        "density": float(rng.normal(0.78, 0.14)),
        "clumping": float(rng.uniform(0.2, 0.45)),
        "pale": float(rng.uniform(0.1, 0.4)),
    }


def _oval_lookalike(rng: np.random.Generator) -> dict[str, float]:
    """Draw looks that plump fibroblasts and slender epithelial nuclei share."""
    long = float(rng.normal(4.4, 0.5))
    return {
        "long": max(long, 2.8),
        "short": max(long * float(rng.uniform(0.36, 0.52)), 1.2),
        "density": float(rng.normal(0.62, 0.13)),
        "clumping": float(rng.uniform(0.15, 0.35)),
        "pale": float(rng.uniform(0.1, 0.4)),
        "taper": float(rng.uniform(0.0, 0.3)),
    }


def _inflammatory(rng: np.random.Generator) -> dict[str, float]:
    long = float(np.clip(rng.normal(2.4, 0.3), 1.7, 3.4))
    return {
        "long": long,
        "short": long * float(rng.uniform(0.75, 1.0)),
        "density": float(rng.normal(1.05, 0.2)),
        "clumping": float(rng.uniform(0.2, 0.5)),
        "pale": float(rng.uniform(0.0, 0.2)),
    }


def _spindle(rng: np.random.Generator) -> dict[str, float]:
    return {
        "long": float(np.clip(rng.normal(4.6, 1.0), 2.6, 8.0)),
        "short": float(np.clip(rng.normal(1.35, 0.28), 0.8, 2.2)),
        "density": float(rng.normal(0.62, 0.18)),
        "clumping": float(rng.uniform(0.1, 0.3)),
        "pale": float(rng.uniform(0.0, 0.25)),
        "bend": float(rng.normal(0.0, 0.35)),
        "taper": float(rng.uniform(0.2, 0.5)),
    }


@dataclass(frozen=True)
class _Epithelium:
    """How the epithelial nuclei of one tile look: a crypt's or a tumour's."""

    long: float
    short: float
    density: float
    pale: float
    layered: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> _Epithelium:
        layered = float(rng.random())
        return cls(
            long=float(rng.uniform(3.4, 4.4)) + 0.6 * layered,
            short=float(rng.uniform(1.9, 2.4)) + 0.4 * layered,
            density=float(rng.uniform(0.45, 0.8)),
            pale=float(rng.uniform(0.1, 0.35)) + 0.25 * layered,
            layered=layered,
        )

    def looks(self, rng: np.random.Generator) -> dict[str, float]:
        turn = float(rng.random())  # some are cut across their long axis
        long = self.long * float(np.exp(rng.normal(0, 0.14)))
        short = self.short * float(np.exp(rng.normal(0, 0.14)))
        if turn < 0.2:
            long = short + (long - short) * turn / 0.2
        return {
            "long": max(long, short, 1.8),
            "short": max(min(short, long), 1.3),
            "density": self.density * float(np.exp(rng.normal(0, 0.2))),
            "clumping": float(rng.uniform(0.15, 0.5)),
            "pale": float(np.clip(self.pale + rng.normal(0, 0.12), 0.0, 0.8)),
        }


def _focus(rng: np.random.Generator, looks: dict[str, float]) -> dict[str, float]:
    """Put some nuclei out of focus, and keep its density sensible."""
    soft = rng.random() < 0.18
    density = max(looks["density"], 0.25) * float(np.exp(rng.normal(0.0, 0.12)))
    if soft:
        return looks | {"density": density * float(rng.uniform(0.45, 0.8)), "softness": 1.0}
    return looks | {"density": density, "softness": float(rng.uniform(0.2, 0.5))}


def place_nuclei(rng: np.random.Generator, tissue: Tissue) -> NucleusMap:
    """Fill glands and stroma with nuclei.

    Parameters
    ----------
    rng : numpy.random.Generator
    tissue : Tissue

    Returns
    -------
    NucleusMap
        On the canvas of `tissue`, margin included.
    """
    nuclei = NucleusMap.empty(rng, tissue.glands.shape, tissue.mpp)
    _line_glands(rng, tissue, nuclei)
    _strew_stroma(rng, tissue, nuclei)
    return nuclei


def _spots(
    rng: np.random.Generator, weight: npt.NDArray[np.floating[Any]], number: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """At most `number` random pixels, as probable as their weight."""
    cumulated = np.cumsum(weight, dtype=np.float64)
    if number < 1 or cumulated[-1] <= 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    at = np.searchsorted(cumulated, rng.random(number) * cumulated[-1], side="right")
    rows, columns = np.unravel_index(np.minimum(at, weight.size - 1), weight.shape)
    return rows, columns


def _line_glands(rng: np.random.Generator, tissue: Tissue, nuclei: NucleusMap) -> None:
    """Epithelial nuclei across the walls, and a few lymphocytes between them."""
    kind = _Epithelium.drawn(rng)
    relative = tissue.depth / np.maximum(tissue.wall, 1.0)
    basal = np.exp(-(((relative - 0.36) / 0.11) ** 2))
    layered = np.clip((relative - 0.12) * 10, 0, 1) * np.clip((0.84 - relative) * 10, 0, 1)
    weight = (1 - kind.layered) * basal + kind.layered * layered
    # The whole nucleus has to lie in the gland.
    weight = np.where(tissue.epithelium & (tissue.depth > 2.2), weight, 0).astype(np.float32)
    mpp = tissue.mpp
    area = float(weight.sum()) * mpp**2
    crowding = rng.uniform(1.2, 2.4)
    rows, columns = _spots(rng, weight, int(crowding * area / (np.pi * kind.long * kind.short)))
    for row, column in zip(rows, columns, strict=True):
        draw = rng.random()
        if draw < LOOKALIKES / 2:
            looks = _round_lookalike(rng)
        elif draw < LOOKALIKES:
            looks = _oval_lookalike(rng)
        else:
            looks = kind.looks(rng)
        angle = tissue.outward[row, column] + rng.normal(0, 0.2)
        nuclei.draw(
            Nucleus(EPITHELIAL, float(row), float(column), float(angle), **_focus(rng, looks))
        )
    rows, columns = _spots(rng, weight, rng.poisson(area / 2500.0))
    for row, column in zip(rows, columns, strict=True):
        looks = _focus(rng, _inflammatory(rng))
        angle = float(rng.uniform(0, np.pi))
        nuclei.draw(Nucleus(INFLAMMATORY, float(row), float(column), angle, **looks))


def _strew_stroma(rng: np.random.Generator, tissue: Tissue, nuclei: NucleusMap) -> None:
    """Spindle nuclei along the fibres, inflammatory ones in clouds."""
    mpp = tissue.mpp
    open_stroma = tissue.stroma & ((tissue.outside > 1.8) | (tissue.glands.max() == 0))
    free = np.asarray(open_stroma, np.float32)
    area = float(free.sum()) * mpp**2
    clouds = np.clip(smooth_noise(rng, free.shape, 60.0 / mpp) + rng.uniform(-0.6, 0.6), 0, None)
    infiltrate = rng.uniform(0.0, 1.0) ** 2
    wanted = {
        SPINDLE: area / rng.uniform(160.0, 420.0),
        INFLAMMATORY: area * (1 / 1500.0 + infiltrate / 90.0),
    }
    weights = {
        SPINDLE: free * (1.0 + np.exp(-((tissue.outside - 3.0) ** 2) / 4.0)),
        INFLAMMATORY: free * (0.06 + clouds**1.5).astype(np.float32),
    }
    spots = [
        (kind, int(row), int(column))
        for kind in (SPINDLE, INFLAMMATORY)
        for row, column in zip(*_spots(rng, weights[kind], int(wanted[kind])), strict=True)
    ]
    for index in rng.permutation(len(spots)):
        kind, row, column = spots[index]
        alike = rng.random() < LOOKALIKES
        if kind == SPINDLE:
            looks = _oval_lookalike(rng) if alike else _spindle(rng)
            angle = tissue.fibres[row, column] + rng.normal(0, 0.22)
        else:
            looks = _round_lookalike(rng) if alike else _inflammatory(rng)
            angle = rng.uniform(0, np.pi)
        nuclei.draw(Nucleus(kind, float(row), float(column), float(angle), **_focus(rng, looks)))

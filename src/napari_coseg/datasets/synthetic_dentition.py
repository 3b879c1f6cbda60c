"""Teeth drawn into a volume, each in a box of its own: labels, surfaces, grey values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import label as connected

from napari_coseg.datasets.synthetic_grid import Field, Grid, Window
from napari_coseg.datasets.synthetic_intensities import Intensities
from napari_coseg.datasets.synthetic_sites import Mouth, ToothSite
from napari_coseg.datasets.synthetic_teeth import ToothShape, make_tooth

#: Distance in mm that stands for "far from every tooth".
FAR = 20.0

#: Part of an impacted tooth that may lie in others; it is moved away in steps of this many mm.
_OVERLAP, _AWAY = 0.01, 1.5

#: mm below the neck where bone begins.
CREST = 1.5

#: mm round a piece that is taken away in which its socket may show.
_SOCKET = 2.0


@dataclass(frozen=True)
class Dentition:
    """All teeth of a mouth in the volume.

    Attributes
    ----------
    instances : ndarray of uint8, (planes, rows, columns)
        One id a tooth, from 1 without gaps in the order of FDI numbers; 0 elsewhere.
    surface : ndarray of float32
        mm from the nearest tooth's surface, negative inside, `FAR` away from all.
    roots : ndarray of float32
        The same for what of the teeth stands in bone.
    values : ndarray of float32
        Grey value of the nearest tooth; means something at its surface and inside only.
    sites : dict of int to ToothSite
        By label.
    """

    instances: npt.NDArray[np.uint8]
    surface: Field
    roots: Field
    values: Field
    sites: dict[int, ToothSite]


@dataclass(frozen=True)
class _Drawn:
    window: Window
    surface: Field
    pulp: Field
    enamel: Field
    u: Field
    v: Field
    w: Field


def draw_teeth(
    rng: np.random.Generator,
    mouth: Mouth,
    grid: Grid,
    tints: Intensities,
    seen: npt.NDArray[np.bool_] | None = None,
) -> Dentition:
    """Draw the teeth that are there.

    A tooth that would be less than a voxel in what is seen has no label. Where two meet, a voxel
    belongs to the one that it lies deeper in; every tooth is one 6-connected piece, the largest
    of what the edge of the volume or of the field of view left of it. The others are not drawn.

    Parameters
    ----------
    rng : numpy.random.Generator
    mouth : Mouth
    grid : Grid
    tints : Intensities
    seen : ndarray of bool, (rows, columns), optional
        The field of view; teeth have no label outside of it. Everything without it.
    """
    surface = np.full(grid.shape, FAR, np.float32)
    roots = np.full(grid.shape, FAR, np.float32)
    values = np.zeros(grid.shape, np.float32)
    instances = np.zeros(grid.shape, np.uint8)
    sites: dict[int, ToothSite] = {}
    windows: dict[int, Window] = {}
    pulp = float(rng.uniform(0.55, 1.25))
    present = [site for site in mouth.sites if site.present]
    # Impacted ones last: they give way.
    for number, site in enumerate(sorted(present, key=lambda one: one.impacted), start=1):
        shape = make_tooth(rng, site, pulp)
        own = np.random.default_rng(rng.integers(2**32))
        placed, drawn = _placed(site, shape, grid, surface)
        if drawn is None:
            continue
        window = drawn.window
        nearer = drawn.surface < surface[window]
        inside = nearer & (drawn.surface < 0)
        instances[window][inside] = number
        surface[window][nearer] = drawn.surface[nearer]
        values[window][nearer] = _values(own, placed, shape, drawn, grid.spacing, tints)[nearer]
        if site.impacted:
            socket = drawn.surface - np.float32(0.6)
        else:
            socket = np.maximum(drawn.surface, drawn.w + np.float32(CREST))
        np.minimum(roots[window], socket, out=roots[window])
        sites[number], windows[number] = placed, window
    if seen is not None:
        instances *= seen
    dentition = Dentition(instances, surface, roots, values, sites)
    for number, window in windows.items():
        _keep_largest(dentition, number, window, grid.spacing)
    return _numbered(dentition)


def _placed(
    site: ToothSite, shape: ToothShape, grid: Grid, surface: Field
) -> tuple[ToothSite, _Drawn | None]:
    """Distances of a tooth in its box; an impacted one is first moved out of its neighbours."""
    drawn = _draw(site, shape, grid)
    if not site.impacted or drawn is None:
        return site, drawn
    third = site.fdi % 10 == 8
    heading = site.axes[0].copy() if third else -0.35 * site.axes[1]
    heading[0] = 0.9 if site.upper else -0.35
    heading /= np.linalg.norm(heading)
    for _ in range(10):
        inside = drawn.surface < 0
        shared = np.count_nonzero(inside & (surface[drawn.window] < 0.4))
        if shared <= _OVERLAP * np.count_nonzero(inside):
            break
        site = replace(site, neck=site.neck + _AWAY * heading)
        moved = _draw(site, shape, grid)
        if moved is None:
            return site, None
        drawn = moved
    return site, drawn


def _draw(site: ToothSite, shape: ToothShape, grid: Grid) -> _Drawn | None:
    side_u, side_v, length = shape.reach
    u, v, w = site.axes
    corners = np.array(
        [
            site.neck + a * u + b * v + c * w
            for a in (-side_u, side_u)
            for b in (-side_v, side_v)
            for c in (-length, site.size.crown + 1.0)
        ]
    )
    window = grid.window(corners)
    if window is None:
        return None
    place = [axis - np.float32(n) for axis, n in zip(grid.place(window), site.neck, strict=True)]
    along = [
        np.asarray(sum(np.float32(e) * p for e, p in zip(axis, place, strict=True)), np.float32)
        for axis in site.axes
    ]
    surface, pulp, enamel = shape.distances(*along)
    return _Drawn(window, surface, pulp, enamel, *along)


def _values(
    rng: np.random.Generator,
    site: ToothSite,
    shape: ToothShape,
    drawn: _Drawn,
    spacing: float,
    tints: Intensities,
) -> Field:
    """Grey values of a tooth: dentine, enamel, pulp, and what a dentist put there."""

    def over(base: Field, value: float, distance: Field) -> Field:
        cover = np.clip(np.float32(0.5) - distance / np.float32(spacing), 0, 1)
        return np.asarray(base + cover * (np.float32(value) - base), np.float32)

    depth = -drawn.surface
    tone = float(rng.normal(0, 40))
    values = np.full(depth.shape, tints.dentine + tone, np.float32)
    # Enamel of nothing must not tint the root: its layer begins where it is thicker than a hair.
    enamel = np.where(drawn.enamel > 0.1, depth - drawn.enamel, np.float32(FAR))
    values = over(values, tints.enamel + tone, enamel)
    filled = site.restoration == "root canal"
    values = over(values, tints.composite if filled else tints.pulp, drawn.pulp)
    crown, width = site.size.crown, site.size.width
    if site.restoration == "crown":
        margin = np.maximum(depth - np.float32(1.1), np.float32(0.5) - drawn.w)
        values = over(values, tints.metal, margin)
    elif site.restoration:
        radius = float(rng.uniform(0.16, 0.3)) * width
        at = np.array([rng.choice([-0.3, 0.0, 0.3]) * width, 0.0, crown * rng.uniform(0.8, 1.0)])
        ball = np.sqrt(
            (drawn.u - at[0]) ** 2 + 0.6 * (drawn.v - at[1]) ** 2 + (drawn.w - at[2]) ** 2
        ) - np.float32(radius)
        metal = site.restoration == "amalgam"
        values = over(values, tints.metal if metal else tints.composite, ball)
    return np.asarray(values, np.float32)


def _keep_largest(dentition: Dentition, number: int, window: Window, spacing: float) -> None:
    """Take all pieces of a tooth but the largest away: label, tooth and socket."""
    instances = dentition.instances[window]
    pieces = connected(instances == number, connectivity=1)
    sizes = np.bincount(pieces.ravel())
    if sizes.size <= 2:
        return
    sizes[0] = 0
    dropped = (pieces > 0) & (pieces != sizes.argmax())
    instances[dropped] = 0
    # What lies nearer to it than to any tooth that stays is its edge and its socket.
    away = ndimage.distance_transform_edt(~dropped, sampling=spacing)
    gone = (away < ndimage.distance_transform_edt(instances == 0, sampling=spacing)) & (
        away < _SOCKET
    )
    dentition.surface[window][gone] = FAR
    dentition.roots[window][gone] = FAR


def _numbered(dentition: Dentition) -> Dentition:
    """Give the teeth that are left numbers by FDI, without gaps."""
    old = dentition.instances
    left = np.flatnonzero(np.bincount(old.ravel(), minlength=1))
    order = sorted((int(n) for n in left if n), key=lambda label: dentition.sites[label].fdi)
    new = np.zeros(256, np.uint8)
    new[order] = np.arange(1, len(order) + 1)
    sites = {number: dentition.sites[label] for number, label in enumerate(order, start=1)}
    return replace(dentition, instances=new[old], sites=sites)

"""FDI numbers (ISO 3950) from where teeth stand along their arch, and how large they are.

Both arches are laid out on one midline. In each, teeth come in an order, and every way to give
them ascending places is weighed: by the place along the arch, by the distance to the next tooth,
by the size of the crown, and by how often teeth are missing. The weight of all ways in which a
tooth has the same number, of the weight of all ways, is the confidence in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.special import logsumexp

from napari_coseg.datasets.synthetic_sites import tooth_widths
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.inference.jaw_votes import UInt8, jaw_of_objects
from napari_coseg.inference.volume_sections import Bool, Float, Int32, Int64

FDI_COLUMNS = ("label", "jaw", "fdi", "fdi_confidence")

#: mm of a crown, from its biting edge, whose middle and breadth are measured.
_CROWN = 6.0
#: Angles seen from the middle of the mouth, in degrees from the front, at which arches end.
_END = 130
#: mm to the sides and to the back of an average arch's middle.
_SIDE, _FRONT, _MIDDLE = 26.0, 30.0, 26.0
#: Spread of what is compared: mm along the arch, mm from tooth to tooth, of breadth, of depth.
_ALONG, _STEP, _BREADTH, _DEPTH = 4.0, 1.8, 1.3, 1.3
#: mm by which a midline lies beside the arch's.
_MIDLINE = 2.0
#: Logarithm of how often a tooth is missing, and a third molar.
_MISSING, _THIRD = -2.5, -0.8
#: Below this a number is no proposal; and none is surer than that: 1 is a person's.
_LEAST, _SUREST = 0.3, 0.999
#: Neighbours that are further from the arch than this are impacted: they find a place at last.
_OFF = 4.5
#: Teeth of a jaw.
_PLACES = 16
#: mm² of a crown from above: what is smaller is a piece, and has no place in a row.
_PIECE = 10.0
#: And so is what has less than this part of the volume of the jaw's teeth, by the median.
_SLIVER = 0.2


def propose_fdi(
    instances: Int32, regions: UInt8, grid: VolumeGrid, upper: int, lower: int
) -> pd.DataFrame:
    """Propose an FDI number for each tooth.

    Parameters
    ----------
    instances : ndarray of int32, (planes, rows, columns)
    regions : ndarray of uint8, (planes, rows, columns)
    grid : VolumeGrid
        Says where left, front and head are.
    upper, lower : int
        Ids of the jaws in `regions`.

    Returns
    -------
    DataFrame
        One row a tooth, columns `FDI_COLUMNS`: ``jaw`` "upper", "lower" or "", ``fdi`` 0 where it
        cannot be said, ``fdi_confidence`` 0 to 1. No number stands twice.
    """
    jaws = jaw_of_objects(instances, regions, grid, upper, lower)
    table = pd.DataFrame({"label": jaws.label, "jaw": list(jaws.jaw)})
    fdi, confidence = np.zeros(len(table), np.int64), np.zeros(len(table))
    crowns = _crowns(instances, grid, table)
    rows = {name: np.flatnonzero(table["jaw"] == name) for name in ("upper", "lower")}
    arches = _lay_out([crowns[own, :2] for own in rows.values() if len(own)])
    for (name, own), arch in zip(
        [(name, own) for name, own in rows.items() if len(own)], arches, strict=True
    ):
        number, sure = _number(crowns[own], arch, name == "upper")
        fdi[own], confidence[own] = number, sure * jaws.confidence[own] ** 0.25
    weak = confidence < _LEAST
    fdi[weak] = 0
    return table.assign(fdi=fdi, fdi_confidence=np.clip(confidence, 0, _SUREST))[list(FDI_COLUMNS)]


def _crowns(instances: Int32, grid: VolumeGrid, table: pd.DataFrame) -> Float:
    """Middle of each crown (left, back in mm), its second moments there, the tooth's volume.

    (teeth, 6); voxels.
    """
    steps = np.array(grid.direction) * np.array(grid.spacing)[:, None]
    boxes = ndimage.find_objects(instances)
    found = np.zeros((len(table), 6))
    for row, (label, jaw) in enumerate(zip(table["label"], table["jaw"], strict=True)):
        box = boxes[label - 1]
        inside = np.stack(np.nonzero(instances[box] == label), 1) + [s.start for s in box]
        place = inside @ steps + np.array(grid.origin)
        height = place[:, 2] if jaw == "upper" else -place[:, 2]
        part = place[height <= height.min() + _CROWN, :2]
        off = part - part.mean(0)
        found[row, :2] = part.mean(0)
        found[row, 2:5] = (off[:, 0] ** 2).mean(), (off[:, 1] ** 2).mean(), off.prod(1).mean()
        found[row, 5] = len(inside)
    return found


class _Arch:
    """A curve round the middle of a mouth: radius by angle, and lengths along it."""

    def __init__(self, origin: Float, turn: float, terms: Float) -> None:
        self._origin, self._turn = origin, turn
        self._angle = np.deg2rad(np.linspace(-_END, _END, 521))
        self._radius = _basis(self._angle) @ terms
        x, y = self._radius * np.sin(self._angle), -self._radius * np.cos(self._angle)
        length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        self._length = length - np.interp(0, self._angle, length)
        self._heading = np.arctan2(np.gradient(y), np.gradient(x))

    def coordinates(self, place: Float) -> tuple[Float, Float, Float]:
        """Along the arch from the midline, left positive; outwards from it; direction there."""
        angle, radius = _polar(place, self._origin, self._turn)
        along = np.interp(angle, self._angle, self._length)
        outwards = radius - np.interp(angle, self._angle, self._radius)
        heading = np.interp(angle, self._angle, np.unwrap(self._heading)) + self._turn
        return along, outwards, heading


def _polar(place: Float, origin: Float, turn: float) -> tuple[Float, Float]:
    """Angle from the front, positive to the left, and distance from the origin."""
    off = place - origin
    x = off[:, 0] * math.cos(turn) + off[:, 1] * math.sin(turn)
    y = -off[:, 0] * math.sin(turn) + off[:, 1] * math.cos(turn)
    return np.arctan2(x, -y), np.hypot(x, y)


def _basis(angle: Float) -> Float:
    return np.stack([np.cos(k * angle) for k in range(5)], axis=-1)


def _lay_out(rows: list[Float]) -> list[_Arch]:
    """Fit arches that are the same to the left and to the right, on one midline."""
    if not rows:
        return []
    every = np.concatenate(rows)
    left = (every[:, 0].min() + every[:, 0].max()) / 2
    front = every[:, 1].min() + _MIDDLE
    grid = np.deg2rad(np.linspace(-100, 100, 60))
    typical, *_ = np.linalg.lstsq(
        _basis(grid),
        1
        / np.hypot(
            np.sin(grid) / _SIDE, np.cos(grid) / np.where(np.cos(grid) > 0, _MIDDLE, _FRONT)
        ),
        rcond=None,
    )
    best: tuple[float, list[tuple[Float, float, Float]]] | None = None
    for turn in np.deg2rad(np.arange(-10, 11, 2.0)):
        for shift in np.arange(-6, 6.1, 1.0):
            origin = np.array([left + shift * math.cos(turn), front + shift * math.sin(turn)])
            cost = (shift / 6) ** 2 + (turn / np.deg2rad(6)) ** 2
            arches: list[tuple[Float, float, Float]] = []
            for row in rows:
                terms, misfit = _fit(
                    *_polar(row, origin, float(turn)), np.asarray(typical, np.float64)
                )
                cost += misfit
                arches.append((origin, float(turn), terms))
            if best is None or cost < best[0]:
                best = (cost, arches)
    assert best is not None
    return [_Arch(*arch) for arch in best[1]]


def _fit(angle: Float, radius: Float, typical: Float) -> tuple[Float, float]:
    """Robust fit of the radius by angle, held by an average arch; and the misfit."""
    basis, stiff = _basis(angle), np.diag([0.02, 0.02, 0.05, 0.2, 0.4])
    weight: Float = np.ones(len(angle))
    terms: Float = typical
    for _ in range(4):
        left = basis.T @ (weight[:, None] * basis) + stiff
        right = basis.T @ (weight * radius) + stiff @ typical
        terms = np.asarray(np.linalg.solve(left, right), np.float64)
        off = np.abs(radius - basis @ terms)
        weight = np.asarray(1 / np.maximum(1, off) ** 2, np.float64)
    off = radius - basis @ terms
    pull = terms - typical
    return terms, float(np.log1p(off**2).sum() + 0.1 * (pull @ stiff @ pull))


def _number(crowns: Float, arch: _Arch, upper: bool) -> tuple[Int64, Float]:
    """FDI number and confidence of each tooth of a jaw."""
    along, outwards, heading = arch.coordinates(crowns[:, :2])
    breadth, depth = _sides(crowns[:, 2:5], heading)
    order = np.argsort(along, kind="stable")
    volume = crowns[:, 5]
    whole = (breadth * depth >= _PIECE) & (volume >= _SLIVER * np.median(volume))
    on_arch = order[(np.abs(outwards[order]) <= _OFF) & whole[order]]
    if len(on_arch) > _PLACES:
        # More than a jaw has places for: the smallest are pieces of something.
        largest = np.argsort(-(breadth * depth)[on_arch], kind="stable")[:_PLACES]
        on_arch = on_arch[np.sort(largest)]
    width = tooth_widths(upper)
    # Places from the patient's right to the left: 8 .. 1, 1 .. 8.
    sites = [*range(8, 0, -1), *range(1, 9)]
    number = np.array(
        [(10 if upper else 40) + n for n in sites[:8]]
        + [(20 if upper else 30) + n for n in sites[8:]]
    )
    breadths = np.array([width[n][0] for n in sites])
    depths = np.array([width[n][1] for n in sites])
    middle = np.cumsum(breadths) - breadths / 2 - breadths.sum() / 2
    missing = np.array([_THIRD if n == 8 else _MISSING for n in sites])
    fits = -0.5 * (
        ((breadth[:, None] - breadths) / _BREADTH) ** 2 + ((depth[:, None] - depths) / _DEPTH) ** 2
    )
    chance = _weigh(along[on_arch], fits[on_arch], middle, missing)
    full = np.zeros((len(crowns), 16))
    full[on_arch] = chance
    result, sure = np.zeros(len(crowns), np.int64), np.zeros(len(crowns))
    taken = np.zeros(16, bool)
    for tooth, site in _best_first(full):
        if not taken[site] and result[tooth] == 0:
            taken[site] = True
            result[tooth], sure[tooth] = number[site], full[tooth, site]
    for tooth in np.setdiff1d(order, on_arch):
        off = fits[tooth] - 0.5 * ((along[tooth] - middle) / _ALONG) ** 2
        off[taken] = -np.inf
        if np.isfinite(off).any():
            site = int(off.argmax())
            taken[site] = True
            result[tooth] = number[site]
            # Never as sure as a tooth that stands in its row.
            sure[tooth] = 0.7 * math.exp(off[site] - logsumexp(off))
    return result, sure


def _best_first(chance: Float) -> Iterator[tuple[int, int]]:
    for index in np.argsort(-chance, axis=None, kind="stable"):
        tooth, site = divmod(int(index), chance.shape[1])
        if chance[tooth, site] > 0:
            yield tooth, site


def _sides(moments: Float, heading: Float) -> tuple[Float, Float]:
    """Breadth along the arch and depth across it: of the ellipse of the same moments."""
    c, s = np.cos(heading), np.sin(heading)
    xx, yy, xy = moments.T
    along = c * c * xx + s * s * yy + 2 * c * s * xy
    across = s * s * xx + c * c * yy - 2 * c * s * xy
    return 4 * np.sqrt(np.maximum(along, 0)), 4 * np.sqrt(np.maximum(across, 0))


def _weigh(along: Float, fits: Float, middle: Float, missing: Float) -> Float:
    """Probability of each place (columns) for each tooth in its order, over all midlines."""
    if not len(along):
        return np.zeros((0, 16))
    shifts = np.arange(-5, 5.1, 0.5)
    weights, chances = [], []
    for shift in shifts:
        own = fits - 0.5 * ((along[:, None] - shift - middle) / _ALONG) ** 2
        chance, weight = _ways(along, own, middle, missing)
        weights.append(weight - 0.5 * (shift / _MIDLINE) ** 2)
        chances.append(chance)
    share = np.exp(np.array(weights) - logsumexp(weights))
    total: Float = np.tensordot(share, np.array(chances), axes=1)
    return total


def _ways(along: Float, own: Float, middle: Float, missing: Float) -> tuple[Float, float]:
    """Sum over all ascending ways, forwards and backwards; and the logarithm of their weight."""
    count, sites = own.shape
    skipped = np.concatenate([[0], np.cumsum(missing)])
    ways: list[Float] = []
    site = np.arange(sites)
    rising: Bool = site[:, None] < site
    between = skipped[site][None, :] - skipped[site + 1][:, None]
    for tooth in range(count - 1):
        step = along[tooth + 1] - along[tooth]
        off = (step - (middle[None, :] - middle[:, None])) / (
            _STEP * np.sqrt(1 + np.maximum(site[None, :] - site[:, None] - 1, 0))
        )
        ways.append(np.where(rising, between - 0.5 * off**2, -np.inf))
    first, last = skipped[site], skipped[-1] - skipped[site + 1]
    ahead = [first + own[0]]
    for tooth, way in enumerate(ways, start=1):
        ahead.append(own[tooth] + logsumexp(ahead[-1][:, None] + way, axis=0))
    back = [last]
    for tooth in range(count - 1, 0, -1):
        back.insert(0, np.asarray(logsumexp(ways[tooth - 1] + own[tooth] + back[0], axis=1)))
    weight = float(logsumexp(ahead[-1] + last))
    if not math.isfinite(weight):
        return np.zeros(own.shape), -1e9
    return np.exp(np.stack(ahead) + np.stack(back) - weight), weight

"""Upper or lower: regions made consistent in three dimensions, and the jaw of each tooth.

A network that sees one plane after the other takes a part of one jaw for the other now and then.
In the volume such a part lies against the rest of its jaw with both faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.inference.volume_sections import Float, Int32, Int64

UInt8 = npt.NDArray[np.uint8]

#: mm round a tooth in which bone speaks for its jaw.
_NEAR = 2.5
#: mm by which a tooth must lie on its jaw's side for the arch to be as sure as `_SURE`.
_CLEAR = 4.0
#: Bone round a tooth of which this part is of one jaw makes the jaw sure enough to place others.
_SURE = 0.8
#: A connected part of bone with this share of one class is of that class alone.
_NEARLY = 0.9


@dataclass(frozen=True)
class ToothJaws:
    """The jaw of each tooth.

    Attributes
    ----------
    label : ndarray of int64, (teeth,)
    jaw : tuple of str
        ``"upper"``, ``"lower"``, or ``""`` where nothing speaks for either.
    confidence : ndarray of float64, (teeth,)
        0 to 1.
    """

    label: Int64
    jaw: tuple[str, ...]
    confidence: Float


def vote_jaws(regions: UInt8, upper: int, lower: int, thickness: float, reach: float = 3.0) -> None:
    """Give parts of jaws that are the other jaw's in their surroundings its class, in place.

    Pieces of both classes in each plane are the voters. Each has its own voice, by its size, and
    is bound to those that it lies against, in neighbouring planes and beside it in its own, by the
    common surface; the balance of all (a linear system) decides. At last every connected part of
    bone that is nearly all of one class becomes that class.

    Parameters
    ----------
    regions : ndarray of uint8, (planes, rows, columns)
        Region ids, changed in place; other classes and background stay as they are.
    upper, lower : int
        Ids of the jaws.
    thickness : float
        mm from plane to plane.
    reach : float
        Parts of a wrong class that are up to about this long, across the planes, are put right.
    """
    piece, kind, size = _pieces(regions, upper, lower)
    if not kind.size:
        return
    one, two, area = _contacts(piece)
    connected = _connected(one, two, len(kind))
    # In the balance a vote fades over `reach` along a jaw of even cross-section.
    bond = area * (reach / thickness) ** 2
    held = size + np.bincount(one, bond, len(kind)) + np.bincount(two, bond, len(kind))
    every = np.arange(len(kind))
    system = coo_array(
        (
            np.concatenate([held, -bond, -bond]),
            (np.concatenate([every, one, two]), np.concatenate([every, two, one])),
        )
    ).tocsr()
    balance, _ = cg(system, (size * kind).astype(float), rtol=1e-4, M=diags_array(1 / held))
    now = np.where(balance == 0, kind, np.sign(balance))
    share = np.bincount(connected, size * (now > 0)) / np.bincount(connected, size)
    whole = share[connected]
    now = np.where(whole >= _NEARLY, 1, np.where(whole <= 1 - _NEARLY, -1, now))
    ids = np.where(now > 0, lower, upper).astype(np.uint8)
    for plane, numbers in zip(regions, piece, strict=True):
        inside = numbers >= 0
        plane[inside] = ids[numbers[inside]]


def _pieces(regions: UInt8, upper: int, lower: int) -> tuple[Int32, Int64, Int64]:
    """Number the pieces of each class in each plane from 0; -1 is no jaw.

    Returns them with their class (1 lower, -1 upper) and their pixels.
    """
    piece = np.full(regions.shape, -1, np.int32)
    kinds: list[int] = []
    for plane, numbers in zip(regions, piece, strict=True):
        for value, sign in ((upper, -1), (lower, 1)):
            found, count = ndimage.label(plane == value)
            inside = found > 0
            numbers[inside] = found[inside] + (len(kinds) - 1)
            kinds += [sign] * count
    sizes = np.zeros(len(kinds), np.int64)
    for numbers in piece:
        there = np.bincount(numbers[numbers >= 0])
        sizes[: len(there)] += there
    return piece, np.array(kinds, np.int64), sizes


def _contacts(piece: Int32) -> tuple[Int64, Int64, Int64]:
    """Pairs of pieces with a common face, and how many voxels' faces."""
    keys: list[Int64] = []
    counts: list[Int64] = []
    span = int(piece.max()) + 1
    for number, plane in enumerate(piece):
        pairs = [(plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])]
        if number:
            pairs.append((piece[number - 1], plane))
        for one, two in pairs:
            apart = (one != two) & (one >= 0) & (two >= 0)
            first, second = one[apart].astype(np.int64), two[apart].astype(np.int64)
            low, high = np.minimum(first, second), np.maximum(first, second)
            key, count = np.unique(low * span + high, return_counts=True)
            keys.append(key)
            counts.append(count)
    key, where = np.unique(np.concatenate(keys), return_inverse=True)
    area = np.bincount(where.reshape(-1), np.concatenate(counts), len(key)).astype(np.int64)
    one, two = np.divmod(key, span)
    return one, two, area


def _connected(one: Int64, two: Int64, count: int) -> Int64:
    graph = coo_array((np.ones(len(one), bool), (one, two)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def jaw_of_objects(
    instances: Int32, regions: UInt8, grid: VolumeGrid, upper: int, lower: int
) -> ToothJaws:
    """Say to which jaw each tooth belongs.

    Bone within 2.5 mm round a tooth votes first. From the teeth where it is clear, the surface
    between both rows is fitted (a plane), and how far each other tooth lies above or below it is
    the second vote; the surer one counts.

    Parameters
    ----------
    instances : ndarray of int32, (planes, rows, columns)
    regions : ndarray of uint8, (planes, rows, columns)
    grid : VolumeGrid
    upper, lower : int
        Ids of the jaws in `regions`.
    """
    boxes = [(n, box) for n, box in enumerate(ndimage.find_objects(instances), 1) if box]
    label = np.array([number for number, _ in boxes], np.int64)
    votes = np.zeros((len(boxes), 2))
    centre = np.zeros((len(boxes), 3))
    for row, (number, box) in enumerate(boxes):
        window = tuple(
            slice(max(0, side.start - margin), side.stop + margin)
            for side, margin in zip(
                box, (int(np.ceil(_NEAR / s)) for s in grid.spacing), strict=True
            )
        )
        inside = instances[window] == number
        near = ndimage.distance_transform_edt(~inside, sampling=grid.spacing) <= _NEAR
        there = regions[window][near]
        votes[row] = np.count_nonzero(there == upper), np.count_nonzero(there == lower)
        middle = np.array([axis.mean() for axis in np.nonzero(inside)])
        centre[row] = grid.position(middle + [side.start for side in window])
    total = votes.sum(1)
    share = np.where(total > 0, votes[:, 0] / np.maximum(total, 1), 0.5)
    known = (total > 0) & (np.abs(share - 0.5) >= _SURE - 0.5)
    score = 2 * share - 1
    place = _place(centre, np.sign(score), known)
    final = np.where(np.abs(place) > np.abs(score), place, score)
    jaw = tuple("upper" if s > 0 else "lower" if s < 0 else "" for s in final)
    return ToothJaws(label, jaw, np.abs(final))


def _place(centre: Float, sign: Float, known: npt.NDArray[np.bool_]) -> Float:
    """From -1, below the surface between the rows, to 1, above it; 0 where it is not known."""
    if min(np.count_nonzero(known & (sign > 0)), np.count_nonzero(known & (sign < 0))) < 1:
        return np.zeros(len(centre))
    # One height for both rows, half of their distance away from it; heavy on a level surface.
    columns = np.concatenate([centre[:, :2], np.ones((len(centre), 1)), sign[:, None]], axis=1)
    middle = np.average(centre[known], axis=0)
    columns[:, :2] -= middle[:2]
    stiff = np.diag([1e3, 1e3, 1e-6, 1e-6])
    used = columns[known]
    found = np.linalg.solve(used.T @ used + stiff, used.T @ centre[known, 2])
    above = centre[:, 2] - columns[:, :3] @ found[:3]
    if found[3] <= 0:
        return np.zeros(len(centre))
    place: Float = _SURE * np.clip(above / _CLEAR, -1, 1)
    return place

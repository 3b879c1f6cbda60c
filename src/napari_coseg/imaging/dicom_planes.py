"""Planes of a DICOM series put in order: one grid, and what is missing of it.

Planes are sorted by their place along the normal of their orientation, never by number or name
(PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.dicom_headers import PlaneHeader
from napari_coseg.imaging.volume_grid import Vector, VolumeGrid
from napari_coseg.types import CosegError

#: Planes nearer to each other than this are at one place, mm.
_SAME_PLACE = 1e-3
#: A step between planes may differ by this part of a step from a whole number of steps.
_UNEVEN = 0.1
#: Planes may be shifted sideways by this part of a step before they count as tilted.
_TILTED = 0.02
#: No plane may lie further from its place in the grid than this part of a voxel's shortest side.
_OFF = 0.5
#: At most this part of a volume may be missing.
_GAPS = 0.25


@dataclass(frozen=True)
class Arrangement:
    """Sorted planes.

    Attributes
    ----------
    grid : VolumeGrid
        Missing planes included.
    planes : tuple of PlaneHeader
        From the lowest plane index to the highest.
    indices : tuple of int
        Index of each in the grid.
    notes : tuple of str
        Which planes are missing, a sentence a gap.
    """

    grid: VolumeGrid
    planes: tuple[PlaneHeader, ...]
    indices: tuple[int, ...]
    notes: tuple[str, ...]


def parted(headers: Sequence[PlaneHeader]) -> list[list[PlaneHeader]]:
    """Part files into groups that may be volumes.

    Files of one series, orientation, size and spacing stay together: a scout goes apart from what
    it was made for. A group with several pictures at one place is parted further, by acquisition,
    point in time or echo, if that leaves one picture a place. Copies of a picture are dropped.

    Returns
    -------
    list of list of PlaneHeader
        In the order in which they were found.
    """
    groups: dict[tuple[object, ...], list[dict[object, PlaneHeader]]] = {}
    for number, header in enumerate(headers):
        key: tuple[object, ...] = (header.series, header.rows, header.columns)
        if header.frames > 1:
            key = (*key, number)
        group = groups.setdefault(key, [])
        for members in group:
            if _alike(next(iter(members.values())), header):
                members.setdefault(_identity(header, number), header)
                break
        else:
            group.append({_identity(header, number): header})
    found = []
    for group in groups.values():
        for members in group:
            found += _by_part([*members.values()])
    return found


def arranged(headers: Sequence[PlaneHeader]) -> Arrangement:
    """Put the planes of one group in order.

    Raises
    ------
    CosegError
        If they are no volume: one plane, no place or size, several pictures at one place, planes
        at uneven distances, a tilted gantry, or too many missing.
    """
    first = headers[0]
    if len(headers) < 2:
        raise CosegError("It has one plane only, and a volume has two or more.")
    if first.spacing is None or min(first.spacing) <= 0:
        raise CosegError("It does not say how large a pixel is: export it again.")
    if first.orientation is None or any(header.position is None for header in headers):
        raise CosegError("Its planes do not say where they lie: export them again as a CT or MR.")
    across, down, normal = _axes(first.orientation)
    places = np.array([header.position for header in headers], float)
    along = places @ normal
    order = np.argsort(along, kind="stable")
    places, along = places[order], along[order]
    steps = np.diff(along)
    if steps.min() < _SAME_PLACE:
        raise CosegError(
            "It has several pictures at one place (a volume over time, or two series under one "
            "number): export one point in time."
        )
    indices, step = _indices(along)
    missing = int(indices[-1]) + 1 - len(indices)
    if missing > max(1, _GAPS * (indices[-1] + 1)):
        raise CosegError(
            f"{missing} of its {int(indices[-1]) + 1} planes are missing: copy the whole series "
            "again."
        )
    sideways = np.diff(places, axis=0) - steps[:, None] * normal
    if (np.linalg.norm(sideways, axis=1) > _TILTED * steps).any():
        raise _tilted()
    grid = VolumeGrid(
        (int(indices[-1]) + 1, first.rows, first.columns),
        (float(step), first.spacing[0], first.spacing[1]),
        _vector(places[0]),
        (_vector(normal), _vector(down), _vector(across)),
    )
    _check_places(grid, places, indices)
    notes = [
        f"{_count(int(after - before) - 1)} missing between plane {before} and plane {after} "
        f"(counted from 0), and left dark."
        for before, after in itertools.pairwise(indices)
        if after - before > 1
    ]
    planes = tuple(headers[i] for i in order)
    return Arrangement(grid, planes, tuple(int(i) for i in indices), tuple(notes))


def _check_places(
    grid: VolumeGrid, places: npt.NDArray[np.float64], indices: npt.NDArray[np.int64]
) -> None:
    """Raise if what each step may differ by has added up."""
    off = places - np.array([grid.position((index, 0, 0)) for index in indices])
    most = _OFF * min(grid.spacing)
    far = np.linalg.norm(off, axis=1)
    if far.max() <= most:
        return
    along = np.abs(off @ np.array(grid.direction[0]))
    if along.max() <= most:
        raise _tilted()
    raise CosegError(
        f"Its planes lie at uneven distances, up to {far.max():.3g} mm from where even ones would: "
        "export it again, or resample it."
    )


def _tilted() -> CosegError:
    return CosegError(
        "Its planes are shifted against each other (a tilted gantry): resample it to a "
        "rectangular grid first."
    )


def _indices(along: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], float]:
    """Return the index of each plane and the distance between two, mm."""
    steps = np.diff(along)
    # A gap is longer than a step, nothing is shorter.
    step = float(np.median(steps[steps < 1.5 * steps.min()]))
    counts = np.rint(steps / step)
    if (np.abs(steps - counts * step) > _UNEVEN * step).any():
        raise CosegError(
            f"Its planes lie at uneven distances, from {steps.min():.3g} to {steps.max():.3g} mm: "
            "export it again, or resample it."
        )
    indices = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return indices, float((along[-1] - along[0]) / indices[-1])


def _axes(
    orientation: tuple[float, ...],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return where columns, rows and planes grow; decimals that a header leaves out are mended."""
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(across), np.linalg.norm(down)
    if max(abs(length - 1) for length in lengths) > 0.01 or abs(across @ down) > 0.01:
        raise CosegError("Its orientation makes no sense: export it again.")
    across = across / lengths[0]
    down = down - (down @ across) * across
    down = down / np.linalg.norm(down)
    return across, down, np.cross(across, down)


def _identity(header: PlaneHeader, number: int) -> object:
    """Return what copies of a picture have in common.

    Its place too: some anonymisers give all pictures one identifier.
    """
    return (header.picture, header.position, header.part) if header.picture else number


def _alike(one: PlaneHeader, other: PlaneHeader) -> bool:
    """Whether orientation and spacing are the same, but for decimals."""
    pairs = ((one.orientation, other.orientation), (one.spacing, other.spacing))
    return all(
        first == second
        or (first is not None and second is not None and np.allclose(first, second, 1e-3, 1e-3))
        for first, second in pairs
    )


def _by_part(group: list[PlaneHeader]) -> list[list[PlaneHeader]]:
    if not _doubled(group):
        return [group]
    for which in range(len(group[0].part)):
        parts: dict[int, list[PlaneHeader]] = {}
        for header in group:
            parts.setdefault(header.part[which], []).append(header)
        if len(parts) > 1 and not any(map(_doubled, parts.values())):
            return [*parts.values()]
    return [group]


def _doubled(group: Sequence[PlaneHeader]) -> bool:
    places = [np.round(h.position, 3).tobytes() for h in group if h.position is not None]
    return len(set(places)) < len(places)


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    # Without the sign of a zero.
    first, second, third = (float(value) + 0.0 for value in values)
    return first, second, third


def _count(missing: int) -> str:
    return "A plane is" if missing == 1 else f"{missing} planes are"

"""What each edit does to the pixels: drawing on a draft, without a file or a table.

Every function raises a `CosegError` where the edit makes no sense; the draft is thrown away then,
so that nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.chunks import Window
from napari_coseg.annotation.draft import Draft
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.types import CosegError, Mask

#: A line this thick holds every pixel that it passes through, so that no diagonal neighbours are
#: left joined.
_THINNEST = float(np.sqrt(0.5)) + 1e-6
#: Parts below this share of an object are crumbs of the cut, and go to their neighbour.
_CRUMB = 0.01


def paint(draft: Draft, mask: Mask, label: int, protect: bool) -> None:
    """Give the pixels of a mask to an object.

    Parameters
    ----------
    draft : Draft
        What is drawn on.
    mask : Mask
        Pixels; those outside the layer are left out.
    label : int
        The object. What it had before has been erased.
    protect : bool
        Whether pixels of other objects stay theirs.

    Raises
    ------
    CosegError
        If no pixel is left.
    """
    grid = draft.grid
    if len(mask.origin) != len(grid.shape):
        raise ValueError(f"a mask of {len(mask.origin)} axes for labels of {len(grid.shape)}")
    window = grid.clip(mask.window)
    inside = tuple(
        slice(w.start - first, w.stop - first) for w, first in zip(window, mask.origin, strict=True)
    )
    bits = mask.bits[inside]
    if not mask.bits.any():
        raise CosegError("The mask is empty; draw a larger box, or click on the object.")
    if not bits.any():
        raise CosegError("The mask lies outside the image; draw inside it.")
    values = draft.read(window)
    if protect:
        bits = bits & (values == 0)
        if not bits.any():
            raise CosegError(
                "All of the mask belongs to other objects already; allow new objects to take "
                "their pixels, or delete those first."
            )
    values[bits] = label
    draft.put(window, values)


def erase(draft: Draft, records: Iterable[ObjectRecord]) -> None:
    """Set the pixels of objects to the background."""
    replace(draft, records, 0)


def replace(draft: Draft, records: Iterable[ObjectRecord], label: int) -> None:
    """Give the pixels of objects to another one."""
    for record in records:
        draft.fill(record.window, draft.read(record.window) == record.label, label)


def cut(
    draft: Draft,
    record: ObjectRecord,
    line: npt.NDArray[np.floating],
    width: float,
    fresh: Callable[[], int],
) -> list[int]:
    """Part an object along a drawn line.

    In a volume the line is a wall: it cuts through all planes of the axis along which it was
    drawn flat. The largest part keeps the id; so do pieces that the line does not touch. The
    pixels under the line go to the nearest part.

    Parameters
    ----------
    draft : Draft
        What is drawn on.
    record : ObjectRecord
        The object.
    line : ndarray of float, (n, axes)
        Points of the line in pixel centres, two at least.
    width : float
        Its thickness in pixels.
    fresh : callable
        Returns an unused id with each call.

    Returns
    -------
    list of int
        Ids of the new parts, the largest first.

    Raises
    ------
    CosegError
        If the line does not part the object.
    """
    from scipy import ndimage

    points = np.asarray(line, float)
    axes = len(draft.grid.shape)
    if points.ndim != 2 or points.shape[1] != axes or not np.isfinite(points).all():
        raise ValueError(f"a line of the shape {points.shape} for labels of {axes} axes")
    window = record.window
    values = draft.read(window)
    own = values == record.label
    under = own & _drawn(window, points, max(width / 2, _THINNEST))
    whole = np.ones((3,) * axes, bool)
    pieces, _ = ndimage.label(own, whole)
    parts, count = ndimage.label(own & ~under, whole)
    parts = _sorted_out(pieces, parts, count, under)
    sizes = np.bincount(parts.ravel())[1:]
    if len(sizes) < 2:
        raise CosegError(
            f"The line does not part object {record.label}; draw it right across the object."
        )
    # The nearest part of the same piece: distances are counted apart for each piece that was cut.
    for piece in np.unique(pieces[under]):
        inside = pieces == piece
        open_pixels = inside & (parts == 0)
        if open_pixels.any() and (inside & (parts > 0)).any():
            nearest = ndimage.distance_transform_edt(
                ~(inside & (parts > 0)), return_distances=False, return_indices=True
            )
            parts[open_pixels] = parts[tuple(axis[open_pixels] for axis in nearest)]
    sizes = np.bincount(parts.ravel())[1:]
    order = np.argsort(-sizes, kind="stable") + 1
    labels = []
    for part in order[1:]:
        labels.append(fresh())
        values[parts == part] = labels[-1]
    draft.put(window, values)
    return labels


def _drawn(window: Window, points: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.bool_]:
    """Return the pixels of a window whose centres lie within `radius` of a line."""
    axes = len(window)
    used = list(range(axes))
    if axes == 3:
        used.remove(int(np.argmin(np.ptp(points, axis=0))))
    flat = points[:, used]
    starts = np.array([window[axis].start for axis in used], float)
    shape = tuple(window[axis].stop - window[axis].start for axis in used)
    found = np.zeros(shape, bool)
    for a, b in zip(flat[:-1] - starts, flat[1:] - starts, strict=True):
        low = np.maximum(np.floor(np.minimum(a, b) - radius), 0).astype(int)
        high = np.minimum(np.ceil(np.maximum(a, b) + radius) + 1, shape).astype(int)
        if (high <= low).any():
            continue
        rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
        along = b - a
        length = float(along @ along)
        t = (rows - a[0]) * along[0] + (columns - a[1]) * along[1]
        t = np.clip(t / length, 0, 1) if length else np.zeros_like(t)
        apart = (rows - a[0] - t * along[0]) ** 2 + (columns - a[1] - t * along[1]) ** 2
        found[low[0] : high[0], low[1] : high[1]] |= apart <= radius**2
    if axes == 3:
        missing = next(axis for axis in range(axes) if axis not in used)
        found = np.expand_dims(found, missing)
    return found


def _sorted_out(
    pieces: npt.NDArray[np.int32],
    parts: npt.NDArray[np.int32],
    count: int,
    under: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int32]:
    """Return the parts with new numbers: 1 for the largest that the line made, and so on.

    Crumbs become 0, to be given to the nearest part, and so do pieces that stay whole, to keep
    the object's id.
    """
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    total = int(sizes.sum()) + int(under.sum())
    owner = np.zeros(count + 1, np.int64)
    seen = parts > 0
    owner[parts[seen]] = pieces[seen]
    kept = np.flatnonzero((sizes > 0) & (sizes >= _CRUMB * total))
    of_piece = np.bincount(owner[kept], minlength=int(pieces.max()) + 1)
    parted = [int(part) for part in kept if of_piece[owner[part]] > 1]
    parted.sort(key=lambda part: -int(sizes[part]))
    numbers = np.zeros(count + 1, np.int32)
    for number, part in enumerate(parted, 1):
        numbers[part] = number
    return numbers[parts]

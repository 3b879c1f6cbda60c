"""Masks between an image's pixels and the cells of a crop. Torch-free.

A network answers with logits on a coarse grid over its crop, and wants a mask before on the same
grid. Here both are brought to and from the image's own pixels, and what no prompt asked for is
left out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.inference.zoom import Box, edges_inside, surroundings
from napari_coseg.types import Mask, Prompt

Logits = npt.NDArray[np.float32]

#: Parts and holes below this share of the largest part are taken for noise.
SPECK = 0.01
#: Logits at which the two masks of the stability score are cut.
OFFSET = 1.0
# What left-out cells and filled holes become: sure, but not so sure that borders would move far.
_SURE = 4.0
_EIGHT = np.ones((3, 3), bool)
# Pixels whose coverage is added up at once.
_ROWS = 1024


def coverage(mask: Mask, crop: Box, cells: int) -> Logits:
    """Share of each cell of a crop that a mask covers.

    Parameters
    ----------
    mask : Mask
        (row, column).
    crop : tuple of float
        First row and column, last row and column, in pixels of the image.
    cells : int
        Cells along the crop's side.

    Returns
    -------
    ndarray of float32, (cells, cells)
    """
    step = (crop[2] - crop[0]) / cells
    overlaps = []
    for axis in (0, 1):
        low = crop[axis] + step * np.arange(cells)[:, None]
        pixel = mask.origin[axis] + np.arange(mask.bits.shape[axis])[None]
        shared = np.minimum(low + step, pixel + 1) - np.maximum(low, pixel)
        overlaps.append(np.clip(shared, 0, None).astype(np.float32))
    down, across = overlaps
    total = np.zeros((cells, cells), np.float32)
    for row in range(0, len(mask.bits), _ROWS):
        part = slice(row, row + _ROWS)
        total += down[:, part] @ mask.bits[part].astype(np.float32) @ across.T
    shares: Logits = np.clip(total / np.float32(step * step), 0, 1)
    return shares


def cleaned(logits: Logits, prompt: Prompt, crop: Box) -> Logits:
    """Leave out what no prompt is on, and specks; fill small holes.

    With a box, parts that lie wholly outside of the box's surroundings go. Without one, only the
    parts stay that have a positive point on them (or that the mask before had, where there is no
    positive point); if there is none, the part nearest to a point. Negative points are the
    network's own affair.

    Parameters
    ----------
    logits : ndarray of float32, (cells, cells)
    prompt : Prompt
        In pixels of the image.
    crop : tuple of float

    Returns
    -------
    ndarray of float32, (cells, cells)
    """
    parts, count = ndimage.label(logits > 0, _EIGHT)
    if count == 0:
        return logits
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = np.zeros(count + 1, bool)
    kept[_asked_for(parts, prompt, crop)] = True
    kept[0] = False
    if kept.any():
        kept &= sizes >= SPECK * sizes[kept].max()
    inside = kept[parts]
    out = np.where((parts > 0) & ~inside, np.float32(-_SURE), logits)
    # With what surrounds a part that is left out: the halo counts in the stability score.
    halo, _ = ndimage.label(logits > -OFFSET, _EIGHT)
    alive = np.zeros(halo.max() + 1, bool)
    alive[halo[inside]] = True
    out = np.where((halo > 0) & ~alive[halo], np.float32(-_SURE), out)
    holes, count = ndimage.label(~inside)
    sizes = np.bincount(holes.ravel(), minlength=count + 1)
    small = sizes < SPECK * inside.sum()
    edge = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    small[edge] = False
    small[0] = False
    return np.where(small[holes], np.float32(_SURE), out)


def clip_box(prompt: Prompt) -> Box | None:
    """Return where a mask may lie: round the prompt's box, unless a point says otherwise."""
    if prompt.box is None:
        return None
    around = surroundings(prompt.box)
    for row, column, positive in prompt.points:
        if positive and not _inside(around, row, column):
            return None
    return around


def full_resolution(logits: Logits, crop: Box, shape: tuple[int, int], clip: Box | None) -> Mask:
    """Return the mask in the image's pixels: logits interpolated bilinearly, cut at 0.

    Only the pixels that may come out positive are computed.

    Parameters
    ----------
    logits : ndarray of float32, (cells, cells)
    crop : tuple of float
    shape : tuple of int
        Rows and columns of the image.
    clip : tuple of float, or None
        Where alone the mask may lie.
    """
    cells = len(logits)
    step = (crop[2] - crop[0]) / cells
    sides = []
    for axis in (0, 1):
        found = np.flatnonzero((logits > 0).any(1 - axis))
        if not found.size:
            return Mask((0, 0), np.zeros((0, 0), bool))
        # Half a cell beyond the last positive centre, and half of the next cell.
        first = crop[axis] + (found[0] - 0.5) * step
        last = crop[axis] + (found[-1] + 1.5) * step
        if clip is not None:
            first, last = max(first, round(clip[axis])), min(last, round(clip[axis + 2]))
        first = max(first, crop[axis], 0)
        last = min(last, crop[axis + 2], shape[axis])
        sides.append((math.floor(first), max(math.floor(first), math.ceil(last))))
    (row0, row1), (column0, column1) = sides
    down = _places(row0, row1, crop[0], step, cells)
    across = _places(column0, column1, crop[1], step, cells)
    bits = np.empty((row1 - row0, column1 - column0), bool)
    for row in range(0, len(bits), _ROWS):
        part = slice(row, row + _ROWS)
        lines = _between(logits, down[0][part], down[1][part], down[2][part])
        bits[part] = _between(lines.T, *across).T > 0
    return Mask.of(bits, (row0, column0))


def stability(logits: Logits, clip: Box | None, crop: Box) -> float:
    """Intersection over union of the masks cut at logits of plus and minus `OFFSET`.

    How far the outline would move if the threshold did. After the stability score of Segment
    Anything's automatic mask generation (Kirillov et al. 2023, appendix B), there at full
    resolution; here on the network's own grid, where it costs nothing.

    Returns
    -------
    float
        0 to 1; 0 for an empty mask.
    """
    seen = logits if clip is None else logits[_cells_of(clip, crop, len(logits))]
    narrow, wide = int((seen > OFFSET).sum()), int((seen > -OFFSET).sum())
    return narrow / wide if wide else 0.0


def meets_edge(logits: Logits, crop: Box, shape: tuple[int, int]) -> bool:
    """Whether the mask reaches an edge of the crop beyond which the image goes on."""
    edges = (logits[0], logits[:, 0], logits[-1], logits[:, -1])
    inside = edges_inside(crop, shape)
    return any(on and bool((e > 0).any()) for e, on in zip(edges, inside, strict=True))


def mask_box(mask: Mask) -> Box:
    """Bounding box of a mask."""
    (row, column), (rows, columns) = mask.origin, mask.bits.shape
    return float(row), float(column), float(row + rows), float(column + columns)


def _asked_for(parts: npt.NDArray[Any], prompt: Prompt, crop: Box) -> npt.NDArray[Any]:
    """Return the numbers of the parts that a prompt is on; background may be among them."""
    cells = len(parts)
    clip = clip_box(prompt)
    if clip is not None:
        return np.unique(parts[_cells_of(clip, crop, cells)])
    step = (crop[2] - crop[0]) / cells
    places = [
        (
            min(max(int((row + 0.5 - crop[0]) / step), 0), cells - 1),
            min(max(int((column + 0.5 - crop[1]) / step), 0), cells - 1),
        )
        for row, column, positive in prompt.points
        if positive
    ]
    if not places and prompt.mask is not None:
        found = np.unique(parts[coverage(prompt.mask, crop, cells) > 0.5])
        return found if (found > 0).any() else np.unique(parts)
    if not places:
        return np.unique(parts)
    # A person's click may miss a thin part by a cell.
    near = [parts[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2] for r, c in places]
    found = np.unique(np.concatenate([n.ravel() for n in near]))
    if (found > 0).any():
        return found
    rows, columns = np.nonzero(parts)
    away = np.min([(rows - r) ** 2 + (columns - c) ** 2 for r, c in places], axis=0)
    nearest = int(away.argmin())
    return np.array([parts[rows[nearest], columns[nearest]]])


def _cells_of(box: Box, crop: Box, cells: int) -> tuple[slice, slice]:
    """Return the cells that a box touches."""
    step = (crop[2] - crop[0]) / cells
    slices = []
    for axis in (0, 1):
        first = math.floor((box[axis] - crop[axis]) / step)
        last = math.ceil((box[axis + 2] - crop[axis]) / step)
        slices.append(slice(max(first, 0), max(last, 0)))
    return slices[0], slices[1]


def _places(
    first: int, last: int, start: float, step: float, cells: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return for each pixel the cells before and after its centre, and how near it is to these."""
    at = (np.arange(first, last) + 0.5 - start) / step - 0.5
    at = np.clip(at, 0, cells - 1)
    before = np.floor(at).astype(np.intp)
    after = np.minimum(before + 1, cells - 1)
    return before, after, (at - before).astype(np.float32)


def _between(
    lines: Logits,
    before: npt.NDArray[np.intp],
    after: npt.NDArray[np.intp],
    share: npt.NDArray[np.float32],
) -> Logits:
    """Interpolate along the first axis."""
    return lines[before] + (lines[after] - lines[before]) * share[:, None]


def _inside(box: Box, row: float, column: float) -> bool:
    return box[0] <= row + 0.5 <= box[2] and box[1] <= column + 0.5 <= box[3]


def logits_within(logits: Logits, crop: Box, window: tuple[slice, slice]) -> Logits:
    """Return the logits of an image's pixels, interpolated bilinearly.

    Parameters
    ----------
    logits : ndarray of float32, (cells, cells)
    crop : tuple of float
    window : tuple of slice
        Rows and columns of the image, with first and last. Beyond the crop, its edge goes on.

    Returns
    -------
    ndarray of float32, (rows, columns)
    """
    step = (crop[2] - crop[0]) / len(logits)
    rows, columns = window
    down = _places(rows.start, rows.stop, crop[0], step, len(logits))
    across = _places(columns.start, columns.stop, crop[1], step, len(logits))
    return _between(_between(logits, *down).T, *across).T

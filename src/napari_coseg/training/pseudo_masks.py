"""Segments of an unlabelled picture that may be objects: compact, and unlike what is round them.

They teach a network to segment the thing at the prompt, whatever it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import regionprops
from skimage.segmentation import watershed

Bits = npt.NDArray[np.bool_]

#: Part of the picture that a segment covers.
_AREA = (0.006, 0.45)
#: Least area over that of the convex hull.
_SOLIDITY = 0.72
#: Least distance of the mean colours inside and outside of the edge, over their deviation.
_CONTRAST = 0.75
#: Width in pixels of the rims that are compared.
_RIM = 3
#: Candidates that are looked at closely, at most.
_MOST = 12


def pseudo_masks(
    picture: npt.NDArray[np.uint8], count: int, rng: np.random.Generator
) -> list[Bits]:
    """Find segments by watershed and merging of neighbours of like colour.

    Parameters
    ----------
    picture : ndarray of uint8, (rows, columns, 3)
    count : int
        How many at most.
    rng : Generator
        Draws the scale and how much is merged.

    Returns
    -------
    list of ndarray of bool, (rows, columns)
        Without holes, not touching each other's pixels nor the picture's border; may be empty.
    """
    smooth = ndimage.gaussian_filter(
        picture.astype(np.float32), (rng.uniform(1.0, 3.0),) * 2 + (0,)
    )
    edges = np.hypot(*np.gradient(smooth, axis=(0, 1))).max(axis=-1)
    segments = watershed(edges, _markers(edges, int(rng.integers(10, 36)), rng))
    segments = _merged(segments, smooth, float(rng.uniform(6, 30)))
    chosen: list[Bits] = []
    taken = np.zeros(segments.shape, bool)
    total = segments.size
    candidates = [
        part
        for part in regionprops(segments)
        if _AREA[0] * total <= part.area <= _AREA[1] * total and _inside(part.bbox, segments.shape)
    ]
    rng.shuffle(candidates)
    for part in candidates[:_MOST]:
        if len(chosen) == count:
            break
        bits = ndimage.binary_fill_holes(segments == part.label)
        # What fills a hole of one may itself be another.
        if (
            part.solidity >= _SOLIDITY
            and not (bits & taken).any()
            and _contrast(smooth, bits) >= _CONTRAST
        ):
            chosen.append(bits)
            taken |= bits
    return chosen


def _markers(
    edges: npt.NDArray[np.floating], spacing: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """One marker in each cell of a grid, where the gradient is least."""
    rows, columns = edges.shape
    markers = np.zeros(edges.shape, np.int32)
    first_row, first_column = rng.integers(0, spacing, 2)
    number = 0
    for row in range(-int(first_row), rows, spacing):
        for column in range(-int(first_column), columns, spacing):
            r0, c0 = max(row, 0), max(column, 0)
            cell = edges[r0 : row + spacing, c0 : column + spacing]
            if cell.size:
                number += 1
                r, c = np.unravel_index(int(cell.argmin()), cell.shape)
                markers[r0 + r, c0 + c] = number
    return markers


def _merged(
    segments: npt.NDArray[np.int32], colours: npt.NDArray[np.floating], limit: float
) -> npt.NDArray[np.int32]:
    """Join neighbours whose mean colours differ by less than a limit, the most alike first."""
    count = int(segments.max()) + 1
    sizes = np.bincount(segments.ravel(), minlength=count).astype(float)
    sums = np.stack(
        [np.bincount(segments.ravel(), colours[..., k].ravel(), count) for k in range(3)], 1
    )
    pairs = np.concatenate(
        [
            np.stack([segments[:-1].ravel(), segments[1:].ravel()], 1),
            np.stack([segments[:, :-1].ravel(), segments[:, 1:].ravel()], 1),
        ]
    )
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    means = sums / np.maximum(sizes, 1)[:, None]
    order = np.argsort(np.linalg.norm(means[pairs[:, 0]] - means[pairs[:, 1]], axis=1))
    parent = np.arange(count)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for i, j in pairs[order]:
        a, b = root(int(i)), root(int(j))
        if a == b:
            continue
        if np.linalg.norm(sums[a] / sizes[a] - sums[b] / sizes[b]) < limit:
            parent[b] = a
            sums[a] += sums[b]
            sizes[a] += sizes[b]
    roots = np.array([root(i) for i in range(count)])
    joined: npt.NDArray[np.int32] = roots[segments].astype(np.int32)
    return joined


def _inside(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    row0, column0, row1, column1 = box
    return row0 > 0 and column0 > 0 and row1 < shape[0] and column1 < shape[1]


def _contrast(colours: npt.NDArray[np.floating], bits: Bits) -> float:
    inner = bits & ~ndimage.binary_erosion(bits, iterations=_RIM)
    outer = ndimage.binary_dilation(bits, iterations=_RIM) & ~bits
    if not inner.any() or not outer.any():
        return 0.0
    one, other = colours[inner], colours[outer]
    deviation = np.sqrt(0.5 * (one.var(0) + other.var(0)).sum()) + 2.0
    return float(np.linalg.norm(one.mean(0) - other.mean(0)) / deviation)

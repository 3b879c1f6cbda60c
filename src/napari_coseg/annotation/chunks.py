"""A layer's pixels as chunks: where they lie, and how their values are packed into bytes.

A chunk is 256 x 256 pixels of a picture or 64 x 64 x 64 of a volume. Packed values are int32,
compressed, with a checksum before them; nothing stands for "all background".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

Window = tuple[slice, ...]
Labels = npt.NDArray[np.int32]

#: Side of a chunk by the number of axes.
SIDES = {2: 256, 3: 64}
#: Level of the compression: higher ones cost more time than they save in writing.
_LEVEL = 1
_CHECK = 4


@dataclass(frozen=True)
class Part:
    """The part of a window that lies in one chunk.

    Attributes
    ----------
    chunk : int
        The chunk's number, counted along the last axis first.
    window : tuple of slice
        Where the part lies in the layer.
    in_window, in_chunk : tuple of slice
        Where it lies in the window, and in the chunk.
    """

    chunk: int
    window: Window
    in_window: Window
    in_chunk: Window


class Grid:
    """How a layer is cut into chunks.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer: (rows, columns) or (planes, rows, columns).

    Raises
    ------
    CosegError
        If there are more or fewer axes.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        if len(shape) not in SIDES:
            raise CosegError(
                f"A case has two or three axes, and these labels have the shape {shape}; make a "
                "Labels layer of one picture or one volume."
            )
        self.shape = shape
        self.side = SIDES[len(shape)]
        self._counts = tuple(-(-length // self.side) for length in shape)

    @property
    def whole(self) -> Window:
        """The window of the whole layer."""
        return tuple(slice(0, length) for length in self.shape)

    def chunk_window(self, chunk: int) -> Window:
        """Return where a chunk lies; one at an edge is cut there."""
        place = np.unravel_index(chunk, self._counts)
        return tuple(
            slice(int(at) * self.side, min((int(at) + 1) * self.side, length))
            for at, length in zip(place, self.shape, strict=True)
        )

    def has(self, chunk: int) -> bool:
        """Whether there is a chunk of that number."""
        return 0 <= chunk < int(np.prod(self._counts))

    def parts(self, window: Window) -> Iterator[Part]:
        """Cut a window, which must lie inside the layer, at the borders of chunks."""
        if any(side.stop <= side.start for side in window):
            return
        side = self.side
        ranges = [range(s.start // side, (s.stop - 1) // side + 1) for s in window]
        for index in np.ndindex(*(len(r) for r in ranges)):
            place = [r[i] for r, i in zip(ranges, index, strict=True)]
            cut = tuple(
                slice(max(s.start, at * side), min(s.stop, (at + 1) * side))
                for s, at in zip(window, place, strict=True)
            )
            inside = tuple(
                slice(c.start - s.start, c.stop - s.start) for c, s in zip(cut, window, strict=True)
            )
            in_chunk = tuple(
                slice(c.start - at * side, c.stop - at * side)
                for c, at in zip(cut, place, strict=True)
            )
            yield Part(int(np.ravel_multi_index(place, self._counts)), cut, inside, in_chunk)

    def clip(self, window: Window) -> Window:
        """Return the part of a window that lies inside the layer; it may be empty."""
        cut = []
        for side, length in zip(window, self.shape, strict=True):
            start = min(max(side.start, 0), length)
            cut.append(slice(start, max(start, min(side.stop, length))))
        return tuple(cut)


@dataclass(frozen=True, slots=True)
class Patch:
    """Pixels that an edit changed inside one chunk.

    Attributes
    ----------
    chunk : int
        The chunk's number.
    window : tuple of slice
        The smallest window of the layer that holds the changes.
    before, after : bytes
        Its pixels, packed.
    """

    chunk: int
    window: Window
    before: bytes
    after: bytes

    def values(self, forward: bool) -> Labels:
        """Return the pixels after the edit, or before it."""
        return unpack(self.after if forward else self.before, shape_of(self.window))

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.before) + len(self.after) + 200


def make_patch(chunk: int, window: Window, before: Labels, after: Labels) -> Patch | None:
    """Return what differs between two states of a window; None where nothing does."""
    changed = before != after
    box = []
    for axis in range(changed.ndim):
        found = np.flatnonzero(changed.any(axis=tuple(a for a in range(changed.ndim) if a != axis)))
        if not found.size:
            return None
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    cut = tuple(box)
    moved = tuple(
        slice(w.start + b.start, w.start + b.stop) for w, b in zip(window, cut, strict=True)
    )
    return Patch(chunk, moved, pack(before[cut]), pack(after[cut]))


def pack(values: Labels) -> bytes:
    """Return values as compressed bytes; nothing where all are 0."""
    if not values.any():
        return b""
    data = imagecodecs.zstd_encode(np.ascontiguousarray(values, "<i4").tobytes(), level=_LEVEL)
    return zlib.crc32(data).to_bytes(_CHECK, "little") + data


def unpack(data: bytes, shape: tuple[int, ...]) -> Labels:
    """Return packed values, writable.

    Raises
    ------
    CosegError
        If the bytes are not those that `pack` made of values of that shape.
    """
    if not data:
        return np.zeros(shape, np.int32)
    size = int(np.prod(shape)) * 4
    if not is_whole(data):
        raise CosegError("Pixels in the journal are damaged; their checksum does not fit.")
    try:
        raw = imagecodecs.zstd_decode(data[_CHECK:], out=size)
    except RuntimeError as error:
        raise CosegError("Pixels in the journal are damaged; they cannot be unpacked.") from error
    if len(raw) != size:
        raise CosegError("Pixels in the journal are damaged; their number does not fit.")
    return np.frombuffer(raw, "<i4").astype(np.int32).reshape(shape)


def is_whole(data: bytes) -> bool:
    """Whether packed values fit their checksum."""
    return not data or zlib.crc32(data[_CHECK:]) == int.from_bytes(data[:_CHECK], "little")


def shape_of(window: Window) -> tuple[int, ...]:
    """Return the shape of a window."""
    return tuple(side.stop - side.start for side in window)


def relative(window: Window, outer: Window) -> Window:
    """Return where a window lies in another one that holds it."""
    return tuple(
        slice(w.start - o.start, w.stop - o.start) for w, o in zip(window, outer, strict=True)
    )


def read_labels(labels: Any, window: Window) -> Labels:
    """Return a copy of a window of a layer's labels.

    Raises
    ------
    CosegError
        If an id does not fit 32 bits.
    """
    values = np.asarray(labels[window])
    if values.dtype.kind not in "iu":
        raise CosegError(f"Labels must be integers, not {values.dtype}; convert the layer.")
    limits = np.iinfo(np.int32)
    wide = values.dtype.itemsize > 4 or values.dtype == np.uint32
    if wide and values.size and (values.max() > limits.max or values.min() < limits.min):
        raise CosegError(
            f"The layer holds an id that a journal cannot keep, {int(values.max())}: the largest "
            f"is {limits.max}. Renumber the objects first."
        )
    return values.astype(np.int32)

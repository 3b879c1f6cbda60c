"""How a case knows its image again: by shape, dtype and a hash of samples, never by its path.

An image may be moved, renamed, or opened from memory. What stays is its pixels; a fixed small
number of windows of them is hashed, so that a slide of any size is known after a few reads.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

#: Samples of an image, beside its first and last corner and its middle.
_SAMPLES = 16
#: Longest side of a sample along an axis, and most values in one.
_SIDE, _MOST = 32, 1 << 15
#: Steps of the additive recurrence by which samples spread evenly over an image: powers of the
#: inverse of the root of x^(d+1) = x + 1 (Roberts 2018), which generalises the golden ratio.
_AXES = 8


@dataclass(frozen=True)
class ImageIdentity:
    """What an image is known by.

    Attributes
    ----------
    shape : tuple of int
        Its shape, colour included.
    dtype : str
        Name of its dtype, without the byte order.
    digest : str
        Hash of its samples, hexadecimal.
    """

    shape: tuple[int, ...]
    dtype: str
    digest: str

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps({"shape": self.shape, "dtype": self.dtype, "digest": self.digest})

    @classmethod
    def from_json(cls, text: str) -> ImageIdentity:
        """Read it from JSON.

        Raises
        ------
        CosegError
            If that is something else.
        """
        try:
            read = json.loads(text)
            shape = tuple(int(side) for side in read["shape"])
            return cls(shape, str(read["dtype"]), str(read["digest"]))
        except (ValueError, TypeError, KeyError) as error:
            raise CosegError(f"This is not the identity of an image: {text[:80]!r}.") from error


def identify(
    image: Any,
    *,
    shape: Sequence[int] | None = None,
    dtype: npt.DTypeLike | None = None,
) -> ImageIdentity:
    """Return what an image is known by.

    Parameters
    ----------
    image : array-like or callable
        Anything with a shape, a dtype and slicing (NumPy, Dask, Zarr; of a multiscale image its
        largest level), or a function that returns the pixels of a tuple of slices.
    shape, dtype : optional
        Those of the image; needed with a function.

    Returns
    -------
    ImageIdentity
        Equal for equal pixels, whatever holds them.

    Raises
    ------
    CosegError
        If the image is empty, or its samples cannot be read.
    """
    sides = tuple(int(side) for side in (image.shape if shape is None else shape))
    kind = np.dtype(image.dtype if dtype is None else dtype)
    if not sides or 0 in sides:
        raise CosegError(f"An image of the shape {sides} has no pixels; open another one.")
    sliced = hasattr(image, "__getitem__")
    read: Callable[[tuple[slice, ...]], Any] = image.__getitem__ if sliced else image
    found = hashlib.blake2b(digest_size=16)
    found.update(f"{sides} {kind.name}".encode())
    for window in sample_windows(sides):
        try:
            values = np.asarray(read(window))
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            raise CosegError(f"The image's pixels cannot be read: {error}.") from error
        little = values.astype(kind.newbyteorder("<"), copy=False)
        found.update(np.ascontiguousarray(little).tobytes())
    return ImageIdentity(sides, kind.name, found.hexdigest())


def sample_windows(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return the windows that are hashed: always the same for a shape, without repeats.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image, no side 0.

    Returns
    -------
    list of tuple of slice
        At most 19, each of at most 32,768 values.
    """
    side = _SIDE
    while side > 1 and np.prod([min(side, length) for length in shape], dtype=float) > _MOST:
        side //= 2
    lengths = [min(side, length) for length in shape]
    root = 1.5
    for _ in range(64):
        root = (1 + root) ** (1 / (_AXES + 1))
    steps = np.array([root ** -(1 + axis % _AXES) for axis in range(len(shape))])
    ends = (np.zeros(len(shape)), np.full(len(shape), 0.5), np.ones(len(shape)))
    spread = ((0.5 + number * steps) % 1 for number in range(1, _SAMPLES + 1))
    windows = []
    for place in itertools.chain(ends, spread):
        starts = [
            round(float(at) * (whole - length))
            for at, whole, length in zip(place, shape, lengths, strict=True)
        ]
        window = tuple(slice(s, s + length) for s, length in zip(starts, lengths, strict=True))
        if window not in windows:
            windows.append(window)
    return windows

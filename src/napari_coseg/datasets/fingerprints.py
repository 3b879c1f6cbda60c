"""Pictures that are equal, or nearly: by a hash of their pixels, and by one of their look.

The second is a difference hash: grey, shrunk to 9 columns and 8 rows, one bit for each pixel that
is darker than its right neighbour. Pictures that were scaled, or saved as JPEG again, differ in few
of the 64 bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Bits that nearly equal pictures may differ in.
NEAR = 3
# Pictures that are compared with all others at once.
_BLOCK = 512


@dataclass(frozen=True)
class Fingerprint:
    """Of one picture.

    Attributes
    ----------
    exact : str
        SHA-256 of size and pixels.
    look : int
        Difference hash, 64 bits.
    """

    exact: str
    look: int

    @classmethod
    def of(cls, image: npt.NDArray[np.uint8]) -> Fingerprint:
        """Compute both.

        Parameters
        ----------
        image : ndarray of uint8, (rows, columns, 3)
        """
        exact = hashlib.sha256(repr(image.shape).encode())
        exact.update(image.tobytes())
        grey = Image.fromarray(image).convert("L").resize((9, 8), Image.Resampling.BOX)
        small = np.asarray(grey, np.int16)
        bits = np.packbits(small[:, :-1] < small[:, 1:])
        return cls(exact.hexdigest(), int.from_bytes(bits.tobytes(), "big"))


def equal_pairs(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Pairs of pictures with the same pixels, each with the first of its kind."""
    first: dict[str, int] = {}
    pairs = []
    for number, one in enumerate(prints):
        known = first.setdefault(one.exact, number)
        if known != number:
            pairs.append((known, number))
    return pairs


def near_pairs(prints: Sequence[Fingerprint], most: int = NEAR) -> Iterator[tuple[int, int]]:
    """Yield pairs of pictures that look alike and are not equal.

    Parameters
    ----------
    prints : sequence of Fingerprint
    most : int
        Bits of the look that may differ. A look with nearly all bits alike is of a picture with
        nothing in it, and like nothing.
    """
    looks = np.array([one.look for one in prints], np.uint64)
    bytes_ = looks.view(np.uint8).reshape(len(prints), 8)
    ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)
    filled = ones[bytes_].sum(1)
    says = (filled > most) & (filled < 64 - most)
    for start in range(0, len(prints), _BLOCK):
        differ = ones[bytes_[start : start + _BLOCK, None] ^ bytes_[None]].sum(2)
        for row, other in np.argwhere(differ <= most):
            number = int(row) + start
            one, two = prints[number], prints[int(other)]
            if number < other and says[number] and says[other] and one.exact != two.exact:
                yield number, int(other)

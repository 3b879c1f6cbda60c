"""The voxels of a volume file as they are stored: whether all are there, and all are numbers.

ITK takes missing planes for zeros, and reads 0 for what is no number in NIfTI.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_headers import HeaderFacts, unreadable
from napari_coseg.types import CosegError

_CHUNK = 1 << 20
# Deflate cannot make data smaller than this (zlib's technical notes).
_DEFLATE = 1032


def check_stored(path: Path, facts: HeaderFacts, voxels: int, voxel_bytes: int) -> None:
    """Raise if a file holds fewer voxels than its header says.

    Costs no memory, and for packed voxels the time to unpack them.

    Parameters
    ----------
    path : Path
        For messages.
    facts : HeaderFacts
    voxels : int
        By the header.
    voxel_bytes : int
        Of one, where the header itself does not say.

    Raises
    ------
    CosegError
        If so, or if the packed voxels are damaged.
    """
    needed = voxels * (facts.voxel_bytes or voxel_bytes)
    try:
        size = facts.data.stat().st_size
        if facts.codec == "text":
            # A digit and a space at least; the last needs no space.
            enough = size - facts.offset >= 2 * voxels - 1
        elif facts.codec == "raw":
            enough = size - facts.offset >= needed
        elif facts.codec != "bzip2" and size * _DEFLATE < needed:
            # A header that promises the world is known before anything is unpacked.
            enough = False
        else:
            enough = _unpacked(facts, needed) >= needed
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path) from error
    if not enough:
        raise CosegError(
            f"{path} cannot be read as a volume: it ends before its voxels do; copy it again."
        )


def not_finite(facts: HeaderFacts, voxels: int) -> npt.NDArray[np.int64]:
    """Return which voxels of a file whose `mended` is a dtype are stored as no numbers.

    Returns
    -------
    ndarray of int64, (n,)
        Indices into the volume, raveled.
    """
    assert facts.mended is not None
    found = []
    with facts.data.open("rb") as plain:
        file: Any = gzip.GzipFile(fileobj=plain) if facts.codec == "gzip" else plain
        file.seek(facts.offset)
        done = 0
        while done < voxels:
            part = file.read(min(_CHUNK, (voxels - done) * facts.mended.itemsize))
            values = np.frombuffer(part, facts.mended)
            if not values.size:
                break
            found.append(np.flatnonzero(~np.isfinite(values)) + done)
            done += values.size
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _unpacked(facts: HeaderFacts, most: int) -> int:
    """Count the bytes of packed voxels, as far as `most`; a gzip file is read to its end."""
    whole_file = facts.data.name.lower().endswith(".gz")
    count = -facts.offset if whole_file else 0
    with facts.data.open("rb") as file:
        if whole_file:
            parts: Iterator[bytes] = _chunks(gzip.GzipFile(fileobj=file))
        else:
            file.seek(facts.offset)
            if facts.codec == "gzip":
                parts = _chunks(gzip.GzipFile(fileobj=file))
            elif facts.codec == "bzip2":
                parts = _chunks(bz2.BZ2File(file))
            else:
                parts = _inflated(file)
        for part in parts:
            count += len(part)
            # Beyond it lies nothing that anybody reads but, of gzip, the sum that shows damage.
            if count > most + _CHUNK:
                break
    return count


def _chunks(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")


def _inflated(file: IO[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    pending = file.read(_CHUNK)
    while pending and not inflater.eof:
        part = inflater.decompress(pending, _CHUNK)
        yield part
        pending = inflater.unconsumed_tail or file.read(_CHUNK)

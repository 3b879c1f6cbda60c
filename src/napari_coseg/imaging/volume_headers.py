"""What the header of a volume file says that ITK does not tell.

ITK takes a missing spacing for 1 mm, and memory before it looks at the file. Formats: NIfTI-1 and
-2, MetaImage (.mha, .mhd), NRRD (version 5 and before).
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_coseg.types import CosegError

#: How the names of volumes end.
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
Codec = Literal["raw", "gzip", "zlib", "bzip2", "text"]

#: A text header is no longer than this.
_LONGEST = 1 << 20
_GZIP = b"\x1f\x8b"
_META_END = re.compile(rb"ElementDataFile\s*=\s*([^\r\n]*)\r?\n", re.IGNORECASE)
# Voxels in several files: a list of them, or a pattern of their names with its numbers.
_SPREAD = re.compile(r"^LIST(\s+\d+)?$|%\d*d", re.IGNORECASE)
# Codes of NIfTI for floats of 32 and 64 bits.
_NIFTI_FLOATS = {16: "f4", 64: "f8"}
_NRRD_CODECS: dict[str, Codec] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "txt": "text",
    "text": "text",
    "ascii": "text",
}


@dataclass(frozen=True)
class HeaderFacts:
    """What a header says of the voxels.

    Attributes
    ----------
    data : Path
        The file that holds them.
    offset : int
        Bytes before them.
    codec : str
        How they are packed.
    voxel_bytes : int or None
        Bytes of a voxel where the header says so.
    has_spacing, has_orientation : bool
        Whether the size of a voxel, and how the volume lies in the patient, are said at all.
    mended : dtype or None
        As stored, where ITK reads 0 for voxels that are no numbers: floats of NIfTI.
    """

    data: Path
    offset: int
    codec: Codec
    voxel_bytes: int | None
    has_spacing: bool
    has_orientation: bool
    mended: np.dtype[Any] | None = None


def is_volume(path: Path) -> bool:
    """Whether a file is a volume by its name."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def volume_stem(path: Path) -> str:
    """Name of a volume without its ending."""
    for suffix in VOLUME_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def read_facts(path: Path) -> HeaderFacts:
    """Read a header.

    Raises
    ------
    CosegError
        If there is none, or it names files that are not there.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            return _nifti(path)
        return _nrrd(path) if name.endswith(".nrrd") else _meta(path)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise unreadable(path) from error


def unreadable(path: Path) -> CosegError:
    """Return the sentence for a file that no reader makes anything of."""
    return CosegError(f"{path} cannot be read as a volume: copy it again, or take it out.")


def _nifti(path: Path) -> HeaderFacts:
    with path.open("rb") as plain:
        # Not by its name, since ITK does not go by that either.
        packed = plain.read(2) == _GZIP
        plain.seek(0)
        file: Any = gzip.GzipFile(fileobj=plain) if packed else plain
        head = file.read(540)
    for order in "<>":
        (length,) = struct.unpack_from(f"{order}i", head)
        if length == 348:
            kind, bits = struct.unpack_from(f"{order}2h", head, 70)
            sides = struct.unpack_from(f"{order}3f", head, 80)
            (offset,) = struct.unpack_from(f"{order}f", head, 108)
            codes = struct.unpack_from(f"{order}2h", head, 252)
        elif length == 540:
            kind, bits = struct.unpack_from(f"{order}2h", head, 12)
            sides = struct.unpack_from(f"{order}3d", head, 112)
            (offset,) = struct.unpack_from(f"{order}q", head, 168)
            codes = struct.unpack_from(f"{order}2i", head, 344)
        else:
            continue
        if not math.isfinite(offset) or bits <= 0:
            raise unreadable(path)
        return HeaderFacts(
            path,
            max(int(offset), 0),
            "gzip" if packed else "raw",
            max(bits // 8, 1),
            all(math.isfinite(side) and side != 0 for side in sides),
            any(code > 0 for code in codes),
            np.dtype(f"{order}{_NIFTI_FLOATS[kind]}") if kind in _NIFTI_FLOATS else None,
        )
    raise unreadable(path)


def _meta(path: Path) -> HeaderFacts:
    with path.open("rb") as file:
        head = file.read(_LONGEST)
    end = _META_END.search(head + b"\n")
    if end is None:
        raise unreadable(path)
    text = head[: end.start()].decode("latin-1")
    facts = {
        key.strip().lower(): value.strip()
        for key, sign, value in (line.partition("=") for line in text.splitlines())
        if sign
    }
    named = end[1].decode("utf-8", "replace").strip()
    own = named.lower() == "local"
    data = path if own else _beside(path, named)
    offset = end.end() if own else int(facts.get("headersize", "0"))
    codec: Codec = "raw"
    if facts.get("compresseddata", "").lower() in ("true", "1"):
        codec = "zlib"
    elif facts.get("binarydata", "true").lower() in ("false", "0"):
        codec = "text"
    return HeaderFacts(
        data,
        max(offset, 0),
        codec,
        None,
        "elementspacing" in facts or "elementsize" in facts,
        not facts.keys().isdisjoint(("transformmatrix", "rotation", "orientation")),
    )


def _nrrd(path: Path) -> HeaderFacts:
    with path.open("rb") as file:
        head = file.read(_LONGEST)
    if not head.startswith(b"NRRD000"):
        raise unreadable(path)
    ends = re.search(rb"\r?\n\r?\n", head)
    text = head[: ends.start()] if ends is not None else head
    facts = {}
    for line in text.decode("utf-8", "replace").splitlines()[1:]:
        key, sign, value = line.partition(":")
        # "key:=value" is a note and no field.
        if sign and not line.startswith("#") and not value.startswith("="):
            facts[key.strip().lower()] = value.strip()
    codec = _NRRD_CODECS.get(facts.get("encoding", "").lower())
    if codec is None:
        raise unreadable(path)
    named = facts.get("data file", facts.get("datafile"))
    data = path if named is None else _beside(path, named)
    offset = ends.end() if named is None and ends is not None else 0
    if codec == "raw":
        offset += max(int(facts.get("byte skip", "0")), 0)
    oriented, sized = _nrrd_axes(facts)
    return HeaderFacts(data, offset, codec, None, sized, oriented)


def _nrrd_axes(facts: dict[str, str]) -> tuple[bool, bool]:
    """Return whether directions, and sizes of a voxel, are said of every axis."""
    directions = facts.get("space directions", "")
    vectors = re.findall(r"\(([^)]*)\)", directions)
    oriented = bool(vectors) and "none" not in directions.lower()
    if directions:
        lengths = [math.hypot(*_floats(vector.replace(",", " "))) for vector in vectors]
        sized = oriented
    else:
        lengths = _floats(facts.get("spacings", ""))
        sized = bool(lengths)
    sized = sized and all(math.isfinite(length) and length != 0 for length in lengths)
    return oriented and sized, sized


def _floats(text: str) -> list[float]:
    return [float(number) for number in text.split()]


def _beside(path: Path, named: str) -> Path:
    """Return the file of voxels that a header names."""
    if _SPREAD.search(named):
        raise CosegError(f"{path} is spread over several files: save it as one file.")
    data = path.parent / named
    if not data.is_file():
        raise CosegError(
            f"{path} is a header only, and its voxels in {Path(named).name} are not there: copy "
            "both files."
        )
    return data

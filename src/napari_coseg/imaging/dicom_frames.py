"""Frames of a DICOM file that holds many: where each lies, by the file's own words.

ITK tells no more than one place for all of them, and takes them to follow on each other. What each
frame says stands in sequences (PS3.3 C.7.6.16), which ITK does not hand out; so the elements that
matter are looked up in the bytes before the pixels.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import replace

import numpy as np

from napari_coseg.imaging.dicom_headers import PlaneHeader, numbers
from napari_coseg.types import CosegError

_POSITION, _ORIENTATION, _SPACING = (0x20, 0x32), (0x20, 0x37), (0x28, 0x30)
_INTERCEPT, _SLOPE, _BETWEEN = (0x28, 0x1052), (0x28, 0x1053), (0x18, 0x88)
_PIXELS = re.compile(rb"\xe0\x7f\x10\x00(?:O[BW]\0\0|.{4})", re.DOTALL)
#: Objects of whose frames ITK takes the slope and intercept: enhanced CT, MR and PET, and CT
#: and MR that were converted to them.
_ENHANCED = re.compile(
    rb"\x08\x00\x16\x00(?:UI..|.{4})1\.2\.840\.10008\.5\.1\.4\.1\.1\.(?:2\.1|2\.2|4\.1|4\.4|130)\0",
    re.DOTALL,
)
_UNSURE = (
    "It is one file with many frames, and they do not say clearly {}: convert it to single-frame "
    "DICOM or to NIfTI."
)


def frames_of(header: PlaneHeader) -> list[PlaneHeader]:
    """Return a header for each frame of a file, as if it were a file of its own.

    Parameters
    ----------
    header : PlaneHeader
        Of a file with several frames.

    Raises
    ------
    CosegError
        If frames do not say where they lie, or differ in orientation, size or slope.
    """
    found = _elements(header)
    spacing, orientation = _one(found[_SPACING], 2), _one(found[_ORIENTATION], 6)
    if spacing is None or orientation is None:
        raise CosegError(_UNSURE.format("how large a pixel is and how they are turned"))
    slopes, intercepts = found[_SLOPE], found[_INTERCEPT]
    if (slopes or intercepts) and (_one(slopes, 1) is None or _one(intercepts, 1) is None):
        raise CosegError(_UNSURE.format("what their grey values are"))
    places = [numbers(text, 3) for text in found[_POSITION]]
    if header.position is not None and len(places) == header.frames + 1:
        # That of the file comes first.
        del places[0]
    if len(places) == 1 and places[0] is not None:
        between = _one(found[_BETWEEN], 1)
        if between is None or between[0] == 0:
            raise CosegError(_UNSURE.format("where each of them lies"))
        normal = np.cross(orientation[:3], orientation[3:])
        steps = np.arange(header.frames)[:, None] * between[0] * normal
        places = [tuple(place) for place in (np.array(places[0]) + steps).tolist()]
    if len(places) != header.frames or None in places:
        raise CosegError(_UNSURE.format("where each of them lies"))
    return [
        replace(header, frame=frame, frames=1, position=p, orientation=orientation, spacing=spacing)
        for frame, p in enumerate(places)
    ]


def _elements(header: PlaneHeader) -> dict[tuple[int, int], list[str]]:
    """Return the values of each element, those in sequences included, in the file's order."""
    tags = (_POSITION, _ORIENTATION, _SPACING, _INTERCEPT, _SLOPE, _BETWEEN)
    found: dict[tuple[int, int], list[str]] = {tag: [] for tag in tags}
    try:
        with (
            header.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            pixels = _PIXELS.search(data)
            end = len(data) if pixels is None else pixels.start()
            for tag in tags:
                mark = b"".join(part.to_bytes(2, "little") for part in tag)
                # With its type and two bytes of length, or four bytes of length.
                element = re.compile(re.escape(mark) + rb"(?:DS(..)|(.{4}))", re.DOTALL)
                for match in element.finditer(data, 0, end):
                    length = int.from_bytes(match[1] or match[2], "little")
                    value = data[match.end() : match.end() + min(length, 128)]
                    found[tag].append(value.decode("latin-1").strip(" \0"))
            # For all frames, or for each; then ITK takes the first.
            nested = len(found[_SLOPE]) - int(header.sloped)
            enhanced = _ENHANCED.search(data, 0, end) is not None
            if nested not in ((0, 1, header.frames) if enhanced else (0,)):
                raise CosegError(_UNSURE.format("what their grey values are"))
    except (OSError, ValueError):
        raise CosegError(
            "The files of the series have changed meanwhile: choose the folder again."
        ) from None
    return found


def _one(texts: list[str], count: int) -> tuple[float, ...] | None:
    """Return what all values are, but for decimals; None if there is none, or they differ."""
    values = [numbers(text, count) for text in texts]
    first = values[0] if values else None
    if first is None:
        return None
    same = all(v is not None and np.allclose(v, first, 1e-5, 1e-5) for v in values)
    return first if same else None

"""What is read of a DICOM file before its pixels: geometry and modality, and nothing of a patient.

Numbers and codes only, each checked by its form, so that no free text, name, date or identifier of
a patient can go from a file to a layer, a log or a message. Tags: DICOM PS3.6.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_coseg.imaging.simple_itk import itk
from napari_coseg.types import CosegError

#: A folder with more files than this is not one patient's.
MOST_FILES = 20_000

# The class of an object stands in the file's first elements: (0002,0002), explicit, little endian.
_CLASS = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL)
_HEAD = 1024
# Objects that are no pictures: directories, reports, presentation states, documents, plans, raw
# data, and structures drawn on pictures (PS3.4 B.5).
_NO_PICTURES = (
    "1.2.840.10008.1.3.10",
    "1.2.840.10008.5.1.4.1.1.9.",
    "1.2.840.10008.5.1.4.1.1.11.",
    "1.2.840.10008.5.1.4.1.1.66",
    "1.2.840.10008.5.1.4.1.1.88.",
    "1.2.840.10008.5.1.4.1.1.104.",
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.481.5",
)
_CODE = re.compile(r"[A-Z]{2,8}")


class DamagedDicom(CosegError):
    """A DICOM picture that cannot be read."""


class NoDicom(CosegError):
    """A folder in which there is no DICOM series to be found."""


@dataclass(frozen=True)
class PlaneHeader:
    """One DICOM file.

    Attributes
    ----------
    path : Path
        Where it is; left out of what is printed, since names of files can name a patient.
    series, picture : str
        Hashes of identifiers, whatever those look like; empty without one. They tell files apart,
        and are given to nobody.
    number : int or None
        Of the series.
    part : tuple of int
        Acquisition, point in time, echo: what tells the volumes of one series apart.
    modality : str
        ``"CT"``, ``"MR"``, ..., or empty.
    hounsfield : bool
        Whether rescaled values are Hounsfield units.
    rows, columns, frames : int
    spacing : tuple of float, or None
        mm between rows, and between columns.
    position : tuple of float, or None
        Of the first pixel, mm.
    orientation : tuple of six floats, or None
        Where the index of columns grows, then where that of rows does.
    frame : int
        Which one of its file.
    sloped : bool
        Whether the file as a whole has a slope.
    """

    path: Path = field(repr=False)
    series: str = field(repr=False)
    picture: str = field(repr=False)
    number: int | None
    part: tuple[int, ...]
    modality: str
    hounsfield: bool
    rows: int
    columns: int
    frames: int
    spacing: tuple[float, ...] | None
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    frame: int = 0
    sloped: bool = False


def dicom_files(folder: Path, *, below: bool = True) -> Iterator[Path]:
    """Yield the DICOM pictures of a folder, in the order of their names.

    Parameters
    ----------
    folder : Path
    below : bool
        Whether to look into the folders in it.

    Raises
    ------
    CosegError
        If there is no such folder.
    NoDicom
        If it holds very many files.
    """
    if not folder.is_dir():
        raise CosegError("That folder does not exist: choose one that holds DICOM files.")
    seen = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(folders) if below else []
        for name in sorted(names):
            seen += 1
            if seen > MOST_FILES:
                raise NoDicom(
                    f"The folder holds more than {MOST_FILES:,} files: choose the folder of one "
                    "patient or one series."
                )
            path = Path(root, name)
            if is_picture(path):
                yield path


def is_picture(path: Path) -> bool:
    """Whether a file is DICOM and its class one of pictures."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    if head[128:132] != b"DICM":
        # Old files begin with their first element, by which nothing can be told: the name must do.
        return bool(head) and path.suffix.lower() in (".dcm", ".dicom")
    found = _CLASS.search(head)
    return found is None or not found[1].decode("ascii").startswith(_NO_PICTURES)


def read_header(path: Path) -> PlaneHeader:
    """Read what is wanted of a file's header.

    Raises
    ------
    DamagedDicom
        If it cannot be read.
    """
    reader = itk().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    reader.LoadPrivateTagsOff()
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        # Without what GDCM says, which may quote the file.
        raise DamagedDicom("A DICOM file is damaged or cut off: copy it again.") from None
    columns, rows = (int(length) for length in reader.GetSize()[:2])
    modality = _matching(_CODE, _tag(reader, "0008|0060"))
    return PlaneHeader(
        path=path,
        series=_hash(_tag(reader, "0020|000e")),
        picture=_hash(_tag(reader, "0008|0018")),
        number=_whole(_tag(reader, "0020|0011")),
        part=tuple(_whole(_tag(reader, t)) or 0 for t in ("0020|0012", "0020|0100", "0018|0086")),
        modality=modality,
        # CT is in Hounsfield units unless it says otherwise (PS3.3 C.8.2.1.1.2).
        hounsfield=modality == "CT" and _tag(reader, "0028|1054") in ("", "HU"),
        rows=rows,
        columns=columns,
        frames=int(reader.GetSize()[2]) if len(reader.GetSize()) > 2 else 1,
        spacing=numbers(_tag(reader, "0028|0030"), 2),
        position=numbers(_tag(reader, "0020|0032"), 3),
        orientation=numbers(_tag(reader, "0020|0037"), 6),
        sloped=reader.HasMetaDataKey("0028|1053"),
    )


def _tag(reader: Any, tag: str) -> str:
    return str(reader.GetMetaData(tag)).strip(" \0") if reader.HasMetaDataKey(tag) else ""


def _matching(form: re.Pattern[str], text: str) -> str:
    return text if form.fullmatch(text) else ""


def _hash(text: str) -> str:
    # Anonymisers write identifiers of any form.
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() if text else ""


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Return the numbers of a value, None if there are not as many, or they are none."""
    try:
        values = tuple(float(value) for value in text.split("\\"))
    except ValueError:
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None

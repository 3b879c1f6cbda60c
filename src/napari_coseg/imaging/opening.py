"""Open a file of pixels, or say in a sentence why it cannot be opened.

What the decoders of other libraries raise is turned into `CosegError` here and nowhere else.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import tifffile
from PIL import Image, UnidentifiedImageError

from napari_coseg.types import CosegError

#: Most pixels that are decoded in one piece (about 23,000 on a side, 1.6 GB as RGB). It takes the
#: place of Pillow's own limit, which would refuse legitimate scans, and holds for one file only.
MAX_WHOLE_PIXELS = 1 << 29

#: What the sentences offer.
SUPPORTED = "PNG, JPEG, BMP and TIFF images are supported"

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_MAGIC = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}
_DECODING = (
    OSError,
    ValueError,
    SyntaxError,
    KeyError,
    IndexError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    tifffile.TiffFileError,
)

# tifffile logs what it repairs on its own; what it cannot repair is raised, and told once, here.
logging.getLogger("tifffile").setLevel(logging.ERROR)


def check_file(path: Path | str) -> Path:
    """Return `path` as a Path if it is a file with something in it.

    Raises
    ------
    CosegError
        If it is missing, a folder, empty, or may not be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise CosegError(f"{path} is a folder, and a file was expected.")
        if not path.exists():
            raise CosegError(f"{path} does not exist: check the name and the folder.")
        if path.stat().st_size == 0:
            raise CosegError(f"{path} is empty (0 bytes): copy or export it again.")
        with path.open("rb"):
            pass
    except OSError as error:
        raise CosegError(f"{path} cannot be read: {error.strerror or error}.") from error
    return path


def kind_of(path: Path) -> str:
    """Return the format by the file's first bytes: ``"TIFF"``, ``"PNG"``, ``"JPEG"``, ``"BMP"``.

    Raises
    ------
    CosegError
        If it is none of them, whatever the name says.
    """
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] in _TIFF_MAGIC:
        return "TIFF"
    for magic, kind in _PILLOW_MAGIC.items():
        if head.startswith(magic):
            return kind
    raise CosegError(f"{path} is not an image that can be read: {SUPPORTED}.")


@contextlib.contextmanager
def opened_pillow(path: Path, kind: str) -> Iterator[Image.Image]:
    """Open a PNG, JPEG or BMP with Pillow; errors of its decoder inside the block are told.

    Pillow's process-wide ``MAX_IMAGE_PIXELS`` is neither changed nor asked: `MAX_WHOLE_PIXELS`
    guards this file instead.

    Raises
    ------
    CosegError
        If the file is damaged, ends too early, or has too many pixels.
    """
    Image.preinit()
    factory = Image.OPEN[kind][0]
    try:
        with path.open("rb") as file, factory(file, str(path)) as image:
            columns, rows = image.size
            check_pixels(path, rows, columns)
            yield image
    except (UnidentifiedImageError, *_DECODING) as error:
        raise damaged(path, error) from error


@contextlib.contextmanager
def opened_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF with tifffile for the length of a block; its errors there are told.

    Raises
    ------
    CosegError
        If the file is damaged or ends too early.
    """
    tiff = open_tiff(path)
    with tiff:
        try:
            yield tiff
        except _DECODING as error:
            raise damaged(path, error) from error


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF for as long as the caller wants it.

    Raises
    ------
    CosegError
        If its directory cannot be read or it holds no image.
    """
    try:
        tiff = tifffile.TiffFile(path)
    except _DECODING as error:
        raise damaged(path, error) from error
    try:
        images = len(tiff.pages)
    except _DECODING as error:
        tiff.close()
        raise damaged(path, error) from error
    if images == 0:
        tiff.close()
        raise CosegError(f"{path} holds no image, or it ends too early: copy or export it again.")
    return tiff


def check_complete(path: Path, page: tifffile.TiffPage) -> None:
    """Raise `CosegError` if a TIFF page's data reach beyond the end of the file."""
    size = page.parent.filehandle.size
    spans = zip(page.dataoffsets, page.databytecounts, strict=False)
    if any(offset + count > size for offset, count in spans):
        raise CosegError(f"{path} is truncated: it ends before its pixels do; copy it again.")


def check_pixels(path: Path, rows: int, columns: int) -> None:
    """Raise `CosegError` if an image is too large to be decoded in one piece."""
    if rows * columns > MAX_WHOLE_PIXELS:
        raise CosegError(
            f"{path} has {rows} x {columns} pixels, too many for a file that must be decoded "
            "whole: convert it to a tiled TIFF, which is read by window."
        )


def damaged(path: Path, error: BaseException) -> CosegError:
    """Return the sentence for whatever a decoder raised."""
    detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if len(detail) > 160:
        detail = f"{detail[:157]}..."
    return CosegError(
        f"{path} is damaged, ends too early or uses an unsupported variant of its format "
        f"({detail}): copy or export it again."
    )

"""The image of a case, read whole, and the small picture of it for a list."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_coseg.imaging.dicom import list_series, read_series
from napari_coseg.imaging.source import ImageSource, open_image
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_headers import is_volume
from napari_coseg.imaging.volumes import RAW, Volume, read_grid, read_volume
from napari_coseg.imaging.windows import Window, apply_window, automatic_window
from napari_coseg.types import CosegError

#: Pixels of a picture that a queue opens: more are a slide, which is annotated part by part.
MOST_PIXELS = 1 << 28
#: Longest side of the small picture.
SMALL = 96


@dataclass(frozen=True, eq=False)
class CaseImage:
    """The image of a case.

    Attributes
    ----------
    pixels : ndarray
        A volume (planes, rows, columns) in its own type, or uint8 (rows, columns, 3).
    grid : VolumeGrid or None
        Of a volume; None for a picture.
    unit : str
        Of a volume's grey values: ``"HU"`` or ``"raw"``.
    mpp : float or None
        µm per pixel of a picture; None where it is unknown, and for volumes.
    window : (float, float) or None
        Grey values of a volume that are shown black and white.
    notes : tuple of str
        What a person should know, a sentence each.
    """

    pixels: npt.NDArray[Any]
    grid: VolumeGrid | None = None
    unit: str = RAW
    mpp: float | None = None
    window: Window | None = None
    notes: tuple[str, ...] = ()


def read_case(path: Path) -> CaseImage:
    """Read the image of a case.

    Of a DICOM folder with several volumes the largest is taken, which is told in the notes.

    Raises
    ------
    CosegError
        If it is not there, cannot be read, or is a picture of very many pixels.
    """
    if not path.exists():
        raise CosegError(f"{path.name} is not there any more: put it back, or leave the case.")
    if path.is_dir() or is_volume(path):
        volume = _series(path) if path.is_dir() else read_volume(path)
        window = automatic_window(volume.voxels)
        return CaseImage(
            volume.voxels, volume.grid, volume.unit, window=window, notes=tuple(volume.notes)
        )
    with open_image(path) as source:
        rows, columns = source.shape
        if rows * columns > MOST_PIXELS:
            raise CosegError(
                f"{path.name} has {rows:,} x {columns:,} pixels, too many for a queue: cut it "
                "into tiles."
            )
        return CaseImage(source.read(0, 0, rows, columns), mpp=source.mpp)


@dataclass(frozen=True)
class CaseFacts:
    """What the image of a case is, without its pixels.

    Attributes
    ----------
    shape : tuple of int
        Of its labels: (planes, rows, columns), or (rows, columns).
    spacing : tuple of float, or None
        mm between planes, rows and columns; None for a picture.
    mpp : float or None
        µm per pixel of a picture; None where it is unknown, and for volumes.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, float, float] | None = None
    mpp: float | None = None


def read_case_facts(path: Path) -> CaseFacts:
    """Return what the image of a case is, with as little reading as its format allows.

    Raises
    ------
    CosegError
        As `read_case`.
    """
    if path.is_dir():
        found = list_series(path)
        grid = (found.volumes or found.series)[0].grid
    elif is_volume(path) and path.exists():
        grid = read_grid(path)
    elif path.exists():
        with open_image(path) as source:
            return CaseFacts(source.shape, mpp=source.mpp)
    else:
        grid = None
    if grid is None:
        # Reading it either finds a place, or says what is wrong.
        image = read_case(path)
        assert image.grid is not None
        grid = image.grid
    return CaseFacts(grid.shape, grid.spacing)


def small_picture(image: CaseImage) -> bytes:
    """Return the middle plane of a volume, or a picture, as a small PNG."""
    if image.grid is None:
        return _png(image.pixels)
    plane = image.pixels[len(image.pixels) // 2]
    assert image.window is not None
    _, rows, columns = image.grid.spacing
    return _png(apply_window(plane, image.window), rows / columns)


def read_small_picture(path: Path) -> bytes:
    """Return `small_picture` of a file, with as little reading as its format allows.

    Raises
    ------
    CosegError
        As `read_case`.
    """
    if path.is_dir() or is_volume(path) or not path.exists():
        return small_picture(read_case(path))
    with open_image(path) as source:
        level: ImageSource = source.levels[-1] if source.levels else source
        rows, columns = level.shape
        if rows * columns > MOST_PIXELS:
            raise CosegError(f"{path.name} has too many pixels for a queue: cut it into tiles.")
        return _png(level.read(0, 0, rows, columns))


def file_stamp(path: Path) -> str:
    """Return what changes when a file does; empty where it cannot be seen."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _series(folder: Path) -> Volume:
    found = list_series(folder)
    volume = read_series((found.volumes or found.series)[0])
    if len(found.volumes) < 2:
        return volume
    more = f"The folder holds {len(found.volumes)} series: the largest is the case."
    return Volume(volume.voxels, volume.grid, volume.unit, (*volume.notes, more))


def _png(pixels: npt.NDArray[np.uint8], ratio: float = 1.0) -> bytes:
    """Return pixels as a PNG; `ratio` is how much taller than wide a pixel is."""
    # Every n-th pixel first: a large picture is smoothed in no time then.
    step = max(1, max(pixels.shape[:2]) // (4 * SMALL))
    image = Image.fromarray(np.ascontiguousarray(pixels[::step, ::step]))
    tall, wide = image.height * ratio, float(image.width)
    scale = SMALL / max(tall, wide)
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BILINEAR).save(file, "PNG")
    return file.getvalue()

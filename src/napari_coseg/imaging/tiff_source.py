"""The picture in a TIFF file, by window: its colours and its levels."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from tifffile import PHOTOMETRIC

from napari_coseg.imaging.array_source import ImageSource
from napari_coseg.imaging.colour import over_white, to_rgb8, white_level
from napari_coseg.imaging.opening import open_tiff
from napari_coseg.imaging.pixel_size import mpp_of_tiff
from napari_coseg.imaging.tiff import TiffPixels, photometric_of
from napari_coseg.types import CosegError

#: Decoded tiles that an open TIFF keeps: two rows of tiles of a picture 40,000 pixels wide.
CACHE_BYTES = 64 << 20
_TRANSPOSED = (5, 6, 7, 8)


class TiffSource(ImageSource):
    """A TIFF on disk, of which only the tiles or strips under a window are decoded.

    Memory is set by the window and `cache_bytes`, not by the image. The exception is a file that
    was compressed as one strip: it is decoded whole, up to `opening.MAX_WHOLE_PIXELS`.

    Pictures with levels are read at the full one; the others are among `levels`. Palettes, CMYK,
    inverted grey and transparency are turned into RGB over white; the orientation tag is applied.
    An extra sample that the file does not call alpha is left out.

    Parameters
    ----------
    path : Path
        The file.
    cache_bytes : int
        Decoded tiles or strips that are kept.
    finest : TiffSource, optional
        The same picture at full resolution, where this is a coarser level of it.
    level : int
        Which one.

    Raises
    ------
    CosegError
        If the file is damaged or truncated, a stack, or of a colour space that is not supported.
    """

    def __init__(
        self,
        path: Path,
        cache_bytes: int = CACHE_BYTES,
        *,
        finest: TiffSource | None = None,
        level: int = 0,
    ) -> None:
        # Each level has a file handle of its own, so that they are read beside each other.
        self._tiff = open_tiff(path)
        self._path, self._cache_bytes, self._finest = path, cache_bytes, finest
        self._coarser: tuple[TiffSource, ...] | None = None
        self._lock = threading.Lock()
        try:
            self.name = str(path)
            self._pixels = TiffPixels(path, self._tiff, cache_bytes, level)
            page = self._pixels.page
            self._photometric = _check_photometric(path, page, self._pixels.samples)
            self.mpp = mpp_of_tiff(self._tiff) if finest is None else None
            self._palette = _palette(path, page, self._photometric)
            self._alpha = int(page.extrasamples[0]) if page.extrasamples else 0
            orientation = page.tags.get("Orientation")
            self._orientation = int(orientation.value) if orientation else 1
            if finest is None:
                self._white = self._white_level(page)
            else:
                # Levels look alike, and coarser ones do not always have the tag.
                self._orientation, self._white = finest._orientation, finest._white
                self.mpp = None if finest.mpp is None else finest.mpp * self._coarseness
        except BaseException:
            self._tiff.close()
            raise

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as the orientation tag wants them."""
        rows, columns = self._pixels.shape
        return (columns, rows) if self._orientation in _TRANSPOSED else (rows, columns)

    @property
    def levels(self) -> tuple[ImageSource, ...]:
        """The picture at each scale that the file has; opened when they are first asked for."""
        if self._finest is not None:
            return (self,)
        with self._lock:
            if self._coarser is None:
                self._coarser = tuple(self._open_coarser())
            return (self, *self._coarser)

    def _open_coarser(self) -> Iterator[TiffSource]:
        for level in range(1, self._pixels.levels):
            ratio = self._pixels.shape[0] / self._pixels.shape_of(level)[0]
            cache_bytes = math.ceil(self._cache_bytes / max(1.0, ratio))
            source = TiffSource(self._path, cache_bytes, finest=self, level=level)
            other, mine = source._pixels, self._pixels
            if (other.samples, other.dtype) != (mine.samples, mine.dtype):
                # A label or a mask that a program has put there, and not this picture.
                source.close()
                return
            yield source

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        for level in self._coarser or ():
            level.close()

    @property
    def _coarseness(self) -> float:
        """Pixels of the finest level to one of this."""
        finest = self if self._finest is None else self._finest
        return finest._pixels.shape[0] / self._pixels.shape[0]

    def _white_level(self, page: tifffile.TiffPage) -> float:
        dtype = self._pixels.dtype
        if dtype.kind in "ui" and page.bitspersample not in (8, 16, 32, 64):
            return float((1 << int(page.bitspersample)) - 1)
        if dtype == np.uint8:
            return 255.0
        return white_level(self._pixels.sample())

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        # Orientations (TIFF 6.0, page 36) mirror rows and columns, then exchange them.
        transposed = self._orientation in _TRANSPOSED
        upside_down = self._orientation in (3, 4, 6, 7)
        mirrored = self._orientation in (2, 3, 7, 8)
        if transposed:
            row0, column0, row1, column1 = column0, row0, column1, row1
        rows, columns = self._pixels.shape
        if upside_down:
            row0, row1 = rows - row1, rows - row0
        if mirrored:
            column0, column1 = columns - column1, columns - column0
        window = self._colours(self._pixels.read(row0, column0, row1, column1))
        if upside_down:
            window = window[::-1]
        if mirrored:
            window = window[:, ::-1]
        if transposed:
            window = window.swapaxes(0, 1)
        return np.ascontiguousarray(window)

    def _colours(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        (self if self._finest is None else self._finest)._look_at(samples)
        if self._palette is not None:
            colours: npt.NDArray[np.uint8] = self._palette[samples[..., 0]]
            return colours
        if self._photometric == PHOTOMETRIC.SEPARATED:
            inks = np.stack([to_rgb8(samples[..., k], self._white)[..., 0] for k in range(4)], -1)
            # With no profile asked for, black ink darkens what the other three leave.
            left = (255 - inks[..., :3].astype(np.uint32)) * (255 - inks[..., 3:].astype(np.uint32))
            return ((left + 127) // 255).astype(np.uint8)
        if samples.shape[2] == 4 and self._alpha == 1:
            alpha = to_rgb8(samples[..., 3], self._white)[..., :1]
            return over_white(to_rgb8(samples[..., :3], self._white), alpha, multiplied=True)
        if samples.shape[2] == 4 and self._alpha != 2:
            samples = samples[..., :3]
        window = to_rgb8(samples, self._white)
        return 255 - window if self._photometric == PHOTOMETRIC.MINISWHITE else window


def _check_photometric(path: Path, page: tifffile.TiffPage, samples: int) -> PHOTOMETRIC:
    photometric = photometric_of(page)
    allowed = {
        PHOTOMETRIC.MINISBLACK: (1, 3),
        PHOTOMETRIC.MINISWHITE: (1,),
        PHOTOMETRIC.RGB: (3, 4),
        PHOTOMETRIC.PALETTE: (1,),
        PHOTOMETRIC.SEPARATED: (4,),
    }
    if samples not in allowed.get(photometric, ()):
        raise CosegError(
            f"{path} holds {samples} samples a pixel of the colour space {photometric.name}, "
            "which is not supported: save it as RGB or grey."
        )
    return photometric


def _palette(
    path: Path, page: tifffile.TiffPage, photometric: PHOTOMETRIC
) -> npt.NDArray[np.uint8] | None:
    if photometric != PHOTOMETRIC.PALETTE:
        return None
    dtype = np.dtype(page.dtype)
    if page.colormap is None or dtype.kind != "u" or dtype.itemsize > 2:
        raise CosegError(f"{path} lacks the palette that it refers to: save it as RGB.")
    colours: npt.NDArray[Any] = np.asarray(page.colormap).T
    # The specification wants 16 bits; many programs write 8 into the same tag.
    if colours.max(initial=0) > 255:
        colours = colours >> 8
    full = np.zeros((1 << (8 * dtype.itemsize), 3), np.uint8)
    full[: len(colours)] = colours
    return full

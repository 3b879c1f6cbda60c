"""2D images read by window, wherever their pixels are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageOps
from tifffile import PHOTOMETRIC

from napari_coseg.imaging.colour import check_picture, over_white, to_rgb8, white_level
from napari_coseg.imaging.opening import check_file, kind_of, open_tiff, opened_pillow
from napari_coseg.imaging.pixel_size import mpp_of_pillow, mpp_of_tiff
from napari_coseg.imaging.tiff import TiffPixels, photometric_of
from napari_coseg.types import CosegError

#: Decoded tiles that an open TIFF keeps: two rows of tiles of a picture 40,000 pixels wide.
CACHE_BYTES = 64 << 20
_SAMPLE_PIXELS = 1 << 20
_WINDOW = 256
_TRANSPOSED = (5, 6, 7, 8)


class ImageSource(ABC):
    """An image as windows of 8-bit RGB; a context manager.

    Attributes
    ----------
    name : str
        For messages: the path, or what the caller called the array.
    mpp : float or None
        Size of a pixel in µm, None where it is unknown.
    """

    name: str
    mpp: float | None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @abstractmethod
    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        """Read a window that is known to lie inside."""

    def read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        """Return a window, last edges exclusive, in a new array.

        May be called from several threads at once.

        Returns
        -------
        ndarray of uint8, (row1 - row0, column1 - column0, 3)

        Raises
        ------
        ValueError
            If the window is empty or reaches outside of the image.
        CosegError
            If pixels cannot be decoded.
        """
        rows, columns = self.shape
        if not (0 <= row0 < row1 <= rows and 0 <= column0 < column1 <= columns):
            raise ValueError(
                f"window ({row0}, {column0}, {row1}, {column1}) is not inside of {self.shape}"
            )
        return self._read(int(row0), int(column0), int(row1), int(column1))

    def close(self) -> None:  # noqa: B027 - an array has nothing to close
        """Let go of the file; reading afterwards is an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ArraySource(ImageSource):
    """An array in memory, or anything that is sliced like one (memmap, Zarr).

    Parameters
    ----------
    array : array, (rows, columns), (rows, columns, 1, 3 or 4) or (3, rows, columns)
        Any type that `to_rgb8` takes. Three samples first are taken for colours if the last axis
        cannot be samples. The array is not copied.
    mpp : float, optional
        µm per pixel.
    name : str
        For messages.

    Raises
    ------
    CosegError
        If the shape or type is not a picture's.
    """

    def __init__(self, array: Any, mpp: float | None = None, name: str = "the image") -> None:
        shape = tuple(int(length) for length in array.shape)
        self._samples_first = len(shape) == 3 and shape[0] == 3 and shape[2] not in (1, 3, 4)
        if self._samples_first:
            shape = (*shape[1:], 3)
        check_picture(shape, array.dtype)
        self._array = array
        self._shape = shape[:2]
        self.mpp = mpp
        self.name = name
        eight_bit = np.dtype(array.dtype) == np.uint8
        self._white = 255.0 if eight_bit else white_level(self._sample())

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape[0], self._shape[1]

    def _sample(self) -> npt.NDArray[Any]:
        """Read enough pixels to tell the white level."""
        rows, columns = self._shape
        if isinstance(self._array, np.ndarray):
            step = max(1, int(np.sqrt(rows * columns / _SAMPLE_PIXELS)))
            return self._slice(np.s_[::step], np.s_[::step])
        # Every tenth pixel of chunks on a disk would read all of them: windows, spread evenly.
        starts = (
            sorted({int(share * max(0, n - _WINDOW)) for share in (0.05, 0.35, 0.65, 0.95)})
            for n in self._shape
        )
        windows = [
            self._slice(slice(row, row + _WINDOW), slice(column, column + _WINDOW))
            for row, column in product(*starts)
        ]
        return np.concatenate([window.reshape(-1, *window.shape[2:]) for window in windows])[None]

    def _slice(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        if self._samples_first:
            return np.moveaxis(np.asarray(self._array[:, rows, columns]), 0, -1)
        return np.asarray(self._array[rows, columns])

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        return to_rgb8(self._slice(slice(row0, row1), slice(column0, column1)), self._white)


class TiffSource(ImageSource):
    """A TIFF on disk, of which only the tiles or strips under a window are decoded.

    Memory is set by the window and `cache_bytes`, not by the image. The exception is a file that
    was compressed as one strip: it is decoded whole, up to `opening.MAX_WHOLE_PIXELS`.

    Pictures with levels are read at the full one. Palettes, CMYK, inverted grey and transparency
    are turned into RGB over white; the orientation tag is applied. An extra sample that the file
    does not call alpha is left out.

    Raises
    ------
    CosegError
        If the file is damaged or truncated, a stack, or of a colour space that is not supported.
    """

    def __init__(self, path: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self._tiff = open_tiff(path)
        try:
            self.name = str(path)
            self._pixels = TiffPixels(path, self._tiff, cache_bytes)
            page = self._pixels.page
            self._photometric = _check_photometric(path, page, self._pixels.samples)
            self.mpp = mpp_of_tiff(self._tiff)
            self._palette = _palette(path, page, self._photometric)
            self._alpha = int(page.extrasamples[0]) if page.extrasamples else 0
            orientation = page.tags.get("Orientation")
            self._orientation = int(orientation.value) if orientation else 1
            self._white = self._white_level(page)
        except BaseException:
            self._tiff.close()
            raise

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as the orientation tag wants them."""
        rows, columns = self._pixels.shape
        return (columns, rows) if self._orientation in _TRANSPOSED else (rows, columns)

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()

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


def open_image(path: Path | str, cache_bytes: int = CACHE_BYTES) -> ImageSource:
    """Open a PNG, JPEG, BMP or TIFF; what it is is seen by its content, not by its name.

    PNG, JPEG and BMP are decoded whole, here. TIFF is read by window (see `TiffSource`). EXIF
    orientation is applied, palettes and CMYK become RGB, transparency is laid over white, colour
    profiles are not applied. 16-bit grey is scaled as `white_level` says; of 16-bit colour in a
    PNG the upper eight bits are taken.

    Parameters
    ----------
    path : Path or str
        The file.
    cache_bytes : int
        Decoded tiles or strips of a TIFF that are kept.

    Raises
    ------
    CosegError
        If the file is missing, empty, truncated, too large to be decoded whole
        (`opening.MAX_WHOLE_PIXELS`), a stack, or no image.
    """
    path = check_file(path)
    kind = kind_of(path)
    if kind == "TIFF":
        return TiffSource(path, cache_bytes)
    with opened_pillow(path, kind) as image:
        mpp = mpp_of_pillow(image)
        pixels = np.asarray(_plain_mode(ImageOps.exif_transpose(image)))
    return ArraySource(pixels, mpp, str(path))


def _plain_mode(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "1", "I;16", "I", "F") else image.convert("RGB")


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

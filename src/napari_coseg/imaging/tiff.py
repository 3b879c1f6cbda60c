"""Raw samples of one 2D picture in a TIFF, by window.

Only the tiles or strips that a window touches are decoded, and the last ones used are kept, since
the windows of a tiled run overlap. Formats: TIFF 6.0, BigTIFF, OME-TIFF 2016-06, ImageJ, Aperio.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC

from napari_coseg.imaging.opening import check_complete, check_pixels, damaged
from napari_coseg.types import CosegError

_JPEG = (6, 7, 33007, 34892)
_SAMPLE_PIXELS = 1 << 20
_SPOTS = 12
_SPOT = 64


class TiffPixels:
    """Samples of the largest picture in an open TIFF, at full resolution or a coarser level.

    Reads may come from several threads: looking at the file and at the cache is locked, decoding
    is not. Two threads that want one tile at once may both decode it.

    Parameters
    ----------
    path : Path
        For messages.
    tiff : TiffFile
        Open; closed by its owner.
    cache_bytes : int
        Decoded tiles or strips that are kept, least recently used first to go. One is always kept.
    level : int
        Of a picture that is there at several scales; 0 is the finest.

    Attributes
    ----------
    shape : tuple of int
        Rows, columns.
    samples : int
        1, 3 or 4.
    levels : int
        Scales that the picture is there at.
    dtype : dtype
        Of the samples, in this machine's byte order.
    page : TiffPage
        The (first) directory: photometric interpretation, orientation, bits a sample.

    Raises
    ------
    CosegError
        If the file holds a stack, another number of channels, several pictures of one size, or
        is truncated.
    """

    def __init__(
        self, path: Path, tiff: tifffile.TiffFile, cache_bytes: int, level: int = 0
    ) -> None:
        self._path = path
        self._picture = _picture(path, tiff)
        self.levels = len(self._picture)
        self._planes = _planes(path, self._picture[level])
        page = self._planes[0][0]
        self.page = page
        self.shape = (int(page.imagelength), int(page.imagewidth))
        contiguous = 1 if page.planarconfig == 2 else int(page.samplesperpixel)
        self.samples = contiguous * len(self._planes)
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        for plane_page, _ in self._planes:
            check_complete(path, plane_page)
        if page.is_tiled:
            self._segment = (int(page.tilelength), int(page.tilewidth))
        else:
            rows = min(int(page.rowsperstrip) or self.shape[0], self.shape[0])
            self._segment = (rows, self.shape[1])
        self._plain = _is_plain(page)
        if not self._plain:
            check_pixels(path, *self._segment)
        self._budget = cache_bytes
        self._kept = 0
        self._cache: OrderedDict[tuple[int, int], npt.NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def shape_of(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level."""
        page = self._picture[level].keyframe
        return int(page.imagelength), int(page.imagewidth)

    def read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[Any]:
        """Return the samples of a window, (rows, columns, samples), in a new array.

        Raises
        ------
        CosegError
            If a tile or strip cannot be decoded.
        """
        out = np.empty((row1 - row0, column1 - column0, self.samples), self.dtype)
        width = self.samples // len(self._planes)
        for index in range(len(self._planes)):
            part = out[..., index * width : (index + 1) * width]
            if self._plain:
                self._read_plain(index, row0, column0, part)
            else:
                self._read_segments(index, row0, column0, part)
        return out

    def sample(self) -> npt.NDArray[Any]:
        """Return about a million pixels or fewer, (n, m, samples), spread over the picture."""
        rows, columns = self.shape
        if rows * columns <= _SAMPLE_PIXELS:
            return self.read(0, 0, rows, columns)
        spots = []
        for row in _spread(rows):
            band = [
                self.read(row, column, min(row + _SPOT, rows), min(column + _SPOT, columns))
                for column in _spread(columns)
            ]
            spots.append(np.concatenate(band, axis=1))
        return np.concatenate(spots)

    def _read_plain(self, index: int, row0: int, column0: int, out: npt.NDArray[Any]) -> None:
        """Fetch the bytes of a window from samples that lie uncompressed, row after row."""
        page, plane = self._planes[index]
        file = page.parent.filehandle
        stored = np.dtype(page.parent.byteorder + self.dtype.char)
        pixel = stored.itemsize * out.shape[2]
        pitch = pixel * self.shape[1]
        plane_bytes = pitch * self.shape[0]
        start = int(page.dataoffsets[0]) + plane * plane_bytes + row0 * pitch + column0 * pixel
        length = out.shape[1] * pixel
        for row in range(out.shape[0]):
            with self._lock:
                file.seek(start + row * pitch)
                data = file.read(length)
            if len(data) != length:
                raise damaged(self._path, EOFError("the file ended within a row"))
            out[row] = np.frombuffer(data, stored).reshape(out.shape[1:])

    def _read_segments(self, index: int, row0: int, column0: int, out: npt.NDArray[Any]) -> None:
        height, width = self._segment
        row1, column1 = row0 + out.shape[0], column0 + out.shape[1]
        for i in range(row0 // height, -(-row1 // height)):
            for j in range(column0 // width, -(-column1 // width)):
                segment = self._decoded(index, i, j)
                top, left = i * height, j * width
                r0, r1 = max(row0, top), min(row1, top + height)
                c0, c1 = max(column0, left), min(column1, left + width)
                out[r0 - row0 : r1 - row0, c0 - column0 : c1 - column0] = segment[
                    r0 - top : r1 - top, c0 - left : c1 - left
                ]

    def _decoded(self, index: int, i: int, j: int) -> npt.NDArray[Any]:
        page, plane = self._planes[index]
        height, width = self._segment
        down, across = -(-self.shape[0] // height), -(-self.shape[1] // width)
        number = (plane * down + i) * across + j
        key = (index, number)
        with self._lock:
            found = self._cache.get(key)
            if found is not None:
                self._cache.move_to_end(key)
                return found
        segment = self._decode(page, number)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = segment
                self._kept += segment.nbytes
            while self._kept > self._budget and len(self._cache) > 1:
                self._kept -= self._cache.popitem(last=False)[1].nbytes
        return segment

    def _decode(self, page: tifffile.TiffPage, number: int) -> npt.NDArray[Any]:
        extra: dict[str, Any] = {}
        if page.compression in _JPEG:
            extra = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        # Files by some scanners leave out tiles without tissue.
        count = int(page.databytecounts[number])
        data = None
        if count:
            with self._lock:
                page.parent.filehandle.seek(int(page.dataoffsets[number]))
                data = page.parent.filehandle.read(count)
        try:
            segment, _, shape = page.decode(data, number, **extra)
        # Each codec raises errors of its own kind, and a damaged tile may raise any of them.
        except Exception as error:
            raise damaged(self._path, error) from error
        if segment is None:
            segment = np.full(shape, page.nodata, page.dtype)
        depth, rows, columns, samples = segment.shape
        expected = self.samples // len(self._planes)
        if depth != 1 or samples != expected:
            raise damaged(self._path, ValueError(f"a tile of shape {segment.shape}"))
        return np.asarray(segment).reshape(rows, columns, samples)


def _spread(length: int) -> list[int]:
    last = max(0, length - _SPOT)
    return sorted({round(k * last / (_SPOTS - 1)) for k in range(_SPOTS)})


def _is_plain(page: tifffile.TiffPage) -> bool:
    """Say whether samples lie in the file as they are, so that any part of a row can be read."""
    return bool(
        not page.is_tiled
        and page.compression == COMPRESSION.NONE
        and page.predictor == 1
        and page.fillorder == 1
        and page.is_contiguous
        and page.bitspersample == np.dtype(page.dtype).itemsize * 8
        and not page.is_subsampled
    )


def _planes(path: Path, level: tifffile.TiffPageSeries) -> list[tuple[tifffile.TiffPage, int]]:
    """Return directory and plane of each group of samples of a level, or say what is wrong."""
    try:
        axes = [(name, n) for name, n in zip(level.axes, level.shape, strict=True) if n != 1]
        first = level.keyframe.aspage()
        pages = [first]
        names = [name for name, _ in axes if name not in "YX"]
        sizes = [n for name, n in axes if name not in "YX"]
        if names in (["C"], ["Q"]) and sizes == [3] and len(level.pages) == 3:
            # An array of (3, rows, columns): three directories of one channel. "Q" is an axis
            # that the program that wrote the array did not name. Planes in time or depth are
            # named, and other numbers of channels are not colours.
            pages = [page.aspage() for page in level.pages if page is not None]
        elif (names and names != ["S"]) or len(level.pages) != 1:
            raise _stack(path, level)
    except CosegError:
        raise
    except Exception as error:
        raise damaged(path, error) from error
    if first.dtype is None:
        raise CosegError(
            f"{path} has {first.bitspersample} bits a sample, which is not supported: save it "
            "with 8 or 16."
        )
    if first.planarconfig == 2 and first.samplesperpixel > 1:
        planes = [(page, k) for page in pages for k in range(int(page.samplesperpixel))]
    else:
        planes = [(page, 0) for page in pages]
    samples = len(planes) * (1 if first.planarconfig == 2 else int(first.samplesperpixel))
    if samples not in (1, 3, 4) or first.imagedepth != 1:
        raise _stack(path, level)
    return planes


def _picture(path: Path, tiff: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """Return the levels of the largest picture: labels and macros of a slide are smaller."""
    try:
        pictures = [list(series.levels) for series in tiff.series]
        finest = [levels[0].keyframe for levels in pictures]
        pixels = [page.imagelength * page.imagewidth for page in finest]
    except Exception as error:
        raise damaged(path, error) from error
    largest = max(pixels)
    if pixels.count(largest) > 1:
        raise CosegError(
            f"{path} holds {len(pictures)} images, several of them of one size: save the one "
            "that is meant to a file of its own."
        )
    return pictures[pixels.index(largest)]


def _stack(path: Path, level: tifffile.TiffPageSeries) -> CosegError:
    shape = " x ".join(str(n) for n in level.shape)
    return CosegError(
        f"{path} has the shape {shape} (axes {level.axes}): supported are single 2D images with "
        "1, 3 or 4 samples a pixel; save one plane, or three channels as RGB."
    )


def photometric_of(page: tifffile.TiffPage) -> PHOTOMETRIC:
    """Return how samples make colours once they are decoded (TIFF 6.0, page 37)."""
    photometric = PHOTOMETRIC(page.photometric)
    # The JPEG decoder turns YCbCr into RGB on its own.
    if photometric == PHOTOMETRIC.YCBCR and page.compression in _JPEG:
        return PHOTOMETRIC.RGB
    # JPEG 2000 after Aperio may hold YCbCr behind a tag that says RGB.
    if page.compression == COMPRESSION.APERIO_JP2000_YCBC:
        return PHOTOMETRIC.YCBCR
    return photometric

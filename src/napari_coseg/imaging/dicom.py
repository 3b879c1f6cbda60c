"""DICOM folders: which series there are, and one of them as a volume.

Nothing of a patient leaves this module: a series is known by its number, modality and geometry.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_coseg.imaging.dicom_frames import frames_of
from napari_coseg.imaging.dicom_headers import (
    DamagedDicom,
    NoDicom,
    PlaneHeader,
    dicom_files,
    read_header,
)
from napari_coseg.imaging.dicom_planes import arranged, parted
from napari_coseg.imaging.simple_itk import dtype_of, itk
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volumes import RAW, Volume
from napari_coseg.imaging.windows import HOUNSFIELD
from napari_coseg.types import CosegError

#: Told how many of how many files are read (0 of 0: how many is not known). It may raise to stop.
Progress = Callable[[int, int], None]

_PLANES = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal"}
_NARROW = np.iinfo(np.int16)
# Bytes a voxel at most: two copies of 32 bits, when the type changes on the way. Of a file with
# many frames ITK's image and its copy too, both of 64 bits.
_PLANES_BYTES, _FRAMES_BYTES = 8, 24


@dataclass(frozen=True)
class DicomSeries:
    """A series, or the part of one that is a volume.

    Attributes
    ----------
    number : int or None
        The series' number.
    modality : str
        ``"CT"``, ``"MR"``, ..., or empty.
    planes, rows, columns : int
        How many there are, missing planes not counted.
    grid : VolumeGrid or None
        None where it cannot be read.
    unit : str
        ``"HU"`` or ``"raw"``.
    notes : tuple of str
        What a person should know, a sentence each.
    problem : str
        Why it cannot be read, in a sentence; empty if it can.
    """

    number: int | None
    modality: str
    planes: int
    rows: int
    columns: int
    grid: VolumeGrid | None
    unit: str
    notes: tuple[str, ...]
    problem: str
    _files: tuple[Path, ...] = field(repr=False)
    _frames: tuple[int, ...] = field(repr=False)
    _indices: tuple[int, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """Modality and number, for a layer's name."""
        kind = self.modality or "DICOM"
        return kind if self.number is None else f"{kind} series {self.number}"

    def holds(self, path: Path) -> bool:
        """Whether a file belongs to it."""
        return path in self._files

    @property
    def description(self) -> str:
        """Name and geometry, for a list to choose from."""
        if self.grid is None:
            planes = "1 plane" if self.planes == 1 else f"{self.planes} planes"
            return f"{self.name}: {planes} of {self.rows} x {self.columns}"
        # Axial planes lie on each other from foot to head.
        kind = _PLANES.get(self.grid.orientation[0], "sagittal")
        through, down, across = self.grid.spacing
        return (
            f"{self.name}: {self.planes} {kind} planes of {self.rows} x {self.columns}, "
            f"{through:.3g} x {down:.3g} x {across:.3g} mm"
        )


@dataclass(frozen=True)
class DicomFolder:
    """What a folder holds.

    Attributes
    ----------
    series : tuple of DicomSeries
        Volumes first, the largest at the top; then what cannot be read.
    damaged : int
        DICOM files that cannot be read.
    """

    series: tuple[DicomSeries, ...]
    damaged: int

    @property
    def volumes(self) -> tuple[DicomSeries, ...]:
        """Those that can be read."""
        return tuple(one for one in self.series if not one.problem)


def list_series(
    folder: Path | str, progress: Progress | None = None, *, chosen: Path | None = None
) -> DicomFolder:
    """List the series of a folder and the folders in it, from the headers of their files.

    Parameters
    ----------
    folder : Path or str
    progress : callable, optional
    chosen : Path, optional
        A picture in the folder: folders in it are not looked at, and where there are copies of the
        picture, this is the one that counts.

    Raises
    ------
    NoDicom
        If there is no DICOM picture, none can be read, or there are very many files.
    CosegError
        If there is no such folder.
    """
    paths = dicom_files(Path(folder), below=chosen is None)
    if chosen is not None:
        paths = itertools.chain([chosen], (path for path in paths if path != chosen))
    headers: list[PlaneHeader] = []
    damaged = 0
    for path in paths:
        try:
            headers.append(read_header(path))
        except DamagedDicom:
            damaged += 1
        if progress is not None:
            progress(len(headers) + damaged, 0)
    if not headers and damaged:
        raise NoDicom(f"{_files(damaged)} damaged or cut off: copy the folder again.")
    if not headers:
        raise NoDicom("The folder holds no DICOM pictures: choose another one.")
    found = [_series(group, damaged) for group in parted(headers)]
    found.sort(key=lambda one: (bool(one.problem), -one.planes * one.rows * one.columns))
    return DicomFolder(tuple(found), damaged)


def read_series(series: DicomSeries, progress: Progress | None = None) -> Volume:
    """Read a series as a volume, each plane with its own slope and intercept.

    Planes that are missing hold the volume's lowest value.

    Raises
    ------
    CosegError
        If it cannot be read, or there is not enough memory.
    """
    if series.grid is None:
        raise CosegError(f"{series.name} cannot be read as a volume. {series.problem}")
    grid = series.grid
    shared = len(set(series._files)) == 1
    size = math.prod(grid.shape) * (_FRAMES_BYTES if shared else _PLANES_BYTES)
    needed, free = size, psutil.virtual_memory().available
    if needed > free:
        raise CosegError(
            f"{series.name} needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are "
            "free: close other programs."
        )
    voxels = _stacked(series, grid, progress)
    return Volume(_narrowed(voxels), grid, series.unit, series.notes)


def read_dicom(folder: Path | str, progress: Progress | None = None) -> Volume:
    """Read the one volume of a folder.

    Raises
    ------
    CosegError
        As `list_series` and `read_series`, or if the folder holds several volumes or none.
    """
    found = list_series(folder, progress)
    if len(found.volumes) > 1:
        listed = "; ".join(one.description for one in found.volumes)
        raise CosegError(f"The folder holds several series, so choose one of them: {listed}.")
    return read_series((found.volumes or found.series)[0], progress)


def _series(group: list[PlaneHeader], damaged: int) -> DicomSeries:
    first = group[0]
    problem, arrangement = "", None
    try:
        arrangement = arranged(frames_of(first) if first.frames > 1 else group)
    except CosegError as error:
        problem = str(error)
    notes = arrangement.notes if arrangement is not None else ()
    if damaged:
        notes = (*notes, f"{_files(damaged)} damaged or cut off, and planes may be missing.")
    ordered = group if arrangement is None else arrangement.planes
    return DicomSeries(
        number=first.number,
        modality=first.modality,
        planes=first.frames if first.frames > 1 else len(group),
        rows=first.rows,
        columns=first.columns,
        grid=None if arrangement is None else arrangement.grid,
        unit=HOUNSFIELD if all(header.hounsfield for header in group) else RAW,
        notes=notes,
        problem=problem,
        _files=tuple(header.path for header in ordered),
        _frames=tuple(header.frame for header in ordered),
        _indices=() if arrangement is None else arrangement.indices,
    )


def _stacked(series: DicomSeries, grid: VolumeGrid, progress: Progress | None) -> npt.NDArray[Any]:
    stack: npt.NDArray[Any] | None = None
    frames: npt.NDArray[Any] | None = None
    last: Path | None = None
    ordered = zip(series._files, series._frames, series._indices, strict=True)
    for number, (path, frame, index) in enumerate(ordered):
        if path != last or frames is None:
            frames, last = _pixels(path), path
        if frame >= len(frames) or frames.shape[1:] != grid.shape[1:]:
            raise _changed()
        plane = frames[frame]
        if plane.dtype.kind == "f":
            plane = plane.astype(np.float32, copy=False)
        if stack is None:
            stack = np.zeros(grid.shape, plane.dtype)
        elif np.result_type(stack, plane) != stack.dtype:
            # Planes may have slopes and signs of their own.
            wider = np.result_type(stack, plane)
            stack = stack.astype(np.float32 if wider.kind == "f" else wider, copy=False)
        stack[index] = plane
        if progress is not None:
            progress(number + 1, len(series._files))
    assert stack is not None
    missing = np.setdiff1d(np.arange(len(stack)), series._indices)
    if missing.size:
        stack[missing] = min(stack[index].min() for index in series._indices)
    return stack


def _pixels(path: Path) -> npt.NDArray[Any]:
    """Return the rescaled pixels of a file, (frames, rows, columns)."""
    try:
        image = _reader(path).Execute()
    except (RuntimeError, MemoryError):
        # Without what GDCM says, which may quote the file.
        raise CosegError(
            "A file of the series is damaged, cut off, or packed in a way that cannot be read: "
            "copy the series again, or export it without compression."
        ) from None
    if image.GetNumberOfComponentsPerPixel() != 1 or dtype_of(image) is None:
        raise CosegError("The series holds colour pictures, and a volume is grey.")
    pixels: npt.NDArray[Any] = itk().GetArrayFromImage(image)
    return pixels


def _reader(path: Path) -> Any:
    reader = itk().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return reader


def _narrowed(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return voxels in 16 or 32 bits: GDCM takes more than the values need."""
    if voxels.dtype.kind == "f":
        return voxels.astype(np.float32, copy=False)
    if voxels.dtype.itemsize > 2 and _NARROW.min <= voxels.min() and voxels.max() <= _NARROW.max:
        return voxels.astype(np.int16)
    return voxels


def _changed() -> CosegError:
    return CosegError("The files of the series have changed meanwhile: choose the folder again.")


def _files(count: int) -> str:
    return "A DICOM file is" if count == 1 else f"{count} DICOM files are"

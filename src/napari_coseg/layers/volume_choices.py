"""What there is to open in a volume file or a folder of DICOM series, and opening one of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from napari_coseg.imaging.dicom import DicomSeries, Progress, list_series, read_series
from napari_coseg.imaging.dicom_headers import NoDicom, is_picture, read_header
from napari_coseg.imaging.volume_grid import sides
from napari_coseg.imaging.volume_headers import is_volume, volume_stem
from napari_coseg.imaging.volumes import RAW, Volume, read_info, read_volume
from napari_coseg.imaging.windows import HOUNSFIELD, Window, preset_window
from napari_coseg.layers.tuples import LayerData
from napari_coseg.layers.volume_layers import image_layer, layer_of
from napari_coseg.types import CosegError


@dataclass(frozen=True)
class Choice:
    """A volume that may be opened.

    Attributes
    ----------
    source : Path or DicomSeries
    text : str
        What a list says of it.
    unit : str
        Of its grey values, as far as that is known without reading them.
    problem : str
        Why it cannot be opened, in a sentence; empty if it can.
    """

    source: Path | DicomSeries
    text: str
    unit: str = RAW
    problem: str = ""


@dataclass(frozen=True)
class Opened:
    """A layer to add, and what a person should know of it, a sentence each."""

    layer: LayerData
    notes: tuple[str, ...]


def choices_at(path: Path, progress: Progress | None = None) -> tuple[Choice, ...]:
    """List what can be opened.

    Parameters
    ----------
    path : Path
        A volume file; a folder of DICOM files, or else of volume files; a single DICOM file, which
        stands for its series as far as it lies in the same folder.
    progress : callable, optional

    Raises
    ------
    CosegError
        If there is nothing, or it cannot be read.
    """
    if path.is_dir():
        files = _volumes_in(path)
        try:
            return _series(list_series(path, progress).series)
        except NoDicom:
            if not files:
                raise
        return tuple(_file(one) for one in files)
    if is_volume(path):
        chosen = _file(path)
        if chosen.problem:
            raise CosegError(chosen.problem)
        return (chosen,)
    if not is_picture(path):
        raise CosegError(
            "That file is neither a volume (.nii.gz, .nii, .mha, .mhd, .nrrd) nor a DICOM picture: "
            "choose another one."
        )
    # It says so if it is damaged.
    read_header(path)
    found = list_series(path.parent, progress, chosen=path).series
    return _series(tuple(one for one in found if one.holds(path)))


def _volumes_in(folder: Path) -> list[Path]:
    try:
        return [one for one in sorted(folder.iterdir()) if is_volume(one) and one.is_file()]
    except OSError:
        # Without its name, which may be a patient's.
        raise CosegError(
            "The folder cannot be read: see whether it is still there, and whether you may open it."
        ) from None


def open_choice(
    choice: Choice,
    window: str | Window = "",
    *,
    hounsfield: bool = False,
    progress: Progress | None = None,
) -> Opened:
    """Read a volume as a layer; long work, for a thread.

    Parameters
    ----------
    choice : Choice
    window : str or (float, float)
        Name of a preset, grey values, or empty for the automatic window.
    hounsfield : bool
        Whether a person says that grey values are Hounsfield units.
    progress : callable, optional

    Raises
    ------
    CosegError
        If it cannot be read, or the window is in other units.
    """
    source = choice.source
    if isinstance(source, Path):
        volume, name = read_volume(source), volume_stem(source)
    else:
        volume, name = read_series(source, progress), source.name
    if hounsfield:
        volume = replace(volume, unit=HOUNSFIELD)
    limits = _window(volume, window)
    if isinstance(source, Path):
        return Opened(layer_of(volume, name, source, limits), volume.notes)
    return Opened(image_layer(volume, name, limits), volume.notes)


def _window(volume: Volume, window: str | Window) -> Window | None:
    if isinstance(window, str):
        return preset_window(window, volume.unit) if window else None
    return window


def _series(series: tuple[DicomSeries, ...]) -> tuple[Choice, ...]:
    return tuple(Choice(one, one.description, one.unit, one.problem) for one in series)


def _file(path: Path) -> Choice:
    try:
        info = read_info(path)
    except CosegError as error:
        return Choice(path, path.name, problem=str(error))
    return Choice(path, f"{path.name}: {sides(info.shape)} voxels, {info.dtype}")

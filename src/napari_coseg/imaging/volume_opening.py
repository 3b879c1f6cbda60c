"""Volumes of whatever kind by their path: files, and DICOM series by folder or by one picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from napari_coseg.imaging.dicom import list_series, read_dicom, read_series
from napari_coseg.imaging.dicom_headers import dicom_files, is_picture
from napari_coseg.imaging.volume_headers import is_volume, read_facts, volume_stem
from napari_coseg.imaging.volumes import Volume, read_volume
from napari_coseg.types import CosegError

#: Format that labels of a DICOM series are written in.
_FOR_DICOM = ".nii.gz"
#: A format of two files has labels in its form of one.
_ONE_FILE = {".mhd": ".mha"}


def open_volume(path: Path) -> Volume:
    """Read a volume.

    Parameters
    ----------
    path : Path
        A volume file; a folder that holds one DICOM series; or one DICOM picture, which stands
        for its series as far as it lies in the same folder.

    Raises
    ------
    CosegError
        If there is none, it cannot be read, or a folder holds several series.
    """
    if path.is_dir():
        return read_dicom(path)
    if is_volume(path) or not is_picture(path):
        return read_volume(path)
    for series in list_series(path.parent, chosen=path).series:
        if series.holds(path):
            return read_series(series)
    raise CosegError("That DICOM picture belongs to no series that can be read.")


def holds_dicom(folder: Path, *, below: bool = False) -> bool:
    """Whether there is a DICOM picture in a folder, or with `below` in the folders in it."""
    return next(dicom_files(folder, below=below), None) is not None


def is_volume_input(path: Path) -> bool:
    """Whether a path is a volume file, a folder or a DICOM picture."""
    return is_volume(path) or path.is_dir() or is_picture(path)


def input_name(path: Path) -> str:
    """Return the name of an image or volume without its ending; of a folder, all of it."""
    if path.is_dir():
        return Path(os.path.abspath(path)).name
    return volume_stem(path)


def label_suffix(path: Path) -> str:
    """Return the ending of labels in a volume's own format."""
    if not is_volume(path) or path.is_dir():
        return _FOR_DICOM
    suffix = path.name[len(volume_stem(path)) :].lower()
    return _ONE_FILE.get(suffix, suffix)


def input_files(path: Path) -> Iterator[Path]:
    """Yield the files that an image or volume is read from, in a fixed order.

    A folder's are the DICOM pictures in it, at any depth; a header's are itself and the file of
    its voxels.
    """
    if path.is_dir():
        yield from dicom_files(path)
        return
    yield path
    if is_volume(path):
        try:
            data = read_facts(path).data
        except CosegError:
            return
        if data != path:
            yield data
    elif is_picture(path):
        yield from (other for other in dicom_files(path.parent, below=False) if other != path)

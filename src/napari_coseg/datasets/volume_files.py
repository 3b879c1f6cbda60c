"""Files of volumes taken from one data set into another."""

from __future__ import annotations

import shutil
from pathlib import Path

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.volume_headers import volume_stem
from napari_coseg.imaging.volume_writing import LABEL_SUFFIXES, write_volume
from napari_coseg.imaging.volumes import read_volume
from napari_coseg.types import CosegError


def ending_of(path: Path) -> str:
    """Return a volume's ending, in small letters: ``.nii.gz``."""
    return path.name[len(volume_stem(path)) :].lower()


def written_ending(path: Path) -> str:
    """Return the ending of a copy: the same, unless a volume is two files, header and voxels."""
    found = ending_of(path)
    return found if found in LABEL_SUFFIXES else ".nii.gz"


def copy_volume(path: Path, to: Path) -> None:
    """Copy a volume as it is, or write its voxels on its grid where the ending is another.

    Raises
    ------
    CosegError
        If it cannot be read or written.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    if ending_of(path) == ending_of(to):
        try:
            with atomic_path(to) as part:
                shutil.copyfile(path, part)
        except OSError as error:
            raise CosegError(
                f"{path} cannot be copied to {to} ({error.strerror or error}): see whether the "
                "disk is full, and whether the folder may be written to."
            ) from error
        return
    found = read_volume(path)
    write_volume(to, found.voxels, found.grid)

"""What counts as a case of a queue: a picture, a volume, or a folder with a DICOM series.

A case is known by its path below the queue's folder, so that the folder may be moved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from napari_coseg.datasets.folder import IMAGE_SUFFIXES
from napari_coseg.datasets.labelled import LABEL_KINDS
from napari_coseg.imaging.dicom_headers import is_picture
from napari_coseg.imaging.files import PART_PREFIX
from napari_coseg.imaging.result_files import ENDINGS
from napari_coseg.imaging.volume_headers import is_volume, volume_stem
from napari_coseg.types import CosegError

#: Folders that the queue makes in its own.
OWN_FOLDER, SHARED_FOLDER = "coseg-queue", "coseg-shared"
#: What is looked at in a folder before it is taken for a wrong one: a home folder, a whole disk.
_MOST_FILES = 200_000
#: Files of a folder that are looked into to find out whether they are DICOM.
_TRIED = 3


def find_cases(root: Path, stop: Iterable[str] = ()) -> list[str]:
    """List the cases of a folder and the folders in it.

    In a folder data set, or one of nnU-Net, the images are cases and the labels are not. A folder
    with DICOM pictures is one case. Files that this program writes beside images are none.

    Parameters
    ----------
    root : Path
    stop : iterable of str
        Names of further folders that are not looked into.

    Returns
    -------
    list of str
        Paths below `root`, with ``/`` on every system, in the order of their names.

    Raises
    ------
    CosegError
        If there is no such folder, it cannot be read, or it holds very many files.
    """
    if not root.is_dir():
        raise CosegError(
            f"The folder {root} does not exist: choose another one, or connect its disk."
        )
    left_out = {OWN_FOLDER, SHARED_FOLDER, *stop}
    found: list[str] = []
    seen = 0

    def refuse(error: OSError) -> None:
        # A folder below that may not be read is left out; the queue's own is told.
        if Path(error.filename or root) == root:
            raise CosegError(f"The folder {root} cannot be read ({error.strerror}).") from error

    for where, folders, names in os.walk(root, onerror=refuse):
        seen += len(names)
        if seen > _MOST_FILES:
            raise CosegError(
                f"{root} holds more than {_MOST_FILES:,} files: choose the folder of the images."
            )
        here = Path(where)
        folders[:] = sorted(
            name for name in folders if name not in left_out and not name.startswith(".")
        )
        _leave_labels(folders)
        cases = [name for name in names if _is_case(name)]
        found += [(here / name).relative_to(root).as_posix() for name in cases]
        if not cases and here != root and _is_series(here, names):
            found.append(here.relative_to(root).as_posix())
            folders.clear()
    return sorted(found, key=natural)


def listed_cases(root: Path, paths: Iterable[Path | str]) -> list[str]:
    """Return a list of files and DICOM folders as cases, in the order of the list.

    Raises
    ------
    CosegError
        If one does not lie below `root`, or stands twice.
    """
    found: list[str] = []
    base = root.absolute()
    for path in paths:
        try:
            key = Path(path).absolute().relative_to(base).as_posix()
        except ValueError as error:
            raise CosegError(
                f"{path} does not lie in {root}: choose a folder that holds all cases."
            ) from error
        if key in found:
            raise CosegError(f"{path} is in the list twice.")
        found.append(key)
    return found


def case_stem(key: str) -> str:
    """Return a case's name without the ending: what a person calls it."""
    name = PurePosixPath(key).name
    if is_volume(Path(name)):
        return volume_stem(Path(name))
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in IMAGE_SUFFIXES else name


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key by which case 9 comes before case 10, and numbers before letters."""
    parts: list[tuple[int, int, str]] = []
    for part in re.findall(r"[0-9]+|[^0-9]+", text.casefold()):
        parts.append((0, int(part), "") if part[0] in "0123456789" else (1, 0, part))
    return parts


def _leave_labels(folders: list[str]) -> None:
    """Take the folders of labels out of those of a data set, in place."""
    if "images" in folders:
        folders[:] = [name for name in folders if name not in LABEL_KINDS]
    if any(name in folders for name in ("imagesTr", "imagesTs")):
        folders[:] = [name for name in folders if not name.endswith(("Tr", "Ts"))] + [
            name for name in ("imagesTr", "imagesTs") if name in folders
        ]


def _is_case(name: str) -> bool:
    small = name.lower()
    # ._NAME: what macOS puts on disks of others.
    if small.startswith(("._", PART_PREFIX)) or small.endswith(ENDINGS):
        return False
    return is_volume(Path(name)) or small.endswith(IMAGE_SUFFIXES)


def _is_series(folder: Path, names: list[str]) -> bool:
    return any(is_picture(folder / name) for name in sorted(names)[:_TRIED])

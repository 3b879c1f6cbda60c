"""Where the own files of a queue lie.

They lie in ``coseg-queue`` in the folder of the images: one for the cases, and a journal for the
labels of each. Where a folder cannot be written to, or is on a network share (SQLite's locks do
not hold there), they lie in the user's data folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_coseg.annotation.places import SUFFIX, data_folder, why_not
from napari_coseg.annotation.queue_cases import OWN_FOLDER
from napari_coseg.types import CosegError

#: Name of the queue's file.
FILE = "project.coseg-queue"
#: Folder of the journals, beside that file.
LABELS = "labels"


def labels_file(home: Path, key: str, role: str) -> Path:
    """Return the journal of a case, by the path of its image below the queue's folder."""
    # By the path and not by the number: a queue that begins anew finds its labels again.
    digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    return home / LABELS / f"{digest}.{role}{SUFFIX}"


def local_home_of(root: Path) -> Path:
    """Return where the own files of a folder's queue lie on one's own disk."""
    digest = hashlib.blake2b(str(root.absolute()).encode(), digest_size=8).hexdigest()
    return data_folder().parent / "queues" / digest


def home_of(root: Path) -> Path:
    """Return where the own files of a folder's queue lie.

    Raises
    ------
    CosegError
        If the folder is not there.
    """
    if not root.is_dir():
        raise CosegError(
            f"The folder {root} does not exist: choose another one, or connect its disk."
        )
    inside = root / OWN_FOLDER
    if not why_not(root):
        return inside
    return local_home_of(root)

"""Where the journal of a case lives.

Beside the image, so that it is found again and copied with it; in the user's data folder where
that cannot be: an image in memory, a folder that cannot be written to, a network share (SQLite's
locks do not hold there). The person may choose a folder.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil

from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.types import CosegError

SUFFIX = ".coseg-journal"

#: File systems of other machines, as psutil names them.
_NETWORK = frozenset(
    {
        "afpfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "fuse.davfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs3",
        "nfs4",
        "panfs",
        "smb2",
        "smb3",
        "smbfs",
        "webdav",
    }
)


@dataclass(frozen=True)
class Place:
    """Where a journal lives, and why there.

    Attributes
    ----------
    path : Path
        The journal's file, which need not exist yet.
    reason : str
        To follow "The journal is": for example "beside the image".
    """

    path: Path
    reason: str


def journal_path(
    identity: ImageIdentity, image_file: Path | None, folder: Path | None = None
) -> Path:
    """Return where a journal lives; as `journal_place`, without the reason."""
    return journal_place(identity, image_file, folder).path


def journal_place(
    identity: ImageIdentity, image_file: Path | None, folder: Path | None = None
) -> Place:
    """Choose where the journal of an image lives.

    Parameters
    ----------
    identity : ImageIdentity
        What the image is known by.
    image_file : Path, optional
        The image's file or folder; None for an image in memory.
    folder : Path, optional
        One that the person chose.

    Returns
    -------
    Place
        In the user's data folder the name is the image's digest, not its file's name: what names
        a patient stays with the image.

    Raises
    ------
    CosegError
        If the chosen folder, or the user's data folder where there is no other, cannot be written
        to.
    """
    if folder is not None:
        chosen = Path(folder)
        told = why_not(chosen)
        if told:
            raise CosegError(f"The journal cannot be in {chosen}, because it {told}.")
        name = identity.digest if image_file is None else f"{Path(image_file).name}-"
        name = name if image_file is None else name + identity.digest[:8]
        return Place(chosen / (name + SUFFIX), "in the folder that you chose")
    own_folder = data_folder()
    own = own_folder / (identity.digest + SUFFIX)
    if image_file is None:
        return _own(own, "the image is not a file")
    beside = Path(image_file).absolute()
    beside = beside.with_name(beside.name + SUFFIX)
    told = why_not(beside.parent)
    if told:
        also = "; the one beside the image is left as it is" if beside.is_file() else ""
        return _own(own, f"the image's folder {told}{also}")
    if own.is_file() and not beside.is_file():
        return _own(own, "your earlier work on this image is there")
    return Place(beside, "beside the image")


def data_folder() -> Path:
    """Return the user's own folder of journals, which need not exist yet."""
    return Path(platformdirs.user_data_dir("napari-coseg", appauthor=False)) / "journals"


def _own(path: Path, reason: str) -> Place:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosegError(
            f"The folder {path.parent} cannot be made ({error.strerror}); choose another one for "
            "the journal."
        ) from error
    told = why_not(path.parent, network=False)
    if told:
        raise CosegError(f"The folder {path.parent} {told}; choose another one for the journal.")
    return Place(path, f"in your data folder, because {reason}")


def why_not(folder: Path, network: bool = True) -> str:
    """Return why a journal cannot be in a folder, "" where it can.

    Parameters
    ----------
    folder : Path
        The folder; it must exist.
    network : bool
        Whether a folder of another machine is refused too.
    """
    if not folder.is_dir():
        return "does not exist"
    if network and is_remote(folder):
        return "is on a network share, where a journal is not safe"
    try:
        # Asking for permissions tells little on Windows, or where a disk is mounted read-only.
        with tempfile.TemporaryFile(dir=folder, prefix=".coseg-"):
            return ""
    except OSError:
        return "cannot be written to"


def is_remote(folder: Path) -> bool:
    """Whether a folder is on another machine, as far as the system tells."""
    full = os.path.realpath(folder)
    if full.startswith("\\\\"):
        return True
    try:
        mounts = psutil.disk_partitions(all=True)
    except (OSError, RuntimeError):
        return False
    best, kind, options = "", "", ""
    for mount in mounts:
        root = mount.mountpoint
        inside = os.path.normcase(full + os.sep)
        if inside.startswith(os.path.normcase(root.rstrip("/\\") + os.sep)) and len(root) >= len(
            best
        ):
            best, kind, options = root, mount.fstype.lower(), mount.opts.lower()
    return kind in _NETWORK or "remote" in options.split(",")

"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from napari_coseg.types import CosegError

#: Beginning of the names of unfinished files, for whoever sweeps a folder after a power cut.
PART_PREFIX = ".part-"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# With less room than this a write that failed for no stated reason is put down to a full disk.
_NO_ROOM = 1 << 20


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Write a file beside its place, then rename it there.

    The block writes to the path that it is given, which lies in the same folder as `path`, ends
    with the same suffix in small letters, and does not exist yet. When the block ends well, the
    file is flushed to the disk and takes the place of `path` in one step; when it ends with any
    exception, Ctrl-C too, the unfinished file is removed and `path` is as it was.

    Parameters
    ----------
    path : Path or str
        The file to make. Its folder must exist.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    CosegError
        If the folder is missing or may not be written to, `path` is a folder, or the disk is
        full. Other exceptions of the block pass through.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise CosegError(f"Cannot write {target}: make the folder {target.parent} first.")
    if target.is_dir():
        raise CosegError(f"Cannot write {target}: a folder has that name.")
    part = target.parent / f"{_part_start(target)}{secrets.token_hex(6)}{_suffix(target)}"
    try:
        yield part
        if not part.is_file():
            raise RuntimeError(f"Nothing was written for {target}.")
        _flush(part)
        os.replace(part, target)
    except OSError as error:
        told = write_error(error, target, part)
        if told is None:
            raise
        raise told from error
    finally:
        # After the rename there is nothing left; a folder that forbids removal must not hide
        # the first error.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def sweep_parts(path: Path | str) -> None:
    """Remove what killed programs left unfinished of a file.

    Parameters
    ----------
    path : Path or str
        The file that was being made. Nobody may be making it now.
    """
    target = Path(path)
    # A folder that forbids removal, or a file that another program holds, is no reason to stop.
    with contextlib.suppress(OSError):
        for part in target.parent.glob(f"{_part_start(target)}*"):
            part.unlink(missing_ok=True)


def _part_start(path: Path) -> str:
    """Return how unfinished files of one target begin: the name itself may be too long to hold."""
    return f"{PART_PREFIX}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]}-"


def _suffix(path: Path) -> str:
    """Return the ending by which writers choose a format, ``.nii.gz`` included, kept short.

    In small letters: ITK takes ``.MHA`` for a header whose voxels go to a file of their own.
    """
    double = "".join(path.suffixes[-2:])
    return (double if len(double) <= 16 else path.suffix[:64]).lower()


def _flush(path: Path) -> None:
    """Make sure that the bytes are on the disk before the name points at them."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_error(error: OSError, target: Path, part: Path | None = None) -> CosegError | None:
    """Return what a person should read about an error of writing.

    Parameters
    ----------
    error : OSError
        What was raised.
    target : Path
        File that was being made, or the folder of several.
    part : Path, optional
        The unfinished file beside it.

    Returns
    -------
    CosegError or None
        None for an error of something else.
    """
    folder = target if part is None else target.parent
    if error.errno in _FULL:
        return _full(target)
    about_us = part is not None and error.filename is not None and error.filename == str(part)
    if about_us and error.errno in _REFUSED:
        return CosegError(f"Cannot write {target}: no permission to write in the folder {folder}.")
    if about_us and error.errno in {errno.EISDIR, errno.EEXIST, errno.ENOENT}:
        return CosegError(f"Cannot write {target}: something else has changed the folder {folder}.")
    # NumPy's tofile and Pillow's encoders lose the number of the error on the way.
    if error.errno is None and error.filename is None and _is_full(folder):
        return _full(target)
    return None


def _full(target: Path) -> CosegError:
    return CosegError(f"Cannot write {target}: the disk is full; free some space and run again.")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _NO_ROOM
    except OSError:
        return False

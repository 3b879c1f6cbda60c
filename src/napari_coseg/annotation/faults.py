"""What a person should read when the journal's file cannot be used."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from napari_coseg.types import CosegError

# SQLite's primary result codes (sqlite.org/rescode.html).
_ERROR, _PERM, _BUSY, _LOCKED, _READONLY = 1, 3, 5, 6, 8
_IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 10, 11, 13, 14, 26


def code_of(error: BaseException) -> int:
    """Return SQLite's primary code of an error, 0 where it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF
    return _FULL if isinstance(error, sqlite3.Error) and "disk is full" in str(error) else 0


def explained(error: BaseException, path: Path) -> CosegError:
    """Return the sentence about an error of opening or reading a journal."""
    if isinstance(error, CosegError):
        return error
    code = code_of(error)
    if code in {_BUSY, _LOCKED}:
        return CosegError(
            f"The journal {path} is open already, in another window or program; close the case "
            "there first."
        )
    # Tables or texts that are not as they were made: an error of ours would be found by a test.
    if code in {_ERROR, _CORRUPT, _NOTADB} or "decode" in str(error):
        return damaged(path)
    if code in {_PERM, _READONLY, _CANTOPEN} or (code == _IOERR and not _may_write(path)):
        return CosegError(
            f"The journal {path} cannot be opened for writing; check the folder's permissions, or "
            "choose another folder."
        )
    if code == _FULL:
        return CosegError(
            f"The journal {path} cannot be written: the disk is full; free some space and open "
            "the case again."
        )
    return CosegError(
        f"The journal {path} cannot be read or written ({error}); check the disk, or choose "
        "another folder."
    )


def _may_write(path: Path) -> bool:
    """Whether a file and its folder can be written to: SQLite makes another file beside it."""
    try:
        with path.open("r+b"), tempfile.TemporaryFile(dir=path.parent, prefix=".coseg-"):
            return True
    except OSError:
        return False


def damaged(path: Path) -> CosegError:
    """Return the sentence about a file that is broken or no journal."""
    return CosegError(
        f"The file {path} is damaged, or is no journal of napari-coseg; move it away (keep it with "
        "its -wal file) and open the case again, or put a copy in its place."
    )


def trouble(error: BaseException, path: Path) -> str:
    """Return the sentence about an error of writing, while the edits wait in memory."""
    if isinstance(error, CosegError) and "not saved" in str(error):
        return str(error)
    code = code_of(error)
    if code == _FULL:
        return (
            f"Your edits are not saved: the disk of {path.parent} is full. Free some space and "
            "leave this window open; saving goes on by itself."
        )
    if code in {_CORRUPT, _NOTADB}:
        return (
            f"Your edits are not saved: the journal {path} is damaged. Save the Labels layer to a "
            "file now."
        )
    if code in {_PERM, _READONLY, _CANTOPEN}:
        return (
            f"Your edits are not saved: the journal {path} cannot be written to any more. Allow "
            "writing there; saving goes on by itself."
        )
    return (
        f"Your edits are not saved: the journal {path} cannot be written ({error}). Check the "
        "disk and leave this window open; saving goes on by itself."
    )

"""What a person should read when the file of a queue cannot be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from napari_coseg.annotation.faults import code_of
from napari_coseg.types import CosegError

# SQLite's primary result codes (sqlite.org/rescode.html).
_PERM, _BUSY, _LOCKED, _READONLY, _IOERR, _FULL, _CANTOPEN = 3, 5, 6, 8, 10, 13, 14
_BROKEN = frozenset({1, 11, 26})


def damaged_queue(path: Path) -> CosegError:
    """Return the sentence about a file that is broken or no queue."""
    return CosegError(
        f"The queue's file {path} is damaged, or is none of napari-coseg: move it away and open "
        "the folder again. What was drawn is in the journals beside it and comes back; statuses "
        "and notes begin anew."
    )


def explained_queue(error: BaseException, path: Path) -> CosegError:
    """Return the sentence about an error of opening or reading a queue."""
    if isinstance(error, CosegError):
        return error
    code = code_of(error)
    if code in {_BUSY, _LOCKED}:
        return CosegError(
            f"The queue {path.parent.parent} is open already, in another window or program: close "
            "it there first."
        )
    if code in _BROKEN or isinstance(error, ValueError | KeyError | TypeError):
        return damaged_queue(path)
    if code in {_PERM, _READONLY, _CANTOPEN, _IOERR} and isinstance(error, sqlite3.Error):
        return CosegError(
            f"The queue's file {path} cannot be opened for writing: see whether its folder is "
            "there and may be written to."
        )
    if code == _FULL:
        return CosegError(
            f"The queue's file {path} cannot be written: the disk is full; free some space."
        )
    return CosegError(f"The queue's file {path} cannot be read or written ({error}).")


def queue_trouble(error: BaseException, path: Path) -> str:
    """Return the sentence about an error of writing, while changes wait in memory."""
    why = "its disk is full" if code_of(error) == _FULL else "its folder is gone or read-only"
    if isinstance(error, CosegError):
        return str(error)
    return (
        f"Changes of the queue are not saved: {why} ({path.parent}). They wait in memory and are "
        "written as soon as that works: leave napari open."
    )

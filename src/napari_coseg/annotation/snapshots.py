"""Copies of journals that travel by a share: one whole file each, under a name that is used once.

SQLite's files are not safe on shares, so nobody opens a journal there: it is copied to one's own
disk first. A copy is made with SQLite's own backup, which reads one moment of the journal, -wal
file included.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.annotation.faults import explained
from napari_coseg.annotation.places import SUFFIX
from napari_coseg.annotation.share_files import copy_whole, flush_folder
from napari_coseg.imaging.files import PART_PREFIX
from napari_coseg.types import CosegError

#: Seconds to wait for a thread of this program that is just closing the journal.
_CLOSING = 10.0


@dataclass(frozen=True)
class Snapshot:
    """A copy of a journal on the share.

    Attributes
    ----------
    file : str
        Its name in the folder of labels.
    size : int
        Bytes.
    digest : str
        Of the bytes.
    mark : str
        What changes with every edit of the journal (`mark_of`).
    """

    file: str
    size: int
    digest: str
    mark: str


def mark_of(journal: Path) -> str:
    """Return what changes when a journal does; empty where nothing was ever drawn.

    Raises
    ------
    CosegError
        If it is open, or damaged.
    """
    if not journal.exists():
        return ""
    try:
        with contextlib.closing(sqlite3.connect(journal, timeout=_CLOSING)) as db:
            facts = db.execute("SELECT name, value FROM meta ORDER BY name").fetchall()
            # With its time and its objects: two people who go on from one journal are told apart.
            last = db.execute("SELECT * FROM edits ORDER BY id DESC LIMIT 1").fetchone()
            (chunks,) = db.execute("SELECT count(*) FROM chunks").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return ""
        raise explained(error, journal) from error
    except sqlite3.Error as error:
        raise explained(error, journal) from error
    if last is None and not chunks:
        return ""
    return hashlib.blake2b(repr([facts, last]).encode(), digest_size=16).hexdigest()


def put_snapshot(journal: Path, folder: Path, key: str, role: str, mark: str) -> Snapshot:
    """Copy a journal that nobody has open to the share.

    Nobody knows of the copy until a step of the case's chain names it.

    Raises
    ------
    OSError
        If the share cannot be written to.
    CosegError
        If the journal is open or damaged, or a disk is full.
    """
    name = f"{key}.{role}.{secrets.token_hex(8)}{SUFFIX}"
    size, digest = copy_journal(journal, folder / name)
    return Snapshot(name, size, digest, mark)


def copy_journal(journal: Path, target: Path) -> tuple[int, str]:
    """Copy a journal that nobody has open into one whole file; its size and digest.

    Raises
    ------
    OSError, CosegError
        As `put_snapshot`.
    """
    own = journal.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}{SUFFIX}")
    try:
        backup(journal, own)
        return copy_whole(own, target)
    finally:
        _remove(own)


def fetch_snapshot(snapshot: Snapshot, folder: Path, journal: Path) -> None:
    """Put a copy of the share into the place of a journal that nobody has open.

    Raises
    ------
    FileNotFoundError
        If it is not there any more: there is a newer one.
    OSError
        If the share cannot be read.
    CosegError
        If it is damaged; the journal is as it was then.
    """
    part = journal.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}{SUFFIX}")
    try:
        size, digest = copy_whole(folder / snapshot.file, part)
        if (size, digest) != (snapshot.size, snapshot.digest):
            raise CosegError(
                f"The labels {folder / snapshot.file} on the share are damaged: whoever worked at "
                "the case last opens and leaves it again, with one more edit, to publish it anew."
            )
        # First, or it would be taken for that of the new file.
        remove_journal(journal)
        os.replace(part, journal)
        flush_folder(journal.parent)
    finally:
        _remove(part)


def backup(journal: Path, target: Path) -> None:
    """Copy one moment of a journal that nobody has open into a new file.

    Raises
    ------
    CosegError
        If the journal is open or damaged, or the disk is full.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(journal, timeout=_CLOSING)) as source,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            # Holds the moment; else a backup waits for ever for who has the file.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM meta").fetchone()
            source.backup(copy)
            # One file, without a -wal beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise explained(error, journal) from error


def remove_journal(journal: Path) -> None:
    """Remove a journal that nobody has open, with the files beside it."""
    for suffix in ("-wal", "-shm", ""):
        Path(f"{journal}{suffix}").unlink(missing_ok=True)


def _remove(part: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            Path(f"{part}{suffix}").unlink(missing_ok=True)

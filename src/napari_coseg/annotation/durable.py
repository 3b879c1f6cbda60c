"""SQLite files in which what is committed is on the disk: what journals and queues share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path


def make_durable(db: sqlite3.Connection) -> None:
    """Let a transaction end only once it is on the disk."""
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    # macOS: "written" must mean on the disk, not in its cache.
    db.execute("PRAGMA fullfsync=ON")
    db.execute("PRAGMA checkpoint_fullfsync=ON")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Do all of what follows, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # Some errors, a full disk among them, have rolled back already.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def close(db: sqlite3.Connection) -> None:
    """Copy the -wal file back, and close."""
    with contextlib.suppress(sqlite3.Error):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def file_of(path: Path) -> tuple[int, int] | None:
    """Return what a file is known by, whatever its name; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino

"""The SQLite file under a journal: its tables, its lock, its version, whose image it is of.

The file belongs to one process at a time (SQLite's exclusive mode: the lock goes with its process).
While it is open, new pages go to the ``-wal`` file alone, most of the time, so that a copy of both
files is whole.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path

from napari_coseg.annotation.chunks import Grid
from napari_coseg.annotation.durable import close, file_of, make_durable, transaction
from napari_coseg.annotation.faults import damaged, explained
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.types import CosegError

#: Version of the tables below and of what is in them. 2: records of objects have the axes of their
#: planes, which some of format 1 had too, an FDI number, and its confidence. 3: and a jaw.
FORMAT = 3
#: The oldest one that is read.
_OLDEST = 1
#: Marks a SQLite file as a journal: "CSEG".
_APPLICATION = 0x43534547
#: Size of the -wal file from which it is copied back into the journal, while nothing else is to do,
#: and from which that does not wait.
_LARGE, _LARGEST = 64 << 20, 512 << 20
#: Seconds to wait for another process that is just leaving.
_PATIENCE = 0.3

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE edits (
    id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    time REAL NOT NULL, model TEXT NOT NULL, settings TEXT NOT NULL, box TEXT NOT NULL,
    objects BLOB NOT NULL);
CREATE INDEX children ON edits (parent);
CREATE TABLE patches (
    id INTEGER PRIMARY KEY, edit INTEGER NOT NULL, chunk INTEGER NOT NULL, box TEXT NOT NULL,
    before BLOB NOT NULL, after BLOB NOT NULL);
CREATE INDEX patches_of ON patches (edit);
CREATE TABLE chunks (chunk INTEGER PRIMARY KEY, version INTEGER NOT NULL, pixels BLOB NOT NULL);
CREATE TABLE objects (label INTEGER PRIMARY KEY, record TEXT NOT NULL);
"""


class Database:
    """The open file of a journal. One thread at a time may use it.

    Parameters
    ----------
    path : Path
        The file; it is made where there is none.
    identity : ImageIdentity
        Of the image.
    shape : tuple of int
        Shape of the labels.

    Raises
    ------
    CosegError
        If the file is in use, damaged, of another image or shape or a newer version, or cannot be
        written.
    """

    def __init__(self, path: Path, identity: ImageIdentity, shape: tuple[int, ...]) -> None:
        self.path = path
        self.grid = Grid(shape)
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE
            )
        except sqlite3.Error as error:
            raise explained(error, path) from error
        try:
            self._start(identity)
            self._file = file_of(path)
        except (sqlite3.Error, CosegError, ValueError) as error:
            self._db.close()
            if isinstance(error, sqlite3.Error | CosegError):
                raise explained(error, path) from error
            raise damaged(path) from error

    def _start(self, identity: ImageIdentity) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        mark, version = self._number("application_id"), self._number("user_version")
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if tables and mark != _APPLICATION:
            raise damaged(self.path)
        if version > FORMAT:
            raise CosegError(
                f"The journal {self.path} was made by a newer napari-coseg (format {version}, this "
                f"one knows {FORMAT}); update napari-coseg to open it."
            )
        if tables and version < _OLDEST:
            raise CosegError(
                f"The journal {self.path} has the format {version}, which no released napari-coseg "
                "wrote; move it away and open the case again."
            )
        make_durable(db)
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("PRAGMA cache_size=-16000")
        with transaction(self._db):
            if not tables:
                # Not executescript(), which commits.
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id={_APPLICATION}")
                self._set("identity", identity.to_json())
                self._set("shape", json.dumps(self.grid.shape))
                self._set("side", str(self.grid.side))
                self._set("made", str(time.time()))
                self._set("head", "0")
            if version < FORMAT:
                # Of older ones nothing has to be written anew: what their records do not say is not
                # known. What is written from here on an older program must not read.
                db.execute(f"PRAGMA user_version={FORMAT}")
        try:
            known = ImageIdentity.from_json(self._get("identity"))
        except CosegError as error:
            raise damaged(self.path) from error
        if known != identity:
            raise CosegError(
                f"The journal {self.path} belongs to another image ({_told(known)}, this one is "
                f"{_told(identity)}); move it away, or open the image that it was made for."
            )
        if tuple(json.loads(self._get("shape"))) != self.grid.shape:
            raise CosegError(
                f"The journal {self.path} holds labels of the shape {self._get('shape')}, and this "
                f"layer has {list(self.grid.shape)}; take a layer of that shape."
            )
        if int(self._get("side")) != self.grid.side:
            raise damaged(self.path)

    def check_place(self) -> None:
        """Make sure that the file still is where it was opened.

        Raises
        ------
        CosegError
            If it is not: what would be written to it nobody would find again.
        """
        if file_of(self.path) != self._file:
            raise CosegError(
                f"Your edits are not saved: the journal {self.path} was moved or deleted. Put it "
                "back, or save the Labels layer to a file now."
            )

    def tidy(self, idle: bool) -> None:
        """Copy the -wal file back into the journal where it has become large."""
        with contextlib.suppress(OSError):
            size = Path(f"{self.path}-wal").stat().st_size
            if size > (_LARGE if idle else _LARGEST):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file, which lets others open it."""
        close(self._db)

    def _number(self, pragma: str) -> int:
        return int(self._db.execute(f"PRAGMA {pragma}").fetchone()[0])

    def _get(self, name: str, missing: str | None = None) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if row is None and missing is None:
            raise damaged(self.path)
        return str(missing if row is None else row[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def _told(identity: ImageIdentity) -> str:
    return f"{' x '.join(map(str, identity.shape))} {identity.dtype}"

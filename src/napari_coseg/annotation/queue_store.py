"""The SQLite file of a queue: its cases, each with one row, and what is known of each.

As a journal's file it belongs to one process at a time, and what is committed is on the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.annotation.durable import close, file_of, make_durable, transaction
from napari_coseg.annotation.queue_faults import damaged_queue, explained_queue
from napari_coseg.types import CosegError

#: Version of the tables below.
FORMAT = 1
#: Marks a SQLite file as a queue: "CSEQ".
_APPLICATION = 0x43534551
#: Seconds to wait for another process that is just leaving.
_PATIENCE = 0.3

TO_DO, IN_PROGRESS, DONE, FLAGGED, FAILED = "to do", "in progress", "done", "flagged", "failed"
STATUSES = (TO_DO, IN_PROGRESS, DONE, FLAGGED, FAILED)

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cases (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
    note TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE thumbnails (id INTEGER PRIMARY KEY, stamp TEXT NOT NULL, png BLOB NOT NULL);
"""


@dataclass(frozen=True)
class QueueCase:
    """One case of a queue.

    Attributes
    ----------
    id : int
        Its number in the queue, from 1, which it keeps.
    key : str
        Path of its image below the queue's folder, with ``/``.
    stands : str
        What the person has made of it: one of `STATUSES`, "failed" not among them.
    note : str
        Of the person.
    reason : str
        Why it cannot be read now; empty where it can, as far as is known.
    seconds : float
        How long a person worked at it.
    """

    id: int
    key: str
    stands: str = TO_DO
    note: str = ""
    reason: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """What is shown, one of `STATUSES`: "failed" as long as the case cannot be read."""
        return FAILED if self.reason else self.stands


#: A row of a case or a fact of the queue, as it is to be.
Change = QueueCase | tuple[str, str]


class QueueStore:
    """The open file of a queue. One thread at a time may use it.

    Parameters
    ----------
    path : Path
        The file; it is made where there is none.

    Raises
    ------
    CosegError
        If it is in use, damaged, of a newer version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE
            )
        except sqlite3.Error as error:
            raise explained_queue(error, path) from error
        try:
            self._start()
            self._file = file_of(path)
        except (sqlite3.Error, CosegError) as error:
            self._db.close()
            raise explained_queue(error, path) from error

    def _start(self) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        (mark,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if tables and mark != _APPLICATION:
            raise damaged_queue(self.path)
        if version > FORMAT:
            raise CosegError(
                f"The queue {self.path} was made by a newer napari-coseg (format {version}, this "
                f"one knows {FORMAT}); update napari-coseg to open it."
            )
        make_durable(db)
        with transaction(self._db):
            if not tables:
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id={_APPLICATION}")
                db.execute(f"PRAGMA user_version={FORMAT}")
        (told,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if told != "ok":
            raise damaged_queue(self.path)

    def cases(self) -> list[QueueCase]:
        """Return all cases in the order of their numbers.

        Raises
        ------
        CosegError
            If the file is damaged.
        """
        try:
            rows = self._db.execute(
                "SELECT id, key, status, note, reason, seconds FROM cases ORDER BY id"
            ).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise explained_queue(error, self.path) from error
        if any(row[2] not in STATUSES for row in rows):
            raise damaged_queue(self.path)
        return [_case(*row) for row in rows]

    def facts(self) -> dict[str, str]:
        """Return what is known of the queue as a whole."""
        return dict(self._db.execute("SELECT name, value FROM meta").fetchall())

    def write(self, changes: Sequence[Change]) -> None:
        """Write some changes in one transaction; they are on the disk, or none is.

        Raises
        ------
        sqlite3.Error, CosegError
            If that fails; nothing has changed then.
        """
        self.check_place()
        with transaction(self._db):
            for change in changes:
                if isinstance(change, QueueCase):
                    self._db.execute(
                        "INSERT OR REPLACE INTO cases VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            change.id,
                            change.key,
                            change.stands,
                            change.note,
                            change.reason,
                            change.seconds,
                        ),
                    )
                else:
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", change)

    def thumbnail(self, case: int, stamp: str) -> bytes | None:
        """Return the small picture of a case as PNG; None if it was made of another file."""
        row = self._db.execute(
            "SELECT png FROM thumbnails WHERE id = ? AND stamp = ?", (case, stamp)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def keep_thumbnail(self, case: int, stamp: str, png: bytes) -> None:
        """Keep the small picture of a case."""
        self.check_place()
        self._db.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?)", (case, stamp, png))

    def check_place(self) -> None:
        """Make sure that the file still is where it was opened.

        Raises
        ------
        CosegError
            If it is not: what would be written to it nobody would find again.
        """
        if file_of(self.path) != self._file:
            raise CosegError(
                f"Changes of the queue are not saved: its file {self.path} was moved or deleted. "
                "Put the folder back, or open it where it is now."
            )

    def close(self) -> None:
        """Close the file, which lets others open it."""
        close(self._db)


def _case(number: int, key: str, status: str, note: str, reason: str, seconds: float) -> QueueCase:
    if status == FAILED:
        # As it was written at first, without what the case was before.
        status, reason = IN_PROGRESS, reason or "It could not be read."
    return QueueCase(number, key, status, note, reason, seconds)

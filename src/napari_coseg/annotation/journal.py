"""What stands in a journal: edits, their pixels, and the present state.

The list of edits only grows. `head` says on which of them the case stands; each knows its parent,
so undo goes to the parent and redo to the youngest child, and an edit made after an undo is
younger than what it replaces. Beside the list stands the present state, chunks and objects, which
every transaction carries on: opening reads it and replays nothing.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_coseg.annotation.chunks import (
    Labels,
    Patch,
    Window,
    is_whole,
    pack,
    relative,
    shape_of,
    unpack,
)
from napari_coseg.annotation.database import Database
from napari_coseg.annotation.durable import transaction
from napari_coseg.annotation.faults import damaged
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.records import (
    ObjectRecord,
    Row,
    record_from_plain,
    record_to_plain,
    rows_from_json,
    rows_to_json,
)
from napari_coseg.annotation.steps import Base, Edit, Note, Step
from napari_coseg.types import CosegError

#: Unpacked chunks that are kept, in bytes: edits come where the last ones were.
_KEPT = 32 << 20
#: Bytes of edits from which no more are fetched at once.
_FETCHED = 16 << 20

#: Before the names of notes in the table of facts.
_NOTE = "note "


class Journal(Database):
    """An open journal; parameters and errors are those of `Database`."""

    def __init__(self, path: Path, identity: ImageIdentity, shape: tuple[int, ...]) -> None:
        super().__init__(path, identity, shape)
        self._kept: OrderedDict[int, Labels] = OrderedDict()
        self._unwritten: dict[int, int] = {}

    # What is there.

    @property
    def begun(self) -> bool:
        """Whether it holds what the layer held at first."""
        return self._get("base", "0") == "1"

    @property
    def head(self) -> int:
        """The edit on which the case stands, 0 for none."""
        return int(self._get("head"))

    @property
    def last_id(self) -> int:
        """The youngest edit, 0 for none."""
        (found,) = self._db.execute("SELECT coalesce(max(id), 0) FROM edits").fetchone()
        return int(found)

    @property
    def top_label(self) -> int:
        """The largest id that any object ever had."""
        return int(self._get("top", "0"))

    def objects(self) -> dict[int, ObjectRecord]:
        """Read the present objects.

        Raises
        ------
        CosegError
            If the file is damaged.
        """
        rows = self._db.execute("SELECT label, record FROM objects ORDER BY label")
        return {label: record_from_plain(label, self._plain(text)) for label, text in rows}

    def chunks(self) -> Iterator[tuple[int, Labels]]:
        """Read the present pixels, chunk by chunk; the others are background.

        Raises
        ------
        CosegError
            If the file is damaged.
        """
        for chunk, data in self._db.execute("SELECT chunk, pixels FROM chunks"):
            yield chunk, unpack(data, shape_of(self.grid.chunk_window(chunk)))

    def check(self) -> None:
        """Look at the checksums of all present pixels.

        Raises
        ------
        CosegError
            If one does not fit.
        """
        for chunk, data in self._db.execute("SELECT chunk, pixels FROM chunks"):
            if not self.grid.has(chunk) or not is_whole(data):
                raise damaged(self.path)

    def chunk(self, number: int) -> Labels:
        """Return the present pixels of one chunk; to be copied before a change."""
        kept = self._kept.pop(number, None)
        if kept is None:
            row = self._db.execute(
                "SELECT pixels FROM chunks WHERE chunk = ?", (number,)
            ).fetchone()
            shape = shape_of(self.grid.chunk_window(number))
            kept = unpack(b"" if row is None else row[0], shape)
        self._kept[number] = kept
        return kept

    def back(self, head: int, most: int) -> list[Edit]:
        """Return an edit and those before it on its way, the oldest first.

        Raises
        ------
        CosegError, sqlite3.Error
            If the first of them is damaged. Before another damaged one the list ends.
        """
        found: list[Edit] = []
        while head and len(found) < most and sum(edit.size for edit in found) < _FETCHED:
            if not self._add(found, head):
                break
            head = found[-1].parent
        return found[::-1]

    def forth(self, head: int, most: int) -> list[Edit]:
        """Return the edits that redo would do again from `head`, the next one first.

        Raises
        ------
        CosegError, sqlite3.Error
            As of `back`.
        """
        found: list[Edit] = []
        while len(found) < most and sum(edit.size for edit in found) < _FETCHED:
            (child,) = self._db.execute(
                "SELECT max(id) FROM edits WHERE parent = ?", (head,)
            ).fetchone()
            if child is None or not self._add(found, child):
                break
            head = child
        return found

    def _add(self, found: list[Edit], number: int) -> bool:
        """Read one more edit; whether it is whole, which the first one must be."""
        try:
            found.append(self._edit(number))
        except (CosegError, sqlite3.DatabaseError):
            if not found:
                raise
            return False
        return True

    def names_back(self, head: int, most: int) -> list[tuple[str, float, tuple[int, ...]]]:
        """Return name, time and labels of the edits up to `head`, the youngest first."""
        found: list[tuple[str, float, tuple[int, ...]]] = []
        while head and len(found) < most:
            row = self._db.execute(
                "SELECT parent, name, time, objects FROM edits WHERE id = ?", (head,)
            ).fetchone()
            if row is None:
                raise damaged(self.path)
            labels = tuple(_rows(row[3]))
            found.append((str(row[1]), float(row[2]), labels))
            head = int(row[0])
        return found

    def _edit(self, number: int) -> Edit:
        row = self._db.execute(
            "SELECT parent, kind, name, time, model, settings, objects FROM edits WHERE id = ?",
            (number,),
        ).fetchone()
        if row is None:
            raise damaged(self.path)
        parent, kind, name, when, model, settings, rows = row
        patches = []
        for chunk, box, before, after in self._db.execute(
            "SELECT chunk, box, before, after FROM patches WHERE edit = ? ORDER BY id", (number,)
        ):
            patches.append(Patch(chunk, _window(self._plain(box)), before, after))
        return Edit(
            number,
            parent,
            kind,
            name,
            when,
            model,
            self._plain(settings),
            tuple(patches),
            _rows(rows),
        )

    def _plain(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, TypeError) as error:
            raise damaged(self.path) from error

    def notes(self) -> dict[str, str]:
        """Return what is remembered beside the edits, by name."""
        rows = self._db.execute("SELECT name, value FROM meta WHERE name LIKE ?", (f"{_NOTE}%",))
        return {str(name).removeprefix(_NOTE): str(text) for name, text in rows}

    # What is written.

    def write(self, steps: Sequence[Step | Base | Note]) -> None:
        """Write some steps in one transaction; they are on the disk, or none is.

        Raises
        ------
        sqlite3.Error, CosegError
            If that fails; nothing has changed then.
        """
        self.check_place()
        try:
            with transaction(self._db):
                for step in steps:
                    if isinstance(step, Base):
                        self._base(step)
                    elif isinstance(step, Note):
                        self._set(_NOTE + step.name, step.text)
                    else:
                        self._step(step)
                self._flush_chunks(0)
        except BaseException:
            self._kept.clear()
            self._unwritten.clear()
            raise
        self._forget()

    def _base(self, base: Base) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO chunks VALUES (?, 0, ?)",
            ((chunk, data) for chunk, data in base.chunks.items() if data),
        )
        self._put_objects({label: (None, record) for label, record in base.objects.items()}, True)
        self._set("base", "1")

    def _step(self, step: Step) -> None:
        edit = step.edit
        if step.new:
            self._db.execute(
                "INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    edit.id,
                    edit.parent,
                    edit.kind,
                    edit.name,
                    edit.time,
                    edit.model,
                    json.dumps(edit.settings, default=str),
                    json.dumps(edit.box),
                    zlib.compress(rows_to_json(dict(edit.rows)).encode(), 1),
                ),
            )
            self._db.executemany(
                "INSERT INTO patches VALUES (NULL, ?, ?, ?, ?, ?)",
                (
                    (edit.id, p.chunk, json.dumps(_edges(p.window)), p.before, p.after)
                    for p in edit.patches
                ),
            )
        for patch in edit.patches:
            inside = relative(patch.window, self.grid.chunk_window(patch.chunk))
            self.chunk(patch.chunk)[inside] = patch.values(step.forward)
            self._unwritten[patch.chunk] = edit.id
            self._flush_chunks(_KEPT)
        self._put_objects(edit.rows, step.forward)
        self._set("head", str(edit.id if step.forward else edit.parent))

    def _put_objects(self, rows: Mapping[int, Row], forward: bool) -> None:
        put, gone = [], []
        for label, (before, after) in rows.items():
            record = after if forward else before
            if record is None:
                gone.append((label,))
            else:
                put.append((label, json.dumps(record_to_plain(record), separators=(",", ":"))))
        self._db.executemany("DELETE FROM objects WHERE label = ?", gone)
        self._db.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?)", put)
        if put and max(label for label, _ in put) > self.top_label:
            self._set("top", str(max(label for label, _ in put)))

    def _flush_chunks(self, most: int) -> None:
        """Write changed chunks to the table, where they take more than `most` bytes."""
        if not self._unwritten or len(self._unwritten) * self._chunk_bytes <= most:
            return
        self._db.executemany(
            "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?)",
            ((chunk, edit, pack(self._kept[chunk])) for chunk, edit in self._unwritten.items()),
        )
        self._unwritten.clear()
        self._forget()

    def _forget(self) -> None:
        while len(self._kept) * self._chunk_bytes > _KEPT:
            self._kept.popitem(last=False)

    @property
    def _chunk_bytes(self) -> int:
        return int(4 * self.grid.side ** len(self.grid.shape))


def _rows(data: bytes) -> dict[int, Row]:
    try:
        return rows_from_json(zlib.decompress(data).decode())
    except (zlib.error, UnicodeDecodeError, TypeError) as error:
        raise CosegError("The journal's record of an edit is damaged.") from error


def _edges(window: Window) -> list[int]:
    return [*(side.start for side in window), *(side.stop for side in window)]


def _window(edges: list[int]) -> Window:
    axes = len(edges) // 2
    return tuple(slice(a, b) for a, b in zip(edges[:axes], edges[axes:], strict=True))

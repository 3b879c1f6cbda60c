"""What a journal holds, read without its image: for export, and for who shares a queue."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.faults import damaged, explained
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.journal import Journal
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.types import ClassTable, CosegError


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """The present labels of a journal.

    Attributes
    ----------
    labels : ndarray of int32, (rows, columns) or (planes, rows, columns)
    objects : mapping of int to ObjectRecord
        What is known of each label.
    classes : ClassTable
        What the objects' class ids, or the ids of regions, mean; may be empty.
    edits : int
        How many edits there ever were, those that were undone too.
    """

    labels: npt.NDArray[np.int32]
    objects: Mapping[int, ObjectRecord]
    classes: ClassTable
    edits: int = 0


def read_stored(path: Path) -> StoredLabels | None:
    """Read a journal that nobody has open.

    Returns
    -------
    StoredLabels or None
        None where there is no journal, or one that was never begun.

    Raises
    ------
    CosegError
        If it is open elsewhere, or damaged.
    """
    if not path.exists():
        return None
    facts = _facts(path)
    if not facts:
        return None
    try:
        identity = ImageIdentity.from_json(facts["identity"])
        shape = tuple(int(side) for side in json.loads(facts["shape"]))
    except (KeyError, ValueError, TypeError, CosegError) as error:
        raise damaged(path) from error
    journal = Journal(path, identity, shape)
    try:
        if not journal.begun:
            return None
        labels = np.zeros(shape, np.int32)
        for chunk, values in journal.chunks():
            labels[journal.grid.chunk_window(chunk)] = values
        classes = _classes(path, journal.notes())
        return StoredLabels(labels, journal.objects(), classes, journal.last_id)
    except sqlite3.Error as error:
        raise explained(error, path) from error
    finally:
        journal.close()


def _facts(path: Path) -> dict[str, Any]:
    database = None
    try:
        database = sqlite3.connect(path, timeout=0.3)
        return dict(database.execute("SELECT name, value FROM meta").fetchall())
    except sqlite3.Error as error:
        raise explained(error, path) from error
    finally:
        if database is not None:
            database.close()


def _classes(path: Path, notes: Mapping[str, str]) -> ClassTable:
    try:
        known = json.loads(notes.get("classes", "[]"))
        return ClassTable.from_names([n for n, _ in known], {n: tuple(c) for n, c in known})
    except (ValueError, TypeError) as error:
        raise damaged(path) from error

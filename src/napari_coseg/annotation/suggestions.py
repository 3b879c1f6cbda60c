"""What a model found in a case before anybody opened it: kept as the first step of its journal.

It is written beside the journal's place and moved there when it is whole, so that whoever opens the
case meanwhile finds either all of it or nothing. Labels that are there already are never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Run
from napari_coseg.annotation.faults import explained
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.types import ClassTable, CosegError

#: Key in a run's settings that says that nobody asked for it on an open case.
SUGGESTED = "suggestion"
#: Seconds that the disk has.
_PATIENCE = 120.0
#: Seconds to wait for a thread of this program that is just closing the journal.
_CLOSING = 10.0


@dataclass(frozen=True)
class Suggestion:
    """Labels of one role that a model proposes for a case.

    Attributes
    ----------
    path : Path
        Of the journal that they are for.
    labels : ndarray of integers, (rows, columns) or (planes, rows, columns)
    classes : ClassTable
    model : str
    objects : DataFrame or None
        Of instances: ``label``, ``class`` and ``score``; of teeth also ``jaw``, ``fdi`` and
        ``fdi_confidence``.
    settings : mapping
        Of the run; no names of files.
    """

    path: Path
    labels: npt.NDArray[np.integer[Any]]
    classes: ClassTable
    model: str
    objects: pd.DataFrame | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a person reads in the list of steps."""
        if self.objects is None:
            return "Suggestion: regions"
        count = len(self.objects)
        return f"Suggestion: {'1 object' if count == 1 else f'{count:,} objects'}"

    @property
    def run(self) -> Run:
        """The run that made it, which nobody asked for."""
        return Run(self.name, self.model, {**self.settings, SUGGESTED: True})

    def records(self) -> dict[int, ObjectRecord]:
        """Return what is known of its objects, by label."""
        table = self.objects
        if table is None:
            return {}
        nothing = np.zeros(len(table))
        rows = zip(
            table["label"],
            table["class"],
            table["score"],
            table.get("fdi", nothing),
            table.get("fdi_confidence", nothing),
            table.get("jaw", [""] * len(table)),
            strict=True,
        )
        return {
            int(label): ObjectRecord(
                int(label),
                int(kind),
                float(score),
                origin="model",
                model=self.model,
                fdi=int(fdi),
                fdi_confidence=float(confidence),
                jaw=str(jaw),
            )
            for label, kind, score, fdi, confidence, jaw in rows
        }


def is_free(path: Path) -> bool:
    """Whether a case has no journal yet, so that something may be suggested."""
    return not path.exists()


def is_suggestion(path: Path) -> bool:
    """Whether a journal holds a suggestion and nothing that a person did.

    Raises
    ------
    CosegError
        If it is open, or damaged.
    """
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_CLOSING)) as db:
            edits = db.execute("SELECT kind, settings FROM edits ORDER BY id LIMIT 2").fetchall()
            (head,) = db.execute("SELECT value FROM meta WHERE name = 'head'").fetchone()
        (kind, settings), *others = edits or [("", "{}")]
        told = bool(json.loads(settings).get(SUGGESTED))
    except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
        raise explained(error, path) from error
    # One that was taken back by undo was looked at.
    return kind == "run" and told and not others and head != "0"


def write_beside(suggestion: Suggestion, identity: ImageIdentity) -> Path:
    """Write a journal that holds a suggestion, beside its place; long work, for a thread.

    Parameters
    ----------
    suggestion : Suggestion
    identity : ImageIdentity
        Of the image.

    Returns
    -------
    Path
        Of a closed journal; give it to `put_in_place` or `forget`.

    Raises
    ------
    CosegError
        If it cannot be written.
    """
    place = suggestion.path
    beside = place.with_name(f"suggested-{uuid.uuid4().hex}.tmp")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        case = Case.open(
            beside, identity, suggestion.labels, objects=suggestion.records(), run=suggestion.run
        )
        named = [[one.name, one.colour] for one in suggestion.classes]
        case.note("classes", json.dumps(named))
        saved = case.close(_PATIENCE)
    except OSError as trouble:
        forget(beside)
        raise CosegError(f"The suggestion cannot be kept ({trouble.strerror}).") from trouble
    except BaseException:
        forget(beside)
        raise
    if not saved:
        forget(beside)
        raise CosegError("The suggestion cannot be kept: see whether the disk is full.")
    return beside


def put_in_place(beside: Path, place: Path) -> bool:
    """Let a case begin with a suggestion, unless it has a journal by now; whether it does.

    Raises
    ------
    CosegError
        If the file cannot be moved.
    """
    try:
        # A link is refused where there is a file, which a rename would replace.
        os.link(beside, place)
    except FileExistsError:
        forget(beside)
        return False
    except OSError:
        # No links on this disk.
        if not is_free(place):
            forget(beside)
            return False
        try:
            beside.rename(place)
        except OSError as error:
            forget(beside)
            raise CosegError(f"The suggestion cannot be kept ({error.strerror}).") from error
        return True
    forget(beside)
    return True


def forget(beside: Path) -> None:
    """Take a journal away that `write_beside` made."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            Path(f"{beside}{suffix}").unlink()

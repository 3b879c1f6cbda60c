"""A case while it is open: layer, table, way back, and journal, kept in step.

Every edit ends in `State.done`: pixels into the layer, rows into the table, the edit onto the
way of undo, and to the thread that writes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.change import Change, Past, change_of
from napari_coseg.annotation.chunks import Grid, Labels, Patch, Window, read_labels
from napari_coseg.annotation.draft import Draft
from napari_coseg.annotation.faults import explained
from napari_coseg.annotation.journal import Journal
from napari_coseg.annotation.records import ObjectRecord, Row
from napari_coseg.annotation.steps import Base, Edit, Note, Step
from napari_coseg.annotation.table import Tally
from napari_coseg.annotation.timeline import Timeline
from napari_coseg.annotation.writer import Writer
from napari_coseg.types import CosegError

T = TypeVar("T")

#: Seconds that something which must read the journal waits for edits on their way to it.
_PATIENCE = 5.0


class State:
    """What is open.

    Parameters
    ----------
    journal : Journal
        Open; it belongs to the writer from here on.
    labels : array-like of integers
        The layer's labels.
    write : callable
        Sets values of a window of them, of any integer dtype.
    objects : dict
        The records.
    base : Base, optional
        What a new journal begins with.
    on_saved, on_trouble : callable, optional
        As of `Writer`.
    """

    def __init__(
        self,
        journal: Journal,
        labels: Any,
        write: Callable[[Window, npt.NDArray[Any]], None],
        objects: dict[int, ObjectRecord],
        base: Base | None,
        on_saved: Callable[[bool], None] | None,
        on_trouble: Callable[[str | None], None] | None,
    ) -> None:
        self.path: Path = journal.path
        self.grid: Grid = journal.grid
        self.objects = objects
        self.write = write
        self._labels = labels
        self._timeline = Timeline.read(journal)
        self._top = max(journal.top_label, max(objects, default=0))
        self._closed = False
        self.notes = journal.notes()
        self.writer = Writer(journal, on_saved, on_trouble)
        if base is not None:
            self.writer.put(base)

    def note(self, name: str, text: str) -> None:
        """Remember something beside the edits."""
        self.check_open()
        self.notes[name] = text
        self.writer.put(Note(name, text))

    # Ids.

    @property
    def largest(self) -> int:
        """The largest id that the layer and the journal can hold."""
        return min(int(np.iinfo(self._labels.dtype).max), int(np.iinfo(np.int32).max))

    def fresh(self, taken: Iterable[int] = ()) -> int:
        """Return an unused id: never one that was used before, as long as there are others.

        Raises
        ------
        CosegError
            If there is none.
        """
        taken = set(taken)
        label = max(self._top, max(taken, default=0)) + 1
        if label <= self.largest:
            return label
        for label in range(1, min(self.largest, len(self.objects) + len(taken) + 1) + 1):
            if label not in self.objects and label not in taken:
                return label
        raise CosegError(
            f"Labels of {self._labels.dtype} have no id left for a new object; convert the layer "
            "to int32."
        )

    def checked(self, label: int) -> int:
        """Return an id that an object can have.

        Raises
        ------
        CosegError
            If it is none.
        """
        label = int(label)
        if label < 1:
            raise CosegError(f"{label} cannot be an object's id; ids begin at 1.")
        if label > self.largest:
            raise CosegError(
                f"The id {label} does not fit labels of {self._labels.dtype}; the largest is "
                f"{self.largest}."
            )
        return label

    def known(self, labels: Iterable[int]) -> list[ObjectRecord]:
        """Return the records of some objects, each once, in their order.

        Raises
        ------
        CosegError
            If there is no such object.
        """
        wanted = list(dict.fromkeys(int(label) for label in labels))
        if not wanted:
            raise CosegError("No object is chosen; choose one first.")
        missing = [label for label in wanted if label not in self.objects]
        if missing:
            told = ", ".join(map(str, missing[:5])) + (" and others" if len(missing) > 5 else "")
            raise CosegError(f"There is no object {told} in this layer.")
        return [self.objects[label] for label in wanted]

    # Pixels.

    def read(self, window: Window) -> Labels:
        """Return a copy of a window of the layer."""
        return read_labels(self._labels, window)

    def draft(self) -> Draft:
        """Return a draft of the layer, to be drawn on.

        Raises
        ------
        CosegError
            If the case is closed.
        """
        self.check_open()
        return Draft(self._labels, self.grid)

    def stored(self, chunk: int) -> Labels:
        """Return a chunk's pixels as the journal has them, after all edits.

        Raises
        ------
        CosegError
            If the journal cannot be read now.
        """
        # Where the disk is known to refuse, nobody waits for it.
        if not self.writer.wait(0.0 if self.writer.error else _PATIENCE):
            raise CosegError(
                self.writer.error or "The disk is too slow to be asked now; try again later."
            )
        return self._ask(
            lambda: self.writer.ask(lambda journal: journal.chunk(chunk).copy()).result()
        )

    # Edits.

    def drawn(
        self,
        kind: str,
        name: str,
        draft: Draft,
        told: Mapping[int, ObjectRecord] | None = None,
        *,
        must_stay: Iterable[int] = (),
        model: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> Change:
        """Carry out what a draft holds, as one edit.

        Parameters
        ----------
        kind, name, model, settings
            As of `Edit`.
        draft : Draft
            What the pixels become.
        told : mapping, optional
            What the objects become, but for area and box.
        must_stay : iterable of int
            Objects that must have a pixel afterwards.

        Raises
        ------
        CosegError
            If one has not; nothing has changed then.
        """
        tally = Tally(len(self.grid.shape))
        patches = draft.patches(tally)
        rows = tally.rows(self.objects, told or {}, draft.read, "brush")
        for label in must_stay:
            row = rows.get(label)
            if label not in self.objects if row is None else row[1] is None:
                raise CosegError(
                    f"Object {label} would have no pixel left, since others take all of them; draw "
                    "it elsewhere."
                )
        return self.done(kind, name, patches, rows, model=model, settings=settings)

    def done(
        self,
        kind: str,
        name: str,
        patches: Sequence[Patch],
        rows: Mapping[int, Row],
        *,
        in_layer: bool = False,
        model: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> Change:
        """Carry out an edit.

        Parameters
        ----------
        kind, name, patches, rows, model, settings
            As of `Edit`.
        in_layer : bool
            Whether the pixels are in the layer already.

        Returns
        -------
        Change
            Without a name where there was nothing to do, which makes no step of undo.

        Raises
        ------
        CosegError
            If the case is closed.
        """
        self.check_open()
        if not patches and not rows:
            return Change("")
        edit = Edit(
            self._timeline.next_id,
            self._timeline.head,
            kind,
            name,
            time.time(),
            model,
            dict(settings or {}),
            tuple(patches),
            dict(rows),
        )
        if not in_layer:
            self.show(edit.patches, True)
        self._follow(edit, True)
        self._timeline.append(edit, self.writer.durable)
        self.writer.put(Step(edit))
        return change_of(edit)

    def undo(self) -> Change | None:
        """Take the last edit back."""
        self.check_open()
        edit = self.to_undo()
        if edit is None:
            return None
        self.show(edit.patches, False)
        self._follow(edit, False)
        self._timeline.undone(self.writer)
        self.writer.put(Step(edit, forward=False, new=False))
        return change_of(edit, False)

    def redo(self) -> Change | None:
        """Do the last undone edit again."""
        self.check_open()
        edit = self.to_redo()
        if edit is None:
            return None
        self.show(edit.patches, True)
        self._follow(edit, True)
        self._timeline.redone(self.writer)
        self.writer.put(Step(edit, forward=True, new=False))
        return change_of(edit)

    def to_undo(self) -> Edit | None:
        """Return the edit that `undo` takes back."""
        return self._ask(lambda: self._timeline.to_undo(self.writer))

    def to_redo(self) -> Edit | None:
        """Return the edit that `redo` does again."""
        return self._ask(lambda: self._timeline.to_redo(self.writer))

    def history(self, most: int) -> list[Past]:
        """Return the last edits, the youngest first."""
        recent = self._timeline.recent[:most]
        found = [Past(edit.name, edit.time, tuple(edit.rows)) for edit in recent]
        missing, earlier = most - len(found), self._timeline.earlier
        if missing > 0 and earlier and not self._closed:
            rows = self._ask(
                lambda: self.writer.ask(lambda j: j.names_back(earlier, missing)).result()
            )
            found.extend(Past(name, when, labels) for name, when, labels in rows)
        return found

    def check_open(self) -> None:
        """Raise a `CosegError` where the case is closed."""
        if self._closed:
            raise CosegError("The case is closed; open it again.")

    def close(self, timeout: float) -> bool:
        """Write what is left and close the journal; whether everything is on the disk."""
        self._closed = True
        return self.writer.close(timeout)

    def show(self, patches: Sequence[Patch], forward: bool) -> None:
        """Bring the layer's pixels to those after an edit, or before it."""
        for number, patch in enumerate(patches):
            try:
                self.write(patch.window, patch.values(forward))
            except Exception:
                # The layer refuses: what it took is taken back, so that it and the table agree. It
                # may have taken the last one too, and failed to show it.
                for other in patches[: number + 1]:
                    with suppress(Exception):
                        self.write(other.window, other.values(not forward))
                raise

    def _follow(self, edit: Edit, forward: bool) -> None:
        for label, row in edit.rows.items():
            record = row[int(forward)]
            if record is None:
                self.objects.pop(label, None)
            else:
                self.objects[label] = record
                self._top = max(self._top, label)

    def _ask(self, question: Callable[[], T]) -> T:
        """Return an answer that may come from the journal, its errors as sentences."""
        try:
            return question()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        except (CancelledError, RuntimeError) as error:
            raise CosegError("The case is closed; open it again.") from error

"""A case: the labels of one image or volume, its objects, and everything a person did to them.

One thread, the GUI's, uses a case. Each edit is in the layer and in the table at once; a second
thread brings it to the disk.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.change import Change, Past, Run
from napari_coseg.annotation.chunks import Window
from napari_coseg.annotation.faults import explained
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.journal import Journal
from napari_coseg.annotation.object_edits import ObjectEdits
from napari_coseg.annotation.opening import restore, take_in
from napari_coseg.annotation.pixel_edits import PixelEdits
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.annotation.state import State
from napari_coseg.annotation.steps import Base, Edit
from napari_coseg.types import CosegError

#: Seconds that a program's end waits for the disk.
_AT_END = 10.0


class Case(ObjectEdits, PixelEdits):
    """Labels under a journal; made by `open`."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        # A program that ends without closing its cases still writes what is left.
        self._end = weakref.finalize(self, state.close, _AT_END)

    @classmethod
    def open(
        cls,
        path: Path,
        identity: ImageIdentity,
        labels: Any,
        *,
        write: Callable[[Window, npt.NDArray[Any]], None] | None = None,
        on_saved: Callable[[bool], None] | None = None,
        on_trouble: Callable[[str | None], None] | None = None,
        objects: Mapping[int, ObjectRecord] | None = None,
        run: Run | None = None,
        keep: bool = False,
    ) -> Case:
        """Open a journal, or begin one.

        This reads all labels once. It may be called in another thread than the one that uses the
        case afterwards.

        Parameters
        ----------
        path : Path
            Its file. Where there is none, the labels as they are become its beginning; else the
            labels become what it holds.
        identity : ImageIdentity
            Of the image.
        labels : ndarray of integers, (rows, columns) or (planes, rows, columns)
            The layer's own data; read whenever an edit needs it.
        write : callable, optional
            Sets values of the layer: ``write(window, values)`` with values of the layer's dtype.
            By default ``labels[window] = values``.
        on_saved : callable, optional
            Called, in any thread, with False when something waits to be written, and True when
            all is on the disk. It must return at once and wait for no other thread.
        on_trouble : callable, optional
            Called, in the writer's thread, with a sentence when writing fails, and with None when
            it works again.
        objects : mapping, optional
            What is known of the objects in the labels of a new journal: class, score, model.
        run : Run, optional
            The model run that made the labels of a new journal: it begins empty then, and the run
            is its first edit.
        keep : bool
            Whether the labels stay as they are where there is a journal: they and the case differ
            then until `take_over`, which has to be called before any edit.

        Returns
        -------
        Case
            Open; `close` it.

        Raises
        ------
        CosegError
            If the labels are no integers of two or three axes, or the journal is in use, damaged,
            of another image or shape or a newer version, or cannot be written.
        """
        kind = np.dtype(labels.dtype)
        if kind.kind not in "iu":
            raise CosegError(f"Labels must be integers, not {kind}; convert the layer.")

        def put(window: Window, values: npt.NDArray[Any]) -> None:
            # As the labels are now: a person may have converted them to a wider type.
            given = values.astype(labels.dtype, copy=False)
            if write is None:
                labels[window] = given
            else:
                write(window, given)

        journal = Journal(Path(path), identity, tuple(int(side) for side in labels.shape))
        base: Base | None = None
        made: Base | None = None
        try:
            if journal.begun:
                table = restore(journal, labels, None if keep else put)
            else:
                base = take_in(labels, journal.grid, objects or {})
                if run is not None:
                    made, base = base, Base({}, {})
                table = dict(base.objects)
            case = cls(State(journal, labels, put, table, base, on_saved, on_trouble))
        except BaseException as error:
            journal.close()
            if isinstance(error, sqlite3.Error):
                raise explained(error, Path(path)) from error
            raise
        if made is not None and run is not None:
            case._began_with(made, run)
        return case

    # What is there.

    @property
    def objects(self) -> Mapping[int, ObjectRecord]:
        """Records of all objects by label; a view that follows the edits."""
        return MappingProxyType(self._state.objects)

    @property
    def saved(self) -> bool:
        """Whether everything is on the disk."""
        return self._state.writer.saved

    @property
    def error(self) -> str | None:
        """Why edits are not saved, None while they are."""
        return self._state.writer.error

    @property
    def undo_name(self) -> str | None:
        """What undo would take back, None for nothing."""
        return _name(self._state.to_undo)

    @property
    def redo_name(self) -> str | None:
        """What redo would do again, None for nothing."""
        return _name(self._state.to_redo)

    @property
    def stands_on_run(self) -> bool:
        """Whether the last edit is a run: nobody has changed anything since."""
        edit = self._state.to_undo()
        return edit is not None and edit.kind == "run"

    @property
    def notes(self) -> Mapping[str, str]:
        """What is remembered beside the edits, by name: the names of classes, for example."""
        return MappingProxyType(self._state.notes)

    def note(self, name: str, text: str) -> None:
        """Remember something beside the edits; it is no step of undo. No names of files."""
        self._state.note(name, text)

    def history(self, most: int = 50) -> list[Past]:
        """Return the last edits, the youngest first; those that were undone are not among them."""
        return self._state.history(most)

    def next_label(self) -> int:
        """Return the id that the next new object gets.

        Raises
        ------
        CosegError
            If the layer's dtype has no id left.
        """
        return self._state.fresh()

    # Back and forth.

    def undo(self) -> Change | None:
        """Take the last edit back; what changed, or None where there is nothing to undo."""
        return self._state.undo()

    def redo(self) -> Change | None:
        """Do the last undone edit again; what changed, or None where there is nothing to redo."""
        return self._state.redo()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything is on the disk; whether it is."""
        return self._state.writer.wait(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Write what is left and close the journal; whether everything is on the disk."""
        self._end.detach()
        return self._state.close(timeout)

    def __enter__(self) -> Case:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _name(ask: Callable[[], Edit | None]) -> str | None:
    try:
        edit = ask()
    except CosegError:
        # A button has no name then; pressing it tells why.
        return None
    return None if edit is None else edit.name

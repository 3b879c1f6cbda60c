"""The layer that objects go into, under its journal: every edit, undo, and what napari shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Change, Commit, Run
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.layers.drawing import add_class, classes_of, set_classes
from napari_coseg.layers.object_table import ObjectTable
from napari_coseg.layers.pixels import SheetPixels, SheetWriter
from napari_coseg.layers.sheet import Alignment, Sheet, Window
from napari_coseg.layers.strokes import StrokeListener
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.widgets.prompt_known import fits, known_records, made_by

#: Milliseconds after the last edit until napari is handed the table, and where there are many
#: objects, until it is handed that and the colours: it takes them whole.
_SOON, _LATER, _MANY = 60, 250, 3000
#: Milliseconds until a stroke is tried again that could not be kept.
_AGAIN = 5000
#: Layers that had a journal since the program started, by their unique ids.
_journals: dict[Hashable, Path] = {}


def journal_of(layer: Any) -> Path | None:
    """Return the journal that a layer was used with last, None where it has none any more."""
    path = _journals.get(layer.unique_id)
    return path if path is not None and path.exists() else None


class Target(QObject):
    """A Labels layer with a journal.

    Before it is used it is opened: by `read`, which may take long and may be called in another
    thread, and then by `begin`. What a person paints meanwhile becomes an edit.

    Parameters
    ----------
    layer : Labels layer
    path : Path
        Of the journal, which may exist.
    identity : ImageIdentity
        Of the image.

    Attributes
    ----------
    case : Case
        Once it is read.
    changed : Signal
        After every edit, undo and redo: the `Change`.
    saving : Signal
        False while something waits to be written, True when all is on the disk.
    trouble : Signal
        A sentence why nothing can be written, or None once it can again.

    Raises
    ------
    CosegError
        If the layer cannot be drawn on.
    """

    changed = Signal(object)
    saving = Signal(bool)
    trouble = Signal(object)

    def __init__(self, layer: Any, path: Path, identity: ImageIdentity) -> None:
        super().__init__()
        self.layer = layer
        self.path = path
        self.sheet = Sheet(layer)
        self.by_object = False
        self.case: Case
        self._identity = identity
        self._pixels = SheetPixels(self.sheet)
        self._write = SheetWriter(self.sheet)
        # Of a layer that was let go of what it holds now counts: it may have been painted since.
        self._stood = journal_of(layer) == path
        self._since: list[tuple[Window, npt.NDArray[Any], npt.NDArray[Any]]] = []
        # Here, and not in the thread that reads: a layer is asked in the GUI's.
        self._known = known_records(layer)
        self._run = made_by(layer)
        # What the layer held last: another array is told of after it has taken its place.
        self._array = layer.data
        self._begun = False
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.hand_over)
        self._uncoloured = False
        self._painted: list[Window | None] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.catch_up)
        self._strokes = StrokeListener(self.sheet, self._on_stroke)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(self.sheet.labels.size)

    def read(self) -> None:
        """Open the journal, in any thread; all pixels are read.

        Raises
        ------
        CosegError
            If the journal cannot be used.
        StoppedError
            If `stop` was called meanwhile.
        """
        self.case = Case.open(
            self.path,
            self._identity,
            self._pixels,
            write=self._set,
            # Called in the writer's thread: signals cross to the GUI's by themselves.
            on_saved=self.saving.emit,
            on_trouble=self.trouble.emit,
            objects=self._known,
            run=self._run,
        )

    def stop(self) -> None:
        """Let `read` end where it is: the layer is not wanted any more."""
        self._pixels.stopped = True
        self._soon.stop()
        self._strokes.let_go()

    def begin(self) -> None:
        """Show what was read; from here on there are edits.

        Raises
        ------
        CosegError
            If the journal is damaged; it is closed then.
        """
        try:
            self._recall_classes()
            self._table = ObjectTable(self.sheet, self.case.objects)
        except BaseException:
            self.stop()
            self.case.close()
            raise
        self._write.shown = self._begun = True
        _journals[self.layer.unique_id] = self.path
        self.catch_up()
        self._take_in_since()
        self._show()

    def _take_in_since(self) -> None:
        """Make one edit of what was done to the layer while it had no journal."""
        since, self._since = self._since, []
        for window, held, restored in since:
            part = self.sheet.labels[window]
            # What was painted while the journal was read stands.
            lost = part == restored
            part[lost] = held[lost]
        if since:
            self._told(self.case.catch_up(None, name="painted without the dock"))

    def _set(self, window: Window, values: npt.NDArray[Any]) -> None:
        """Write pixels; while the journal is read, remember what the layer held there."""
        if self._stood and not self._begun:
            held = self.sheet.labels[window].copy()
            self._since.append((window, held, values.astype(held.dtype)))
        self._write(window, values)

    @property
    def classes(self) -> ClassTable:
        """Classes that objects may have."""
        return classes_of(self.layer)

    def add_class(self, name: str) -> None:
        """Add a class.

        Raises
        ------
        CosegError
            If there is one of that name.
        """
        add_class(self.layer, name)
        self._note_classes()
        self._show()

    def _recall_classes(self) -> None:
        """Take over the classes of earlier work; of new work, remember the layer's."""
        try:
            known = json.loads(self.case.notes["classes"])
            colours = {name: tuple(colour) for name, colour in known}
            set_classes(self.layer, ClassTable.from_names(list(colours), colours))
        except KeyError:
            self._note_classes()
        except (ValueError, TypeError) as error:
            raise CosegError(f"The names of classes in {self.path} are damaged.") from error

    def _note_classes(self) -> None:
        self.case.note("classes", json.dumps([[one.name, one.colour] for one in self.classes]))

    def record(self, label: int) -> ObjectRecord | None:
        """Return what is known of an object, None where there is none."""
        return self.case.objects.get(label)

    def edit(self, edit: Callable[[], Change]) -> Change:
        """Carry out an edit of the case, and show it.

        Raises
        ------
        CosegError
            If it cannot be done; nothing has changed then.
        """
        self.catch_up()
        with self._write.together():
            change = edit()
        self._told(change)
        return change

    def commit(
        self,
        items: Sequence[Commit],
        *,
        protect: bool,
        name: str | None = None,
        device: str = "",
    ) -> Change:
        """Commit objects as one step; those that keep no pixel are left out.

        `device`, where the model has run, goes into the journal.

        Raises
        ------
        CosegError
            If none keeps one.
        """
        settings = {"device": device} if device else None
        return self.edit(
            lambda: self.case.commit_many(
                items, protect=protect, strict=False, settings=settings, name=name
            )
        )

    def delete(self, labels: Sequence[int]) -> Change:
        """Delete objects."""
        return self.edit(lambda: self.case.delete(labels))

    def merge(self, labels: Sequence[int]) -> Change:
        """Make one object of several."""
        return self.edit(lambda: self.case.merge(labels))

    def split(self, label: int, line: Any) -> Change:
        """Part an object along a line on the sheet."""
        return self.edit(lambda: self.case.split(label, line))

    def relabel(self, label: int, new: int) -> Change:
        """Give an object another id."""
        return self.edit(lambda: self.case.relabel(label, new))

    def set_class(self, labels: Sequence[int], class_id: int) -> Change:
        """Set the class of objects."""
        return self.edit(lambda: self.case.set_class(labels, class_id))

    def take_pixels(self) -> bool:
        """Take in, as one step, that the layer was handed other pixels.

        Returns
        -------
        bool
            False where they do not fit what the journal holds: it has to be closed then.

        Raises
        ------
        CosegError
            If the journal cannot be read now, or an id does not fit.
        """
        before, now = self._array, self.layer.data
        if not fits(before, now):
            return False
        self._array, other = now, now.dtype != before.dtype
        run, told = made_by(self.layer), known_records(self.layer)
        if run is None or run == self._run:
            run, told = Run(f"other pixels of {self.layer.name}"), {}
        if self._painted or np.shares_memory(before, now):
            # What it was before is in the journal alone.
            self._painted = []
            change = self.case.catch_up(None, name=run.name)
        else:
            old = before.reshape(self.sheet.labels.shape)
            change = self.case.adopt(
                self.sheet.labels,
                told,
                run.name,
                model=run.model,
                settings=run.settings,
                before=old,
            )
        self._run = made_by(self.layer)
        self._told(change)
        if other:
            # Colours are kept by the type of labels.
            self._table.colour()
        return True

    def undo(self) -> Change | None:
        """Take the last edit back; None where there is none."""
        return self._maybe(self.case.undo)

    def redo(self) -> Change | None:
        """Do again what was taken back last; None where there is nothing."""
        return self._maybe(self.case.redo)

    def alignment(self, image: Any, stack: Any, index: tuple[int, ...]) -> Alignment:
        """Return where a plane of the image lies here.

        Raises
        ------
        CosegError
            If the pixels are others.
        """
        return Alignment(image, stack, self.sheet, index)

    def colour_by(self, by_object: bool) -> None:
        """Colour by object, or by class where there are several."""
        self.by_object = by_object
        self._show()

    def hand_over(self) -> None:
        """Give napari table and colours as they are now, and not in a moment."""
        self._later.stop()
        self._table.show()
        if self._uncoloured:
            self._uncoloured = False
            self._table.colour()

    def let_go(self) -> None:
        """Write what waits, close the journal, and hear no more."""
        self._soon.stop()
        try:
            self.catch_up()
            self._strokes.let_go()
            if self._later.isActive():
                self.hand_over()
            if self._begun:
                self._table.let_go()
        finally:
            self._later.stop()
            self._begun = False
            self.case.close()

    def _on_stroke(self, window: Window | None) -> None:
        # napari tells of some strokes before the pixels have changed.
        self._painted.append(window)
        self._soon.start(0)

    def catch_up(self) -> None:
        """Make edits of what was painted."""
        if not self._begun:
            return
        windows, self._painted = self._painted, []
        for window in windows:
            try:
                self._told(self.case.catch_up(window))
            except CosegError as error:
                # It comes again, with the next edit or by itself.
                self._painted.append(window)
                self._soon.start(_AGAIN)
                self.trouble.emit(str(error))

    def _maybe(self, step: Callable[[], Change | None]) -> Change | None:
        self.catch_up()
        with self._write.together():
            change = step()
        if change is not None:
            self._told(change)
        return change

    def _told(self, change: Change) -> None:
        if not change.name:
            return
        coloured, many = self._table.change(change.labels), len(self.case.objects) > _MANY
        if not coloured and not many:
            self._table.colour()
        self._uncoloured |= not coloured and many
        self._later.start(_LATER if many else _SOON)
        self.changed.emit(change)

    def _show(self) -> None:
        self._table.colour(self.by_object)
        self.hand_over()

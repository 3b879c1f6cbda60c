"""The layer that objects go into, under its journal: every edit, undo, and what napari shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Change, Commit
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.layers.drawing import (
    ObjectTable,
    add_class,
    classes_of,
    known_objects,
    set_classes,
)
from napari_coseg.layers.sheet import Alignment, Sheet, Window
from napari_coseg.layers.strokes import StrokeListener
from napari_coseg.types import ClassTable, CosegError

#: Milliseconds after the last edit until table and colours are handed to napari, where there are
#: many objects: it takes them whole.
_LATER, _MANY = 250, 3000


class Target(QObject):
    """A Labels layer with a journal.

    Parameters
    ----------
    layer : Labels layer
    path : Path
        Of the journal, which may exist.
    identity : ImageIdentity
        Of the image.

    Attributes
    ----------
    changed : Signal
        After every edit, undo and redo: the `Change`.
    saving : Signal
        False while something waits to be written, True when all is on the disk.
    trouble : Signal
        A sentence why nothing can be written, or None once it can again.

    Raises
    ------
    CosegError
        If the layer cannot be drawn on or the journal not be used.
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
        known = {
            one.label: ObjectRecord(
                one.label,
                one.class_id,
                one.score,
                origin="model" if one.model else "file",
                model=one.model,
            )
            for one in known_objects(layer)
        }
        self.case = Case.open(
            path,
            identity,
            self.sheet.labels,
            write=self.sheet.write,
            # Called in the writer's thread: signals cross to the GUI's by themselves.
            on_saved=self.saving.emit,
            on_trouble=self.trouble.emit,
            objects=known,
        )
        try:
            self._recall_classes()
            self._table = ObjectTable(self.sheet, self.case.objects)
        except BaseException:
            self.case.close()
            raise
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._show)
        self._painted: list[Window | None] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._take_strokes)
        self._strokes = StrokeListener(self.sheet, self._on_stroke)
        self._show()

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
        return self._edit(
            lambda: self.case.commit_many(
                items, protect=protect, strict=False, settings=settings, name=name
            )
        )

    def delete(self, labels: Sequence[int]) -> Change:
        """Delete objects."""
        return self._edit(lambda: self.case.delete(labels))

    def merge(self, labels: Sequence[int]) -> Change:
        """Make one object of several."""
        return self._edit(lambda: self.case.merge(labels))

    def split(self, label: int, line: Any) -> Change:
        """Part an object along a line on the sheet."""
        return self._edit(lambda: self.case.split(label, line))

    def relabel(self, label: int, new: int) -> Change:
        """Give an object another id."""
        return self._edit(lambda: self.case.relabel(label, new))

    def set_class(self, labels: Sequence[int], class_id: int) -> Change:
        """Set the class of objects."""
        return self._edit(lambda: self.case.set_class(labels, class_id))

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

    def window_of(self, labels: Sequence[int]) -> Window | None:
        """Return the window around objects, None where there are none."""
        boxes = [record.box for label in labels if (record := self.record(label))]
        if not boxes:
            return None
        axes = len(boxes[0]) // 2
        return tuple(
            slice(min(box[a] for box in boxes), max(box[axes + a] for box in boxes))
            for a in range(axes)
        )

    def colour_by(self, by_object: bool) -> None:
        """Colour by object, or by class where there are several."""
        self.by_object = by_object
        self._show()

    def let_go(self) -> None:
        """Write what waits, close the journal, and hear no more."""
        self._later.stop()
        self._soon.stop()
        try:
            self._take_strokes()
            self._strokes.let_go()
        finally:
            self.case.close()

    def _on_stroke(self, window: Window | None) -> None:
        # napari tells of some strokes before the pixels have changed.
        self._painted.append(window)
        self._soon.start(0)

    def _take_strokes(self) -> None:
        windows, self._painted = self._painted, []
        for window in windows:
            try:
                self._told(self.case.catch_up(window))
            except CosegError as error:
                self.trouble.emit(str(error))

    def _edit(self, edit: Callable[[], Change]) -> Change:
        self._take_strokes()
        change = edit()
        self._told(change)
        return change

    def _maybe(self, step: Callable[[], Change | None]) -> Change | None:
        self._take_strokes()
        change = step()
        if change is not None:
            self._told(change)
        return change

    def _told(self, change: Change) -> None:
        if not change.name:
            return
        self._table.change(change.labels)
        if len(self.case.objects) > _MANY:
            self._later.start(_LATER)
        else:
            self._show()
        self.changed.emit(change)

    def _show(self) -> None:
        self._table.show(by_object=self.by_object)


def words_for(record: ObjectRecord, classes: ClassTable, mpp: float | None) -> str:
    """Describe an object in a line."""
    parts = [f"Object {record.label}"]
    if record.class_id and len(classes) > 1:
        parts.append(classes.name_of(record.class_id))
    parts.append(size_words(record.area, mpp))
    if not math.isnan(record.score):
        parts.append(f"{record.score:.2f}")
    return " · ".join(parts)


def size_words(area: int, mpp: float | None) -> str:
    """Write an area in pixels and, where the pixel size is known, in µm²."""
    words = f"{area:,} px"
    return words if mpp is None else f"{words} · {area * mpp * mpp:,.0f} µm²"

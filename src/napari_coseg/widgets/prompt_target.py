"""The layer that objects go into, under its journal: every edit, undo, and what napari shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer

from napari_coseg.annotation.change import Change, Commit, Run
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.layers.drawing import PLAIN, add_class, classes_of, set_classes
from napari_coseg.layers.object_table import ObjectTable
from napari_coseg.layers.sheet import Alignment
from napari_coseg.layers.volume_layers import grid_in
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.widgets.kept_layer import KeptLayer, journal_of
from napari_coseg.widgets.prompt_known import known_records, made_by

__all__ = ["Target", "journal_of"]

#: Milliseconds after the last edit until napari is handed the table, and where there are many
#: objects, until it is handed that and the colours: it takes them whole.
_SOON, _LATER, _MANY = 60, 250, 3000


class Target(KeptLayer):
    """A Labels layer of objects with a journal; parameters and errors are those of `KeptLayer`."""

    def __init__(
        self, layer: Any, path: Path, identity: ImageIdentity, *, instead: bool = False
    ) -> None:
        super().__init__(layer, path, identity, instead=instead)
        self.by_object = False
        self._table: ObjectTable | None = None
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.hand_over)
        self._uncoloured = False
        # Of a layer that takes the place of what the journal holds, once they are matched.
        self._classes = classes_of(layer)

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

    def _told_by_layer(self) -> Mapping[int, ObjectRecord]:
        return known_records(self.layer)

    def _made_by(self) -> Run | None:
        return made_by(self.layer)

    def _match_classes(self) -> None:
        """Let the layer's objects have their classes by name, among those of the journal."""
        here = self._remembered()
        objects = self.case.objects.values()
        if here is None or (here.names == PLAIN.names and not any(o.class_id for o in objects)):
            # Nobody has used them: the layer's own stand.
            return
        theirs, colours = self._classes, {one.name: one.colour for one in here}
        names = [*here.names, *(name for name in theirs.names if name not in here.names)]
        colours |= {one.name: one.colour for one in theirs if one.name not in colours}
        self._classes = ClassTable.from_names(names, colours)
        numbers = {one.id: names.index(one.name) + 1 for one in theirs}
        self._known = {
            label: replace(record, class_id=numbers.get(record.class_id, 0))
            for label, record in self._known.items()
        }

    def _remembered(self) -> ClassTable | None:
        """Return the classes that the journal remembers, None where it has none yet."""
        try:
            known = json.loads(self.case.notes["classes"])
            colours = {name: tuple(colour) for name, colour in known}
            return ClassTable.from_names(list(colours), colours)
        except KeyError:
            return None
        except (ValueError, TypeError) as error:
            raise CosegError(f"The names of classes in {self.path} are damaged.") from error

    def _recall(self) -> None:
        """Take over the classes of earlier work; of new work, remember the layer's."""
        known = self._classes if self._instead else self._remembered()
        if known is not None:
            set_classes(self.layer, known)
        if known is None or self._instead:
            self._note_classes()
        self._table = ObjectTable(self.sheet, self.case.objects)
        self.layer.events.features.connect(self._on_features)

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

    def set_fdi(self, numbers: Mapping[int, int]) -> Change:
        """Give teeth their FDI numbers, by label."""
        return self.edit(lambda: self.case.set_fdi(numbers))

    @property
    def may_be_teeth(self) -> bool:
        """Whether objects may have FDI numbers: those of a volume in mm, or where some have."""
        if grid_in(self.layer.metadata) is not None:
            return True
        return any(record.fdi for record in self.case.objects.values())

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
        if self._table is None:
            return
        self._table.show()
        if self._uncoloured:
            self._uncoloured = False
            self._table.colour()

    def _end(self) -> None:
        if self._later.isActive():
            self.hand_over()
        self._later.stop()
        if self._table is not None:
            self.layer.events.features.disconnect(self._on_features)
            self._table.let_go()
            self._table = None

    def _on_features(self, event: object = None) -> None:
        """Make an edit of FDI numbers that somebody else has written: the Segment dock does."""
        numbers = {} if self._table is None else self._table.numbered()
        if not numbers:
            return
        try:
            self.set_fdi({label: n for label, n in numbers.items() if self.record(label)})
        except CosegError as error:
            show_warning(str(error))
            self._later.start(_SOON)

    def _told(self, change: Change) -> None:
        if not change.name or self._table is None:
            return
        coloured, many = self._table.change(change.labels), len(self.case.objects) > _MANY
        if not coloured and not many:
            self._table.colour()
        self._uncoloured |= not coloured and many
        self._later.start(_LATER if many else _SOON)
        self.changed.emit(change)

    def _show(self) -> None:
        # Colours are kept by the type of labels, which may be another one now.
        if self._table is not None:
            self._table.colour(self.by_object)
        self.hand_over()

"""Objects that are there: chosen, opened again, parted, joined, named, deleted, found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QInputDialog

from napari_coseg.annotation.change import Change
from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_drawing import Drawing
from napari_coseg.widgets.prompt_target import Target
from napari_coseg.widgets.prompt_work import Work

if TYPE_CHECKING:
    import napari.viewer


class Editing(QObject):
    """What is done to objects without the model.

    Attributes
    ----------
    selected : list of int
        Objects that are chosen, the last one last.
    splitting : int or None
        The object that the next line parts.
    changed : Signal
        Others are chosen.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, desk: Desk, drawing: Drawing) -> None:
        super().__init__()
        self._viewer = viewer
        self._desk = desk
        self._drawing = drawing
        self.selected: list[int] = []
        self.splitting: int | None = None
        desk.changed.connect(self._on_change)
        desk.dropped.connect(lambda layer: self.select([]))

    def select(self, labels: Sequence[int]) -> None:
        """Choose objects."""
        target = self._desk.target
        self.selected = [one for one in labels if target is not None and target.record(one)]
        self.splitting = None
        if target is not None and self.selected:
            target.layer.selected_label = self.selected[-1]
        self.changed.emit()

    def toggle(self, label: int, further: bool) -> None:
        """Choose an object; with `further` beside the others, or no more. 0 is no object."""
        if not further:
            self.select([label] if label else [])
        elif label in self.selected:
            self.select([one for one in self.selected if one != label])
        elif label:
            self.select([*self.selected, label])

    def label_at(self, row: float, column: float) -> int:
        """Return the object at a point of the image, 0 for none."""
        alignment = self._desk.alignment()
        return 0 if alignment is None else alignment.label_at(row, column)

    def reopen(self, label: int) -> bool:
        """Go on with an object: its prompts come back, and its pixels are what is refined.

        Returns
        -------
        bool
            Whether it is in this plane.
        """
        target, alignment = self._desk.target, self._desk.alignment()
        record = None if target is None else target.record(label)
        if target is None or record is None or alignment is None:
            return False
        window = record.window
        mask = alignment.mask_of(window, target.sheet.labels[window] == label)
        if not mask.area:
            self._desk.said.emit(f"Object {label} is not in this plane.")
            return False
        prompts = list(record.prompts)
        if record.planes:
            here = alignment.plane, alignment.axis
            prompts = [prompt for prompt, *where in record.placed if tuple(where) == here]
        self.select([])
        self._drawing.begin(Work.of(label, prompts, mask))
        self._desk.form.choose_class(record.class_id)
        self._desk.said.emit(
            f"Object {label} is open: click what is missing or too much, then commit."
        )
        return True

    def split(self, line: Any) -> None:
        """Part the object that `splitting` names along a line in the image."""
        label, self.splitting = self.splitting, None
        target, alignment = self._desk.target, self._desk.alignment()
        if label is None or target is None or alignment is None:
            return
        points = np.array([alignment.point_on_sheet(row, column) for row, column in line])
        change = self._desk.do(lambda: target.split(label, points))
        if change is not None:
            self.select(sorted(change.labels))

    def merge(self) -> None:
        """Make one object of those that are chosen."""
        chosen = list(self.selected)
        if self._edit(lambda target: target.merge(chosen)):
            self.select(chosen[:1])

    def delete(self) -> None:
        """Delete the objects that are chosen."""
        self._edit(lambda target: target.delete(self.selected))

    def set_class(self, class_id: int) -> None:
        """Give those that are chosen a class."""
        self._edit(lambda target: target.set_class(self.selected, class_id))

    def set_fdi(self, label: int, number: int) -> None:
        """Give a tooth its FDI number, 0 for none."""
        target = self._desk.target
        if target is not None:
            self._desk.do(lambda: target.set_fdi({label: number}))

    def relabel(self, parent: Any) -> None:
        """Ask for another id of the last one that was chosen."""
        if not self.selected:
            return
        label = self.selected[-1]
        new, accepted = QInputDialog.getInt(parent, "Id", f"New id of object {label}", label, 1)
        if (
            accepted
            and new != label
            and self._edit(lambda target: target.relabel(label, new)) is not None
        ):
            self.select([new])

    def go_to(self, label: int) -> None:
        """Show an object in the middle of the view, and choose it."""
        target = self._desk.target
        record = None if target is None else target.record(label)
        if target is None or record is None:
            return
        sheet = target.sheet
        full = np.zeros(sheet.ndim)
        full[list(sheet.axes)] = [(part.start + part.stop - 1) / 2 for part in record.window]
        world = np.asarray(target.layer.data_to_world(full), float)
        dims = self._viewer.dims
        point = list(dims.point)
        point[-len(world) :] = world
        for axis in range(len(point)):
            if axis not in dims.displayed:
                dims.set_point(axis, point[axis])
        self._viewer.scene.camera.center = tuple(point[axis] for axis in dims.displayed)
        self.select([label])

    def step(self, forward: bool) -> None:
        """Go to the next or previous object by id."""
        target = self._desk.target
        if target is None or not target.case.objects:
            return
        known = sorted(target.case.objects)
        if not self.selected:
            place = 0 if forward else -1
        else:
            here = int(np.searchsorted(known, self.selected[-1]))
            place = here + (1 if forward else -1)
        self.go_to(known[place % len(known)])

    def _edit(self, edit: Callable[[Target], Change]) -> Change | None:
        target = self._desk.target
        if target is None or not self.selected:
            return None
        return self._desk.do(lambda: edit(target))

    def _on_change(self, change: Change) -> None:
        if change.removed & set(self.selected):
            self.select([one for one in self.selected if one not in change.removed])

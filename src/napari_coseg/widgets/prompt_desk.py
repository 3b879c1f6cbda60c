"""What the parts of the Prompt dock share: the image, the layer objects go into, and words."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal

from napari_coseg.annotation.change import Change
from napari_coseg.layers.sheet import Alignment
from napari_coseg.types import CosegError
from napari_coseg.widgets.prompt_form import PromptForm
from napari_coseg.widgets.prompt_place import PromptPlace
from napari_coseg.widgets.prompt_target import Target

if TYPE_CHECKING:
    import napari.viewer


class Desk(QObject):
    """Keeps the layer that objects go into, and the field where it is chosen.

    Attributes
    ----------
    target : Target or None
        None until there is something to keep.
    said : Signal
        A sentence for the person.
    opened : Signal
        Another layer is under its journal now.
    dropped : Signal
        The layer that is not used any more.
    changed : Signal
        The `Change` of an edit.
    """

    said = Signal(str)
    opened = Signal()
    dropped = Signal(object)
    changed = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, form: PromptForm) -> None:
        super().__init__()
        self._viewer = viewer
        self.form = form
        self.place = PromptPlace(viewer)
        self.target: Target | None = None
        self._new_wanted = False
        self.place.found.connect(self._on_found)
        form.target_chosen.connect(self._on_chosen)
        events = viewer.layers.events
        events.inserted.connect(self.fill)
        events.renamed.connect(self.fill)
        events.removed.connect(self._on_removed)

    @property
    def mpp(self) -> float | None:
        """µm per pixel of the image, None where it is unknown."""
        return None if self.place.stack is None else self.place.stack.mpp

    def look_at(self, choice: Any) -> None:
        """Look at another image; work on the one before is in its journal."""
        self.drop()
        self._new_wanted = False
        self.place.look_at(choice)
        self.fill()

    def need(self) -> Target | None:
        """Return the layer that objects go into; a new one is made where there is none."""
        if self.target is None:
            self._open(None)
        return self.target

    def alignment(self, index: tuple[int, ...] | None = None) -> Alignment | None:
        """Return where a plane of the image lies on the layer, None where it does not."""
        if self.target is None or self.place.stack is None:
            return None
        try:
            return self.place.alignment(self.target, index)
        except CosegError as error:
            self.said.emit(str(error))
            return None

    def do(self, edit: Callable[[], Change | None]) -> Change | None:
        """Do an edit; what cannot be done is said."""
        try:
            return edit()
        except CosegError as error:
            self.said.emit(str(error))
            return None

    def drop(self) -> None:
        """Let go of the layer; all of it is in the journal."""
        if self.target is None:
            return
        target, self.target = self.target, None
        with suppress(TypeError, ValueError, RuntimeError):
            target.layer.events.data.disconnect(self._on_data)
        try:
            self.dropped.emit(target.layer)
        finally:
            target.let_go()

    def fill(self, event: object = None) -> None:
        """List the layers that objects could go into, and earlier work on the image."""
        into = self.form.into
        into.blockSignals(True)
        into.clear()
        into.addItem("New layer", ("new", None))
        for layer in self.place.sheets():
            into.addItem(layer.name, ("layer", layer))
            if self.target is not None and layer == self.target.layer:
                into.setCurrentIndex(into.count() - 1)
        known = None if self.target is None else self.target.path
        for path in self.place.earlier():
            if path != known:
                words = time.strftime("%d %b %H:%M", time.localtime(_changed(path)))
                into.addItem(f"Earlier work, {words}", ("journal", path))
        into.blockSignals(False)

    def keep_in(self, folder: Path) -> None:
        """Keep journals in another folder from now on."""
        self.drop()
        self.place.folder = folder
        self._on_found()

    def let_go(self) -> None:
        """Write what waits, close the journal, and hear no more of the viewer."""
        events = self._viewer.layers.events
        events.inserted.disconnect(self.fill)
        events.renamed.disconnect(self.fill)
        events.removed.disconnect(self._on_removed)
        self.place.let_go()
        self.drop()

    def _on_found(self) -> None:
        """Once the image is known, earlier work on it comes back by itself."""
        self.fill()
        earlier = self.place.earlier()
        if earlier and self.target is None and not self._new_wanted:
            self._open(earlier[0])
            if self.target is not None:
                count = len(self.target.case.objects)
                self.said.emit(f"Your earlier work on this image is back: {count:,} objects.")

    def _on_chosen(self) -> None:
        kind, what = self.form.into.currentData()
        if kind == "layer" and self.target is not None and what == self.target.layer:
            return
        self.drop()
        # A new layer comes with its first object.
        self._new_wanted = kind == "new"
        if kind == "layer":
            self._open(None, what)
        elif kind == "journal":
            self._open(what)
        self.fill()

    def _open(self, path: Path | None, layer: Any = None) -> None:
        try:
            target = self.place.open(path, layer)
        except CosegError as error:
            show_warning(str(error))
            self.fill()
            return
        self.target = target
        target.changed.connect(self.changed)
        target.saving.connect(self._on_saved)
        target.trouble.connect(self._on_trouble)
        target.layer.events.data.connect(self._on_data)
        self.form.show_classes(target.classes)
        target.colour_by(self.form.by_object.isChecked())
        self.fill()
        self._on_saved(target.case.saved)
        self.opened.emit()

    def _on_removed(self, event: Any) -> None:
        if self.target is not None and event.value == self.target.layer:
            self.drop()
            self.said.emit("The layer is gone; its objects are in the journal, under Into.")
        self.fill()

    def _on_data(self, event: object = None) -> None:
        """Let go of a layer whose pixels were exchanged: what the journal holds is not theirs."""
        if self.target is not None and not self.target.sheet.writing:
            name = self.target.layer.name
            self.drop()
            self.said.emit(f"{name} has other pixels now: choose it again to go on with them.")
            self.fill()

    def _on_saved(self, saved: bool) -> None:
        if self.target is None:
            return
        where = ""
        with suppress(CosegError):
            where = f", {self.place.journal().reason}"
        count = len(self.target.case.objects)
        state = "Saved" if saved else "Saving …"
        self.form.saved.setText(f"{count:,} objects · {state}{where}")
        self.form.saved.setToolTip(str(self.target.path))

    def _on_trouble(self, sentence: str | None) -> None:
        if sentence:
            show_warning(sentence)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

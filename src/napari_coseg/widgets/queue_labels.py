"""The labels of the open case, each layer under its journal."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.layers.crowds import PICTURE
from napari_coseg.layers.drawing import objects_layer
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.preview import PREVIEW_ROLE
from napari_coseg.layers.queue_layers import regions_on
from napari_coseg.layers.results import class_table, own_facts, role_of
from napari_coseg.layers.runs import image_of
from napari_coseg.layers.sheet import Sheet, Window
from napari_coseg.layers.strokes import StrokeListener
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.widgets.held_layers import HeldLayer, forget, held_as, hold
from napari_coseg.widgets.prompt_target import Target

if TYPE_CHECKING:
    import napari.viewer

#: How often, and after how many milliseconds, a journal that was lent is tried again.
_TRIES, _AGAIN = 40, 250
_UNDO, _REDO = "Control-Z", "Control-Shift-Z"


class CaseObjects(QObject):
    """The objects of a case: a Labels layer under a journal, which the Prompt dock may borrow.

    Parameters
    ----------
    image, layer : layer
    path : Path
        Of the journal.
    identity : ImageIdentity
        Of the image.

    Raises
    ------
    CosegError
        If the journal cannot be used.
    """

    saving = Signal(bool)
    trouble = Signal(object)

    def __init__(self, image: Any, layer: Any, path: Path, identity: ImageIdentity) -> None:
        super().__init__()
        self.layer = layer
        self.path = path
        self._identity = identity
        self.target: Target | None = None
        self._over = False
        self._tries = _TRIES
        self._open()
        self._held = HeldLayer(image, layer, path, self.lend, self.take_back)
        hold(self._held)

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever drawn, not even taken back."""
        if self.target is None:
            return False
        case = self.target.case
        return not case.objects and not case.history(1) and case.redo_name is None

    @property
    def empty(self) -> bool:
        """Whether no object is there; not known, so False, while the layer is lent."""
        return self.target is not None and not self.target.case.objects

    def wait(self, seconds: float) -> bool:
        """Wait until all is on the disk; whether it is."""
        target = self.target or self._held.borrowed
        if target is None:
            return True
        if not hasattr(target, "case"):
            # The Prompt dock is still reading it.
            return False
        target.catch_up()
        return bool(target.case.wait(seconds))

    def lend(self) -> None:
        """Close the journal, so that it can be opened elsewhere."""
        target, self.target = self.target, None
        if target is None:
            return
        for key in (_UNDO, _REDO):
            self.layer.bind_key(key, None, overwrite=True)
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            self.layer.events.data.disconnect(self._on_data)
        target.let_go()

    def take_back(self) -> None:
        """Open the journal again."""
        self._held.borrowed = None
        if self.target is not None or self._over:
            return
        try:
            self._open()
        except CosegError as error:
            # Who had it may be closing it in another thread still.
            self._tries -= 1
            if self._tries > 0:
                QTimer.singleShot(_AGAIN, self.take_back)
            else:
                show_warning(str(error))
        else:
            self._tries = _TRIES

    def let_go(self) -> None:
        """Write what waits, close the journal, and lend it no more."""
        self._over = True
        forget(self._held)
        self.lend()

    def _open(self) -> None:
        target = Target(self.layer, self.path, self._identity)
        target.read()
        target.begin()
        target.saving.connect(self.saving)
        target.trouble.connect(self.trouble)
        self.target = target
        self.layer.events.data.connect(self._on_data)
        self.layer.bind_key(_UNDO, lambda layer: self._step(False), overwrite=True)
        self.layer.bind_key(_REDO, lambda layer: self._step(True), overwrite=True)

    def _step(self, forward: bool) -> None:
        if self.target is not None:
            try:
                self.target.redo() if forward else self.target.undo()
            except CosegError as error:
                show_warning(str(error))

    def _on_data(self, event: object = None) -> None:
        if self.target is None or self.target.sheet.writing:
            return
        try:
            if not self.target.take_pixels():
                raise CosegError("they have another size or type")
        except CosegError as error:
            show_warning(f"The new pixels of {self.layer.name} are not kept: {error}.")


class CaseRegions(QObject):
    """The regions of a case: painted on as a layer, without a table of objects.

    Parameters
    ----------
    image : Image layer
    path, identity
        As of `CaseObjects`.
    layer : Labels layer, optional
        That a model made; by default the layer is made of what the journal holds.
    """

    saving = Signal(bool)
    trouble = Signal(object)

    def __init__(
        self,
        image: Any,
        path: Path,
        identity: ImageIdentity,
        mpp: float | None,
        layer: Any = None,
    ) -> None:
        super().__init__()
        # Without colour.
        shape = image.data.shape[: image.ndim]
        if layer is None:
            self._pixels = np.zeros(shape, np.uint8)
        else:
            if tuple(layer.data.shape) != shape:
                raise CosegError(f"{layer.name} does not lie on all of the image.")
            self._pixels = layer.data
        self.case = Case.open(
            path,
            identity,
            self._pixels,
            on_saved=self.saving.emit,
            on_trouble=self.trouble.emit,
        )
        if layer is None:
            layer = regions_on(image, self._pixels, self._recalled(), mpp)
        else:
            named = [[one.name, one.colour] for one in class_table(layer)]
            self.case.note("classes", json.dumps(named))
        self.layer = layer
        self._sheet = Sheet(layer)
        self._strokes = StrokeListener(self._sheet, self._on_stroke)
        layer.events.data.connect(self._on_data)

    def wait(self, seconds: float) -> bool:
        """Wait until all is on the disk; whether it is."""
        return self.case.wait(seconds)

    def let_go(self) -> None:
        """Write what waits, and close the journal."""
        self._strokes.let_go()
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            self.layer.events.data.disconnect(self._on_data)
        self.case.close()

    def _recalled(self) -> ClassTable:
        try:
            known = json.loads(self.case.notes.get("classes", "[]"))
            return ClassTable.from_names([n for n, _ in known], {n: tuple(c) for n, c in known})
        except (ValueError, TypeError) as error:
            raise CosegError("The names of the regions' classes are damaged.") from error

    def _on_stroke(self, window: Window | None) -> None:
        try:
            self.case.catch_up(window)
        except CosegError as error:
            self.trouble.emit(str(error))

    def _on_data(self, event: object = None) -> None:
        data = self.layer.data
        if data is self._pixels:
            return
        if data.shape != self._pixels.shape or data.max(initial=0) > 255:
            show_warning(f"The new pixels of {self.layer.name} are not kept with the case.")
            return
        self._pixels[...] = data
        self._on_stroke(None)


class CaseLabels(QObject):
    """All that is drawn on the open case's image.

    Attributes
    ----------
    saving : Signal
        False while something waits to be written, True when all is on the disk.
    trouble : Signal
        A sentence why nothing can be written, or None once it can again.
    said : Signal
        A sentence for the person.
    """

    saving = Signal(bool)
    trouble = Signal(object)
    said = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: Any,
        identity: ImageIdentity,
        journals: dict[str, Path],
        mpp: float | None,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self._identity = identity
        self._journals = journals
        self._mpp = mpp
        self.objects: CaseObjects | None = None
        self.regions: CaseRegions | None = None

    def open(self) -> None:
        """Show what is in the journals, and hear of what is drawn.

        Raises
        ------
        CosegError
            If a journal cannot be used.
        """
        if self._journals["regions"].exists():
            self._keep_regions(None)
        layer = objects_layer(self._image, Stack.of(self._image))
        self._keep_objects(layer)
        self._viewer.layers.append(layer)
        if self.regions is not None:
            place = self._viewer.layers.index(layer)
            self._viewer.layers.insert(place, self.regions.layer)
        events = self._viewer.layers.events
        events.inserted.connect(self._on_inserted)
        events.removed.connect(self._on_removed)
        self._viewer.layers.selection.active = layer

    @property
    def layers(self) -> list[Any]:
        """The layers that belong to the case: its own, and results on its image."""
        own = [part.layer for part in (self.objects, self.regions) if part is not None]
        others = [
            layer
            for layer in self._viewer.layers
            if own_facts(layer) is not None
            and role_of(layer) != PREVIEW_ROLE
            and image_of(layer) == self._image.name
            and layer not in own
        ]
        return [layer for layer in (*own, *others) if layer in self._viewer.layers]

    def wait(self, seconds: float) -> bool:
        """Wait until all is on the disk; whether it is."""
        return all(part.wait(seconds) for part in (self.objects, self.regions) if part is not None)

    def let_go(self) -> None:
        """Write what waits, close the journals, and hear no more."""
        events = self._viewer.layers.events
        for event, hears in (
            (events.inserted, self._on_inserted),
            (events.removed, self._on_removed),
        ):
            with contextlib.suppress(TypeError, ValueError, RuntimeError):
                event.disconnect(hears)
        for part in (self.objects, self.regions):
            if part is not None:
                part.let_go()
        self.objects = self.regions = None

    def _keep_objects(self, layer: Any) -> None:
        self.objects = CaseObjects(self._image, layer, self._journals["objects"], self._identity)
        self._hear(self.objects)

    def _keep_regions(self, layer: Any) -> None:
        self.regions = CaseRegions(
            self._image, self._journals["regions"], self._identity, self._mpp, layer
        )
        self._hear(self.regions)

    def _hear(self, part: CaseObjects | CaseRegions) -> None:
        part.saving.connect(self.saving)
        part.trouble.connect(self.trouble)

    def _on_inserted(self, event: Any) -> None:
        """Take a run's result in as the case's labels, where it has none yet."""
        layer = event.value
        role = role_of(layer)
        mine = isinstance(layer, Labels) and image_of(layer) == self._image.name
        if not mine or role in (PREVIEW_ROLE, PICTURE) or held_as(layer, None) is not None:
            return
        try:
            if role == "regions" and self.regions is None:
                self._keep_regions(layer)
                self.said.emit(f"{layer.name} is kept with the case.")
            elif role == "instances" and self.objects is not None and self.objects.empty:
                self._exchange(layer)
                self.said.emit(f"{layer.name} is kept with the case.")
            elif role:
                self.said.emit(
                    f"{layer.name} is not kept: the case has {role} already. Delete those first "
                    "and run again, or take the run over in the Prompt dock."
                )
        except CosegError as error:
            self.said.emit(str(error))

    def _exchange(self, layer: Any) -> None:
        """Keep another layer in the place of the empty one."""
        if tuple(layer.data.shape) != tuple(self._image.data.shape[: self._image.ndim]):
            raise CosegError(f"{layer.name} does not lie on all of the image, so it is not kept.")
        Sheet(layer)
        assert self.objects is not None
        before, self.objects = self.objects, None
        untouched = before.untouched
        before.let_go()
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for suffix in ("", "-wal", "-shm"):
            path = Path(f"{before.path}{suffix}")
            with contextlib.suppress(OSError):
                # What was drawn and taken back may be wanted again.
                path.unlink() if untouched else path.rename(f"{before.path}.{stamp}{suffix}")
        self._keep_objects(layer)
        self._viewer.layers.remove(before.layer)

    def _on_removed(self, event: Any) -> None:
        for name in ("objects", "regions"):
            part = getattr(self, name)
            if part is not None and event.value == part.layer:
                setattr(self, name, None)
                part.let_go()
                self.said.emit(
                    f"{part.layer.name} was taken away; what is on it is kept, and comes back "
                    "when the case is opened again."
                )

"""The labels of the open case: its own layers, results that come, and what goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.change import Run
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.annotation.stored_labels import StoredLabels
from napari_coseg.annotation.suggestions import Suggestion
from napari_coseg.layers.cases import case_of
from napari_coseg.layers.crowds import is_crowd
from napari_coseg.layers.drawing import objects_layer
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.preview import PREVIEW_ROLE
from napari_coseg.layers.queue_layers import regions_on
from napari_coseg.layers.results import own_facts, role_of
from napari_coseg.layers.runs import image_of
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.widgets.case_journals import JOURNALS, CaseJournals
from napari_coseg.widgets.kept_layer import KeptLayer
from napari_coseg.widgets.kept_reader import KeptReader
from napari_coseg.widgets.prompt_target import Target
from napari_coseg.widgets.stored_layers import labels_on

if TYPE_CHECKING:
    import napari.viewer

#: Seconds that what was taken over has to come to the disk.
_PATIENCE = 10.0


class CaseLabels(QObject):
    """All that is drawn on the open case's image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image layer
        In the viewer; marked as the case's.
    identity : ImageIdentity
        Of the image.
    journals : dict of str to Path
        Of the "objects" and of the "regions".
    mpp : float or None
        µm per pixel.
    readers : Executor
        Of one thread, in which large labels are read, one case after the other.

    Attributes
    ----------
    opened : Signal
        All labels are there: None, or the exception that reading them ended with.
    saving : Signal
        False while something waits to be written, True when all is on the disk.
    trouble : Signal
        A sentence why nothing can be written, or None once it can again.
    said : Signal
        A sentence for the person.
    """

    opened = Signal(object)
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
        readers: Executor,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self._mpp = mpp
        self._reader = KeptReader(readers)
        # The case's own ones, until all of them are there.
        self._waiting: dict[str, KeptLayer] = {}
        self._over = False
        self._journals = CaseJournals(image, identity, journals, self._renew)
        self._journals.saving.connect(self.saving)
        self._journals.trouble.connect(self.trouble)

    def open(self) -> None:
        """Show what is in the journals, and hear of what is drawn; `opened` tells of it.

        Raises
        ------
        CosegError
            If there can be no layers for them.
        """
        stack = Stack.of(self._image)
        layers = {"instances": objects_layer(self._image, stack)}
        if self._journals.path("regions").exists():
            shape = self._image.data.shape[: self._image.ndim]
            empty = np.zeros(shape, np.uint8)
            layers["regions"] = regions_on(self._image, empty, ClassTable(), self._mpp)
        make = self._journals.make
        waiting = {role: make(role, layer, False) for role, layer in layers.items()}
        self._waiting = waiting

        def came(error: BaseException | None) -> None:
            if error is not None:
                self.opened.emit(error)
            elif all(kept.is_read for kept in waiting.values()):
                self._show()

        for kept in waiting.values():
            if not self._over:
                self._reader.start(kept, came)

    @property
    def kept(self) -> dict[str, KeptLayer]:
        """The layers that are under their journals, by role: "instances" and "regions"."""
        return self._journals.kept

    @property
    def layers(self) -> list[Any]:
        """The layers that belong to the case: its own, and results on its image."""
        own = [kept.layer for kept in self.kept.values()]
        others = [la for la in self._viewer.layers if self._is_mine(la) and la not in own]
        return [layer for layer in (*own, *others) if layer in self._viewer.layers]

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever drawn here, nor put in, nor taken back, nor is being drawn."""
        return not self._reader.coming and self._journals.untouched

    def look_again(self) -> None:
        """Make edits of what was written into the layers without a word."""
        self._journals.look_again()

    def wait(self, seconds: float) -> bool:
        """Wait until all is on the disk; whether it is."""
        parts = [*self.kept.values(), *self._reader.coming]
        return all(kept.wait(seconds) for kept in parts)

    def let_go(self) -> bool:
        """Write what waits, close the journals, and hear no more; whether all is on the disk."""
        self._over = True
        events = self._viewer.layers.events
        for event, hears in (
            (events.inserted, self._on_inserted),
            (events.removed, self._on_removed),
        ):
            with contextlib.suppress(TypeError, ValueError, RuntimeError):
                event.disconnect(hears)
        self._journals.lend_no_more()
        self._reader.let_go()
        saved = [self._journals.leave(role) for role in list(self.kept)]
        saved += [kept.let_go() for kept in self._waiting.values() if kept.is_read]
        return all(saved)

    def _show(self) -> None:
        """Put the case's own layers into the viewer."""
        waiting, self._waiting = self._waiting, {}
        for role in sorted(waiting, reverse=True):
            self._viewer.layers.append(waiting[role].layer)
            self._journals.keep(role, waiting[role])
        events = self._viewer.layers.events
        events.inserted.connect(self._on_inserted)
        events.removed.connect(self._on_removed)
        self._viewer.layers.selection.active = waiting["instances"].layer
        self.opened.emit(None)
        # Results that came while another case was open.
        for layer in list(self._viewer.layers):
            if role_of(layer) and case_of(layer) == case_of(self._image) and not layer.visible:
                # Of a crowd a picture is seen in its place.
                layer.visible = role_of(layer) != "instances" or not is_crowd(layer.data)
                self._consider(layer)

    def take_over(
        self, stored: Mapping[str, StoredLabels], who: str, done: Callable[[], None]
    ) -> None:
        """Put labels in the place of the case's, as one step of each kind that can be undone.

        Parameters
        ----------
        stored : mapping of str to StoredLabels
            By ``"objects"`` and ``"regions"``.
        who : str
            Who drew them.
        done : callable
            Called once all of them are under the journals and on the disk.
        """
        left = set(stored)

        def came(role: str) -> None:
            left.discard(role)
            if not left and self.wait(_PATIENCE):
                done()

        for role, journal in JOURNALS.items():
            one = stored.get(journal)
            if one is None:
                continue
            run = Run(f"Copy of {who}'s {journal}")
            words = f"{run.name} is the case's now. Ctrl+Z brings back the others."
            self._put(role, one, run, words, partial(came, journal))

    def suggest(self, suggestions: Sequence[Suggestion]) -> None:
        """Put in what a model found, as one step of each kind that can be undone.

        Parameters
        ----------
        suggestions : sequence of Suggestion
            For a case that is `untouched`.
        """
        # Regions first: objects lie on top of them.
        ordered = sorted(suggestions, key=lambda one: one.objects is not None)
        words = f"{ordered[-1].name if ordered else ''}. Ctrl+Z takes it away."
        for one in ordered:
            labels = one.labels.astype(np.int32, copy=False)
            stored = StoredLabels(labels, one.records(), one.classes)
            role = "regions" if one.objects is None else "instances"
            self._put(role, stored, one.run, words)

    def _put(
        self,
        role: str,
        stored: StoredLabels,
        run: Run,
        words: str,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Put labels that nobody has as a layer yet in the place of the case's."""
        try:
            layer = labels_on(self._image, stored, role == "regions", self._mpp)
            self._exchange(role, layer, (stored.objects, run), done, words)
        except CosegError as error:
            self.said.emit(str(error))

    def _renew(self) -> Target:
        """Put a new layer for objects in the place of the one that was taken away."""
        if self._over or self._reader.coming or "instances" in self.kept:
            raise CosegError("The labels of the case are still being read: try again.")
        layer = objects_layer(self._image, Stack.of(self._image))
        kept = self._journals.make("instances", layer, True)
        kept.read()
        kept.begin()
        self._viewer.layers.append(layer)
        self._journals.keep("instances", kept)
        assert isinstance(kept, Target)
        return kept

    # Results come, layers go.

    def _is_mine(self, layer: Any) -> bool:
        """Whether one of our layers is of this case; one from a file is by its image's name."""
        if own_facts(layer) is None or role_of(layer) == PREVIEW_ROLE or layer == self._image:
            return False
        case = case_of(layer)
        if case or _is_run(layer):
            return case == case_of(self._image)
        return bool(image_of(layer) == self._image.name)

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        case = case_of(layer)
        if case and case != case_of(self._image) and role_of(layer) != PREVIEW_ROLE:
            layer.visible = False
            self.said.emit(
                f"{layer.name} belongs to another case: it is kept with that one once you open it."
            )
        elif not case and _is_run(layer):
            self.said.emit(f"{layer.name} is not kept: it was made of another image.")
        else:
            self._consider(layer)

    def _consider(self, layer: Any) -> None:
        """Take a run's result in as the case's labels, unless those were drawn by hand."""
        role = role_of(layer)
        if role not in JOURNALS or not isinstance(layer, Labels) or not self._is_mine(layer):
            return
        if any(kept.layer == layer for kept in (*self.kept.values(), *self._reader.coming)):
            return
        before, path = self.kept.get(role), self._journals.path(role)
        try:
            if before is not None:
                # A stroke of this moment counts.
                before.catch_up()
            if self._reader.is_reading(path):
                raise CosegError(
                    f"{layer.name} is not kept: another result is still being read. Run again."
                )
            if before is not None and before.case.objects and not before.case.stands_on_run:
                raise CosegError(
                    f"{layer.name} is not kept: the case has {JOURNALS[role]} that you edited. "
                    "Take those away first, or take the run over in the Prompt dock."
                )
            self._exchange(role, layer)
        except CosegError as error:
            self.said.emit(str(error))

    def _exchange(
        self,
        role: str,
        layer: Any,
        told: tuple[Mapping[int, ObjectRecord], Run] | None = None,
        done: Callable[[], None] = lambda: None,
        words: str = "",
    ) -> None:
        """Keep another layer under the journal, which remembers what was there before."""
        kept = self._journals.make(role, layer, True)
        if told is not None:
            kept.tell(*told)
        before = self.kept.get(role)
        drawn = before is not None and bool(before.case.objects)
        if before is not None and not self._journals.leave(role):
            show_warning(f"Not all of {before.layer.name} is on the disk.")

        def came(error: BaseException | None) -> None:
            if error is not None:
                self.said.emit(f"{layer.name} is not kept: {error}")
                return
            self._journals.keep(role, kept)
            if told is None and layer not in self._viewer.layers:
                # It was taken away while it was read.
                self._journals.leave(role)
                return
            active = self._viewer.layers.selection.active
            gone = before is not None and (told is not None or not drawn)
            if before is not None and gone and before.layer in self._viewer.layers:
                self._viewer.layers.remove(before.layer)
            if told is not None:
                self._viewer.layers.append(layer)
                # Whoever is drawing draws on.
                if active in self._viewer.layers:
                    self._viewer.layers.selection.active = active
            self.said.emit(words or f"{layer.name} is kept with the case.")
            done()

        self._reader.start(kept, came)

    def _on_removed(self, event: Any) -> None:
        for role, kept in list(self.kept.items()):
            if event.value == kept.layer:
                self._journals.leave(role)
                self.said.emit(
                    f"{kept.layer.name} was taken away; what is on it is kept, and comes back "
                    "when the case is opened again, unless a new layer takes its place."
                )
                # The run before may come to be seen now, as by Undo run.
                QTimer.singleShot(0, lambda role=role: self._take_seen(role))

    def _take_seen(self, role: str) -> None:
        if self._over or role in self.kept:
            return
        for layer in reversed(self._viewer.layers):
            if role_of(layer) == role and self._is_mine(layer) and layer.visible:
                self._consider(layer)
                return


def _is_run(layer: Any) -> bool:
    """Whether a model made a layer in this session."""
    source = getattr(getattr(layer, "source", None), "path", None)
    return own_facts(layer) is not None and "model" in layer.metadata and source is None

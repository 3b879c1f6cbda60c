"""What the parts of the Prompt dock share: the image, the layer objects go into, and words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, Signal

from napari_coseg.annotation.change import Change
from napari_coseg.layers.sheet import Alignment
from napari_coseg.types import CosegError
from napari_coseg.widgets.held_layers import HeldCase, held_on, listen, listen_no_more
from napari_coseg.widgets.kept_layer import INSTANT
from napari_coseg.widgets.prompt_form import PromptForm
from napari_coseg.widgets.prompt_into import fill_into
from napari_coseg.widgets.prompt_opening import Opening, Waiting
from napari_coseg.widgets.prompt_place import PromptPlace
from napari_coseg.widgets.prompt_target import Target

if TYPE_CHECKING:
    import napari.viewer


class Desk(QObject):
    """Keeps the layer that objects go into, and the field where it is chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    form : PromptForm
    at_work : callable
        Whether an object is being drawn that is not in the layer yet.

    Attributes
    ----------
    target : Target or None
        None until there is something to keep, and while it is being read.
    opening : Opening or None
        While it is being read.
    turn : int
        Another one for each layer that was turned to.
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

    def __init__(
        self, viewer: napari.viewer.Viewer, form: PromptForm, at_work: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._at_work = at_work
        self.form = form
        self.place = PromptPlace(viewer)
        self.target: Target | None = None
        self.opening: Opening | None = None
        self.turn = 0
        self._offset: tuple[float, ...] = ()
        self._borrowed: HeldCase | None = None
        self._reading = threading.Lock()
        self._new_wanted = False
        self.place.found.connect(self._on_found)
        form.target_chosen.connect(self._on_chosen)
        events = viewer.layers.events
        events.inserted.connect(self.fill)
        events.renamed.connect(self.fill)
        events.removed.connect(self._on_removed)
        listen(self._on_held)

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

    @property
    def waiting(self) -> int:
        """How many objects wait for a layer that is being read."""
        return 0 if self.opening is None else self.opening.waiting

    def with_target(
        self,
        act: Callable[[Target], bool],
        missed: Callable[[], None] = lambda: None,
        count: int = 1,
    ) -> bool:
        """Do something to the layer that objects go into; a new one is made where there is none.

        Parameters
        ----------
        act : callable
            Returns whether it was done.
        missed : callable
            Called where it waited for the layer, and was not done then.
        count : int
            Objects that are kept by it.

        Returns
        -------
        bool
            Whether it was done, or will be as soon as the layer is read.
        """
        if self.target is None and self.opening is None:
            self._open(None)
        if self.target is not None:
            return act(self.target)
        if self.opening is None:
            return False
        self.opening.wait(Waiting(act, missed, count))
        self.said.emit(self._reading_words())
        return True

    def alignment(self) -> Alignment | None:
        """Return where the image's plane lies on the layer, None where it does not."""
        if self.target is None or self.place.stack is None:
            return None
        try:
            return self.place.alignment(self.target)
        except CosegError as error:
            self.said.emit(str(error))
            return None

    def check_place(self) -> None:
        """Say so where the layer does not lie on the image as it did."""
        if self.target is None or self.alignment() is None:
            return
        before, self._offset = self._offset, self.place.offset(self.target.layer)
        if self._offset != before:
            name = self.target.layer.name
            self.said.emit(
                f"{self.place.image.name} was moved, and {name} was not: move it too, or take a "
                "new layer."
            )

    def do(self, edit: Callable[[], Change | None]) -> Change | None:
        """Do an edit; what cannot be done is said."""
        try:
            return edit()
        except CosegError as error:
            self.said.emit(str(error))
            return None

    def drop(self) -> None:
        """Let go of the layer; all of it is in the journal, or will be once it is read."""
        opening, self.opening = self.opening, None
        if opening is not None:
            self.turn += 1
            self._hear_data(opening.target, False)
            opening.leave()
        if self.target is None:
            return
        self.turn += 1
        target, self.target = self.target, None
        borrowed, self._borrowed = self._borrowed, None
        self._hear_data(target, False)
        try:
            self.dropped.emit(target.layer)
        finally:
            if borrowed is not None:
                self._hear_edits(target, False)
                borrowed.returned(self._at_work)
            elif not target.let_go():
                show_warning(
                    f"Not all of {target.layer.name} is on the disk: save the layer to a file."
                )

    def fill(self, event: object = None) -> None:
        """List the layers that objects could go into, and earlier work on the image."""
        fill_into(self.form.into, self.place, self.target, self.opening)

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
        listen_no_more(self._on_held)
        self.place.let_go()
        self.drop()

    def _on_found(self) -> None:
        """Once the image is known, earlier work on it comes back by itself."""
        self.fill()
        earlier = self.place.earlier()
        free = self.target is None and self.opening is None
        held = held_on(self.place.image)
        if held is not None:
            if free and held.target is not None:
                # The queue's case: objects go into its layer.
                self._borrow(held)
        elif earlier and free and not self._new_wanted:
            self._open(earlier[0], back=True)

    def _on_chosen(self) -> None:
        kind, what = self.form.into.currentData()
        used = self.target if self.opening is None else self.opening.target
        if used is not None and (what == used.layer if kind == "layer" else what == used.path):
            return
        self.drop()
        # A new layer comes with its first object.
        self._new_wanted = kind == "new"
        if kind == "layer":
            self._open(None, what)
        elif kind == "journal":
            self._open(what)
        self.fill()

    def _open(self, path: Path | None, layer: Any = None, *, back: bool = False) -> None:
        """Open a layer: at once, or in a thread where it is large."""
        held = held_on(self.place.image)
        if held is not None:
            # A case has one journal for objects.
            self._borrow(held)
            return
        try:
            target = self.place.prepare(path, layer)
            if target.size <= INSTANT:
                target.read()
        except CosegError as error:
            self._on_refused(str(error))
            return
        if target.size <= INSTANT:
            self._begin(target, back)
            return
        self.opening = Opening(
            target,
            self._reading,
            lambda opening: self._on_read(opening, back),
            self._on_failed,
            self._on_kept,
        )
        self._hear_data(target, True)
        self.fill()
        self.said.emit(self._reading_words())

    def _begin(self, target: Target, back: bool) -> bool:
        """Use a layer that was read; return whether that is possible."""
        try:
            target.begin()
        except CosegError as error:
            self._on_refused(str(error))
            return False
        self.place.show(target)
        self._hear_data(target, True)
        self._use(target)
        if back:
            count = len(target.case.objects)
            self.said.emit(f"Your earlier work on this image is back: {count:,} objects.")
        return True

    def _borrow(self, held: HeldCase) -> None:
        """Use the layer of a queue's case, which the queue opens and closes."""
        if self.target is not None:
            return
        try:
            target = held.target or held.renew()
        except CosegError as error:
            self.said.emit(str(error))
            return
        if self.target is None:
            self._borrowed = held
            held.lend(self._at_work)
            self._use(target)

    def _on_held(self, held: HeldCase) -> None:
        """Follow the layer of a case, which has come, gone, or is another one."""
        if held is self._borrowed and (self.target is None or held.target != self.target):
            self.drop()
            self.said.emit("")
            self.fill()
        if held.target is not None and self.target is None and held_on(self.place.image) is held:
            self.drop()
            self._borrow(held)

    def _use(self, target: Target) -> None:
        """Let objects go into a layer that is open."""
        self.target = target
        self._offset = self.place.offset(target.layer)
        self._hear_edits(target, True)
        self.form.show_classes(target.classes)
        target.colour_by(self.form.by_object.isChecked())
        self.fill()
        self._on_saved(target.case.saved)
        self.opened.emit()

    def _hear_edits(self, target: Target, on: bool) -> None:
        for signal, hears in (
            (target.changed, self._on_changed),
            (target.saving, self._on_saved),
            (target.trouble, self._on_trouble),
        ):
            if on:
                signal.connect(hears)
            else:
                signal.disconnect(hears)

    def _on_read(self, opening: Opening, back: bool) -> None:
        self.opening = None
        self._hear_data(opening.target, False)
        waited = opening.waiting
        if self._begin(opening.target, back):
            opening.carry_out()
            if not waited and not back:
                self.said.emit(f"{opening.target.layer.name} is read.")
        elif waited:
            self._tell_lost(opening.give_up())

    def _on_failed(self, opening: Opening) -> None:
        # Why it cannot be read has been said.
        lost = opening.give_up()
        if opening is self.opening:
            self.opening = None
            self._hear_data(opening.target, False)
            self.said.emit("")
            self.fill()
        self._tell_lost(lost)

    def _on_kept(self, opening: Opening, done: int) -> None:
        name = opening.target.layer.name
        show_info(f"{name} is read, and the {_counted(done)} that waited for it are in it.")

    def _on_refused(self, sentence: str) -> None:
        show_warning(sentence)
        self.fill()

    def _reading_words(self) -> str:
        assert self.opening is not None
        words = f"Reading {self.opening.target.layer.name} …"
        count = self.opening.waiting
        return f"{words} {_counted(count)} will be kept in it." if count else words

    def _tell_lost(self, count: int) -> None:
        if count:
            show_warning(f"{_counted(count).capitalize()} that waited for the layer: not kept.")

    def _hear_data(self, target: Target, on: bool) -> None:
        event = target.layer.events.data
        if on:
            event.connect(self._on_data)
        else:
            with suppress(TypeError, ValueError, RuntimeError):
                event.disconnect(self._on_data)

    def _on_removed(self, event: Any) -> None:
        if self.opening is not None and event.value == self.opening.target.layer:
            self._tell_lost(self.opening.give_up())
            self.drop()
            self.said.emit("The layer is gone before it was read.")
        elif self.target is not None and event.value == self.target.layer:
            self.drop()
            self.said.emit("The layer is gone; its objects are in the journal, under Into.")
        self.fill()

    def _on_data(self, event: object = None) -> None:
        """Take in that a layer's pixels were exchanged, or let go of it where they do not fit."""
        if self.opening is not None:
            # Read again from its beginning: nothing has been edited yet.
            opening, self.opening = self.opening, None
            self._hear_data(opening.target, False)
            waiting = opening.hand_over()
            opening.leave()
            self._open(None, opening.target.layer)
            if self.opening is None and self.target is None:
                # Refused. They were meant for this layer: a new one is not made for them.
                for edit in waiting:
                    edit.missed()
                self._tell_lost(sum(edit.count for edit in waiting))
                return
            for edit in waiting:
                self.with_target(edit.act, edit.missed, edit.count)
        elif self.target is not None and not self.target.sheet.writing:
            name, words = self.target.layer.name, ""
            try:
                if self.target.take_pixels():
                    return
            except CosegError as error:
                words = f" ({error})"
            self.drop()
            self.said.emit(f"{name} has other pixels now{words}: choose it again to go on.")
            self.fill()

    def _on_changed(self, change: Change) -> None:
        self.changed.emit(change)

    def _on_saved(self, saved: bool) -> None:
        if self.target is None:
            return
        where = ""
        if self._borrowed is not None:
            where = ", with the queue's case"
        else:
            with suppress(CosegError):
                where = f", {self.place.journal().reason}"
        count = len(self.target.case.objects)
        state = "Saved" if saved else "Saving …"
        self.form.saved.setText(f"{_counted(count)} · {state}{where}")
        self.form.saved.setToolTip(str(self.target.path))

    def _on_trouble(self, sentence: str | None) -> None:
        if sentence:
            show_warning(sentence)


def _counted(count: int) -> str:
    return "1 object" if count == 1 else f"{count:,} objects"

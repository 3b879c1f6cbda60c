"""The Prompt dock: draw, look, commit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Shapes
from napari.utils.notifications import show_info, show_warning
from qtpy.QtWidgets import QFileDialog, QVBoxLayout

from napari_coseg.layers.areas import boxes_of_shapes
from napari_coseg.layers.drawing import PLAIN
from napari_coseg.types import CosegError
from napari_coseg.weights.listing import prompt_models
from napari_coseg.widgets.host_models import offer_prompt_models
from napari_coseg.widgets.parts import Dock, focus_canvas, wait_for
from napari_coseg.widgets.preferences import (
    PROMPT_KEYS,
    prompt_keys,
    read_preferences,
    use_model_folder,
)
from napari_coseg.widgets.prompt_asker import PromptAsker
from napari_coseg.widgets.prompt_canvas import TOOLS, PromptCanvas
from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_drawing import Drawing
from napari_coseg.widgets.prompt_editing import Editing
from napari_coseg.widgets.prompt_face import PromptFace
from napari_coseg.widgets.prompt_form import PromptForm
from napari_coseg.widgets.prompt_layers import Box
from napari_coseg.widgets.prompt_look import LookListener
from napari_coseg.widgets.prompt_propagate import Propagating
from napari_coseg.widgets.prompt_runs import Runs
from napari_coseg.widgets.prompt_target import Target
from napari_coseg.widgets.session import Session, shared_session
from napari_coseg.widgets.shortcuts import Shortcuts, collisions

if TYPE_CHECKING:
    import napari.viewer

#: Seconds that closing the dock waits for masks that are on their way.
_PATIENCE = 2.0


class PromptDock(Dock):
    """Segments objects that a person boxes or clicks, and keeps every one of them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Handed in by napari.
    session : Session, optional
        The program's own by default.
    """

    def __init__(self, viewer: napari.viewer.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session or shared_session()
        preferences = read_preferences()
        use_model_folder(preferences)
        self._keys = prompt_keys()
        self._positive = True
        self._hidden = False
        self._veiled: Any = None
        self.setMinimumWidth(320)
        self.form = PromptForm(viewer, self._keys)
        QVBoxLayout(self).addWidget(self.form)
        self.desk = Desk(viewer, self.form, self._is_at_work)
        self.canvas = PromptCanvas(viewer)
        self.asker = PromptAsker(self._session)
        self.asker.device = preferences.device
        self.drawing = Drawing(self.desk, self.canvas, self.asker)
        self.editing = Editing(viewer, self.desk, self.drawing)
        self.face = PromptFace(self.form, self.desk, self.drawing, self.editing, self._keys)
        self.runs = Runs(viewer, self.desk)
        self.walks = Propagating(
            self._session,
            self.form.walk,
            self.desk,
            self.drawing,
            self.editing,
            self.canvas,
            self.asker,
        )
        self.look = LookListener()
        self.look.changed.connect(self._on_look)
        self._actions = self._list_actions()
        self._connect()
        offer_prompt_models(self._session, self, self.form, prompt_models())
        self.form.show_classes(PLAIN)
        keys = {name: key for name, key in self._keys.items() if name in self._actions}
        self._shortcuts = Shortcuts(viewer, keys, self._actions)
        chosen = {name: key for name, key in self._keys.items() if key != PROMPT_KEYS[name]}
        for words in collisions(self._keys, chosen):
            show_warning(f"Keys of the Prompt dock: {words}")
        self._on_model()
        self._on_image()

    @property
    def status(self) -> str:
        """The sentence below the tools."""
        return str(self.form.status.text())

    def take(self, tool: str | None) -> None:
        """Take a tool in hand; None puts it down."""
        place = self.desk.place
        if tool is not None and place.image is None:
            self._say(place.trouble or "Open an image first.")
            tool = None
        if tool not in ("select", None):
            self.editing.select([])
        self.canvas.take(tool)
        for layer in self.canvas.layers:
            self._shortcuts.bind(layer)
        self._show_tool()
        focus_canvas(self)

    def next_tool(self) -> None:
        """Take the next way to draw."""
        drawing = TOOLS[:-1]
        now = self.canvas.tool
        place = drawing.index(now) + 1 if now in drawing and self.canvas.active else 0
        self.take(drawing[place % len(drawing)])

    def set_sign(self, positive: bool) -> None:
        """Say whether points and scribbles are on the object."""
        self._positive = positive
        self._show_tool()

    def discard(self) -> None:
        """Drop the object at work, else what is being followed."""
        if self.drawing.idle and self.walks.running:
            self.walks.cancel()
        else:
            self.drawing.discard()

    def undo(self) -> None:
        """Take back the last stroke of the object at work, else the last edit."""
        if self.drawing.work.steps:
            self.drawing.back()
        elif not self.drawing.idle:
            self.drawing.discard()
        elif self.desk.target is not None:
            what = self.desk.target.case.undo_name
            if what is None:
                self._say("There is nothing to undo.")
            elif self.desk.do(self.desk.target.undo) is not None:
                self._say(f"Undone: {what}.")

    def redo(self) -> None:
        """Do again what was taken back last."""
        if self.desk.target is not None and self.drawing.idle:
            what = self.desk.target.case.redo_name
            if what is None:
                self._say("There is nothing to do again.")
            elif self.desk.do(self.desk.target.redo) is not None:
                self._say(f"Done again: {what}.")

    def hide(self) -> None:
        """Hide or show objects and prompts, to see the image."""
        self._hidden = not self._hidden
        self.canvas.hide(self._hidden)
        target = self.desk.target
        if self._veiled is not None:
            self._veiled.visible, self._veiled = True, None
        elif self._hidden and target is not None and target.layer.visible:
            # What was hidden already, as a crowd's layer for which a picture stands, stays so.
            self._veiled = target.layer
            self._veiled.visible = False

    def let_go(self) -> None:
        """Keep what was committed, close the journal, take our layers away."""
        if self._waiting:
            self._say(f"{self._waiting:,} objects are still on their way …")
            wait_for(lambda: not self._waiting, _PATIENCE)
        self._tell_lost("The dock was closed")
        self.walks.let_go()
        if self.desk.waiting:
            show_info(
                f"{self.desk.waiting:,} objects are kept as soon as their layer is read: leave "
                "napari open until then."
            )
        # Signals that still come find no fields any more.
        for part in (self.desk, self.drawing, self.editing, self.canvas):
            part.blockSignals(True)
        self._viewer.dims.events.current_step.disconnect(self._on_plane)
        self._viewer.dims.events.order.disconnect(self._on_plane)
        self.asker.cancel()
        self._shortcuts.let_go()
        self.form.image.let_go()
        self.runs.let_go()
        self.look.let_go()
        self.desk.let_go()
        self.canvas.let_go()

    def _list_actions(self) -> dict[str, Callable[[], Any]]:
        """Return what buttons and keys do, by their names."""
        drawing, editing = self.drawing, self.editing
        return {
            "tool": self.next_tool,
            "sign": lambda: self.set_sign(not self._positive),
            "commit": drawing.commit,
            "discard": self.discard,
            "new": drawing.discard,
            "propagate": self.walks.toggle,
            "hide": self.hide,
            "undo": self.undo,
            "redo": self.redo,
            "previous": lambda: editing.step(False),
            "next": lambda: editing.step(True),
            "reopen": lambda: self._reopen(editing.selected[-1]),
            "split": self._begin_split,
            "merge": editing.merge,
            "delete": editing.delete,
            "class": lambda: editing.set_class(self.form.class_id),
            "relabel": lambda: editing.relabel(self),
            "all_boxes": self._all_boxes,
            "take_run": self.runs.take,
            "folder": self._choose_folder,
        }

    def _connect(self) -> None:
        form, canvas, desk = self.form, self.canvas, self.desk
        form.image.chosen.connect(self._on_image)
        form.model.currentIndexChanged.connect(self._on_model)
        form.class_chosen.connect(lambda: self.editing.set_class(form.class_id))
        form.class_added.connect(self._on_class_added)
        form.tool_chosen.connect(lambda tool: self.take(tool or None))
        form.sign_chosen.connect(self.set_sign)
        form.object_chosen.connect(self.editing.go_to)
        form.tooth.numbered.connect(self.editing.set_fdi)
        form.action.connect(lambda name: self._actions[name]())
        form.by_object.toggled.connect(self._on_by_object)
        canvas.boxing.connect(self.drawing.boxing)
        canvas.boxed.connect(self.drawing.box)
        canvas.clicked.connect(self._on_clicked)
        canvas.drawn.connect(self._on_drawn)
        canvas.refused.connect(self._say)
        canvas.paused.connect(lambda paused: self._show_tool())
        desk.said.connect(self._say)
        desk.opened.connect(self._on_opened)
        desk.dropped.connect(self._on_dropped)
        desk.changed.connect(lambda change: self.face.show())
        self.drawing.changed.connect(self.face.show)
        self.editing.changed.connect(self.face.show)
        self._viewer.dims.events.current_step.connect(self._on_plane)
        self._viewer.dims.events.order.connect(self._on_plane)

    def _on_model(self, row: int = 0) -> None:
        self.asker.model = self.form.model.currentText()
        if self.asker.model:
            with suppress(CosegError):
                # The worker loads while the person looks for the object.
                self.asker.load()

    def _on_image(self) -> None:
        place, choice = self.desk.place, self.form.image.currentData()
        if place.stands(choice):
            parts = self.form.image.layers
            self.look.hear(parts if place.image in parts else (*parts, place.image))
            self.look.touch()
            return
        self.look.let_go()
        self.asker.drop_preview()
        self._tell_lost("Another image")
        self.walks.leave("Another image")
        self.asker.cancel()
        # Looking may have more to say at once: that earlier work is back, for example.
        self._say("")
        self.desk.look_at(choice)
        self.look.hear(self.form.image.layers)
        stack = place.stack
        self.canvas.draw_on(place.image, (-2, -1) if stack is None else stack.spatial)
        self.asker.look_at(None if stack is None else place.source())
        self.drawing.begin()
        if place.trouble:
            self._say(place.trouble)
        if self.canvas.tool is not None:
            self.take(self.canvas.tool if stack is not None else None)

    def _on_look(self) -> None:
        """Read and draw on the same image as it is shown now."""
        place, choice = self.desk.place, self.form.image.currentData()
        if not place.stands(choice):
            self._on_image()
            return
        other, moved = place.look_again(choice)
        if other:
            self.asker.look_at(place.source())
        if moved:
            self.canvas.follow()
            self._on_plane()
            self.desk.check_place()
        if other or moved:
            self.drawing.look_again(other=other)

    @property
    def _waiting(self) -> int:
        """Objects that were committed, and are not in the layer yet."""
        return self.drawing.owed + self.desk.waiting

    def _is_at_work(self) -> bool:
        """Whether an object is being drawn or followed, or waits for its mask."""
        return not self.drawing.idle or self.asker.waiting > 0 or self.walks.running

    def _tell_lost(self, why: str) -> None:
        """Say how many objects are lost; a preview is none: the person sees it go."""
        lost = self.drawing.owed
        if lost:
            words = "1 object that was" if lost == 1 else f"{lost:,} objects that were"
            show_warning(f"{why}: {words} still being computed: not kept.")

    def _on_plane(self, event: object = None) -> None:
        if not self.desk.place.follow():
            return
        before, place = not self.drawing.idle, self.desk.place
        assert place.stack is not None
        self.canvas.draw_on(place.image, place.stack.spatial)
        self.drawing.begin()
        self.asker.look_at(place.source())
        if before:
            self._say("Another plane: the object that was not committed is dropped.")
        if self.canvas.tool is not None and not self.canvas.layers:
            # The view shows other axes: what is drawn there needs layers that are new.
            self.take(self.canvas.tool)

    def _on_opened(self) -> None:
        target = self.desk.target
        assert target is not None
        self._shortcuts.bind(target.layer)
        if self.canvas.tool is not None:
            # A new layer has become the active one: the tool stays in hand.
            self.canvas.take(self.canvas.tool)
        self.face.show()

    def _on_dropped(self, layer: Any) -> None:
        self._shortcuts.release(layer)
        self.drawing.begin()
        self.form.saved.setText("")

    def _on_class_added(self, name: str) -> None:
        self.desk.with_target(lambda target: self._add_class(target, name), count=0)

    def _add_class(self, target: Target, name: str) -> bool:
        try:
            target.add_class(name)
        except CosegError as error:
            show_warning(str(error))
            return False
        if target is self.desk.target:
            self.form.show_classes(target.classes)
            self.form.choose_class(len(target.classes))
        return True

    def _on_by_object(self, on: bool) -> None:
        if self.desk.target is not None:
            self.desk.target.colour_by(on)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder for the journals")
        if folder:
            self.desk.keep_in(Path(folder))

    def _on_clicked(self, row: float, column: float, further: bool) -> None:
        tool, label = self.canvas.tool, self.editing.label_at(row, column)
        if tool == "select":
            self.editing.toggle(label, further)
        elif self.drawing.idle and label:
            self._reopen(label)
        elif self.drawing.idle and tool != "points":
            self._say("Drag to draw; click on an object to open it again.")
        else:
            self.drawing.click(row, column, self._positive != further)

    def _on_drawn(self, line: Any) -> None:
        if self.editing.splitting is not None:
            self.canvas.show([])
            self.editing.split(line)
            chosen = list(self.editing.selected)
            self.take("select")
            self.editing.select(chosen)
        elif self.canvas.tool == "lasso":
            self.drawing.lasso(line)
        else:
            self.drawing.scribble(line, self._positive)

    def _reopen(self, label: int) -> None:
        tool = self.canvas.tool
        if self.editing.reopen(label):
            self.canvas.take(tool if tool not in ("select", None) else "points")
            self._show_tool()

    def _begin_split(self) -> None:
        if self.editing.selected:
            label = self.editing.selected[-1]
            self.take("scribble")
            self.editing.splitting = label
            self._say(f"Draw a line across object {label}.")

    def _all_boxes(self) -> None:
        try:
            self.drawing.boxes(self._boxes_of_shapes())
        except CosegError as error:
            show_info(str(error))

    def _boxes_of_shapes(self) -> list[Box]:
        """Return the rectangles of the selected Shapes layer, in pixels of the image."""
        active, stack = self._viewer.layers.selection.active, self.desk.place.stack
        ours = self.canvas.layers
        shapes = [la for la in self._viewer.layers if isinstance(la, Shapes) and la not in ours]
        chosen = active if active in shapes else (shapes[-1] if shapes else None)
        if chosen is None or not len(chosen.data) or stack is None:
            raise CosegError("There is no Shapes layer with rectangles: add one and draw them.")
        return boxes_of_shapes(chosen, self.desk.place.image, stack.spatial)

    def _say(self, words: str) -> None:
        self.form.status.setText(words)
        self.form.status.setToolTip("")

    def _show_tool(self) -> None:
        tool = self.canvas.tool if self.canvas.active else None
        self.form.show_tool(tool, self._positive)

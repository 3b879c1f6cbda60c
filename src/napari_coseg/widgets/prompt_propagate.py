"""Objects followed through a volume in the Prompt dock: begun, shown, cancelled, kept."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, QTimer

from napari_coseg.annotation.change import Change, count_name
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.inference.key_planes import PlaneMask
from napari_coseg.layers.composite import same_look
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.volume_sheet import StackPictures, VolumeSheet, plane_axis
from napari_coseg.types import CosegError
from napari_coseg.widgets.prompt_asker import PromptAsker
from napari_coseg.widgets.prompt_canvas import PromptCanvas
from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_drawing import Drawing
from napari_coseg.widgets.prompt_editing import Editing
from napari_coseg.widgets.prompt_target import Target
from napari_coseg.widgets.prompt_walk import Walk
from napari_coseg.widgets.prompt_walk_plan import Followed, known_object, new_object
from napari_coseg.widgets.prompt_walk_row import WalkRow
from napari_coseg.widgets.prompt_walk_words import end_words, progress_words
from napari_coseg.widgets.prompt_work import Context
from napari_coseg.widgets.session import Session
from napari_coseg.worker.propagating import Taken

#: Milliseconds between two looks at what has come.
_BEAT = 80


class Propagating(QObject):
    """Follows the objects that are at work, or chosen.

    Parameters
    ----------
    session : Session
        Has the worker.
    row : WalkRow
        The button.
    desk, drawing, editing, canvas, asker
        The other parts of the dock.
    """

    def __init__(
        self,
        session: Session,
        row: WalkRow,
        desk: Desk,
        drawing: Drawing,
        editing: Editing,
        canvas: PromptCanvas,
        asker: PromptAsker,
    ) -> None:
        super().__init__()
        self._session = session
        self._row = row
        self._desk = desk
        self._drawing = drawing
        self._editing = editing
        self._canvas = canvas
        self._asker = asker
        self._walk: Walk | None = None
        # The volume's voxels as they are shown: what the worker computed of them it may use again.
        self._known: tuple[Stack, str] | None = None
        self._beat = QTimer(self)
        self._beat.setSingleShot(True)
        self._beat.timeout.connect(self._show_progress)
        row.pressed.connect(self.toggle)
        for signal in (drawing.changed, editing.changed, desk.changed, desk.opened):
            signal.connect(self.show)
        desk.dropped.connect(lambda layer: self.leave("The layer is no longer used"))

    @property
    def running(self) -> bool:
        """Whether objects are being followed."""
        return self._walk is not None

    def toggle(self) -> None:
        """Begin, or cancel what is under way."""
        if self.running:
            self.cancel()
        else:
            self.start()

    def start(self) -> None:
        """Follow the objects that are at work, or chosen."""
        if self.running:
            return
        try:
            walk, taken = self._prepared()
            self._walk = walk
            walk.progressed.connect(self._on_progress)
            walk.finished.connect(self._on_finished)
            walk.failed.connect(self._on_failed)
            assert isinstance(walk.context.stack, Stack)
            walk.start(taken, self._asker.device, self._content(walk.context.stack))
        except CosegError as error:
            self._walk = None
            self._say(str(error))
            return
        self._editing.select([])
        # The person may go on with another object meanwhile.
        self._drawing.begin()
        count = len(walk.objects)
        self._say(f"Following {'the object' if count == 1 else f'{count:,} objects'} …")
        self.show()

    def cancel(self) -> None:
        """End it: nothing has changed, and the object that was at work is so again."""
        walk = self._end()
        if walk is not None:
            walk.cancel()
            self._say("Cancelled: nothing was changed.")
            self._bring_back(walk)

    def leave(self, why: str) -> None:
        """End it because what it is for has gone."""
        walk = self._end()
        if walk is not None:
            walk.cancel()
            count = len(walk.objects)
            objects = "the object that was" if count == 1 else f"{count:,} objects that were"
            show_info(f"{why}: {objects} being followed through the volume: not kept.")

    def let_go(self) -> None:
        """Hear nothing more."""
        self.leave("The dock was closed")
        self._beat.stop()

    def show(self, change: Change | None = None) -> None:
        """Show what the button would do, and what has come on this plane."""
        volume = plane_axis(self._desk.place.stack) is not None
        count = len(self._subjects()) if volume and not self.running else 0
        self._row.show_state(volume=volume, running=self.running, count=count)
        self._show_masks()

    def _prepared(self) -> tuple[Walk, Taken | None]:
        """Plan what is to be done.

        Raises
        ------
        CosegError
            If it cannot be done.
        """
        desk, place, context = self._desk, self._desk.place, self._drawing.context()
        subjects = self._subjects()
        if not subjects or place.stack is None:
            raise CosegError("Draw an object on a plane first, or select one: it is followed then.")
        if not context.model:
            raise CosegError(
                "There is no model for boxes and points: see `napari-coseg models import`."
            )
        pictures = StackPictures(place.image, place.stack, place.index)
        sheet = None
        if desk.target is not None:
            sheet = VolumeSheet.of(place.image, place.stack, desk.target.sheet, pictures)
        work = self._drawing.work
        objects = [
            self._followed(number, label, pictures, sheet, context)
            for number, label in enumerate(subjects, 1)
        ]
        at_work = None if self._drawing.idle else work
        client = self._session.client
        walk = Walk(client, objects, pictures, context, at_work, self._session.notice.emit)
        if sheet is None or not context.protect:
            return walk, None
        return walk, lambda plane: sheet.taken(plane, _free(objects, plane))

    def _followed(
        self,
        number: int,
        label: int | None,
        pictures: StackPictures,
        sheet: VolumeSheet | None,
        context: Context,
    ) -> Followed:
        work, way, plane = self._drawing.work, self._row.way, pictures.plane
        if label is None:
            assert work.mask is not None
            return new_object(
                number, plane, pictures.count, way, work.mask, work.drawn, context.class_id
            )
        assert sheet is not None
        record = self._record(label)
        assert record is not None
        corrected = None
        if label == work.label and work.mask is not None:
            corrected = (work.mask, work.drawn)
        return known_object(number, plane, way, record, sheet, corrected)

    def _subjects(self) -> list[int | None]:
        """Return the objects that would be followed; None is the new one that is at work."""
        work = self._drawing.work
        ready = work.mask is not None and work.mask.area > 0 and not work.asked
        if self._drawing.idle:
            chosen: list[int | None] = list(self._editing.selected)
            return chosen or [*self._flat_here()]
        if not ready:
            return []
        if work.label is not None:
            return [work.label]
        return [None, *self._flat_here()]

    def _flat_here(self) -> list[int]:
        """Return objects that were boxed on the plane that is seen, and are on no other."""
        target = self._desk.target
        if target is None or not self._desk.form.each_box.isChecked():
            return []
        try:
            alignment = self._desk.place.alignment(target)
        except CosegError:
            return []
        axis, plane = alignment.axis, alignment.plane
        return [
            label
            for label, record in target.case.objects.items()
            if record.planes
            and (record.box[axis], record.box[axis + 3]) == (plane, (plane or 0) + 1)
            and any(prompt.box is not None for prompt in record.prompts)
        ]

    def _record(self, label: int) -> ObjectRecord | None:
        target = self._desk.target
        return None if target is None else target.record(label)

    def _content(self, stack: Stack) -> str:
        """Return a name for the voxels as they are shown."""
        if self._known is None or not same_look(self._known[0], stack):
            self._known = stack, uuid.uuid4().hex
        return self._known[1]

    def _end(self) -> Walk | None:
        walk, self._walk = self._walk, None
        self._beat.stop()
        if walk is not None:
            if self._drawing.idle:
                self._canvas.preview(None)
            self.show()
        return walk

    def _bring_back(self, walk: Walk) -> None:
        if walk.work is not None:
            self._drawing.bring_back(walk.work, walk.context)

    def _on_progress(self) -> None:
        if not self._beat.isActive():
            self._beat.start(_BEAT)

    def _show_progress(self) -> None:
        if self._walk is not None:
            self._say(progress_words(self._walk))
            self._show_masks()

    def _show_masks(self) -> None:
        """Show what has come on the plane that is seen, unless another object is at work."""
        walk, place = self._walk, self._desk.place
        if walk is None or not self._drawing.idle or place.stack is None:
            return
        pictures = walk.pictures
        same = place.stack.spatial == walk.context.stack.spatial
        plane = pictures.plane_of(place.index) if same else None
        self._canvas.preview(None if plane is None else walk.mask_on(plane))

    def _on_failed(self, error: Exception) -> None:
        walk = self._end()
        if walk is None:
            return
        if isinstance(error, CosegError):
            self._say(f"{error} Nothing was changed.")
        else:
            self._say("The model gave no answer: nothing was changed.")
            show_error(f"Following failed: {type(error).__name__}: {error}")
        self._bring_back(walk)

    def _on_finished(self, found: Sequence[PlaneMask]) -> None:
        walk = self._end()
        if walk is None:
            return
        if walk.context.turn != self._desk.turn:
            self._say("Another layer was chosen meanwhile: what was followed was not kept.")
            return
        kept = self._desk.with_target(
            lambda target: self._keep(target, walk, found),
            lambda: self._bring_back(walk),
            len(walk.objects),
        )
        if not kept:
            self._bring_back(walk)

    def _keep(self, target: Target, walk: Walk, found: Sequence[PlaneMask]) -> bool:
        """Make one edit of all that was found."""
        context = walk.context
        objects = [
            one
            for one in walk.objects
            if one.record is None or one.untouched(target.record(one.record.label))
        ]
        lost = len(walk.objects) - len(objects)
        if not objects:
            # Where it was deleted or edited, that is what the person wants.
            self._say("What was being followed was changed meanwhile: it stays as you changed it.")
            return True
        try:
            sheet = VolumeSheet.of(context.image, context.stack, target.sheet, walk.pictures)
        except CosegError as error:
            self._say(str(error))
            return False
        items = [
            one.commit([f for f in found if f.label == one.number], sheet, context.model)
            for one in objects
        ]
        settings = {"axis": sheet.axis, "way": self._row.way}

        def commit() -> Change:
            labels = [item.label or target.case.next_label() for item in items]
            return target.case.commit_many(
                items,
                protect=context.protect,
                strict=False,
                settings=settings,
                name=f"follow: {count_name(labels)}",
            )

        change = self._desk.do(lambda: target.edit(commit))
        if change is None:
            return False
        words, details = end_words(walk, found, lost, len(change.left_out), sorted(change.labels))
        self._say(words)
        self._desk.form.status.setToolTip(details)
        return True

    def _say(self, words: str) -> None:
        self._desk.said.emit(words)


def _free(objects: Sequence[Followed], plane: int) -> list[int]:
    """Return the objects whose pixels on a plane may be given away, since they come anew."""
    return [one.record.label for one in objects if one.record is not None and one.covers(plane)]

"""A Labels layer under a journal: what is painted becomes edits, and Ctrl+Z takes them back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Change, Run
from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.layers.pixels import SheetPixels, SheetWriter
from napari_coseg.layers.sheet import Sheet, Window
from napari_coseg.layers.strokes import StrokeListener
from napari_coseg.types import CosegError
from napari_coseg.widgets.prompt_known import fits

#: Pixels up to which a layer is read while the person waits: some tenths of a second.
INSTANT = 4 << 20
#: Milliseconds until a stroke is tried again that could not be kept.
_AGAIN = 5000
#: napari's own keys of a Labels layer, whose undo no journal hears of.
_UNDO, _REDO = "Control-Z", "Control-Shift-Z"
#: Layers that had a journal since the program started, by their unique ids.
_journals: dict[Hashable, Path] = {}


def journal_of(layer: Any) -> Path | None:
    """Return the journal that a layer was used with last, None where it has none any more."""
    path = _journals.get(layer.unique_id)
    return path if path is not None and path.exists() else None


class KeptLayer(QObject):
    """A Labels layer with a journal; what its labels mean, a class made of this one knows.

    Before it is used it is opened: by `read`, which may take long and may be called in another
    thread, and then by `begin`. What a person paints meanwhile becomes an edit.

    Parameters
    ----------
    layer : Labels layer
    path : Path
        Of the journal, which may exist.
    identity : ImageIdentity
        Of the image.
    instead : bool
        Whether what the layer holds takes the place of what the journal does, as one edit; by
        default the layer becomes what the journal holds.

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

    def __init__(
        self, layer: Any, path: Path, identity: ImageIdentity, *, instead: bool = False
    ) -> None:
        super().__init__()
        self.layer = layer
        self.path = path
        self.sheet = Sheet(layer)
        self.case: Case
        self._identity = identity
        self._instead = instead
        self._pixels = SheetPixels(self.sheet)
        self._write = SheetWriter(self.sheet)
        # Of a layer that was let go of what it holds now counts: it may have been painted since.
        self._stood = journal_of(layer) == path and not instead
        self._since: list[tuple[Window, npt.NDArray[Any], npt.NDArray[Any]]] = []
        # Here, and not in the thread that reads: a layer is asked in the GUI's.
        self._known: Mapping[int, ObjectRecord] = self._told_by_layer()
        self._run = self._made_by()
        # What the layer held last: another array is told of after it has taken its place.
        self._array = layer.data
        self._begun = False
        self._painted: list[Window | None] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.catch_up)
        self._strokes = StrokeListener(self.sheet, self._on_stroke)

    def tell(self, objects: Mapping[int, ObjectRecord], run: Run) -> None:
        """Say what the layer holds and where it comes from, before it is read.

        Parameters
        ----------
        objects : mapping of int to ObjectRecord
        run : Run
            What the step is called by which the layer takes the place of what the journal holds.
        """
        self._known, self._run = objects, run

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(self.sheet.labels.size)

    @property
    def is_read(self) -> bool:
        """Whether it is in use: read, and begun."""
        return self._begun

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
            keep=self._instead,
        )
        if self._instead:
            try:
                self._match_classes()
                self.case.take_over(self._known, self._run or Run("new layer"))
            except BaseException:
                self.case.close()
                raise

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
            self._recall()
        except BaseException:
            self.stop()
            self.case.close()
            raise
        self._write.shown = self._begun = True
        _journals[self.layer.unique_id] = self.path
        self.bind_keys()
        self.catch_up()
        self._take_in_since()
        self._show()

    def bind_keys(self) -> None:
        """Take the layer's keys for undo and redo: napari's own would miss the journal."""
        self.layer.bind_key(_UNDO, lambda layer: self._press(self.undo), overwrite=True)
        self.layer.bind_key(_REDO, lambda layer: self._press(self.redo), overwrite=True)

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

    def undo(self) -> Change | None:
        """Take the last edit back; None where there is none."""
        return self._maybe(self.case.undo)

    def redo(self) -> Change | None:
        """Do again what was taken back last; None where there is nothing."""
        return self._maybe(self.case.redo)

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
        run, told = self._made_by(), self._told_by_layer()
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
        self._run = self._made_by()
        self._told(change)
        if other:
            self._show()
        return True

    def look_again(self) -> None:
        """Make an edit of what was written into the layer without a word, where that is quick."""
        # Comparing asks the disk, which may be full.
        if self._begun and self.size <= INSTANT and self.case.wait(0.2):
            self._painted.append(None)
            self.catch_up()

    def wait(self, seconds: float) -> bool:
        """Wait until all that was painted is on the disk; whether it is."""
        if not self._begun:
            return not self._painted and not self._instead
        self.catch_up()
        return not self._painted and self.case.wait(seconds)

    def let_go(self) -> bool:
        """Write what waits, close the journal, and hear no more; whether all is on the disk."""
        self._soon.stop()
        try:
            self.catch_up()
            self._strokes.let_go()
            for key in (_UNDO, _REDO):
                self.layer.bind_key(key, None, overwrite=True)
            self._end()
        finally:
            self._begun = False
            saved = self.case.close()
        return saved and not self._painted

    def abandon(self) -> None:
        """Close the journal of a layer whose pixels do not fit it any more."""
        self._painted = []
        self.let_go()

    def catch_up(self) -> None:
        """Make edits of what was painted."""
        if not self._begun:
            return
        windows, self._painted = self._painted, []
        if None in windows:
            # One look at everything finds all of it.
            windows = [None]
        for window in windows:
            try:
                self._told(self.case.catch_up(window))
            except CosegError as error:
                # It comes again, with the next edit or by itself.
                self._painted.append(window)
                self._soon.start(_AGAIN)
                self.trouble.emit(str(error))

    # What a class made of this one knows.

    def _told_by_layer(self) -> Mapping[int, ObjectRecord]:
        """Return what the layer itself tells of its labels."""
        return {}

    def _made_by(self) -> Run | None:
        """Return the run that made the layer; None where it was no run."""
        return None

    def _match_classes(self) -> None:
        """Bring the layer's classes and the journal's together, in any thread, before `begin`."""

    def _recall(self) -> None:
        """Take over what the journal remembers beside the labels."""

    def _told(self, change: Change) -> None:
        """Show what an edit has changed, and tell of it."""
        if change.name:
            self.changed.emit(change)

    def _show(self) -> None:
        """Show everything anew."""

    def _end(self) -> None:
        """Hand over what is still to be shown: the journal is closed next."""

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

    def _on_stroke(self, window: Window | None) -> None:
        # napari tells of some strokes before the pixels have changed.
        self._painted.append(window)
        self._soon.start(0)

    def _maybe(self, step: Callable[[], Change | None]) -> Change | None:
        self.catch_up()
        with self._write.together():
            change = step()
        if change is not None:
            self._told(change)
        return change

    def _press(self, step: Callable[[], Change | None]) -> None:
        try:
            step()
        except CosegError as error:
            show_warning(str(error))

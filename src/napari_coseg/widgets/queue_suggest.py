"""Suggestions for the next case of a queue: a model runs over it before it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from napari_coseg.annotation.queue_images import CaseImage
from napari_coseg.annotation.suggestions import (
    Suggestion,
    forget,
    is_free,
    put_in_place,
    write_beside,
)
from napari_coseg.imaging.array_source import ArraySource
from napari_coseg.imaging.volume_result import VolumeResult
from napari_coseg.types import CosegError, PanopticResult
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.listing import segment_models
from napari_coseg.widgets.host_models import HostModels
from napari_coseg.widgets.parts import Dock
from napari_coseg.widgets.preferences import read_preferences
from napari_coseg.widgets.queue_desk import QueueDesk
from napari_coseg.widgets.queue_reader import Prepared
from napari_coseg.widgets.session import Session, shared_session
from napari_coseg.worker.client import Client
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.requests import SegmentRequest, check_body
from napari_coseg.worker.volume_request import StoredVoxels, VolumeRequest

if TYPE_CHECKING:
    from napari_coseg.annotation.queue_project import QueueProject

#: What of a run's facts a journal keeps; no names of files.
_KEPT = ("software", "model_sha256", "mpp", "device", "window")


@dataclass
class _Work:
    """A case for which something is suggested."""

    project: QueueProject
    number: int
    prepared: Prepared
    pending: Pending | None = None

    def free(self) -> dict[str, Path]:
        """Return the journals that the case does not have yet, by role; objects are needed."""
        paths = {role: self.project.journal(self.number, role) for role in ("objects", "regions")}
        free = {role: path for role, path in paths.items() if is_free(path)}
        return free if "objects" in free else {}


class SuggestAhead(QObject):
    """Runs the model that fits over the next case, once its image is read, and keeps what it finds.

    What it finds is the first step of the case's journal, and can be undone. A case that has labels
    is left alone, and in a shared queue one that somebody else has, or has worked at. A case that
    is opened before its suggestion is ready gets it later; see `SuggestHere`.

    Parameters
    ----------
    desk : QueueDesk
    dock : Dock
        Whose switch it is.
    session : Session, optional
        The program's own by default.

    Attributes
    ----------
    switch : QCheckBox
        Off at first.
    said : Signal
        A sentence for the person.
    handed : Signal
        Number of a case that was opened while a model runs over it, and the request.
    """

    said = Signal(str)
    handed = Signal(int, object)
    _found = Signal(object, object)
    _written = Signal(object, object)

    def __init__(self, desk: QueueDesk, dock: Dock, session: Session | None = None) -> None:
        super().__init__(dock)
        self._desk = desk
        self._dock = dock
        self._session = session
        self._models: list[tuple[str, ModelCard]] | None = None
        self._last: tuple[QueueProject, int, Prepared] | None = None
        self._work: _Work | None = None
        self._writers = ThreadPoolExecutor(1, "coseg-queue-suggest")
        self.switch = QCheckBox("Suggest ahead")
        self.switch.setToolTip(
            "A model segments the open case, if nothing is drawn on it yet, and while you work the "
            "next one: objects and regions are there when you open it, as one step that can be "
            "undone. Cases with labels are left alone."
        )
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._begin_last)
        self.switch.toggled.connect(self._on_switch)
        self._found.connect(self._on_found)
        self._written.connect(self._on_written)
        desk.prepared.connect(self._on_prepared)
        desk.opened.connect(self._on_opened)
        desk.changed.connect(self._on_changed)

    @property
    def busy(self) -> bool:
        """Whether something is being suggested."""
        return self._work is not None

    def let_go(self) -> None:
        """End what is under way."""
        self._stop()
        self._writers.shutdown(wait=False)

    def _on_switch(self, on: bool) -> None:
        if not on:
            self._stop()
        else:
            # The open case's comes first: a person waits for it.
            self._soon.start(0)

    def _begin_last(self) -> None:
        if self.switch.isChecked() and self._last is not None:
            self._begin(*self._last)

    def _on_prepared(self, number: int, prepared: Prepared) -> None:
        if self._desk.project is None:
            return
        self._last = (self._desk.project, number, prepared)
        if self.switch.isChecked():
            self._begin(*self._last)

    def _on_opened(self) -> None:
        """Let a case be that a person opens, and forget those of a queue that was closed."""
        if self._last is not None and self._last[:2] == (self._desk.project, self._desk.number):
            self._last = None
        work = self._work
        if work is None:
            return
        if work.project is not self._desk.project:
            self._stop()
        elif work.number == self._desk.number and work.pending is not None:
            pending, self._work = work.pending, None
            self.handed.emit(work.number, pending)
        elif work.number == self._desk.number:
            self._stop()

    def _on_changed(self) -> None:
        """Leave a case to who has taken it meanwhile."""
        if self._work is not None and not self._is_ours(self._work.number):
            self._stop()

    def _is_ours(self, number: int) -> bool:
        """Whether nobody else has to do with a case."""
        sharing = self._desk.sharing
        return sharing is None or sharing.untouched(number)

    def _stop(self) -> None:
        work, self._work = self._work, None
        if work is not None and work.pending is not None:
            self.client.cancel(work.pending)

    @property
    def client(self) -> Client:
        """The worker's."""
        return (self._session or shared_session()).client

    def with_models(self, then: Callable[[list[tuple[str, ModelCard]]], None]) -> None:
        """Call with the models that the worker has; later, where another machine has to say it.

        Raises
        ------
        CosegError
            If there is no worker to ask.
        """
        session = self._session or shared_session()
        if self._models is not None or not session.remote:
            then(self._models or segment_models())
            return

        def listed(models: list[tuple[str, ModelCard]]) -> None:
            self._models = models
            then(models)

        asked = HostModels(session, "models", self._dock)
        asked.listed.connect(listed)
        asked.ask()

    def _begin(self, project: QueueProject, number: int, prepared: Prepared) -> None:
        work = self._work
        if work is not None and (work.project, work.number) == (project, number):
            return
        self._stop()
        work = _Work(project, number, prepared)
        if number == self._desk.number or not self._is_ours(number) or not work.free():
            return
        self._work = work
        try:
            self.with_models(partial(self._ask, work))
        except CosegError as error:
            self._fail(error)

    def _ask(self, work: _Work, models: list[tuple[str, ModelCard]]) -> None:
        if work is not self._work:
            return
        name = work.project.name(work.number)
        try:
            work.pending = send(self.client, work.prepared.image, models, name)
        except CosegError as error:
            self._fail(error)
            return
        self.said.emit(f"Preparing a suggestion for {name} …")
        work.pending.future.add_done_callback(lambda future: self._tell(work, future))

    # In threads.

    def _tell(self, work: _Work, future: Future[Any]) -> None:
        with suppress(RuntimeError):  # the dock was closed meanwhile
            self._found.emit(work, future)

    def _write(self, work: _Work, suggestions: list[Suggestion]) -> None:
        made: dict[Path, Path] = {}
        error: Exception | None = None
        try:
            for one in suggestions:
                made[one.path] = write_beside(one, work.prepared.identity)
        except (CosegError, MemoryError) as trouble:
            error = trouble
        try:
            self._written.emit(work, error or made)
        except RuntimeError:  # the dock was closed meanwhile
            error = error or CosegError("The dock is gone.")
        if error is not None:
            for beside in made.values():
                forget(beside)

    # In the GUI's thread.

    def _on_found(self, work: _Work, future: Future[Any]) -> None:
        if work is not self._work or future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        suggestions = suggestions_of(future.result(), work.free())
        if suggestions:
            self._writers.submit(self._write, work, suggestions)
        else:
            self._work = None

    def _on_written(self, work: _Work, made: dict[Path, Path] | Exception) -> None:
        if isinstance(made, Exception):
            if work is self._work:
                self._fail(made)
            return
        # Opening and this are both the GUI's: no case is opened in between.
        wanted = work is self._work and self._is_ours(work.number)
        kept = False
        for place, beside in made.items():
            try:
                kept = (wanted and put_in_place(beside, place)) or kept
            except CosegError as error:
                self._fail(error)
            finally:
                forget(beside)
        if work is self._work:
            self._work = None
        if kept:
            self.said.emit(f"A suggestion for {work.project.name(work.number)} is ready.")

    def _fail(self, error: BaseException) -> None:
        self._work = None
        words = str(error) if isinstance(error, CosegError) else f"{type(error).__name__}: {error}"
        self.said.emit(f"No suggestion for the next case. {words}")


def send(
    client: Client, image: CaseImage, models: Sequence[tuple[str, ModelCard]], name: str
) -> Pending:
    """Ask the worker to run the first model that fits over an image.

    Raises
    ------
    CosegError
        If there is none, or no worker.
    """
    fitting = [one for one, card in models if (card.planes is None) == (image.grid is None)]
    if not fitting:
        kind = "pictures" if image.grid is None else "volumes"
        raise CosegError(f"Nothing is suggested: there is no model of {kind}.")
    model, device = fitting[0], read_preferences().device
    if image.grid is None:
        rows, columns = image.pixels.shape[:2]
        wanted = SegmentRequest(
            model=model,
            device=device,
            shape=(rows, columns),
            name=name,
            mpp=image.mpp,
            mpp_origin="assumed" if image.mpp is None else "image",
        )
        source = ArraySource(image.pixels, mpp=image.mpp, name=name)
        return client.segment(source, wanted, Handlers())
    voxels = StoredVoxels(image.pixels)
    facts = image.grid.as_dict()
    body = {"model": model, "device": device, "dtype": voxels.dtype.str, "name": name, **facts}
    return client.segment_volume(voxels, check_body(VolumeRequest, body), Handlers())


def suggestions_of(
    result: PanopticResult | VolumeResult, free: dict[str, Path]
) -> list[Suggestion]:
    """Return what a result suggests for the journals that a case does not have yet."""
    facts = {name: result.metadata[name] for name in _KEPT if name in result.metadata}
    model = str(result.metadata.get("model", ""))
    found = []
    labels, table = result.instances, result.objects
    # More objects than that do not go into the layer of a case.
    if labels is not None and 0 < len(table) <= np.iinfo(np.uint16).max and "objects" in free:
        small = labels.astype(np.uint16, copy=False)
        found.append(
            Suggestion(free["objects"], small, result.instance_classes, model, table, facts)
        )
    if "regions" in free and result.regions is not None and result.regions.any():
        found.append(
            Suggestion(free["regions"], result.regions, result.region_classes, model, None, facts)
        )
    return found

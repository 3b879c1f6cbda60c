"""The Segment dock: choose, run, look."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.utils import progress
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout

from napari_coseg.imaging.volume_result import VolumeResult
from napari_coseg.layers.results import each_result_layer
from napari_coseg.layers.volume_found import each_volume_layer
from napari_coseg.layers.warming import warm_up
from napari_coseg.types import CosegError, PanopticResult
from napari_coseg.widgets.host_models import HostModels
from napari_coseg.widgets.parts import Dock, note
from napari_coseg.widgets.planning import Planned, make_plan
from napari_coseg.widgets.run import Run
from napari_coseg.widgets.segment_form import SegmentForm
from napari_coseg.widgets.segment_results import ResultsPanel
from napari_coseg.widgets.session import Session, shared_session
from napari_coseg.widgets.turns import Turns
from napari_coseg.widgets.volume_planning import VolumeChoices, VolumePlan, make_volume_plan
from napari_coseg.widgets.volume_run import VolumeRun

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer


class SegmentDock(Dock):
    """Segments an Image layer, a picture or a volume, into regions and instances.

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
        self._run: Run | VolumeRun | None = None
        self._planned: Planned | VolumePlan | None = None
        self._turns: Turns | None = None
        self._activity: Any = None
        self.setMinimumWidth(320)
        self.form = SegmentForm(viewer)
        self.results = ResultsPanel(viewer)
        self._button = QPushButton("Run")
        self._button.setMinimumHeight(32)
        self._progress = QProgressBar()
        self._progress.setVisible(False)
        self._status = note()
        layout = QVBoxLayout(self)
        layout.addWidget(self.form)
        layout.addWidget(self._button)
        layout.addWidget(self._progress)
        layout.addWidget(self._status)
        layout.addWidget(self.results, 1)

        self._button.clicked.connect(self._on_button)
        self.form.ready_changed.connect(self._enable)
        self.form.model_chosen.connect(self._warm_up)
        self.results.changed.connect(self._on_results)
        shortcut = QShortcut(QKeySequence("Ctrl+Return"), self)
        shortcut.activated.connect(self.start)
        self._show_idle("")
        # Another machine has other models.
        models = HostModels(self._session, "models", self)
        models.listed.connect(self.form.show_models)
        models.failed.connect(lambda words: show_warning(words))
        models.ask()
        self._warm_up(self.form.model, self.form.device)
        # Once the window stands still: it is for a result that is seconds away.
        QTimer.singleShot(1000, warm_up)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None

    @property
    def status(self) -> str:
        """The sentence under the button."""
        return str(self._status.text())

    def start(self) -> None:
        """Run what the fields say."""
        if self.running or not self.form.ready:
            return
        try:
            name = self._prepare()
        except CosegError as error:
            show_warning(str(error))
            return
        assert self._run is not None
        self._run.noticed.connect(show_info)
        self._run.failed.connect(self._on_failed)
        self._activity = progress(total=0, desc=f"Segmenting {name}")
        self._button.setText("Cancel")
        self._button.setToolTip("End the run; nothing is changed.")
        self._progress.setRange(0, 0)
        self._progress.setVisible(True)
        self._status.setText("Getting the model ready …")
        self._run.start()

    def _prepare(self) -> str:
        """Make a run of what the fields say; return the name of the image."""
        choices, client = self.form.choices(), self._session.client
        if isinstance(choices, VolumeChoices):
            plan = make_volume_plan(choices)
            whole = VolumeRun(client, plan)
            whole.progressed.connect(self._on_planes)
            whole.finished.connect(self._on_volume)
            self._run, self._planned = whole, plan
            return plan.name
        planned = make_plan(self._viewer, choices)
        run = Run(client, planned.plan)
        run.progressed.connect(self._on_tiles)
        run.finished.connect(self._on_finished)
        self._run, self._planned = run, planned
        return planned.stack.name

    def cancel(self) -> None:
        """End the run that is under way."""
        if self._run is not None:
            self._run.cancel()
            if self._turns is not None:
                self._turns.stop()
            self._show_idle("Cancelled.")

    def _on_button(self) -> None:
        if self.running:
            self.cancel()
        else:
            self.start()

    def _warm_up(self, model: str, device: str) -> None:
        # The worker loads while the person looks for the button. What is wrong with the model or
        # the device is said when it is used.
        if model and not self.running:
            with suppress(CosegError):
                self._session.client.load(model, device)

    def _enable(self, ready: bool) -> None:
        self._button.setEnabled(self.running or ready)

    def _show_idle(self, text: str) -> None:
        self._run = self._turns = None
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        self._button.setText("Run")
        self._button.setToolTip("Segment the image (Ctrl+Enter).")
        self._progress.setVisible(False)
        self._status.setText(text)
        self._enable(self.form.ready)

    def _on_tiles(self, done: int, total: int) -> None:
        self._show_progress(done, total, f"Tile {done:,} of {total:,}")

    def _on_planes(self, done: int, total: int) -> None:
        if done == 0:
            self._status.setText(f"Reading {total:,} planes …")
        elif done < total:
            self._show_progress(done, total, f"Plane {done:,} of {total:,}")
        else:
            # No one can say how long this takes: a moment for a jaw, longer for a large volume.
            self._show_progress(0, 0, f"All {total:,} planes seen: linking objects …")

    def _show_progress(self, done: int, total: int, words: str) -> None:
        self._progress.setRange(0, total)
        self._progress.setValue(done)
        self._status.setText(words)
        if self._activity is not None:
            self._activity.total = total
            self._activity.n = done
            self._activity.refresh()

    def _on_failed(self, error: Exception) -> None:
        self._show_idle("Not done.")
        if isinstance(error, CosegError):
            show_warning(str(error))
        else:
            show_error(f"Segmenting failed: {type(error).__name__}: {error}")

    def _on_finished(self, results: list[PanopticResult]) -> None:
        planned = self._planned
        assert isinstance(planned, Planned)
        seconds = sum(result.metadata["seconds"]["all"] for result in results)
        objects = sum(len(result.objects) for result in results)
        device = results[0].metadata["device"]
        words = f"{planned.stack.name}: {objects:,} objects in {seconds:.1f} s ({device})."
        # Where the image was deleted meanwhile, its results are still worth having.
        layers = each_result_layer(results, planned.image, planned.stack, planned.place)
        told = dict.fromkeys(n for r in results for n in r.metadata["notes"])
        self._show_found(layers, words, planned.image, list(told))

    def _on_volume(self, result: VolumeResult) -> None:
        plan = self._planned
        assert isinstance(plan, VolumePlan)
        seconds, device = result.metadata["seconds"]["all"], result.metadata["device"]
        words = f"{plan.name}: {len(result.objects):,} objects in {seconds:.1f} s ({device})."
        layers = each_volume_layer(result, plan.image)
        self._show_found(layers, words, plan.image, result.metadata["notes"])

    def _show_found(
        self, layers: Iterable[Layer], words: str, image: Any, notes: Sequence[str]
    ) -> None:
        """Show the layers turn by turn: together they take napari a quarter of a second."""
        self._progress.setRange(0, 0)
        self._status.setText("Showing what was found …")
        self._turns = Turns(self._showing(layers, words, image, notes), self)
        self._turns.start()

    def _showing(
        self, layers: Iterable[Layer], words: str, image: Any, notes: Sequence[str]
    ) -> Generator[None, None, None]:
        try:
            yield from self.results.adding(layers, words)
        except Exception:
            self._show_idle("Not done.")
            raise
        self._show_idle(words)
        self._look_at(image)
        for told in notes:
            show_info(told)

    def _on_results(self) -> None:
        """Say of the run that is shown now what was said of it."""
        if not self.running:
            self._status.setText(self.results.words)

    def _look_at(self, image: Any) -> None:
        if image in self._viewer.layers:
            self._viewer.layers.selection.active = image

    def let_go(self) -> None:
        """End what is under way, and hear no more of the viewer."""
        self.cancel()
        self.form.let_go()
        self.results.let_go()

"""The Segment dock: choose, run, look."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.utils import progress
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout

from napari_coseg.layers.results import result_layers
from napari_coseg.layers.warming import warm_up
from napari_coseg.types import CosegError, PanopticResult
from napari_coseg.widgets.host_models import HostModels
from napari_coseg.widgets.parts import Dock, note
from napari_coseg.widgets.planning import Planned, make_plan
from napari_coseg.widgets.run import Run
from napari_coseg.widgets.segment_form import SegmentForm
from napari_coseg.widgets.segment_results import ResultsPanel
from napari_coseg.widgets.session import Session, shared_session

if TYPE_CHECKING:
    import napari.viewer


class SegmentDock(Dock):
    """Segments an Image layer into regions and instances.

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
        self._run: Run | None = None
        self._planned: Planned | None = None
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
            planned = make_plan(self._viewer, self.form.choices())
            client = self._session.client
        except CosegError as error:
            show_warning(str(error))
            return
        self._planned = planned
        self._run = Run(client, planned.plan)
        self._run.progressed.connect(self._on_progress)
        self._run.noticed.connect(show_info)
        self._run.failed.connect(self._on_failed)
        self._run.finished.connect(self._on_finished)
        self._activity = progress(total=0, desc=f"Segmenting {planned.stack.name}")
        self._button.setText("Cancel")
        self._button.setToolTip("End the run; nothing is changed.")
        self._progress.setRange(0, 0)
        self._progress.setVisible(True)
        self._status.setText("Getting the model ready …")
        self._run.start()

    def cancel(self) -> None:
        """End the run that is under way."""
        if self._run is not None:
            self._run.cancel()
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
        self._run = None
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        self._button.setText("Run")
        self._button.setToolTip("Segment the image (Ctrl+Enter).")
        self._progress.setVisible(False)
        self._status.setText(text)
        self._enable(self.form.ready)

    def _on_progress(self, done: int, total: int) -> None:
        self._progress.setRange(0, total)
        self._progress.setValue(done)
        self._status.setText(f"Tile {done:,} of {total:,}")
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
        assert planned is not None
        seconds = sum(result.metadata["seconds"]["all"] for result in results)
        objects = sum(len(result.objects) for result in results)
        device = results[0].metadata["device"]
        self._show_idle(f"{objects:,} objects in {seconds:.1f} s ({device}).")
        # Where the image was deleted meanwhile, its results are still worth having.
        self.results.add(result_layers(results, planned.image, planned.stack, planned.place))
        if planned.image in self._viewer.layers:
            self._viewer.layers.selection.active = planned.image
        for words in dict.fromkeys(n for r in results for n in r.metadata["notes"]):
            show_info(words)

    def let_go(self) -> None:
        """End what is under way, and hear no more of the viewer."""
        self.cancel()
        self.form.let_go()
        self.results.let_go()

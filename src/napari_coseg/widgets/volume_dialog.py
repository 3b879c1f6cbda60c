"""The window that opens a volume file or a DICOM folder; the plugin's reader claims no folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_coseg.imaging.volume_headers import VOLUME_SUFFIXES
from napari_coseg.imaging.windows import HOUNSFIELD, PRESETS, Window, manual_window
from napari_coseg.layers.volume_choices import Choice, Opened, choices_at, open_choice
from napari_coseg.types import CosegError
from napari_coseg.widgets.background import in_background
from napari_coseg.widgets.parts import combo, note

if TYPE_CHECKING:
    import napari.viewer

_FILES = f"Volumes ({' '.join(f'*{s}' for s in VOLUME_SUFFIXES)});;DICOM and other files (*)"
_CHOICE = Qt.ItemDataRole.UserRole
#: What the combo box of windows keeps beside the names of the presets.
_AUTOMATIC, _MANUAL = "", "manual"


class VolumeDialog(QDialog):
    """Choose a file or folder, one of the volumes in it, and how it is shown.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Gets the layer.
    parent : QWidget, optional
    """

    # From the thread that reads to the one that draws.
    _progressed = Signal(int, int)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open volume or DICOM folder")
        self.setMinimumWidth(480)
        self._viewer = viewer
        self._worker: object | None = None
        self._stopped = False
        self._file = QPushButton("File …")
        self._file.setToolTip("NIfTI, MetaImage, NRRD, or one file of a DICOM series.")
        self._folder = QPushButton("DICOM folder …")
        self._folder.setToolTip("All series in it and the folders below it are listed.")
        self._list = QListWidget()
        self._list.setToolTip("The volumes that were found. What is grey cannot be opened.")
        self._window = combo("Which grey values are black and white.")
        self._window.addItem("Automatic", _AUTOMATIC)
        for name, (low, high) in PRESETS.items():
            self._window.addItem(f"{name.capitalize()} ({low:g} to {high:g} HU)", name)
        self._window.addItem("Manual", _MANUAL)
        self._low, self._high = _number(-1000), _number(2000)
        self._hounsfield = QCheckBox("Grey values are Hounsfield units")
        self._hounsfield.setToolTip("A CT from DICOM says so by itself; other files do not.")
        self._bar = QProgressBar()
        self._bar.hide()
        self._status = note()
        self._open = QPushButton("Open")
        self._close = QPushButton("Close")
        self._lay_out()

        self._file.clicked.connect(self._ask_file)
        self._folder.clicked.connect(self._ask_folder)
        self._open.clicked.connect(self.open_chosen)
        self._close.clicked.connect(self.reject)
        self._list.currentItemChanged.connect(self._on_choice)
        self._list.itemDoubleClicked.connect(self.open_chosen)
        self._window.currentIndexChanged.connect(self._refresh)
        self._hounsfield.toggled.connect(self._refresh)
        self._progressed.connect(self._on_progress)
        self._refresh()

    @property
    def running(self) -> bool:
        """Whether something is being read."""
        return self._worker is not None

    def look_at(self, path: Path) -> None:
        """List the volumes of a file or folder."""
        if self.running:
            return
        self._list.clear()
        self._start("Looking …")
        self._worker = in_background(
            lambda: choices_at(path, self._tell),
            "Looking for volumes",
            done=self._on_found,
            failed=lambda: self._say("Nothing to open there."),
            ended=self._on_end,
        )

    def open_chosen(self) -> None:
        """Read the chosen volume, and add it to the viewer."""
        choice = self._choice()
        if self.running or choice is None or choice.problem:
            return
        try:
            window = self._limits()
        except CosegError as error:
            show_warning(str(error))
            return
        self._start("Reading …")
        hounsfield = self._hounsfield.isChecked()
        self._worker = in_background(
            lambda: open_choice(choice, window, hounsfield=hounsfield, progress=self._tell),
            "Reading a volume",
            done=self._on_opened,
            failed=lambda: self._say("Not opened."),
            ended=self._on_end,
        )

    def done(self, result: int) -> None:
        """Stop reading when the window closes."""
        self._stopped = True
        super().done(result)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self._file)
        row.addWidget(self._folder)
        row.addStretch(1)
        limits = QHBoxLayout()
        limits.addWidget(self._window, 1)
        limits.addWidget(self._low)
        limits.addWidget(self._high)
        form = QFormLayout()
        form.addRow("Window", limits)
        form.addRow("", self._hounsfield)
        ends = QHBoxLayout()
        ends.addStretch(1)
        ends.addWidget(self._close)
        ends.addWidget(self._open)
        layout = QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(self._list, 1)
        layout.addLayout(form)
        layout.addWidget(self._bar)
        layout.addWidget(self._status)
        layout.addLayout(ends)
        self._open.setDefault(True)

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open volume", "", _FILES)
        if path:
            self.look_at(Path(path))

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open DICOM folder")
        if path:
            self.look_at(Path(path))

    def _choice(self) -> Choice | None:
        item = self._list.currentItem()
        choice: Choice | None = None if item is None else item.data(_CHOICE)
        return choice

    def _limits(self) -> str | Window:
        chosen = str(self._window.currentData())
        if chosen == _MANUAL:
            return manual_window(self._low.value(), self._high.value())
        return chosen

    def _start(self, words: str) -> None:
        self._stopped = False
        self._say(words)
        # Moves to and fro until it is known how much there is.
        self._bar.setRange(0, 0)
        self._bar.show()
        for button in (self._file, self._folder, self._open):
            button.setEnabled(False)

    def _tell(self, done: int, total: int) -> None:
        """Say how far the thread that reads is, in that thread; raise to stop it."""
        if self._stopped:
            raise CosegError("Opening the volume was stopped.")
        self._progressed.emit(done, total)

    def _on_progress(self, done: int, total: int) -> None:
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        if not total:
            self._say(f"Looking … {done:,} files")

    def _on_found(self, choices: tuple[Choice, ...]) -> None:
        for choice in choices:
            item = QListWidgetItem(choice.text)
            item.setData(_CHOICE, choice)
            item.setToolTip(choice.problem or choice.text)
            if choice.problem:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
            self._list.addItem(item)
        good = [row for row, choice in enumerate(choices) if not choice.problem]
        if good:
            self._list.setCurrentRow(good[0])
            found = "One volume" if len(good) == 1 else f"{len(good)} volumes"
            self._say(f"{found} found.")
        else:
            self._say(choices[0].problem)

    def _on_opened(self, opened: Opened) -> None:
        if self._stopped:
            return
        self._viewer.add_layer(Layer.create(*opened.layer))
        for words in opened.notes:
            show_warning(words)
        self.accept()

    def _on_end(self) -> None:
        self._worker = None
        self._bar.hide()
        for button in (self._file, self._folder):
            button.setEnabled(True)
        self._refresh()

    def _on_choice(self, current: Any = None, before: Any = None) -> None:
        choice = self._choice()
        said = choice is not None and choice.unit == HOUNSFIELD
        # What the file says is not for a person to change.
        self._hounsfield.setChecked(said)
        self._hounsfield.setEnabled(not said)
        self._refresh()

    def _refresh(self, event: object = None) -> None:
        choice = self._choice()
        preset = self._window.currentData() in PRESETS
        unknown = preset and not self._hounsfield.isChecked()
        for field in (self._low, self._high):
            field.setVisible(self._window.currentData() == _MANUAL)
        ready = choice is not None and not choice.problem and not unknown
        self._open.setEnabled(ready and not self.running)
        tip = "This window needs Hounsfield units." if unknown else "Add the volume as a layer."
        self._open.setToolTip(tip)

    def _say(self, words: str) -> None:
        self._status.setText(words)


def _number(value: float) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setRange(-1e9, 1e9)
    field.setDecimals(1)
    field.setValue(value)
    return field

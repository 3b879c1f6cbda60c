"""The field for the note on the open case."""

from __future__ import annotations

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QPlainTextEdit

#: Milliseconds after the last letter until a note is kept.
_PAUSE = 400


class NoteField(QPlainTextEdit):
    """Two lines for a note; Tab leaves it.

    Attributes
    ----------
    typed : Signal
        With each letter.
    paused : Signal
        A moment after the last one: the note is to be kept.
    """

    typed = Signal()
    paused = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("Note on this case")
        self.setTabChangesFocus(True)
        # napari gives it no edge, and nobody would see that it can be written into.
        self.setStyleSheet("QPlainTextEdit { border: 1px solid rgba(128, 128, 128, 140); }")
        self.setFixedHeight(2 * self.fontMetrics().lineSpacing() + 14)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE)
        self._pause.timeout.connect(self.paused)
        self.textChanged.connect(self._on_text)

    @property
    def waits(self) -> bool:
        """Whether something was typed that `paused` has not told of."""
        return bool(self._pause.isActive())

    def take(self) -> str:
        """Return what it says now; `paused` need not tell of it any more."""
        self._pause.stop()
        return str(self.toPlainText())

    def show_note(self, text: str) -> None:
        """Show the note of another case."""
        self.blockSignals(True)
        self.setPlainText(text)
        self.blockSignals(False)

    def _on_text(self) -> None:
        self._pause.start()
        self.typed.emit()

"""Work of the GUI's thread in turns: between two of them the window answers."""

from __future__ import annotations

from collections.abc import Generator

from qtpy.QtCore import QObject, QTimer


class Turns(QObject):
    """Runs a generator, up to one `yield` a turn of the event loop.

    For what only the GUI's thread may do, and takes longer than a person should not notice: making
    layers, above all. What a person does comes between two turns, so that each of them has to be
    ready for a viewer that is not as the last one left it.

    Parameters
    ----------
    work : generator
        Closed by `stop`: what it has half done it takes back itself.
    parent : QObject
        Ends it when it is deleted.
    """

    def __init__(self, work: Generator[None, None, None], parent: QObject) -> None:
        super().__init__(parent)
        self._work = work
        self._running = False
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._on_turn)

    def start(self) -> None:
        """Begin with the next turn."""
        self._timer.start()

    def stop(self) -> None:
        """End it where it is; in the middle of a turn, at that turn's end."""
        self._timer.stop()
        if not self._running:
            self._end()

    def _on_turn(self) -> None:
        going_on = False
        self._running = True
        try:
            next(self._work)
            going_on = self._timer.isActive()
        except StopIteration:
            pass
        finally:
            self._running = False
            if not going_on:
                self._end()

    def _end(self) -> None:
        self._timer.stop()
        self._work.close()
        self.deleteLater()

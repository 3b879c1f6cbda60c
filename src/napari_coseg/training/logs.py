"""What a run writes down: a CSV of losses, a CSV of scores, TensorBoard."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


class RunLog:
    """Appends figures to ``losses.csv`` and ``scores.csv`` and, if asked, TensorBoard.

    Rows are (step, name, value), so that a term that starts late needs no new column.
    """

    def __init__(self, folder: Path, *, tensorboard: bool) -> None:
        self.folder = folder
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, kind: str, step: int, figures: Mapping[str, float]) -> None:
        """Append figures to ``KIND.csv``."""
        path = self.folder / f"{kind}.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(("step", "name", "value"))
            for name, value in figures.items():
                writer.writerow((step, name, f"{value:.6g}"))
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush what TensorBoard holds back."""
        if self._board is not None:
            try:
                self._board.close()
            except OSError as error:
                # A run that ends for a full disk must say so, and not what follows from it.
                _log.warning("The TensorBoard log lacks its end: %s.", error)

"""An object followed through a small volume by the real worker and the bundled model."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_coseg.widgets.prompt_dock import PromptDock
from napari_coseg.widgets.session import Session

WAIT = 300_000


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is Unix's")
def test_a_rod_is_followed_although_the_worker_is_killed(
    make_napari_viewer: Callable[[], Any],
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("napari_coseg.annotation.places.data_folder", lambda: tmp_path / "own")
    rng = np.random.default_rng(0)
    plane, row, column = np.ogrid[:24, :64, :64]
    rod = (np.hypot(row - 30, column - 26) <= 11) & (plane >= 5) & (plane < 19)
    voxels = (rng.normal(0, 60, rod.shape) + np.where(rod, 1800, 100)).astype(np.int16)
    viewer = make_napari_viewer()
    layer = viewer.add_image(
        voxels, name="jaw", scale=(0.4, 0.4, 0.4), contrast_limits=(-500, 2500)
    )
    layer.units = ("mm",) * 3
    viewer.dims.set_current_step(0, 11)
    session = Session()
    told: list[str] = []
    session.notice.disconnect()
    session.notice.connect(told.append)
    dock = PromptDock(viewer, session)
    qtbot.addWidget(dock)
    try:
        qtbot.waitUntil(lambda: dock.desk.place.identity is not None)
        dock.take("box")
        dock.canvas.boxed.emit((17.0, 13.0, 44.0, 40.0))
        qtbot.waitUntil(lambda: dock.drawing.work.answer is not None, timeout=WAIT)
        dock.walks.toggle()
        qtbot.waitUntil(lambda: ": planes" in dock.status, timeout=WAIT)
        os.kill(session.client.host.pid, signal.SIGKILL)  # type: ignore[union-attr, arg-type]
        qtbot.waitUntil(lambda: not dock.walks.running, timeout=WAIT)
        assert dock.desk.target is not None, dock.status
        found = np.asarray(dock.desk.target.layer.data) == 1
        dice = 2 * (found & rod).sum() / (found.sum() + rod.sum())
        assert dice > 0.9
        assert "Ended at" in dock.status
        assert len(dock.desk.target.case.history()) == 1
        assert any("started again" in words for words in told)
    finally:
        dock.close()
        session.close()

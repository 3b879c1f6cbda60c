"""Suggestions for the next case of a queue, with a worker that the test answers for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.imaging.volume_writing import write_volume
from napari_coseg.types import CosegError
from napari_coseg.widgets.prompt_target import Target
from napari_coseg.widgets.queue_dock import QueueDock
from napari_coseg.widgets.queue_labels import CaseLabels
from napari_coseg.widgets.session import Session
from tests.layers.test_results import result
from tests.widgets.test_queue_dock import go, paint, settle
from tests.widgets.test_segment_volume import GRID, VolumeClient, found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    for name in ("a", "b"):
        voxels = np.random.default_rng(ord(name)).integers(-900, 900, GRID.shape, dtype=np.int16)
        write_volume(folder / f"{name}.nii.gz", voxels, GRID)
    pixels = np.random.default_rng(3).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "c.png")
    return folder


@pytest.fixture
def client() -> VolumeClient:
    return VolumeClient()


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def dock(viewer: Any, qtbot: Any, root: Path, client: VolumeClient) -> QueueDock:
    dock = QueueDock(viewer)
    session = Session()
    session._client = client  # type: ignore[assignment]
    dock.suggest._session = session
    viewer.window.add_dock_widget(dock, name="Queue")
    dock.open_folder(root)
    settle(dock, qtbot)
    return dock


def asked(dock: QueueDock, client: VolumeClient, qtbot: Any, count: int = 1) -> None:
    qtbot.waitUntil(lambda: len(client.volumes) == count, timeout=10_000)


def answer(dock: QueueDock, client: VolumeClient, qtbot: Any) -> None:
    _, wanted, _, pending = client.volumes[-1]
    pending.future.set_result(found(wanted.grid))
    qtbot.waitUntil(lambda: not dock.suggest.busy, timeout=10_000)


def objects(viewer: Any, name: str) -> Any:
    return next(la for la in viewer.layers if la.name.startswith(name) and "objects" in la.name)


def test_it_is_off_until_somebody_wants_it(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    assert not dock.suggest.switch.isChecked()
    qtbot.waitUntil(lambda: dock.suggest._last is not None, timeout=10_000)
    assert client.volumes == []
    # What was read before it is switched on counts too.
    dock.suggest.switch.setChecked(True)
    asked(dock, client, qtbot)
    _, wanted, _, pending = client.volumes[0]
    assert (wanted.model, wanted.name) == ("coseg-lite-dental", "b")
    assert wanted.grid.difference(GRID) == ""
    dock.suggest.switch.setChecked(False)
    assert pending.future.cancelled()
    assert not dock.suggest.busy


def test_the_next_case_begins_with_what_was_found(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    dock.suggest.switch.setChecked(True)
    asked(dock, client, qtbot)
    answer(dock, client, qtbot)
    assert "is ready" in dock.message
    expected = found(GRID)
    go(dock, qtbot, dock.form.model.cases[1].id)
    layer = objects(viewer, "b")
    qtbot.waitUntil(lambda: bool(np.any(layer.data)), timeout=10_000)
    np.testing.assert_array_equal(layer.data, expected.instances)
    assert layer.features["class_name"].tolist() == ["tooth", "tooth"]
    regions = next(la for la in viewer.layers if la.name == "b regions")
    np.testing.assert_array_equal(regions.data, expected.regions)
    labels = dock.desk.labels
    assert isinstance(labels, CaseLabels)
    target = labels._kept["instances"]
    assert isinstance(target, Target)
    assert target.case.undo_name == "Suggestion: 2 objects"
    target.undo()
    assert not layer.data.any()
    # And the picture after it, with a model of pictures.
    qtbot.waitUntil(lambda: len(client.asked) == 1, timeout=10_000)
    source, wanted, _, pending = client.asked[0]
    assert (wanted.model, wanted.mpp_origin) == ("coseg-lite-histology", "assumed")
    assert source.shape == (30, 40)
    made = result(30, 40, None)
    made.metadata["model"] = "coseg-lite-histology"
    pending.future.set_result(made)
    qtbot.waitUntil(lambda: not dock.suggest.busy, timeout=10_000)
    assert dock.project is not None
    stored = read_stored(dock.project.journal(dock.form.model.cases[2].id, "objects"))
    assert stored is not None
    np.testing.assert_array_equal(stored.labels, made.instances)


def test_labels_that_are_there_are_left_alone(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    first, second = (case.id for case in dock.form.model.cases[:2])
    go(dock, qtbot, second)
    paint(objects(viewer, "b"), 5)
    go(dock, qtbot, first)
    dock.suggest.switch.setChecked(True)
    qtbot.wait(200)
    assert client.volumes == []
    assert not dock.suggest.busy


def test_a_case_that_is_opened_first_begins_without(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    dock.suggest.switch.setChecked(True)
    asked(dock, client, qtbot)
    pending = client.volumes[0][3]
    go(dock, qtbot, dock.form.model.cases[1].id)
    assert pending.future.cancelled()
    assert not objects(viewer, "b").data.any()


def test_what_goes_wrong_is_said_and_nothing_is_kept(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    dock.suggest.switch.setChecked(True)
    asked(dock, client, qtbot)
    client.volumes[0][3].future.set_exception(CosegError("The model worker is busy."))
    qtbot.waitUntil(lambda: "The model worker is busy." in dock.message, timeout=10_000)
    assert dock.project is not None
    path = dock.project.journal(dock.form.model.cases[1].id, "objects")
    assert not path.exists()
    # A result without objects suggests none.
    dock.suggest.switch.setChecked(False)
    dock.suggest.switch.setChecked(True)
    asked(dock, client, qtbot, 2)
    empty = found(GRID)
    empty = replace(empty, objects=empty.objects.iloc[:0])
    client.volumes[1][3].future.set_result(empty)
    qtbot.waitUntil(lambda: not dock.suggest.busy, timeout=10_000)
    assert not path.exists()

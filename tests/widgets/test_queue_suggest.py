"""Suggestions for cases of a queue, with a worker that the test answers for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_coseg.annotation.queue_store import DONE
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


def asked(client: VolumeClient, qtbot: Any, name: str = "b") -> list[Any]:
    """Wait until a case is asked for; the last request of it."""

    def of_it() -> list[Any]:
        return [one for one in client.volumes if one[1].name == name]

    qtbot.waitUntil(lambda: bool(of_it()), timeout=10_000)
    return list(of_it()[-1])


def answer(dock: QueueDock, client: VolumeClient, qtbot: Any, name: str = "b") -> None:
    _, wanted, _, pending = asked(client, qtbot, name)
    pending.future.set_result(found(wanted.grid))
    side = dock.suggest if name == "b" else dock.here
    qtbot.waitUntil(lambda: not side.busy, timeout=10_000)


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
    _, wanted, _, pending = asked(client, qtbot)
    assert (wanted.model, wanted.name) == ("coseg-lite-dental", "b")
    assert wanted.grid.difference(GRID) == ""
    dock.suggest.switch.setChecked(False)
    assert pending.future.cancelled()
    assert not dock.suggest.busy
    assert asked(client, qtbot, "a")[3].future.cancelled()
    assert not dock.here.busy


def test_the_open_case_gets_one_too(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    # The next image is read already, or it would be asked for later anyway.
    qtbot.waitUntil(lambda: dock.suggest._last is not None, timeout=10_000)
    dock.suggest.switch.setChecked(True)
    asked(client, qtbot)
    # First the case that a person waits for.
    assert [wanted.name for _, wanted, *_ in client.volumes] == ["a", "b"]
    # For another day, and still wanted then.
    dock.flag()
    answer(dock, client, qtbot, "a")
    qtbot.waitUntil(lambda: "Ctrl+Z takes it away" in dock.message, timeout=10_000)
    expected = found(GRID)
    qtbot.waitUntil(lambda: np.any(objects(viewer, "a").data), timeout=10_000)
    np.testing.assert_array_equal(objects(viewer, "a").data, expected.instances)
    qtbot.waitUntil(lambda: "a regions" in viewer.layers, timeout=10_000)
    np.testing.assert_array_equal(viewer.layers["a regions"].data, expected.regions)
    # Objects lie on regions, and are what one works on.
    assert [layer.name for layer in viewer.layers] == ["a", "a regions", "a objects"]
    assert viewer.layers.selection.active == viewer.layers["a objects"]
    assert dock.message == "Suggestion: 2 objects. Ctrl+Z takes it away."
    labels = dock.desk.labels
    assert isinstance(labels, CaseLabels)
    target = labels.kept["instances"]
    assert isinstance(target, Target)
    assert target.case.undo_name == "Suggestion: 2 objects"
    assert {one.model for one in target.case.objects.values()} == {expected.metadata["model"]}
    target.undo()
    assert not objects(viewer, "a").data.any()
    # Whoever took it back does not want it again.
    first, second = (case.id for case in dock.form.model.cases[:2])
    asks = len(client.volumes)
    go(dock, qtbot, second)
    go(dock, qtbot, first)
    qtbot.wait(200)
    assert "a" not in [wanted.name for _, wanted, *_ in client.volumes[asks:]]


def test_what_comes_after_an_edit_is_left_out(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    dock.suggest.switch.setChecked(True)
    asked(client, qtbot, "a")
    paint(objects(viewer, "a"), 5)
    before = objects(viewer, "a").data.copy()
    answer(dock, client, qtbot, "a")
    assert "You drew before" in dock.message
    np.testing.assert_array_equal(objects(viewer, "a").data, before)
    # A case that is left gets nothing either.
    first, second = (case.id for case in dock.form.model.cases[:2])
    go(dock, qtbot, second)
    pending = asked(client, qtbot, "b")[3]
    go(dock, qtbot, first)
    assert pending.future.cancelled()


def test_nothing_is_suggested_for_a_case_that_is_done(
    dock: QueueDock, client: VolumeClient, qtbot: Any
) -> None:
    assert dock.project is not None
    assert dock.desk.number is not None
    dock.project.set_status(dock.desk.number, DONE)
    dock.suggest.switch.setChecked(True)
    asked(client, qtbot, "b")
    assert [wanted.name for _, wanted, *_ in client.volumes] == ["b"]


def test_the_next_case_begins_with_what_was_found(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    dock.suggest.switch.setChecked(True)
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
    target = labels.kept["instances"]
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
    assert [wanted.name for _, wanted, *_ in client.volumes] == ["a"]
    assert not dock.suggest.busy


def test_a_case_that_is_opened_early_gets_what_was_begun_for_it(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    dock.suggest.switch.setChecked(True)
    pending = asked(client, qtbot)[3]
    go(dock, qtbot, dock.form.model.cases[1].id)
    assert not pending.future.cancelled()
    assert not objects(viewer, "b").data.any()
    # It is not asked for again.
    assert [wanted.name for _, wanted, *_ in client.volumes].count("b") == 1
    pending.future.set_result(found(GRID))
    qtbot.waitUntil(lambda: np.any(objects(viewer, "b").data), timeout=10_000)


def test_what_goes_wrong_is_said_and_nothing_is_kept(
    dock: QueueDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    dock.suggest.switch.setChecked(True)
    pending = asked(client, qtbot)[3]
    pending.future.set_exception(CosegError("The model worker is busy."))
    qtbot.waitUntil(lambda: "The model worker is busy." in dock.message, timeout=10_000)
    assert dock.project is not None
    path = dock.project.journal(dock.form.model.cases[1].id, "objects")
    assert not path.exists()
    # A result without objects suggests none.
    dock.suggest.switch.setChecked(False)
    dock.suggest.switch.setChecked(True)
    qtbot.waitUntil(lambda: asked(client, qtbot)[3] is not pending, timeout=10_000)
    empty = found(GRID)
    empty = replace(empty, objects=empty.objects.iloc[:0])
    asked(client, qtbot)[3].future.set_result(empty)
    qtbot.waitUntil(lambda: not dock.suggest.busy, timeout=10_000)
    assert not path.exists()

"""The Segment dock with a worker that answers at once."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_coseg.imaging.source import ImageSource
from napari_coseg.layers.results import each_result_layer
from napari_coseg.types import CosegError
from napari_coseg.weights.listing import to_message
from napari_coseg.widgets.segment_dock import SegmentDock
from napari_coseg.widgets.session import Session
from napari_coseg.worker.keys import Endpoint, KeyPair
from napari_coseg.worker.launcher import LocalHost, RemoteHost
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.requests import SegmentRequest
from tests.layers.test_results import result


class FakeClient:
    """Keeps requests until the test answers them."""

    closed = False
    host: LocalHost | RemoteHost = LocalHost()

    def __init__(self) -> None:
        self.asked: list[tuple[ImageSource, SegmentRequest, Handlers, Pending]] = []
        self.loaded: list[str] = []

    def load(self, model: str, device: str) -> Future[Any]:
        """Note the model."""
        self.loaded.append(model)
        return Future()

    def segment(self, source: ImageSource, wanted: SegmentRequest, handlers: Handlers) -> Pending:
        """Note the request."""
        pending = Pending("segment", {}, source, handlers)
        self.asked.append((source, wanted, handlers, pending))
        return pending

    def cancel(self, pending: Pending) -> None:
        """Cancel as the real one does."""
        pending.future.cancel()

    def answer(self, error: Exception | None = None) -> None:
        """Answer the last request."""
        source, wanted, _, pending = self.asked[-1]
        if error is not None:
            pending.future.set_exception(error)
            return
        answer = result(*source.shape, wanted.mpp)
        answer.metadata |= {"seconds": {"all": 0.5}, "device": "cpu"}
        pending.future.set_result(answer)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notifications."""
    heard: list[str] = []
    for name in ("show_info", "show_warning", "show_error"):
        monkeypatch.setattr(f"napari_coseg.widgets.segment_dock.{name}", heard.append)
        for module in ("segment_results", "background"):
            monkeypatch.setattr(
                f"napari_coseg.widgets.{module}.{name}", heard.append, raising=False
            )
    return heard


@pytest.fixture
def dock(viewer: Any, client: FakeClient, said: list[str], qtbot: Any) -> Iterator[SegmentDock]:
    session = Session()
    session._client = client  # type: ignore[assignment]
    made = SegmentDock(viewer, session)
    qtbot.addWidget(made)
    yield made
    made.close()


def picture(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def names(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]


def finish(dock: SegmentDock, client: FakeClient, qtbot: Any) -> None:
    client.answer()
    qtbot.waitUntil(lambda: not dock.running)


def test_no_image_offers_samples(dock: SegmentDock, viewer: Any, client: FakeClient) -> None:
    assert not dock.form._samples.isHidden()
    assert not dock._button.isEnabled()
    dock.start()
    assert client.asked == []
    # The worker loads while the person looks around.
    assert client.loaded == ["coseg-lite-histology"]
    viewer.add_image(picture(8, 10, 3), rgb=True)
    assert dock.form._samples.isHidden()
    assert dock._button.isEnabled()


def test_a_run_makes_layers_and_a_legend(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any, said: list[str]
) -> None:
    image = viewer.add_image(picture(8, 10, 3), rgb=True, name="tile", scale=(0.5, 0.5), units="um")
    dock.start()
    assert dock._button.text() == "Cancel"
    source, wanted, handlers, _ = client.asked[0]
    assert source.shape == wanted.shape == (8, 10)
    assert (wanted.mpp, wanted.mpp_origin, wanted.name) == (0.5, "image", "tile")
    handlers.progress(1, 4)
    qtbot.waitUntil(lambda: dock.status == "Tile 1 of 4")
    finish(dock, client, qtbot)
    assert names(viewer) == ["tile", "tile regions", "tile instances"]
    assert dock.status == "tile: 2 objects in 0.5 s (cpu)."
    assert dock._button.text() == "Run"
    assert viewer.layers.selection.active is image
    tree = dock.results._legend
    rows = [tree.topLevelItem(i).child(0).text(0) for i in range(tree.topLevelItemCount())]
    assert rows == ["g", "a"]
    assert said == []


def test_a_second_run_loses_nothing_and_is_undone(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    for _ in range(2):
        dock.start()
        finish(dock, client, qtbot)
    assert names(viewer)[-2:] == ["tile regions [1]", "tile instances [1]"]
    assert [layer.visible for layer in viewer.layers] == [True, False, False, True, True]
    dock.results.undo()
    assert names(viewer) == ["tile", "tile regions", "tile instances"]
    assert all(layer.visible for layer in viewer.layers)
    dock.results.undo()
    assert names(viewer) == ["tile"]
    assert not dock.results._undo.isEnabled()


def test_the_line_is_of_the_run_that_is_shown(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    for name in ("first", "second"):
        viewer.layers.selection.active = viewer.add_image(picture(8, 10, 3), rgb=True, name=name)
        dock.start()
        finish(dock, client, qtbot)
    assert dock.status == "second: 2 objects in 0.5 s (cpu)."
    dock.results.undo()
    assert dock.status == "first: 2 objects in 0.5 s (cpu)."
    # Of two layers one may go.
    viewer.layers.remove("first regions")
    assert dock.status == "first: 2 objects in 0.5 s (cpu)."
    viewer.layers.remove("first instances")
    assert dock.status == ""
    # What is under way is not talked over.
    dock.start()
    finish(dock, client, qtbot)
    dock.start()
    dock.results.undo()
    assert dock.status == "Getting the model ready …"
    dock.cancel()


def test_layers_come_one_a_turn(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    order: list[str] = []

    def note(event: Any) -> None:
        order.append(event.value.name)
        QTimer.singleShot(0, lambda: order.append("something else"))

    viewer.layers.events.inserted.connect(note)
    dock.start()
    finish(dock, client, qtbot)
    assert order[:3] == ["tile regions", "something else", "tile instances"]


@pytest.mark.parametrize("at_once", [True, False], ids=["within a turn", "between turns"])
def test_cancel_while_the_layers_are_made(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any, at_once: bool
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    dock.start()
    finish(dock, client, qtbot)
    before = list(viewer.layers)

    def stop(event: Any) -> None:
        assert not dock.results._undo.isEnabled()
        if at_once:
            dock.cancel()
        else:
            QTimer.singleShot(0, dock.cancel)

    viewer.layers.events.inserted.connect(stop)
    dock.start()
    finish(dock, client, qtbot)
    qtbot.waitUntil(lambda: dock.results._undo.isEnabled())
    assert dock.status == "Cancelled."
    assert list(viewer.layers) == before
    assert all(layer.visible for layer in before)
    assert dock.results.layers == before[1:]
    # And nothing of it is left that would end the next one.
    viewer.layers.events.inserted.disconnect(stop)
    dock.start()
    finish(dock, client, qtbot)
    assert len(viewer.layers) == 5
    assert dock.status == "tile: 2 objects in 0.5 s (cpu)."


def test_a_layer_that_goes_while_the_next_is_made(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")

    def remove(event: Any) -> None:
        if event.value.name == "tile regions":
            QTimer.singleShot(0, lambda: viewer.layers.remove("tile regions"))

    viewer.layers.events.inserted.connect(remove)
    dock.start()
    finish(dock, client, qtbot)
    assert names(viewer) == ["tile", "tile instances"]
    assert [layer.name for layer in dock.results.layers] == ["tile instances"]
    dock.results.undo()
    assert names(viewer) == ["tile"]


def test_a_layer_that_cannot_be_made(
    dock: SegmentDock,
    viewer: Any,
    client: FakeClient,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")

    def fails(*found: Any) -> Iterator[Any]:
        yield next(each_result_layer(*found))
        raise MemoryError("no room")

    monkeypatch.setattr("napari_coseg.widgets.segment_dock.each_result_layer", fails)
    dock.start()
    with qtbot.captureExceptions() as caught:
        finish(dock, client, qtbot)
    assert [str(error) for _, error, _ in caught] == ["no room"]
    assert names(viewer) == ["tile"]
    assert dock.status == "Not done."
    assert dock._button.text() == "Run"


def test_a_class_is_switched_off_in_the_legend(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    dock.start()
    finish(dock, client, qtbot)
    layer = viewer.layers["tile instances"]
    assert layer.get_color(1)[3] == 1
    row = dock.results._legend.topLevelItem(1).child(0)
    row.setCheckState(0, Qt.CheckState.Unchecked)
    assert layer.get_color(1)[3] == 0
    assert layer.get_color(2)[3] == 1
    dock.results._colour_by.setCurrentIndex(1)
    assert layer.get_color(1)[3] == 0
    row.setCheckState(0, Qt.CheckState.Checked)
    assert layer.get_color(1)[3] == 1


def test_results_are_exported_and_nothing_is_overwritten(
    dock: SegmentDock,
    viewer: Any,
    client: FakeClient,
    said: list[str],
    qtbot: Any,
    tmp_path: Path,
) -> None:
    viewer.add_image(picture(40, 50, 3), rgb=True, name="slide 7/a.tif")
    assert not dock.results._export.isEnabled()
    dock.start()
    finish(dock, client, qtbot)
    assert dock.results._export.isEnabled()
    for _ in range(2):
        dock.results.export(tmp_path)
        qtbot.waitUntil(lambda: dock.results._exporting is None)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert "a.geojson" in found
    assert "a (2)_instances.tif" in found
    assert len(found) == 8
    assert said[-1].startswith("Written into")
    dock.results.export(tmp_path / "nowhere")
    qtbot.waitUntil(lambda: dock.results._exporting is None)
    assert "make the folder" in said[-1]
    assert dock.results._export.isEnabled()


def test_cancel_frees_the_dock_at_once(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True)
    dock.start()
    dock._button.click()
    assert not dock.running
    assert dock.status == "Cancelled."
    assert client.asked[0][3].future.cancelled()
    dock.start()
    finish(dock, client, qtbot)
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("error", [CosegError("The model is bad."), ValueError("odd")])
def test_a_failure_is_a_notification(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any, said: list[str], error: Any
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True)
    dock.start()
    client.answer(error)
    qtbot.waitUntil(lambda: not dock.running)
    assert len(said) == 1
    assert str(error) in said[0]
    assert len(viewer.layers) == 1


def test_the_image_goes_while_it_is_segmented(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    image = viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    dock.start()
    viewer.layers.remove(image)
    finish(dock, client, qtbot)
    assert names(viewer) == ["tile regions", "tile instances"]


def test_a_stack_plane_by_plane(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer.add_image(picture(3, 8, 10), name="stack")
    assert dock.form._form.isRowVisible(dock.form._planes)
    dock.form._planes.setCurrentIndex(1)
    dock.start()
    for count in range(1, 4):
        qtbot.waitUntil(lambda n=count: len(client.asked) == n)
        client.answer()
    qtbot.waitUntil(lambda: not dock.running)
    assert viewer.layers["stack instances"].data.shape == (3, 8, 10)
    assert dock.status.startswith("stack: 6 objects")


def test_areas(
    dock: SegmentDock, viewer: Any, client: FakeClient, said: list[str], qtbot: Any
) -> None:
    viewer.add_image(picture(40, 50, 3), rgb=True, name="tile")
    dock.form._area.setCurrentIndex(2)
    dock.start()
    assert "no Shapes layer" in said[-1]
    shapes = viewer.add_shapes([[[10, 5], [10, 25], [30, 25], [30, 5]]], shape_type="rectangle")
    dock.start()
    assert client.asked[-1][1].shape == (21, 21)
    finish(dock, client, qtbot)
    assert np.allclose(viewer.layers["tile regions"].data_to_world((0, 0)), (10, 5))
    shapes.data = [[[100, 100], [100, 120], [120, 120], [120, 100]]]
    viewer.layers.selection.active = shapes
    dock.start()
    assert "outside" in said[-1]
    assert not dock.running


def test_pixel_sizes_say_where_they_come_from(dock: SegmentDock, viewer: Any) -> None:
    field = dock.form._pixel_size
    viewer.add_image(picture(8, 10, 3), rgb=True, name="plain")
    assert (field.mpp, field.origin) == (0.25, "assumed")
    field._field.setValue(0.4)
    assert field.origin == "given"
    assert dock.form.choices().mpp == pytest.approx(0.4)
    viewer.add_image(picture(8, 10, 3), rgb=True, name="scaled", scale=(0.5, 0.5), units="um")
    assert (field.mpp, field.origin) == (0.5, "image")


def test_the_object_under_the_cursor(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    from types import SimpleNamespace

    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    dock.start()
    finish(dock, client, qtbot)

    def words(row: float, column: float) -> str:
        event = SimpleNamespace(position=(row, column), view_direction=None, dims_displayed=(0, 1))
        return dock.results._words_at(event)

    assert words(2, 2).startswith("Object 1 · a")
    assert words(0, 0) == "g"
    assert words(0, 9) == ""
    assert words(-50, -50) == ""


@pytest.mark.parametrize("way", ["window", "napari"])
def test_a_closed_dock_ends_its_run(
    dock: SegmentDock, viewer: Any, client: FakeClient, way: str
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True)
    before = len(viewer.mouse_move_callbacks)
    if way == "napari":
        viewer.window.add_dock_widget(dock)
    dock.start()
    if way == "napari":
        viewer.window.remove_dock_widget(dock)
    else:
        dock.close()
    assert client.asked[0][3].future.cancelled()
    assert len(viewer.mouse_move_callbacks) == before - 1
    viewer.layers.clear()


def test_layers_in_another_order(dock: SegmentDock, viewer: Any) -> None:
    first = viewer.add_image(picture(8, 10, 3), rgb=True, name="first")
    second = viewer.add_image(picture(8, 10, 3), rgb=True, name="second")
    viewer.layers.move(0, 2)
    for layer in (first, second, first):
        viewer.layers.selection.active = layer
        assert dock.form.choices().image is layer


def test_what_is_in_view(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any, said: list[str]
) -> None:
    image = viewer.add_image(picture(400, 500, 3), rgb=True, name="tile", translate=(1000, 0))
    rows, columns = viewer.canvas.viewbox_size(viewer.layers)
    viewer.scene.camera.center = (0, 1100, 250)
    viewer.scene.camera.zoom = rows / 100
    dock.form._area.setCurrentIndex(1)
    dock.start()
    seen_rows, seen_columns = client.asked[-1][1].shape
    assert abs(seen_rows - 100) <= 2
    assert abs(seen_columns - min(500, 100 * columns / rows)) <= 2
    finish(dock, client, qtbot)
    corner = viewer.layers["tile regions"].data_to_world((0, 0))
    assert abs(corner[0] - 1050) <= 2
    viewer.scene.camera.center = (0, 5000, 250)
    dock.start()
    assert "Nothing of tile is in view" in said[-1]
    viewer.layers.selection.active = image


def test_switched_off_classes_stay_off(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    other = viewer.add_labels(np.zeros((8, 10), int), name="mine")
    dock.start()
    finish(dock, client, qtbot)
    dock.results._legend.topLevelItem(1).child(0).setCheckState(0, Qt.CheckState.Unchecked)
    viewer.layers.remove(other)
    row = dock.results._legend.topLevelItem(1).child(0)
    assert row.checkState(0) == Qt.CheckState.Unchecked
    dock.start()
    finish(dock, client, qtbot)
    # Both layers of the last run go by hand: the run before is the last one now.
    for layer in dock.results.layers:
        viewer.layers.remove(layer)
    row = dock.results._legend.topLevelItem(1).child(0)
    assert row.checkState(0) == Qt.CheckState.Unchecked
    assert dock.results._undo.isEnabled()


def test_a_dock_never_imports_torch() -> None:
    script = textwrap.dedent(
        """
        import sys
        import napari_coseg.widgets.evaluate_dock
        import napari_coseg.widgets.prompt_dock
        import napari_coseg.widgets.segment_dock
        import napari_coseg.worker.client
        loaded = {"torch", "timm", "torchvision", "segment_anything"} & set(sys.modules)
        assert not loaded, loaded
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def rows(dock: SegmentDock) -> list[str]:
    return [dock.form._image.itemText(row) for row in range(dock.form._image.count())]


def test_split_channels_are_one_picture(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    data = np.zeros((2, 40, 50), np.uint16)
    data[1, :20] = 1000
    scale = {"scale": (0.5, 0.5), "units": "um"}
    names_ = ["DAPI", "CD3"]
    dapi, cd3 = viewer.add_image(data, channel_axis=0, name=names_, **scale)
    cd3.contrast_limits = (0, 2000)
    assert rows(dock) == ["All visible channels (DAPI, CD3)", "DAPI", "CD3"]
    assert dock.form._image.layers == (dapi, cd3)
    for row in (dock.form._channels, dock.form._planes):
        assert not dock.form._form.isRowVisible(row)
    dock.start()
    source, wanted, _, _ = client.asked[0]
    assert (wanted.name, wanted.mpp) == ("DAPI, CD3", 0.5)
    # Whatever is turned while it runs.
    cd3.contrast_limits = (0, 10)
    assert source.read(0, 0, 40, 50)[[0, 30], 0].tolist() == [[0, 128, 0], [0, 0, 0]]
    finish(dock, client, qtbot)
    made = viewer.layers["DAPI, CD3 instances"]
    assert made.data.shape == (40, 50)
    assert np.array_equal(made.scale, dapi.scale)
    assert dock.form._image.layers == (dapi, cd3)


def test_a_group_follows_what_is_visible(dock: SegmentDock, viewer: Any) -> None:
    field = dock.form._image
    a, b, c = viewer.add_image(picture(3, 40, 50), channel_axis=0, name=["a", "b", "c"])
    assert field.layers == (a, b, c)
    dock.form._pixel_size._field.setValue(0.4)
    b.visible = False
    assert field.layers == (a, c)
    assert dock.form.choices().mpp == pytest.approx(0.4)
    # Contrast is turned on an active channel; what is segmented stays.
    viewer.layers.selection.active = c
    assert field.layers == (a, c)
    c.visible = False
    assert rows(dock) == ["a", "b", "c"]
    assert len(field.layers) == 1
    c.visible = True
    assert field.layers == (a, c)
    # Who wants one channel chooses it.
    field.setCurrentIndex(3)
    field.activated.emit(3)
    assert field.layers == (c,)
    b.visible = True
    viewer.layers.selection.active = a
    assert field.layers == (a,)
    other = viewer.add_image(picture(8, 10, 3), rgb=True, name="other")
    assert field.layers == (other,)
    for layer in (b, c, other):
        viewer.layers.remove(layer)
    assert field.layers == (a,)


def test_an_axis_of_channels(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    form = dock.form

    def visible() -> tuple[bool, bool]:
        return form._form.isRowVisible(form._channels), form._form.isRowVisible(form._planes)

    viewer.add_image(picture(40, 50, 3), rgb=True, name="colour")
    assert visible() == (False, False)
    # It might be depth: as it is shown, unless somebody says otherwise.
    plain = viewer.add_image(picture(3, 40, 50), name="plain")
    assert visible() == (True, True)
    assert not form.choices().mix
    plain.axis_labels = ("z", "y", "x")
    assert visible() == (False, True)
    plain.axis_labels = ("c", "y", "x")
    assert visible() == (True, False)
    assert form.choices().mix
    movie = np.zeros((4, 3, 40, 50), np.uint8)
    movie[2] = np.array([10, 20, 30])[:, None, None]
    viewer.add_image(movie, name="movie", axis_labels=("t", "c", "y", "x"))
    assert visible() == (True, True)
    viewer.dims.set_point([0, 1], [2, 1])
    dock.start()
    assert client.asked[0][0].read(0, 0, 1, 1).tolist() == [[[10, 20, 30]]]
    finish(dock, client, qtbot)
    assert viewer.layers["movie regions"].data.shape == (1, 1, 40, 50)
    form._channels.setCurrentIndex(1)
    assert not form.choices().mix
    dock.start()
    assert client.asked[1][0].read(0, 0, 1, 1).tolist() == [[[20, 20, 20]]]
    dock.cancel()


def test_channels_come_last(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any, said: list[str]
) -> None:
    viewer.add_image(picture(40, 50, 2), name="last")
    dock.start()
    assert client.asked[0][1].shape == (40, 50)
    finish(dock, client, qtbot)
    assert viewer.layers["last regions"].data.shape == (40, 50, 1)
    dock.form._area.setCurrentIndex(1)
    dock.start()
    assert "change the order of the axes" in said[-1]
    viewer.dims.order = (2, 0, 1)
    viewer.reset_view()
    dock.start()
    assert client.asked[-1][1].shape == (40, 50)
    dock.cancel()


def test_very_many_objects(dock: SegmentDock, viewer: Any, tmp_path: Path, qtbot: Any) -> None:
    from types import SimpleNamespace

    from qtpy.QtCore import Qt

    from napari_coseg.widgets.evaluate_dock import EvaluateDock
    from tests.layers.test_crowds import crowd, layers

    regions, ids, picture = layers(crowd())
    panel = dock.results
    panel.add([regions, ids, picture])
    assert panel._legend.topLevelItemCount() == 2
    event = SimpleNamespace(position=(0.5, 0.5), view_direction=None, dims_displayed=(0, 1))
    assert panel._words_at(event).startswith(f"Object {ids.data[1, 1]} · a")
    event.position = (-50, -50)
    assert panel._words_at(event) == ""
    panel._legend.topLevelItem(1).child(0).setCheckState(0, Qt.CheckState.Unchecked)
    assert picture.get_color(int(picture.data[1, 1]))[3] == 0
    panel._colour_by.setCurrentIndex(1)
    assert picture.data[1, 1] == 0
    # Regions have nothing to do with the picture, whose making takes its time.
    pixels = picture.data
    panel._legend.topLevelItem(0).child(0).setCheckState(0, Qt.CheckState.Unchecked)
    assert picture.data is pixels
    panel._colour_by.setCurrentIndex(0)
    assert picture.data[1, 1] > 0
    # Which of two layers a person has chosen to see comes back with the run.
    panel.add(layers(crowd()))
    assert not any(layer.visible for layer in (regions, ids, picture))
    panel.undo()
    assert [layer.visible for layer in (regions, ids, picture)] == [True, False, True]
    panel.export(tmp_path)
    qtbot.waitUntil(lambda: panel._exporting is None, timeout=20_000)
    assert len(list(tmp_path.iterdir())) == 4
    judge = EvaluateDock(viewer)
    qtbot.addWidget(judge)
    offered = [judge._prediction.itemText(i) for i in range(judge._prediction.count())]
    judge.close()
    assert offered == [regions.name, ids.name]


@pytest.fixture
def described() -> Future[dict[str, Any]]:
    """What a remote host says of itself, to be filled in."""
    return Future()


@pytest.fixture
def remote_dock(
    viewer: Any,
    client: FakeClient,
    described: Future[dict[str, Any]],
    said: list[str],
    qtbot: Any,
) -> Iterator[SegmentDock]:
    keys = KeyPair.new()
    client.host = RemoteHost(Endpoint("tcp://127.0.0.1:1", keys.public), keys)
    client.describe = lambda: described  # type: ignore[attr-defined]
    session = Session()
    session._client = client  # type: ignore[assignment]
    made = SegmentDock(viewer, session)
    qtbot.addWidget(made)
    yield made
    made.close()


def test_a_remote_host_offers_its_own_models(
    remote_dock: SegmentDock,
    client: FakeClient,
    described: Future[dict[str, Any]],
    said: list[str],
    qtbot: Any,
) -> None:
    dock = remote_dock
    box = dock.form._model
    assert box.currentText() == "coseg-lite-histology"
    ours = box.currentData()
    theirs = ours.model_copy(update={"name": "big", "licence": "CC0-1.0"})
    told = to_message([("big", theirs), ("coseg-lite-histology", ours)])
    described.set_result({"models": json.loads(json.dumps(told))})
    qtbot.waitUntil(lambda: box.count() == 2)
    assert [box.itemText(i) for i in range(2)] == ["big", "coseg-lite-histology"]
    # What was chosen stays chosen.
    assert dock.form.model == "coseg-lite-histology"
    box.setCurrentIndex(0)
    assert client.loaded[-1] == "big"
    assert "CC0-1.0" in dock.form._about.text()
    assert said == []


@pytest.mark.parametrize("answer", [{}, {"models": [["a", "{}"]]}, {"models": "abc"}, None])
def test_a_remote_host_that_tells_no_models(
    remote_dock: SegmentDock,
    described: Future[dict[str, Any]],
    said: list[str],
    qtbot: Any,
    answer: dict[str, Any] | None,
) -> None:
    if answer is None:
        described.set_exception(CosegError("The model worker does not answer."))
    else:
        described.set_result(answer)
    qtbot.waitUntil(lambda: len(said) == 1)
    assert remote_dock.form.model == "coseg-lite-histology"


def test_doubtful_objects_are_left_out_as_the_model_says_or_the_person(
    dock: SegmentDock, viewer: Any, client: FakeClient
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    model = dock.form._model
    card = model.currentData()
    for least in (0.7, 0.0):
        changed = card.model_copy(update={"post_processing": {"min_score": least}})
        dock.form.show_models([("one", changed)])
        assert dock.form.more.surest.value() == pytest.approx(least)
    dock.start()
    assert client.asked[-1][1].min_score is None
    dock.cancel()
    dock.form.more.surest.setValue(0.9)
    # The same models once more, as when a remote host has told of its own.
    dock.form.show_models([("one", changed)])
    dock.start()
    assert client.asked[-1][1].min_score == pytest.approx(0.9)
    # What is wrong with a card is said when it is used.
    broken = card.model_copy(update={"post_processing": {"min_score": "high"}})
    dock.form.show_models([("broken", broken)])
    assert dock.form.more.surest.value() == 0


def test_undo_brings_back_what_was_seen_last(
    dock: SegmentDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    for _ in range(2):
        dock.start()
        finish(dock, client, qtbot)
    for layer in dock.results.layers:
        viewer.layers.remove(layer)
    first = dock.results.layers
    assert not any(layer.visible for layer in first)
    dock.start()
    finish(dock, client, qtbot)
    dock.results.undo()
    assert all(layer.visible for layer in first)


@pytest.mark.parametrize("dock", ["segment_dock", "prompt_dock"])
def test_a_dock_opens_without_what_only_results_need(dock: str) -> None:
    """Each of them takes longer to import than the dock takes to open."""
    script = (
        "import sys, napari, napari.viewer\n"
        f"import napari_coseg.widgets.{dock}\n"
        "print(*{'pandas', 'scipy.ndimage', 'torch'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""

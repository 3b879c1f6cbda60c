"""Objects followed through a volume in the Prompt dock, by a worker that knows no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from napari_coseg.inference.key_planes import KeyPlane, PlaneMask
from napari_coseg.types import CosegError, Mask
from napari_coseg.widgets.prompt_dock import PromptDock
from napari_coseg.widgets.prompt_walk_plan import span_of
from napari_coseg.worker.pending import Handlers, Pending
from tests.widgets import test_prompt_dock as parts
from tests.widgets.test_prompt_dock import box, ellipse, ids, labels, settle

viewer, told, make_dock = parts.viewer, parts.told, parts.make_dock

PLANES, NOTHING = 20, Mask((0, 0), np.zeros((0, 0), bool))


class FakeClient(parts.FakeClient):
    """Takes every object for a rod from plane 3 to plane 15; the test says when."""

    def __init__(self) -> None:
        super().__init__()
        self.walks: list[Any] = []
        self.ends = (3, 16)

    def propagate(self, pictures: Any, keys: Sequence[KeyPlane], **told: Any) -> Pending:
        pending = Pending("propagate", {})
        self.walks.append((pictures, list(keys), told, pending))
        return pending

    def planes(self, number: int = -1) -> list[PlaneMask]:
        """What the real one would send, but for its order."""
        _, keys, told, _ = self.walks[number]
        found = [PlaneMask(key.label, key.plane, key.mask, 1.0, "confirmed") for key in keys]
        for label in dict.fromkeys(key.label for key in keys):
            own = {key.plane: key.mask for key in keys if key.label == label}
            first, end = told["reach"][label]
            low, high = max(first, self.ends[0]), min(end, self.ends[1])
            for plane in range(low, high):
                if plane in own:
                    continue
                mask = own[min(own, key=lambda key: abs(key - plane))]
                taken = told["taken"]
                bits = mask.bits
                if taken is not None:
                    bits = bits & ~taken(plane)[mask.window]
                found.append(PlaneMask(label, plane, Mask.of(bits, mask.origin), 0.8, "followed"))
            for plane, border in ((low - 1, first), (high, end)):
                fault: Any = "nothing" if plane not in (border, border - 1) else ""
                found.append(PlaneMask(label, plane, NOTHING, 0.0, "ended", fault))
        return found

    def send(self, count: int | None = None) -> None:
        handlers: Handlers = self.walks[-1][2]["handlers"]
        for found in self.planes()[:count]:
            handlers.plane(found)

    def finish(self, error: Exception | None = None) -> None:
        future = self.walks[-1][3].future
        if not future.cancelled():
            future.set_exception(error) if error else future.set_result(self.planes())


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def volume(make_napari_viewer: Callable[[], Any]) -> Any:
    made = make_napari_viewer()
    voxels = np.random.default_rng(0).integers(0, 256, (PLANES, 60, 80), np.uint8)
    layer = made.add_image(voxels, name="jaw", scale=(0.4, 0.4, 0.4))
    layer.units = ("mm", "mm", "mm")
    made.dims.set_current_step(0, 10)
    return made


@pytest.fixture
def dock(make_dock: Callable[[Any], PromptDock], volume: Any) -> PromptDock:
    made = make_dock(volume)
    made.take("box")
    return made


def go(dock: PromptDock, client: FakeClient, qtbot: Any, way: str = "both") -> None:
    """Press the button and wait for the end."""
    dock.form.walk.ways.setCurrentIndex(dock.form.walk.ways.findData(way))
    dock.form.walk.pressed.emit()
    client.finish()
    qtbot.waitUntil(lambda: not dock.walks.running)


def extent(dock: PromptDock, label: int, axis: int = 0) -> list[int]:
    others = tuple(a for a in range(3) if a != axis)
    return np.flatnonzero((labels(dock) == label).any(others)).tolist()


def to_plane(viewer: Any, plane: int) -> None:
    viewer.dims.set_current_step(0, plane)


def test_only_volumes_have_the_button(
    dock: PromptDock, make_dock: Callable[[Any], PromptDock], viewer: Any
) -> None:
    assert not dock.form.walk.isHidden()
    assert not dock.form.walk.ready
    flat = make_dock(viewer)
    flat.walks.show()
    assert flat.form.walk.isHidden()
    flat.walks.toggle()
    assert not flat.walks.running


def test_a_box_on_one_plane_becomes_an_object_of_many(
    dock: PromptDock, client: FakeClient, volume: Any, qtbot: Any
) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    assert dock.form.walk.ready
    dock.form.walk.pressed.emit()
    assert dock.form.walk.words.startswith("Cancel")
    client.send(8)
    qtbot.waitUntil(lambda: "planes 3 to 10 of 20" in dock.status)
    # Planes are seen as they come, where the person looks.
    preview = volume.layers["Preview"]
    to_plane(volume, 4)
    assert int((preview.data > 0).sum()) == ellipse((10, 20, 30, 50)).area
    to_plane(volume, 12)
    assert not preview.data.any()
    assert dock.desk.target is None
    client.send()
    client.finish()
    qtbot.waitUntil(lambda: not dock.walks.running)
    assert ids(dock) == {1}
    assert extent(dock, 1) == list(range(3, 16))
    assert dock.status == (
        "Object 1: planes 3 to 15. Ended at 2: the object is gone; at 16: the object is gone."
    )
    assert dock.desk.target is not None
    record = dock.desk.target.case.objects[1]
    assert record.planes == (10,)
    assert record.prompts[0].box == (10, 20, 30, 50)
    assert record.score == pytest.approx(0.8)
    assert dock.desk.target.case.undo_name == "follow: object 1"
    assert dock.form.walk.words == "Propagate"
    # One step.
    dock.undo()
    assert ids(dock) == set()
    dock.redo()
    assert extent(dock, 1) == list(range(3, 16))
    # What the model saw is what is shown, in mm.
    pictures = client.walks[0][0]
    assert pictures.spacing == pytest.approx((0.4, 0.4, 0.4))
    seen = pictures.picture(7).read(0, 0, 60, 80)[..., 0]
    assert (seen == volume.layers["jaw"].data[7]).all()


def test_cancel_leaves_no_half_object(
    dock: PromptDock, client: FakeClient, volume: Any, qtbot: Any
) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    dock.walks.toggle()
    client.send(5)
    qtbot.waitUntil(lambda: "Following" in dock.status)
    dock.discard()  # Escape
    assert not dock.walks.running
    assert client.walks[-1][3].future.cancelled()
    client.send()
    assert dock.desk.target is None
    # What was drawn is there again, to be kept or followed anew.
    assert dock.drawing.work.drawn.box == (10, 20, 30, 50)
    assert int((volume.layers["Preview"].data > 0).sum()) == ellipse((10, 20, 30, 50)).area
    dock.walks.toggle()
    dock.walks.toggle()
    assert "nothing was changed" in dock.status
    go(dock, client, qtbot)
    assert extent(dock, 1) == list(range(3, 16))


def test_what_fails_is_told_and_nothing_has_changed(
    dock: PromptDock, client: FakeClient, qtbot: Any
) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    dock.walks.toggle()
    client.send(5)
    client.finish(CosegError("The model worker has lost this work twice."))
    qtbot.waitUntil(lambda: not dock.walks.running)
    assert dock.status == "The model worker has lost this work twice. Nothing was changed."
    assert not dock.drawing.idle
    assert dock.desk.target is None


def test_planes_of_a_host_that_died_are_forgotten(
    dock: PromptDock, client: FakeClient, qtbot: Any, volume: Any
) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    dock.walks.toggle()
    client.send(8)
    qtbot.waitUntil(lambda: "planes 3 to 10" in dock.status)
    client.walks[-1][2]["handlers"].restarted()
    to_plane(volume, 4)
    assert not volume.layers["Preview"].data.any()
    client.send(2)
    qtbot.waitUntil(lambda: "planes 3 to 10" in dock.status)
    client.finish()
    qtbot.waitUntil(lambda: not dock.walks.running)
    assert extent(dock, 1) == list(range(3, 16))


def test_a_correction_runs_again_from_here_on(
    dock: PromptDock, client: FakeClient, volume: Any, qtbot: Any
) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    go(dock, client, qtbot)
    before = labels(dock).copy()
    to_plane(volume, 13)
    dock.canvas.clicked.emit(20.0, 35.0, False)  # opens it again
    assert dock.drawing.work.label == 1
    box(dock, qtbot, 10, 20, 30, 40)
    client.ends = (3, 15)
    go(dock, client, qtbot, "onward")
    _, keys, told, _ = client.walks[-1]
    assert told["reach"] == {1: (13, 20)}
    assert [(key.label, key.plane) for key in keys] == [(1, 10), (1, 13)]
    now = labels(dock)
    assert (now[:13] == before[:13]).all()
    assert now[13].sum() == now[14].sum() == ellipse((10, 20, 30, 40)).area
    # It ends sooner now.
    assert not now[15:].any()
    assert dock.desk.target is not None
    assert dock.desk.target.case.objects[1].planes == (10, 13)
    # Both planes that were drawn on bound what follows from one between them.
    to_plane(volume, 11)
    dock.canvas.clicked.emit(20.0, 25.0, False)
    box(dock, qtbot, 14, 24, 30, 40)
    go(dock, client, qtbot)
    assert client.walks[-1][2]["reach"] == {1: (11, 13)}
    assert [key.plane for key in client.walks[-1][1]] == [10, 11, 13]
    for number in range(3):
        dock.undo()
        if number == 1:
            assert (labels(dock) == before).all()
    assert ids(dock) == set()


def test_several_objects_go_together_and_others_are_protected(
    dock: PromptDock, client: FakeClient, volume: Any, qtbot: Any
) -> None:
    # In the way of the first one, on another plane.
    to_plane(volume, 12)
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    to_plane(volume, 10)
    for row in (2, 20, 40):
        box(dock, qtbot, row, 8, row + 10, 18)
    assert dock.form.walk.words == "Propagate 3 objects"
    go(dock, client, qtbot)
    assert len(client.walks[-1][1]) == 3
    assert ids(dock) == {1, 2, 3, 4}
    for label in (2, 3, 4):
        assert extent(dock, label) == list(range(3, 16))
    assert (labels(dock)[12, 2:12, 5:15] == 1).sum() == ellipse((2, 5, 12, 15)).area
    free = client.walks[-1][2]["taken"]
    assert free(12)[7, 10]
    # Their own pixels come anew.
    assert not free(10)[20:30].any()
    assert dock.status.startswith("3 objects followed")
    assert dock.form.status.toolTip().count("\n") == 2
    dock.undo()
    assert ids(dock) == {1, 2, 3}
    dock.form.protect.setChecked(False)
    dock.editing.select([2, 3])
    assert dock.form.walk.words == "Propagate 2 objects"
    go(dock, client, qtbot)
    assert client.walks[-1][2]["taken"] is None
    assert (labels(dock)[12] == 1).sum() < ellipse((2, 5, 12, 15)).area


def test_what_the_person_does_meanwhile_counts_more(
    dock: PromptDock, client: FakeClient, volume: Any, qtbot: Any
) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    go(dock, client, qtbot)
    dock.editing.select([1])
    dock.walks.toggle()
    # Another object is drawn, and this one deleted.
    box(dock, qtbot, 40, 20, 50, 50)
    dock.drawing.commit()
    dock.editing.select([1])
    dock.editing.delete()
    client.finish()
    qtbot.waitUntil(lambda: not dock.walks.running)
    assert ids(dock) == {2}
    assert "stays as you changed it" in dock.status


def test_a_layer_that_goes_takes_the_walk_along(
    dock: PromptDock,
    client: FakeClient,
    volume: Any,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []
    monkeypatch.setattr("napari_coseg.widgets.prompt_propagate.show_info", heard.append)
    box(dock, qtbot, 10, 20, 30, 50)
    go(dock, client, qtbot)
    dock.editing.select([1])
    dock.walks.toggle()
    volume.layers.remove("jaw objects")
    assert not dock.walks.running
    assert client.walks[-1][3].future.cancelled()
    assert len(heard) == 1
    assert "not kept" in heard[0]
    assert dock.desk.target is None
    # So does the image.
    box(dock, qtbot, 10, 20, 30, 50)
    dock.walks.toggle()
    volume.layers.remove("jaw")
    assert not dock.walks.running
    assert heard[1].startswith("Another image")


def test_after_a_restart_it_goes_on_from_the_same_planes(
    dock: PromptDock, client: FakeClient, volume: Any, qtbot: Any, make_dock: Any
) -> None:
    box(dock, qtbot, 10, 20, 30, 50)
    go(dock, client, qtbot, "higher")
    assert extent(dock, 1) == list(range(10, 16))
    before = labels(dock).copy()
    dock.close()
    volume.layers.remove("jaw objects")
    again = make_dock(volume)
    qtbot.waitUntil(lambda: again.desk.target is not None)
    assert (labels(again) == before).all()
    again.take("points")
    again.canvas.clicked.emit(20.0, 35.0, False)
    assert again.drawing.work.drawn.box == (10, 20, 30, 50)
    go(again, client, qtbot, "lower")
    assert client.walks[-1][2]["reach"] == {1: (0, 11)}
    assert extent(again, 1) == list(range(3, 16))
    again.undo()
    again.undo()
    assert ids(again) == set()


@pytest.mark.parametrize("axis", [1, 2])
def test_along_another_axis(
    make_dock: Any, client: FakeClient, volume: Any, qtbot: Any, axis: int
) -> None:
    volume.dims.order = (axis, *(a for a in range(3) if a != axis))
    volume.dims.set_current_step(axis, 9)
    dock = make_dock(volume)
    dock.take("box")
    box(dock, qtbot, 4, 10, 14, 30)
    settle(dock, qtbot)
    go(dock, client, qtbot)
    assert ids(dock) == {1}
    assert extent(dock, 1, axis) == list(range(3, 16))
    slab = np.take(labels(dock), 9, axis)
    assert slab[4:14, 10:30].sum() == slab.sum() == ellipse((4, 10, 14, 30)).area
    record = dock.desk.target.case.objects[1]
    assert (record.planes, record.axes) == ((9,), (axis,))
    pictures = client.walks[-1][0]
    assert pictures.axis == axis
    seen = pictures.picture(5).read(0, 0, *pictures.shape)[..., 0]
    assert (seen == np.take(volume.layers["jaw"].data, 5, axis)).all()
    # Opened again there, and corrected in that plane alone.
    volume.dims.set_current_step(axis, 7)
    dock.canvas.clicked.emit(9.0, 20.0, False)
    box(dock, qtbot, 4, 10, 14, 20)
    before = labels(dock).copy()
    dock.drawing.commit()
    changed = np.argwhere(labels(dock) != before)
    assert set(changed[:, axis].tolist()) == {7}
    # Back along the first axis, it is an object like any other.
    volume.dims.order = (0, 1, 2)
    assert dock.canvas.layers
    to_plane(volume, 8)
    middle = {1: (9.0, 20.0), 2: (15.0, 9.0)}[axis]
    dock.canvas.clicked.emit(*middle, False)
    assert dock.drawing.work.label == 1
    assert dock.drawing.work.drawn.box is None


def test_which_planes_may_change() -> None:
    assert span_of([10], 10, 20, "both") == (0, 20)
    assert span_of([10], 10, 20, "higher") == (10, 20)
    assert span_of([10], 10, 20, "lower") == (0, 11)
    assert span_of([10, 13], 13, 20, "both") == (11, 20)
    assert span_of([10, 13], 13, 20, "onward") == (13, 20)
    assert span_of([10, 13], 10, 20, "onward") == (0, 11)
    assert span_of([5, 10, 13], 10, 20, "both") == (6, 13)
    # Drawn on two planes, and followed for the first time.
    assert span_of([5, 10], 10, 20, "both", fresh=True) == (0, 20)
    assert span_of([5, 10], 10, 20, "lower", fresh=True) == (0, 11)

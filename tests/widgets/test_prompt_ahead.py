"""What the model is let see while a box is still being drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from napari_coseg.inference.zoom import aim_at, crop_for
from napari_coseg.types import CosegError
from napari_coseg.widgets.prompt_dock import PromptDock
from tests.widgets import test_prompt_dock as parts
from tests.widgets.test_prompt_dock import FakeClient, box, drag, events, settle

client, viewer, told, make_dock, dock = (
    parts.client,
    parts.viewer,
    parts.told,
    parts.make_dock,
    parts.dock,
)


def drawing(dock: PromptDock, path: Sequence[tuple[float, float]]) -> Iterator[None]:
    """Drag over points of the image, a point each time; the button goes with the last one."""
    event = events(path, (), dock._viewer.dims.displayed)
    stroke = dock.canvas._on_drag(dock.canvas.layers[-1], event)
    next(stroke)
    for place in path[1:]:
        yield
        event.type = "mouse_move"
        event.position, event.pos = tuple(v * 0.5 for v in place), np.array(place) * 10
        next(stroke)
    yield
    event.type = "mouse_release"
    next(stroke, None)


def seen(client: FakeClient) -> list[Any]:
    return [prompts[0].box for prompts, *_ in client.asked]


def test_what_a_growing_box_lies_in_is_seen_once_each(dock: PromptDock, client: FakeClient) -> None:
    path = [(9.5, 9.5), *((v, v) for v in np.arange(12.5, 46, 1.0))]
    stroke = drawing(dock, path)
    for _ in path:
        next(stroke)
    crops = [crop_for(aim_at(one, (60, 80)), (60, 80)) for one in seen(client)]
    assert 1 < len(crops) == len(set(crops)) < len(path) / 2
    # Nobody is shown what was found, and nobody waits for it.
    assert dock.drawing.idle
    assert not dock.asker.waiting
    assert not np.any(dock._viewer.layers["Preview"].data)
    next(stroke, None)
    assert seen(client)[-1] == pytest.approx((10, 10, 46, 46))
    assert client.asked[-1][1]["content"] == client.asked[0][1]["content"]


def test_one_at_a_time_and_the_last_one_counts(
    dock: PromptDock, client: FakeClient, qtbot: Any
) -> None:
    client.at_once = False
    stroke = drawing(dock, [(9.5, 9.5), (14, 14), (24, 24), (44, 44)])
    for _ in range(4):
        next(stroke)
    assert [one[2] for one in seen(client)] == [14.5]
    client.answer(0)
    qtbot.waitUntil(lambda: len(client.asked) == 2)
    assert [one[2] for one in seen(client)] == [14.5, 44.5]
    # What is not answered when the button goes keeps nobody waiting.
    next(stroke, None)
    assert client.asked[1][2].future.cancelled()
    client.answer(2)
    settle(dock, qtbot)
    assert dock.drawing.work.mask is not None


def test_a_refused_look_is_not_spoken_of(
    dock: PromptDock, client: FakeClient, told: list[str], qtbot: Any
) -> None:
    client.at_once = False
    stroke = drawing(dock, [(9.5, 9.5), (14, 14), (44, 44)])
    for _ in range(3):
        next(stroke)
    before = dock.status
    client.answer(0, CosegError("The model is ill."))
    qtbot.waitUntil(lambda: len(client.asked) == 2)
    assert dock.status == before
    assert not told


def test_a_box_of_the_object_at_work_is_not_looked_at(
    dock: PromptDock, client: FakeClient, qtbot: Any
) -> None:
    box(dock, qtbot, 10, 10, 20, 20)
    dock.form.each_box.setChecked(False)
    drag(dock, [(4.5, 4.5), (15, 15), (39.5, 39.5)])
    settle(dock, qtbot)
    assert seen(client) == [(10, 10, 20, 20), (5, 5, 40, 40)]


def test_another_image_ends_the_look(dock: PromptDock, client: FakeClient, viewer: Any) -> None:
    client.at_once = False
    stroke = drawing(dock, [(9.5, 9.5), (14, 14)])
    next(stroke)
    next(stroke)
    assert len(client.asked) == 1
    viewer.layers.remove("tile")
    assert client.asked[0][2].future.cancelled()

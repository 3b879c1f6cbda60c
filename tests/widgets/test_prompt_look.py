"""The Prompt dock when its image is shown in another way, or moved, after it was chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_coseg.widgets.prompt_dock import PromptDock
from tests.widgets import test_prompt_dock as parts
from tests.widgets.test_prompt_dock import FakeClient, box, ids, settle

client, viewer, told, make_dock, dock = (
    parts.client,
    parts.viewer,
    parts.told,
    parts.make_dock,
    parts.dock,
)


def rest(dock: PromptDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.look._rest.isActive())


@pytest.fixture
def channels(make_dock: Callable[[Any], PromptDock], make_napari_viewer: Any) -> Any:
    viewer = make_napari_viewer()
    for number, colour in enumerate(("red", "green", "blue")):
        pixels = np.full((60, 80), 10 * (number + 1), np.uint8)
        viewer.add_image(
            pixels, name=colour, colormap=colour, blending="additive", contrast_limits=(0, 100)
        )
    dock = make_dock(viewer)
    dock.take("box")
    return viewer, dock


def test_channels_are_read_as_they_are_shown_now(
    channels: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer, dock = channels
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    target = dock.desk.target

    def seen() -> tuple[str, list[int]]:
        box(dock, qtbot, 14, 5, 24, 15)
        dock.drawing.discard()
        _, told, pending = client.asked[-1]
        return told["content"], pending.source.read(0, 0, 1, 1).ravel().tolist()

    first, colours = seen()
    assert colours == pytest.approx([26, 51, 77], abs=1)
    for high in range(90, 19, -10):  # a slider that is dragged
        viewer.layers["red"].contrast_limits = (0, high)
    rest(dock, qtbot)
    second, colours = seen()
    assert second != first
    assert colours == pytest.approx([128, 51, 77], abs=1)
    # The lowest channel is hidden: the others are the picture, and objects stay where they are.
    viewer.layers["red"].visible = False
    rest(dock, qtbot)
    third, colours = seen()
    assert third != second
    assert colours == pytest.approx([0, 51, 77], abs=1)
    viewer.layers["green"].visible = False
    rest(dock, qtbot)
    _, colours = seen()
    assert colours != pytest.approx([0, 51, 77], abs=1)
    for name in ("red", "green"):
        viewer.layers[name].visible = True
    rest(dock, qtbot)
    assert seen()[1] == pytest.approx([128, 51, 77], abs=1)
    assert dock.desk.target is target
    assert ids(dock) == {1}
    # Nothing has changed: what the worker knows of the picture still counts.
    before = seen()[0]
    viewer.layers["red"].contrast_limits = (0, 50)
    viewer.layers["red"].contrast_limits = (0, 20)
    rest(dock, qtbot)
    assert seen()[0] == before


def test_a_question_on_its_way_is_asked_again(
    channels: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer, dock = channels
    client.at_once = False
    dock.canvas.boxed.emit((2.0, 5.0, 12.0, 15.0))
    viewer.layers["red"].gamma = 0.5
    rest(dock, qtbot)
    assert len(client.asked) == 2
    dock.drawing.commit()
    client.answer(1)
    settle(dock, qtbot)
    assert ids(dock) == {1}


def test_an_image_that_moves_takes_what_is_drawn_along(
    dock: PromptDock, viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    box(dock, qtbot, 2, 5, 12, 15)
    dock.drawing.commit()
    box(dock, qtbot, 14, 5, 24, 15)
    image, content = viewer.layers["tile"], client.asked[-1][1]["content"]
    turned = np.array([[0, 1, 3], [-1, 0, 4], [0, 0, 1]], float)
    for change in ({"translate": (100, 50)}, {"scale": (2, 2)}, {"affine": turned}):
        for name, value in change.items():
            setattr(image, name, value)
        rest(dock, qtbot)
        preview, shapes, points = dock.canvas.layers
        for place in ((0, 0), (14, 5), (3.5, 7)):
            for layer in (shapes, points):
                np.testing.assert_allclose(layer.data_to_world(place), image.data_to_world(place))
        first = np.argwhere(preview.data).min(0)
        np.testing.assert_allclose(preview.data_to_world(first), image.data_to_world((14, 5)))
        assert preview.visible
        assert "tile was moved" in dock.status or "are not those of tile" in dock.status
    dock.drawing.commit()
    assert ids(dock) == {1}
    assert not dock.drawing.idle
    # The objects' layer moves after it: all is well again.
    layer = viewer.layers["tile objects"]
    for name in ("translate", "scale", "affine"):
        setattr(layer, name, getattr(image, name))
    dock.drawing.commit()
    assert ids(dock) == {1, 2}
    # A mere move: the model sees the same pixels; another size of pixels is another picture.
    box(dock, qtbot, 30, 5, 40, 15)
    now = client.asked[-1][1]["content"]
    assert now != content
    image.translate = (0, 0)
    rest(dock, qtbot)
    box(dock, qtbot, 30, 25, 40, 35)
    assert client.asked[-1][1]["content"] == now


def test_a_volume_has_the_window_that_is_shown(
    make_dock: Callable[[Any], PromptDock], make_napari_viewer: Any, client: FakeClient, qtbot: Any
) -> None:
    viewer = make_napari_viewer()
    voxels = np.full((3, 60, 80), -200, np.int16)
    voxels[:, 20:30, 30:40] = 1400
    layer = viewer.add_image(voxels, name="CT", contrast_limits=(-600, 1400))
    dock = make_dock(viewer)
    dock.take("box")

    def seen() -> list[int]:
        box(dock, qtbot, 14, 5, 24, 15)
        dock.drawing.discard()
        pending = client.asked[-1][2]
        return [int(pending.source.read(row, 30, row + 1, 31)[0, 0, 0]) for row in (0, 25)]

    # Soft tissue is not as black as air.
    assert seen() == pytest.approx([51, 255], abs=1)
    layer.contrast_limits = (-200, 3000)
    rest(dock, qtbot)
    assert seen() == pytest.approx([0, 127], abs=1)

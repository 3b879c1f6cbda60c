"""Labels layers as sheets, and where an image's plane lies on them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_coseg.layers.drawing import add_class, classes_of, known_objects, objects_layer
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.sheet import Alignment, Sheet
from napari_coseg.layers.strokes import StrokeListener
from napari_coseg.types import CosegError, Mask


def l_shape() -> Mask:
    """A mask that no turn or flip leaves as it is."""
    bits = np.zeros((3, 5), bool)
    bits[0] = bits[:, 0] = True
    return Mask((10, 20), bits)


def aligned(image: Any, labels: Any, *index: int) -> tuple[Sheet, Alignment]:
    sheet = Sheet(labels)
    return sheet, Alignment(image, Stack.of(image), sheet, index)


def test_a_new_layer_lies_on_its_image() -> None:
    image = Image(np.zeros((4, 40, 60)), scale=(2, 0.5, 0.5), translate=(1, 2, 3), rotate=30)
    labels = objects_layer(image, Stack.of(image))
    sheet, alignment = aligned(image, labels, 2)
    mask = alignment.mask_on_sheet(l_shape())
    assert mask.origin == (2, 10, 20)
    assert alignment.plane == 2
    sheet.write(mask.window, mask.bits.astype(np.uint16) * 7)
    assert labels.data[2, 10:13, 20:25].tolist() == (l_shape().bits * 7).tolist()
    assert (labels.data > 0).sum() == l_shape().area
    # The way back.
    back = alignment.mask_of(mask.window, labels.data[mask.window] == 7)
    assert back.origin == (10, 20)
    np.testing.assert_array_equal(back.bits, l_shape().bits)
    assert alignment.label_at(10.4, 20.0) == 7
    assert alignment.label_at(11, 21) == 0
    assert alignment.label_at(-3, 900) == 0
    assert alignment.point_on_sheet(1.5, 2.5) == (2, 1.5, 2.5)


def test_a_layer_of_a_part_of_the_image() -> None:
    image = Image(np.zeros((40, 60)), scale=(0.5, 0.5))
    labels = Labels(np.zeros((20, 30), np.int32), scale=(0.5, 0.5), translate=(4, 8))
    _, alignment = aligned(image, labels)
    assert alignment.mask_on_sheet(l_shape()).origin == (2, 4)
    assert alignment.plane is None


def test_axes_of_length_one_do_not_count() -> None:
    image = Image(np.zeros((1, 3, 40, 60)))
    labels = Labels(np.zeros((1, 3, 40, 60), np.uint8))
    sheet, alignment = aligned(image, labels, 0, 1)
    assert sheet.labels.shape == (3, 40, 60)
    mask = alignment.mask_on_sheet(l_shape())
    sheet.write(mask.window, mask.bits.astype(np.uint8))
    assert labels.data[0, 1].sum() == l_shape().area


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (Labels(np.zeros((40, 60), int), scale=(2, 2)), "are not those"),
        (Labels(np.zeros((40, 60), int), translate=(0.4, 0)), "are not those"),
        (Labels(np.zeros((40, 60), int), rotate=90), "are not those"),
        (Labels(np.zeros((2, 40, 60), int)), "more axes"),
    ],
)
def test_other_pixels_are_refused(labels: Any, said: str) -> None:
    with pytest.raises(CosegError, match=said):
        aligned(Image(np.zeros((40, 60))), labels)


def test_what_cannot_be_drawn_on() -> None:
    fixed = np.zeros((4, 5), int)
    fixed.flags.writeable = False
    with pytest.raises(CosegError, match="cannot be changed"):
        Sheet(Labels(fixed))
    with pytest.raises(CosegError, match="three at most"):
        Sheet(Labels(np.zeros((2, 2, 3, 4), int)))
    with pytest.raises(CosegError, match="not in memory"):
        Sheet(Labels([np.zeros((8, 8), int), np.zeros((4, 4), int)]))


def test_large_windows_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_coseg.layers.sheet._PARTIAL", 10)
    labels = Labels(np.zeros((40, 60), np.uint16))
    heard: list[Any] = []
    labels.events.paint.connect(heard.append)
    Sheet(labels).write((slice(0, 5), slice(0, 5)), np.ones((5, 5), np.uint16))
    assert labels.data.sum() == 25
    assert heard == []


def test_a_layer_that_was_never_shown_is_written_too() -> None:
    layer = Labels(np.zeros((3, 40, 40), np.int32), visible=False)
    Sheet(layer).write((slice(1, 2), slice(5, 7), slice(8, 12)), np.full((1, 2, 4), 9, np.int32))
    assert (layer.data == 9).sum() == 8


def test_strokes_are_told_by_where_the_mouse_went() -> None:
    labels = Labels(np.zeros((3, 40, 60), np.uint16), scale=(1, 2, 2))
    sheet = Sheet(labels)
    told: list[Any] = []
    listener = StrokeListener(sheet, told.append)
    labels.brush_size, labels.mode = 4, "paint"
    event = SimpleNamespace(type="mouse_press", position=(1, 20, 20))
    stroke = listener._on_drag(labels, event)
    next(stroke)
    event.type, event.position = "mouse_move", (1, 20, 60)
    next(stroke)
    labels.paint((1, 10, 20), 3)
    (window,) = told
    assert window[1] == slice(6, 15)
    assert (window[2].start, window[2].stop) == (6, 35)
    # Filling goes anywhere; what the sheet writes itself is no stroke.
    labels.fill((0, 5, 5), 2)
    assert told[1] is None
    sheet.write((slice(0, 1), slice(0, 2), slice(0, 2)), np.full((1, 2, 2), 9, np.uint16))
    assert len(told) == 2
    listener.let_go()
    labels.paint((1, 30, 30), 3)
    assert len(told) == 2


def test_classes_and_known_objects() -> None:
    labels = Labels(np.array([[0, 1], [2, 2]]), features={"index": [1, 2], "class": [0, 1]})
    assert classes_of(labels).names == ("object",)
    assert add_class(labels, "tumour").names == ("object", "tumour")
    assert classes_of(labels).names == ("object", "tumour")
    with pytest.raises(CosegError, match="different"):
        add_class(labels, "tumour")
    assert [(one.label, one.class_id) for one in known_objects(labels)] == [(1, 0), (2, 1)]
    assert known_objects(Labels(np.zeros((2, 2), int))) == []

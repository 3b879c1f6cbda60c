"""Layers that a run made: known as such, and brought into other layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_coseg.layers.pixels import SheetPixels, SheetWriter, StoppedError
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place, result_layers
from napari_coseg.layers.runs import objects_for, run_of, runs_among
from napari_coseg.layers.sheet import Sheet
from napari_coseg.types import CosegError
from tests.layers.test_results import result


def a_run(image: Any, place: Place, rows: int = 8, columns: int = 10) -> Any:
    return result_layers([result(rows, columns)], image, Stack.of(image), place)[-1]


@pytest.fixture
def image() -> Image:
    return Image(np.zeros((30, 40)), name="tile", scale=(0.5, 0.5), translate=(3, 4))


def objects(image: Image) -> Labels:
    kept = {"scale": image.scale, "translate": image.translate}
    return Labels(np.zeros((30, 40), np.uint16), name="mine", **kept)


def test_a_run_is_known(image: Image) -> None:
    layer = a_run(image, Place((), 0, (0, 0, 8, 10)))
    facts = run_of(layer)
    assert facts is not None
    assert (facts.name, facts.model) == ("Co-Seg++ run: 2 objects", "m")
    assert run_of(objects(image)) is None
    assert run_of(image) is None
    plain = Labels(layer.data, metadata={"model": "m"})
    assert run_of(plain) is None


def test_objects_of_a_part_come_to_their_place(image: Image) -> None:
    layer = a_run(image, Place((), 0, (20, 30, 28, 40)))
    sheet = Sheet(objects(image))
    found = objects_for(sheet, layer, 5, protect=True)
    assert found.window == (slice(20, 28), slice(30, 40))
    assert found.labels == {1: 5, 2: 6}
    np.testing.assert_array_equal(found.values == 5, layer.data == 1)
    assert not sheet.labels.any()


def test_objects_that_are_there_already_are_left_out(image: Image) -> None:
    layer = a_run(image, Place((), 0, (0, 0, 8, 10)))
    mine = objects(image)
    # Three of the first one's four pixels, one of the second one's.
    mine.data[1, 1:3] = mine.data[2, 1] = 2
    mine.data[5, 6] = 3
    found = objects_for(Sheet(mine), layer, 7, protect=True)
    assert found.labels == {2: 7}
    assert sorted(np.unique(found.values)) == [0, 2, 3, 7]
    assert (found.values == 7).sum() == 3
    all_of_them = objects_for(Sheet(mine), layer, 7, protect=False)
    assert sorted(np.unique(all_of_them.values)) == [0, 7, 8]
    mine.data[:8, :10] = 2
    with pytest.raises(CosegError, match="not there yet"):
        objects_for(Sheet(mine), layer, 7, protect=True)


def test_a_run_on_a_plane_of_a_stack() -> None:
    image = Image(np.zeros((5, 30, 40)), name="stack")
    layer = a_run(image, Place((3,), 0, (0, 0, 8, 10)))
    found = objects_for(Sheet(Labels(np.zeros((5, 30, 40), np.int32))), layer, 1, protect=True)
    assert found.window == (slice(3, 4), slice(0, 8), slice(0, 10))
    assert found.values.shape == (1, 8, 10)


def test_runs_whose_pixels_are_others(image: Image) -> None:
    fits = a_run(image, Place((), 0, (0, 0, 8, 10)))
    coarse = a_run(image, Place((), 0, (0, 0, 8, 10)))
    coarse.scale = (1, 1)
    away = a_run(image, Place((), 0, (0, 0, 8, 10)))
    away.translate = (300, 4)
    mine = objects(image)
    sheet = Sheet(mine)
    assert runs_among([image, coarse, fits, away, mine], sheet) == [fits]
    for other in (coarse, away):
        with pytest.raises(CosegError, match="not those of mine"):
            objects_for(sheet, other, 1, protect=True)


def test_many_windows_of_an_edit_are_drawn_once() -> None:
    layer = Labels(np.zeros((40, 40), np.uint16))
    sheet = Sheet(layer)
    write = SheetWriter(sheet)
    drawn: list[object] = []
    layer.events.labels_update.connect(drawn.append)
    whole: list[object] = []
    layer.events.refresh.connect(whole.append)
    windows = [(slice(row, row + 2), slice(0, 5)) for row in range(0, 40, 2)]
    # Until napari shows the layer, nothing is drawn.
    write(windows[0], np.full((2, 5), 1, np.uint16))
    assert (drawn, whole) == ([], [])
    write.shown = True
    with write.together():
        for number, window in enumerate(windows):
            write(window, np.full((2, 5), number + 2, np.uint16))
    assert layer.data[:, 0].tolist() == [number + 2 for number in range(20) for _ in range(2)]
    assert 0 < len(drawn) < 10
    # One edit of one window is drawn as such.
    drawn.clear()
    with write.together():
        write(windows[0], np.full((2, 5), 99, np.uint16))
    assert len(drawn) == 1


def test_reading_can_be_stopped() -> None:
    layer = Labels(np.ones((1, 4, 5), np.uint16))
    pixels = SheetPixels(Sheet(layer))
    assert pixels.shape == (4, 5)
    assert pixels[slice(0, 2), slice(0, 5)].sum() == 10
    layer.data = np.full((1, 4, 5), 3, np.uint16)
    assert pixels[slice(0, 1), slice(0, 1)] == 3
    pixels.stopped = True
    with pytest.raises(StoppedError):
        pixels[slice(0, 2), slice(0, 5)]

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_coseg.imaging.overlay import add_legend, legend_strip, overlay
from napari_coseg.types import ClassTable, empty_objects

REGIONS = ClassTable.from_names(["gland", "stroma"])
CELLS = ClassTable.from_names(["epithelial", "inflammatory", "spindle"])
GREY = (128, 128, 128)
DARK = (20, 20, 20)


def _result() -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    regions = np.zeros((60, 80), np.uint8)
    regions[10:50, :40] = 1
    regions[10:50, 40:70] = 2
    instances = np.zeros((60, 80), np.int32)
    instances[20:30, 5:15] = 900_000_000
    instances[20:30, 15:25] = 7  # touches the first
    instances[40:45, 50:60] = 12  # not in the table
    objects = pd.DataFrame({"label": [7, 900_000_000], "class": [2, 3]})
    return image, regions, instances, objects


def _where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(-1)


def test_objects_are_outlined_inside_in_the_colour_of_their_class() -> None:
    image, _, instances, objects = _result()
    before = image.copy()
    picture = overlay(image, None, instances, objects, REGIONS, CELLS, contour=1)
    np.testing.assert_array_equal(image, before)
    rim = np.zeros(instances.shape, bool)
    rim[20:30, 15:25] = True
    rim[21:29, 16:24] = False
    np.testing.assert_array_equal(_where(picture, CELLS.colour_of(2)), rim)
    assert _where(picture, CELLS.colour_of(3))[20, 5]
    assert _where(picture, GREY)[40, 50]
    # The dark line is around objects, and between two that touch.
    dark = _where(picture, DARK)
    assert dark[19, 5:25].all()
    assert dark[20:30, 4].all()
    assert dark[20:30, 14].all()
    inside = np.s_[22:28, 7:12]
    np.testing.assert_array_equal(picture[inside], image[inside])
    np.testing.assert_array_equal(picture[:18], image[:18])


def test_a_wider_outline() -> None:
    image, _, instances, objects = _result()
    picture = overlay(image, None, instances, objects, REGIONS, CELLS, contour=2)
    own = _where(picture, CELLS.colour_of(2))
    assert own[20:30, 16].all()
    assert not own[22:28, 17:23].any()
    np.testing.assert_array_equal(picture[22:28, 17:23], image[22:28, 17:23])


def test_regions_are_tinted_and_outlined() -> None:
    image, regions, _, _ = _result()
    nothing = empty_objects()
    picture = overlay(image, regions, None, nothing, REGIONS, CELLS, region_alpha=0.3, contour=1)
    inside = np.s_[12:48, 42:68]
    expected = image[inside] * 0.7 + np.array(REGIONS.colour_of(2)) * 0.3
    assert np.abs(picture[inside] - expected).max() <= 0.51
    assert _where(picture, REGIONS.colour_of(1))[10, :40].all()
    np.testing.assert_array_equal(picture[50:], image[50:])
    plain = overlay(image, regions, None, nothing, REGIONS, CELLS, region_alpha=0, contour=0)
    np.testing.assert_array_equal(plain, image)


def test_nothing_to_draw_and_wrong_sizes() -> None:
    image, regions, instances, objects = _result()
    same = overlay(
        image, np.zeros_like(regions), np.zeros_like(instances), empty_objects(), REGIONS, CELLS
    )
    np.testing.assert_array_equal(same, image)
    pixel = overlay(image[:1, :1], None, np.ones((1, 1), np.int32), objects, REGIONS, CELLS)
    assert pixel.shape == (1, 1, 3)
    with pytest.raises(ValueError, match="regions"):
        overlay(image, regions[1:], None, objects, REGIONS, CELLS)
    with pytest.raises(ValueError, match="instances"):
        overlay(image, None, instances[1:], objects, REGIONS, CELLS)


def test_the_legend_shows_every_class_in_its_colour() -> None:
    _, regions, _, objects = _result()
    strip = legend_strip(1200, regions, objects, REGIONS, CELLS, mpp=0.5)
    assert strip.shape[1] == 1200
    for table in (REGIONS, CELLS):
        for info in table:
            assert _where(strip, info.colour).sum() > 20
    assert (strip[0] == 255).all()
    other = legend_strip(1200, regions, objects.assign(**{"class": 1}), REGIONS, CELLS, mpp=0.5)
    assert (other != strip).any(), "counts are not shown"


def test_a_narrow_legend_is_wrapped_and_wide_enough_to_read() -> None:
    _, regions, _, objects = _result()
    wide = legend_strip(1200, regions, objects, REGIONS, CELLS)
    narrow = legend_strip(10, regions, objects, REGIONS, CELLS)
    assert narrow.shape[0] > wide.shape[0]
    picture = np.zeros((5, 10, 3), np.uint8)
    both = add_legend(picture, narrow)
    assert both.shape == (5 + narrow.shape[0], narrow.shape[1], 3)
    assert (both[:5, 10:] == 255).all()
    np.testing.assert_array_equal(both[:5, :10], picture)
    np.testing.assert_array_equal(both[5:], narrow)


def test_names_that_the_font_cannot_draw() -> None:
    objects = pd.DataFrame({"label": [1], "class": [1]})
    strips = [
        legend_strip(400, None, objects, ClassTable(), ClassTable.from_names([name]))
        for name in ("épithélial", "epithelial", "腺体", "??")
    ]
    np.testing.assert_array_equal(strips[0], strips[1])
    np.testing.assert_array_equal(strips[2], strips[3])

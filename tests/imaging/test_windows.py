from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from napari_coseg.imaging.windows import (
    apply_window,
    automatic_window,
    manual_window,
    preset_window,
)
from napari_coseg.types import CosegError


def test_presets_are_in_hounsfield_units() -> None:
    assert preset_window("bone", "HU") == (-500, 1500)
    # Level 40, width 400: what radiology calls soft tissue.
    assert preset_window("soft tissue", "HU") == (-160, 240)
    with pytest.raises(CosegError, match="Hounsfield"):
        preset_window("dental", "raw")
    with pytest.raises(CosegError, match="bone, soft tissue, dental"):
        preset_window("lung", "HU")


@pytest.mark.parametrize("wrong", [(3, 3), (4, 3), (math.nan, 3), (0, math.inf)])
def test_typed_windows(wrong: tuple[float, float]) -> None:
    assert manual_window(-3, 4) == (-3.0, 4.0)
    with pytest.raises(CosegError, match="lower and an upper"):
        manual_window(*wrong)


def test_automatic_window_does_not_look_at_padding() -> None:
    values = np.random.default_rng(0).normal(500, 100, (40, 50, 60))
    inside = automatic_window(values)
    assert inside == pytest.approx(np.percentile(values, (0.5, 99.5)))
    for dtype in (np.float32, np.int16):
        padded = np.full((60, 80, 90), -2000, dtype)
        padded[10:50, 15:65, 15:75] = values
        assert automatic_window(padded) == pytest.approx(inside, abs=8)
    # One dark voxel is no padding, and does not move the window either.
    values[0, 0, 0] = -1e6
    assert automatic_window(values) == pytest.approx(inside, abs=5)


def test_automatic_window_does_not_load_all() -> None:
    class Lazy:
        """Gives what is asked for, and never all of it."""

        shape = (200, 200, 200)

        def __getitem__(self, asked: tuple[slice, ...]) -> npt.NDArray[np.float64]:
            assert all(part.step > 1 for part in asked)
            lengths = [len(range(*part.indices(200))) for part in asked]
            return np.linspace(0, 1000, lengths[0])[:, None, None] + np.zeros(lengths)

    low, high = automatic_window(Lazy())
    assert 0 <= low < 20
    assert 980 < high <= 1000


def test_automatic_window_of_odd_volumes() -> None:
    assert automatic_window(np.full((3, 4, 5), 7, np.int16)) == (7, 8)
    assert automatic_window(np.full((3, 4, 5), np.nan, np.float32)) == (0, 1)
    holes = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    holes[0, 0] = np.nan
    low, high = automatic_window(holes)
    assert 0 < low < high <= 1
    # Labels: two values.
    two = np.zeros((3, 4, 5), np.uint8)
    two[1] = 9
    low, high = automatic_window(two)
    assert low < high


def test_what_a_screen_shows() -> None:
    values = np.array([-2000, -500, 500, 1499, 1500, 30_000], np.int16)
    shown = apply_window(values, (-500, 1500))
    assert shown.dtype == np.uint8
    assert shown.tolist() == [0, 0, 127, 254, 255, 255]

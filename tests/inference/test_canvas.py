from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.inference.canvas import Renumbered, ScratchCanvas
from napari_coseg.types import CosegError


def test_a_scratch_canvas_is_like_an_array(tmp_path: Path) -> None:
    array = np.zeros((30, 23), np.int32)
    draw = np.random.default_rng(0)
    with ScratchCanvas((30, 23), np.int32, tmp_path) as canvas:
        assert (canvas[:, :] == 0).all()
        for _ in range(20):
            row, column = draw.integers(30), draw.integers(23)
            view = np.s_[row : row + 9, column : column + 7]
            values = draw.integers(0, 99, array[view].shape, dtype=np.int32)
            array[view] = values
            canvas[view] = values
        np.testing.assert_array_equal(canvas[:, :], array)
        np.testing.assert_array_equal(canvas[4:9], array[4:9])
        np.testing.assert_array_equal(canvas[7, 2:5], array[7, 2:5])
        np.testing.assert_array_equal(canvas[5:5, 2:5], array[5:5, 2:5])
        assert (canvas.shape, canvas.ndim, canvas.size) == (array.shape, 2, array.size)
        numbers = np.arange(99, dtype=np.int32)[::-1].copy()
        seen = Renumbered(canvas, numbers)
        np.testing.assert_array_equal(seen[2:30, 3:9], numbers[array[2:, 3:9]])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = ScratchCanvas((10, 10), np.int32, tmp_path)

    class Full:
        def seek(self, place: int) -> None: ...

        def write(self, content: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr(canvas, "_file", Full())
    with pytest.raises(CosegError, match=r"disk of .* is full: .* free some space"):
        canvas[0:2, 0:2] = np.ones((2, 2), np.int32)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="Cannot write to"):
        ScratchCanvas((10, 10), np.int32, tmp_path / "none")

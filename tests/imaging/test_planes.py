"""A plane of a volume as a picture."""

from __future__ import annotations

import numpy as np

from napari_coseg.imaging.planes import plane_picture


def volume() -> np.ndarray:
    """Plane z holds 100 z everywhere."""
    return np.broadcast_to(100 * np.arange(5, dtype=np.int16)[:, None, None], (5, 3, 4))


def test_one_plane_is_grey() -> None:
    picture = plane_picture(volume(), 2, (0.0, 400.0))
    assert picture.shape == (3, 4, 3)
    assert picture.dtype == np.uint8
    assert (picture == 127).all()


def test_planes_beside_it_are_the_colours_and_mixed_between_two() -> None:
    picture = plane_picture(volume(), 2, (0.0, 400.0), (-1.5, 0.0, 0.5))
    assert picture[0, 0].tolist() == [255 * 50 // 400, 127, 255 * 250 // 400]


def test_beyond_the_ends_the_last_plane_stays() -> None:
    first = plane_picture(volume(), 0, (0.0, 400.0), (-2.5, 0.0, 2.5))
    last = plane_picture(volume(), 4, (0.0, 400.0), (-2.5, 0.0, 2.5))
    assert first[0, 0].tolist() == [0, 0, 255 * 250 // 400]
    assert last[0, 0].tolist() == [255 * 150 // 400, 255, 255]

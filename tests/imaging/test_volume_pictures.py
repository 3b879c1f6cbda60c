from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.imaging.volume_pictures import VolumePictures
from napari_coseg.types import CosegError

VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


@pytest.mark.parametrize(
    ("axis", "shape", "spacing"),
    [(0, (5, 6), (3.0, 2.0, 1.0)), (1, (4, 6), (2.0, 3.0, 1.0)), (2, (4, 5), (1.0, 3.0, 2.0))],
)
def test_planes_lie_along_any_axis(
    axis: int, shape: tuple[int, int], spacing: tuple[float, float, float]
) -> None:
    pictures = VolumePictures(VOXELS, (3.0, 2.0, 1.0), axis, window=(0.0, 255.0))
    assert pictures.count == VOXELS.shape[axis]
    assert pictures.shape == shape
    assert pictures.spacing == spacing
    picture = pictures.picture(2)
    assert picture.shape == shape
    pixels = picture.read(0, 0, *shape)
    assert (pixels == np.take(VOXELS, 2, axis)[..., None]).all()
    # The same place in the volume itself.
    assert (VOXELS[pictures.at(2)] == pixels[..., 0]).all()
    window = (slice(1, 3), slice(2, 4))
    assert (VOXELS[pictures.at(2, window)] == pixels[1:3, 2:4, 0]).all()


def test_the_window_is_the_volumes_and_not_the_planes() -> None:
    voxels = np.zeros((20, 10, 10), np.float32)
    voxels[10:] = 1000
    voxels[5] = 400
    voxels[0, 0, 0] = np.nan
    pictures = VolumePictures(voxels, (1.0, 1.0, 1.0), window=(0.0, 1000.0))
    levels = [int(pictures.picture(plane).read(5, 5, 6, 6)[0, 0, 0]) for plane in (0, 5, 15)]
    assert levels == [0, 102, 255]
    assert pictures.picture(0).read(0, 0, 1, 1)[0, 0, 0] == 0
    automatic = VolumePictures(voxels, (1.0, 1.0, 1.0))
    assert automatic.window[1] == 1000


def test_what_is_no_volume_is_refused() -> None:
    with pytest.raises(CosegError, match="three axes"):
        VolumePictures(VOXELS[0], (1.0, 1.0, 1.0))
    with pytest.raises(CosegError, match="no grey values"):
        VolumePictures(VOXELS.astype(complex), (1.0, 1.0, 1.0))
    with pytest.raises(CosegError, match="no axis 3"):
        VolumePictures(VOXELS, (1.0, 1.0, 1.0), 3)
    with pytest.raises(IndexError):
        VolumePictures(VOXELS, (1.0, 1.0, 1.0)).picture(4)

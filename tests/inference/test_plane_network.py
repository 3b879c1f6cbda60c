"""Planes whose tiles have several shapes, as they go to a network in batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_coseg.imaging.volumes import Volume
from napari_coseg.inference.plane_network import PlaneNetwork
from napari_coseg.inference.timing import Timings
from napari_coseg.inference.volume_scouting import Near
from napari_coseg.models.coseg.network import CosegOutput
from tests.inference.fake import FakeModel
from tests.inference.fake_volumes import SETTINGS, GreyNetwork, jaws, volume_card


class Counted(GreyNetwork):
    """Tells the shapes of its batches."""

    def __init__(self, tile: int) -> None:
        super().__init__(tile)
        self.batches: list[tuple[int, ...]] = []

    def forward(self, images: Tensor, tasks: tuple[str, ...]) -> CosegOutput:
        self.batches.append(tuple(images.shape))
        return super().forward(images, tasks)


def planes_of(network: Counted, volume: Volume) -> PlaneNetwork:
    return PlaneNetwork(
        volume.voxels,
        volume.grid,
        (0.0, 255.0),
        FakeModel(network, volume_card()),
        ("regions", "instances"),
        400.0,
        SETTINGS,
        Timings(),
        lambda: None,
    )


@pytest.mark.parametrize("most", [1, 4, 16])
def test_tiles_of_one_shape_run_together_and_come_back_to_their_planes(most: int) -> None:
    network, (volume, *_) = Counted(64), jaws()
    planes = planes_of(network, volume)
    planes.runner.largest_batch = most
    rows, columns = planes.blocks
    # All of a plane, a small part of it, a wide part, and nothing.
    parts = [(rows, columns), (3, 4), (4, columns), (0, 0)] * 2
    read = []
    for number, (down, across) in enumerate(parts):
        near = np.zeros((rows, columns), bool)
        first = 0 if down == rows else 2
        near[first : first + down, first : first + across] = True
        read.append(planes.read(8 + number, Near(near, near)))
    together = planes.run(read)
    assert len({shape[2:] for shape in network.batches}) >= 3
    # A batch takes no more pixels than so many tiles of the network's own size.
    assert all(n * h * w <= max(most * 64 * 64, h * w) for n, _, h, w in network.batches)
    if most == 16:
        assert max(n for n, *_ in network.batches) > 1
    for one, maps in zip(read, together, strict=True):
        (alone,) = planes.run([one])
        if alone is None:
            assert maps is None
            continue
        assert maps is not None
        assert maps.box == alone.box
        for task, cells in alone.cells.items():
            assert torch.equal(torch.from_numpy(cells), torch.from_numpy(maps.cells[task]))
    assert planes.tiles == 2 * sum(len(plane.pictures) for plane in read)


def test_a_tile_far_from_objects_is_looked_at_for_regions_alone() -> None:
    network, (volume, *_) = Counted(64), jaws((25, 200, 240))
    planes = planes_of(network, volume)
    everything = np.ones(planes.blocks, bool)
    left = everything.copy()
    left[:, planes.blocks[1] // 4 :] = False
    (whole,) = planes.run([planes.read(8, None)])
    network.tasks.clear()
    read = planes.read(8, Near(everything, left))
    (some,) = planes.run([read])
    assert set(read.tasks) == network.tasks == {("regions",), ("regions", "instances")}
    assert whole is not None
    assert some is not None
    np.testing.assert_array_equal(some.cells["regions"], whole.cells["regions"])
    cells, found = (maps.cells["instances"] for maps in (whole, some))
    assert cells.shape == found.shape
    # To the left all is as it was, to the right there is background alone.
    quarter = 8 * (planes.blocks[1] // 4) // planes.runner.strides["instances"]
    np.testing.assert_array_equal(found[:, :, :quarter], cells[:, :, :quarter])
    assert cells[0].max() > 0.9
    last = found[:, :, -8:]
    assert not last[:3].any()
    assert (last[3] == 1).all()


def test_planes_that_nobody_looks_at_for_objects_have_none() -> None:
    network, (volume, *_) = Counted(64), jaws()
    planes = planes_of(network, volume)
    everything = np.ones(planes.blocks, bool)
    (maps,) = planes.run([planes.read(8, Near(everything, ~everything))])
    assert maps is not None
    assert maps.likely(0.5, 9) is None
    assert maps.object_pixels() == 0
    assert maps.busy("regions", 0.5).any()
    assert not maps.busy("instances", 0.01).any()
    # And it mixes with one that has some.
    (other,) = planes.run([planes.read(8, None)])
    assert other is not None
    mixed = maps.mixed(other, 0.5)
    np.testing.assert_allclose(
        mixed.cells["instances"][0], other.cells["instances"][0] / 2, atol=1e-3
    )

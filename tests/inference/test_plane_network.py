"""Planes whose tiles have several shapes, as they go to a network in batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_coseg.inference.plane_network import PlaneNetwork
from napari_coseg.inference.timing import Timings
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


@pytest.mark.parametrize("most", [1, 4, 16])
def test_tiles_of_one_shape_run_together_and_come_back_to_their_planes(most: int) -> None:
    network, (volume, *_) = Counted(64), jaws()
    planes = PlaneNetwork(
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
    planes.runner.largest_batch = most
    rows, columns = planes.blocks
    # All of a plane, a small part of it, a wide part, and nothing.
    parts = [(rows, columns), (3, 4), (4, columns), (0, 0)] * 2
    read = []
    for number, (down, across) in enumerate(parts):
        near = np.zeros((rows, columns), bool)
        first = 0 if down == rows else 2
        near[first : first + down, first : first + across] = True
        read.append(planes.read(8 + number, near))
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
    assert planes.tiles == 2 * sum(len(tiles) for _, tiles in read)

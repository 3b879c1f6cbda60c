from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from napari_coseg.inference.runner import TaskRunner
from napari_coseg.models.coseg.network import CosegOutput
from napari_coseg.types import CosegError
from tests.inference.fake import ReadingNetwork, card

TILES = [np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8) for i in range(5)]


class Slopes(ReadingNetwork):
    """Maps that turn with the picture, as those of a trained network do: its own slopes."""

    def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
        bright = avg_pool2d(images.mean(1, keepdim=True), 2)
        padded = torch.nn.functional.pad(bright, (1, 1, 1, 1), mode="replicate")
        across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        return CosegOutput(
            foreground=bright, hv=torch.cat([across, down], 1), classes=bright.expand(-1, 3, -1, -1)
        )


class Bounded(ReadingNetwork):
    """Runs out of memory beyond some tiles."""

    most = 2

    def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")
        return super().forward(images, tasks)


def test_flips_leave_maps_alone_that_turn_with_the_picture() -> None:
    plain = TaskRunner(Slopes(), card(), "instances").run(TILES)
    averaged = TaskRunner(Slopes(), card(), "instances", tta=True).run(TILES)
    assert np.abs(plain[:, 1:3]).max() > 0.1
    np.testing.assert_allclose(averaged.astype(float), plain.astype(float), atol=2e-3)


def test_too_little_memory_means_smaller_batches() -> None:
    expected = TaskRunner(ReadingNetwork(), card(), "instances", batch=5).run(TILES)
    runner = TaskRunner(Bounded(), card(), "instances", batch=5)
    np.testing.assert_array_equal(runner.run(TILES), expected)
    assert runner.largest_batch == 2


def test_too_little_memory_for_one_tile_is_told() -> None:
    network = Bounded()
    network.most = 0
    with pytest.raises(CosegError, match="too little memory for one tile"):
        TaskRunner(network, card(), "instances", batch=4).run(TILES)


def test_other_errors_of_the_network_pass() -> None:
    class Broken(ReadingNetwork):
        def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
            raise RuntimeError("sizes do not match")

    with pytest.raises(RuntimeError, match="sizes do not match"):
        TaskRunner(Broken(), card(), "regions").run(TILES)


def test_pixels_are_normalised_as_the_card_says() -> None:
    seen: list[Tensor] = []

    class Spy(ReadingNetwork):
        def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
            seen.append(images.clone())
            return super().forward(images, tasks)

    asked = card().model_copy(update={"mean": (0.5, 0.25, 0.0), "std": (0.5, 0.2, 1.0)})
    TaskRunner(Spy(), asked, "regions").run(TILES[:1])
    pixels = torch.from_numpy(TILES[0]).permute(2, 0, 1).float() / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (asked.mean, asked.std))
    torch.testing.assert_close(seen[0][0], (pixels - mean) / deviation)

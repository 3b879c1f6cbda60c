"""A network for prompts whose answers can be foretold.

With a box it answers the ellipse inscribed in it; without one, what is bright in the crop. It
counts what it was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from napari_coseg.models.syncsam.config import SyncSamConfig
from napari_coseg.models.syncsam.encoder import Encoding
from napari_coseg.models.syncsam.prompts import PromptBatch
from napari_coseg.weights.card import ModelCard

SIDE = 256


class FakePromptNetwork(nn.Module):
    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        self.config = SyncSamConfig(side=side)
        self.encoded: list[int] = []
        self.decoded: list[int] = []
        self.prompts: list[PromptBatch] = []
        self.images: list[Tensor] = []

    def encode(self, images: Tensor) -> Encoding:
        self.encoded.append(len(images))
        self.images.append(images)
        return Encoding(avg_pool2d(images.mean(1, keepdim=True), 4), (), ())

    def fold_norms(self) -> None:
        """There are none."""

    def prepare(self, encoding: Encoding) -> Encoding:
        return encoding

    def decode(self, encoding: Encoding, images: Tensor, prompts: PromptBatch) -> Tensor:
        self.decoded.append(len(images))
        self.prompts.append(prompts)
        if prompts.boxes is None:
            return 20 * (encoding.embedding[images][:, 0] - 0.5)
        cells = (torch.arange(self.config.side // 4) + 0.5) * 4
        row0, column0, row1, column1 = (v[:, None, None] for v in prompts.boxes.unbind(1))
        down = (cells[:, None] - (row0 + row1) / 2) / ((row1 - row0) / 2)
        across = (cells[None] - (column0 + column1) / 2) / ((column1 - column0) / 2)
        return 10 * (1 - torch.hypot(down.expand(-1, -1, len(cells)), across))


@dataclass(frozen=True)
class FakePromptModel:
    network: Any = field(default_factory=FakePromptNetwork)
    card: ModelCard = field(
        default_factory=lambda: ModelCard(
            name="ellipses", kind="syncsam", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
    )
    sha256: str = "ef" * 32

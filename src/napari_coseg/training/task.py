"""What a training run is about: the parts in which Co-Seg++ and SyncSAM differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from napari_coseg.training.config import AnyConfig
from napari_coseg.weights.card import ModelCard

#: Called with what is done and with the end.
Done = Callable[[int, int], None]


@dataclass(frozen=True)
class Validation:
    """What held-out items say of a network.

    Attributes
    ----------
    score : float
        The mean that the best checkpoint is chosen by.
    figures : dict of str to float
        For the log.
    table : DataFrame
        Everything, for ``validation.csv``.
    card : dict
        What the card says.
    """

    score: float
    figures: dict[str, float]
    table: pd.DataFrame
    card: dict[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """One kind of model in training."""

    @property
    def config(self) -> AnyConfig:
        """What the run is made of."""

    @property
    def network(self) -> nn.Module:
        """The network, with its starting weights."""

    def samples(self, count: int) -> Dataset[dict[str, Tensor]]:
        """Return `count` samples, each drawn by its number alone."""

    def learner(self) -> nn.Module:
        """Return the module whose forward training calls; it holds `network`."""

    def inner(self, learner: Any) -> Any:
        """Return the network inside of the learner."""

    def slow(self, name: str) -> bool:
        """Whether a parameter of the network learns at `optimiser.encoder_factor` of the rate."""

    def loss(
        self, learner: Any, average: Any, batch: dict[str, Tensor], step: int, number: int
    ) -> dict[str, Tensor]:
        """Return the weighted terms of a batch's loss; `number` is the batch's in its step."""

    def observed(self) -> dict[str, Tensor]:
        """Return further figures of the last loss that was to be logged."""

    def card(self, network: Any, scores: dict[str, Any]) -> ModelCard:
        """Describe a network as its weights file will."""

    def validate(
        self, network: Any, step: int, folder: Path, pictures: Path | None, progress: Done
    ) -> Validation | None:
        """Score held-out items; None where nothing is held out."""


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Turn (B, rows, columns, 3) of uint8 into (B, 3, rows, columns) as networks see it."""
    scale = 255 * torch.tensor(std, device=images.device).view(1, 3, 1, 1)
    middle = 255 * torch.tensor(mean, device=images.device).view(1, 3, 1, 1)
    return (images.permute(0, 3, 1, 2).float() - middle) / scale

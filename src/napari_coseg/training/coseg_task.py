"""Co-Seg++ in training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.training.config import TrainingConfig
from napari_coseg.training.describe import card_scores, model_card
from napari_coseg.training.losses import LossWeights, Targets, coseg_loss, distribution_entropy
from napari_coseg.training.samples import SampleDataset
from napari_coseg.training.setup import load_sets, untaught
from napari_coseg.training.start import build_network
from napari_coseg.training.survey import class_weights, survey
from napari_coseg.training.task import Done, Validation, normalised
from napari_coseg.training.teacher import fill_missing
from napari_coseg.training.validation import validate
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.loading import LoadedModel

_log = logging.getLogger(__name__)


class CosegTask:
    """A config of Co-Seg++, its data and its network; see `Task`.

    Raises
    ------
    CosegError
        If the network, the data or the starting weights cannot be used.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.network: CosegNetwork = build_network(config.model)
        self._sets, self._held_out = load_sets(config)
        for sentence in untaught(self._sets, config.model):
            _log.warning(sentence)
        counts = survey(self._sets, self._held_out, len(config.model.instance_classes))
        self._class_weights = class_weights(counts)
        self._class_weight = Tensor(self._class_weights.astype("float32"))
        self._weights = LossWeights.of(config.loss)
        self._spread: dict[str, Tensor] = {}

    def samples(self, count: int) -> SampleDataset:
        """Return the samples of the whole run."""
        return SampleDataset(
            self._sets,
            self.config.model,
            self.config.augment,
            count,
            self.config.run.seed,
            self._class_weights,
        )

    def learner(self) -> nn.Module:
        """Return the network: its own forward is what training calls."""
        return self.network

    def inner(self, learner: Any) -> Any:
        """Return the network."""
        return learner

    def slow(self, name: str) -> bool:
        """Whether a parameter is the trunk's."""
        return name.startswith("encoder.trunk.")

    def loss(
        self, learner: Any, average: Any, batch: dict[str, Tensor], step: int, number: int
    ) -> dict[str, Tensor]:
        """Return the weighted terms of a batch's loss.

        Raises
        ------
        CosegError
            If the batch has no label at all.
        """
        model, run, teacher = self.config.model, self.config.run, self.config.teacher
        images = normalised(batch["image"], model.mean, model.std)
        targets = Targets.of(batch)
        if teacher is not None and step >= teacher.start * run.steps:
            targets = fill_missing(targets, average, images, teacher.threshold, batch["teach"])
        rows = {task: targets.rows(task) for task in ("regions", "instances")}
        tasks = [task for task, chosen in rows.items() if len(chosen)]
        output = learner(images, tasks=tasks, rows=rows)
        self._class_weight = self._class_weight.to(images.device)
        terms = coseg_loss(output, targets, rows, self._weights, self._class_weight)
        if not terms:
            raise CosegError("A batch has no label at all: every data set needs some.")
        if output.distributions is not None and (step + 1) % run.log_every == 0:
            self._spread = distribution_entropy(output.distributions)
        return terms

    def observed(self) -> dict[str, Tensor]:
        """Return the entropies of equation (9)'s distributions."""
        return self._spread

    def card(self, network: Any, scores: dict[str, Any]) -> ModelCard:
        """Describe a network as its weights file will."""
        return model_card(self.config, network, scores)

    def validate(
        self, network: Any, step: int, folder: Path, pictures: Path | None, progress: Done
    ) -> Validation | None:
        """Segment the held-out items as prediction does, and score them."""
        if not self._held_out:
            return None
        card = self.card(network, {"step": step})
        model = LoadedModel(network, card, sha256="", path=folder)
        result = validate(
            model,
            self._held_out,
            pictures=pictures,
            count=self.config.run.pictures,
            progress=progress,
        )
        images = sum(len(one.items) for one in self._held_out)
        return Validation(
            result.score,
            result.figures(),
            result.table,
            card_scores(self.config, step, images, result),
        )

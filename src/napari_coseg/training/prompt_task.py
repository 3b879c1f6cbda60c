"""SyncSAM in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from napari_coseg.datasets.labelled import Item
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.training.describe import prompt_card
from napari_coseg.training.mask_items import MaskSet
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.prompt_loss import PromptLearner
from napari_coseg.training.prompt_samples import PromptSamples
from napari_coseg.training.prompt_start import build_prompt_network
from napari_coseg.training.prompt_validation import validate_prompts
from napari_coseg.training.sources import open_source
from napari_coseg.training.split import split, words
from napari_coseg.training.survey import look_at_all, looked_at
from napari_coseg.training.task import Done, Validation, normalised
from napari_coseg.weights.card import ModelCard

#: Held-out objects of each set that a validation looks at.
OBJECTS = 64


class PromptTask:
    """A config of SyncSAM, its data and its network; see `Task`.

    Raises
    ------
    CosegError
        If the network, the data or the starting weights cannot be used.
    """

    def __init__(self, config: PromptTrainingConfig) -> None:
        self.config = config
        self.network: SyncSamNetwork = build_prompt_network(config.model)
        sets, held_out = load_mask_sets(config)
        self._sets, self._held_out = sets, held_out
        look_at_all(
            _readable,
            [
                (one, item)
                for one in (*sets, *held_out)
                # Of a set whose faults are skipped some may be there.
                if not one.skip
                for item in looked_at(one.items, one.dataset.name)
            ],
        )

    def samples(self, count: int) -> PromptSamples:
        """Return the samples of the whole run."""
        return PromptSamples(self._sets, self.config, count)

    def learner(self) -> nn.Module:
        """Return the network with the simulated person round it."""
        return PromptLearner(self.network, self.config)

    def inner(self, learner: Any) -> Any:
        """Return the network inside of the learner."""
        return learner.network

    def slow(self, name: str) -> bool:
        """Whether a parameter has learnt much already: the CNN's, and SAM's own in the decoder."""
        model = self.config.model
        if name.startswith("encoder.cnn."):
            return model.encoder_weights is not None
        ours = ("decoder.multi_scale.", "decoder.details.")
        sam = name.startswith(("decoder.", "prompt_encoder.")) and not name.startswith(ours)
        return sam and model.sam_weights is not None

    def loss(
        self, learner: Any, average: Any, batch: dict[str, Tensor], step: int, number: int
    ) -> dict[str, Tensor]:
        """Return the weighted terms of a batch's loss."""
        model = self.config.model
        images = normalised(batch["image"], model.mean, model.std)
        # Each batch of a step has prompts of its own.
        seed = self.config.run.seed * 1_000_003 + step + number * 7_368_787
        terms: dict[str, Tensor] = learner(images, batch["masks"], batch["valid"], seed)
        return terms

    def observed(self) -> dict[str, Tensor]:
        """Return nothing more than the loss."""
        return {}

    def card(self, network: Any, scores: dict[str, Any]) -> ModelCard:
        """Describe a network as its weights file will."""
        return prompt_card(self.config, network, scores)

    def validate(
        self, network: Any, step: int, folder: Path, pictures: Path | None, progress: Done
    ) -> Validation | None:
        """Prompt held-out objects, each in a crop as prediction would cut it."""
        if not self._held_out:
            return None
        table = validate_prompts(network, self._held_out, self.config, OBJECTS, pictures, progress)
        chosen = table[table["prompt"].isin(["box", "1 point", "3 points"])]
        figures = {f"{row.set} {row.prompt}": float(row.dice) for row in table.itertuples()}
        score = float(chosen["dice"].mean())
        card = {
            "step": step,
            "validation": f"{words(self.config.split)}, in crops",
            "score": round(score, 4),
            **{name: round(value, 4) for name, value in figures.items()},
        }
        return Validation(score, figures, table, card)


def _readable(task: tuple[MaskSet, Item]) -> None:
    one, item = task
    one.dataset.read(item)


def load_mask_sets(config: PromptTrainingConfig) -> tuple[list[MaskSet], list[MaskSet]]:
    """Split each data set into what is trained on and what is held out."""
    sets, held_out = [], []
    for section in config.data:
        dataset, items = open_source(section)
        train, held = split(items, config.split)
        # What cannot be read was found before where all items were looked at.
        skip = section.faults == "skip" and isinstance(items, ManyItems)
        sets.append(MaskSet(dataset, train, section.masks, section.weight, skip))
        if section.validation and held:
            held_out.append(MaskSet(dataset, held, section.masks, section.weight, skip))
    return sets, held_out

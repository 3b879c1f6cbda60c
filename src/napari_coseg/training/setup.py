"""The parts of a run before its first step: data, optimiser, learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from napari_coseg.datasets.labelled import Item
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.training.config import AnyConfig, ModelSection, TrainingConfig
from napari_coseg.training.items import TrainingSet, training_set
from napari_coseg.training.sections import OptimiserSection
from napari_coseg.training.sources import open_source
from napari_coseg.training.split import split
from napari_coseg.training.validation import HeldOut
from napari_coseg.types import CosegError

#: Held-out items of a set that is too large for a list that are scored, where nobody says how many.
SCORED = 500


def held_out_sets(config: TrainingConfig) -> list[HeldOut]:
    """Items that a run of this config holds out, by data set."""
    return load_sets(config)[1]


def load_sets(config: TrainingConfig) -> tuple[list[TrainingSet], list[HeldOut]]:
    """Split each data set into what is trained on and what is held out."""
    sets, held_out = [], []
    for section in config.data:
        dataset, items = open_source(section)
        train, held = split(items, config.split)
        one = training_set(dataset, train, section, config.model)
        sets.append(one)
        if section.validation and held:
            held_out.append(HeldOut(one, spread(held, section.score_at_most)))
    return sets, held_out


def untaught(sets: Sequence[TrainingSet], model: ModelSection) -> list[str]:
    """Say which tasks of a model nothing that is trained on has labels of.

    A teacher fills in what some sets lack, but learns it from the others. Of sets that are too
    large for a list nothing is said.
    """
    if any(isinstance(one.items, ManyItems) for one in sets):
        return []
    there = {kind for one in sets for item in one.items for kind in item.labels}
    wanted = {"regions": model.region_classes, "instances": model.instance_classes}
    return [
        f"Nothing that is trained on has {task}, and the model is to learn {', '.join(names)}: see "
        "whether all of the data is there (napari-coseg data check)."
        for task, names in wanted.items()
        if names and task not in there
    ]


def spread(items: Sequence[Item], most: int | None) -> tuple[Item, ...]:
    """Choose `most` items evenly among those that there are.

    None chooses all; of a set that is too large for a list, `SCORED`.
    """
    if most is None and isinstance(items, ManyItems):
        most = SCORED
    if most is None or len(items) <= most:
        return tuple(items)
    return tuple(items[(2 * i + 1) * len(items) // (2 * most)] for i in range(most))


def freeze(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Keep parameters whose names start with one of `prefixes` as they are.

    Raises
    ------
    CosegError
        If a prefix fits no parameter.
    """
    for prefix in prefixes:
        found = [p for name, p in network.named_parameters() if name.startswith(prefix)]
        if not found:
            raise CosegError(f"optimiser.frozen: the network has no parameter {prefix}...")
        for parameter in found:
            parameter.requires_grad_(False)


def make_optimiser(
    network: nn.Module, section: OptimiserSection, slow: Callable[[str], bool]
) -> torch.optim.Optimizer:
    """AdamW; what is `slow` learns slower, and norms, biases and decay rates do not decay."""
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        trunk = slow(name)
        decays = parameter.ndim > 1 and not name.endswith(("A_log", ".queries", "map_bias"))
        groups.setdefault((trunk, decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": section.rate * (section.encoder_factor if trunk else 1.0),
                "weight_decay": section.weight_decay if decays else 0.0,
            }
            for (trunk, decays), parameters in groups.items()
        ]
    )


def rate_factor(step: int, config: AnyConfig) -> float:
    """Factor on the learning rate at a step, 0 to 1."""
    optimiser = config.optimiser
    if step < optimiser.warmup:
        return (step + 1) / optimiser.warmup
    if optimiser.schedule == "constant":
        return 1.0
    if optimiser.schedule == "exponential":
        return optimiser.decay ** ((step - optimiser.warmup) // optimiser.epoch_steps)
    span = max(1, config.run.steps - optimiser.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - optimiser.warmup) / span)))

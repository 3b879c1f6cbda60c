"""Which items are held out for validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_coseg.datasets.labelled import PARTS, Item
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.training.sections import SplitSection


def split(items: Sequence[Item], section: SplitSection) -> tuple[Sequence[Item], Sequence[Item]]:
    """Part items into those to train on and those held out; a group stays together.

    Groups are shuffled by the seed and dealt out to the folds in turn, so that folds differ by
    one group at most and every item is held out in exactly one of them. Where the split is the
    published one, items of the part for validation are held out. A set that is too large for a list
    is divided by a hash of its groups, so that folds are alike in size, but not to one group.

    Returns
    -------
    tuple of sequence of Item
        Training items, held-out items.
    """
    if isinstance(items, ManyItems):
        if section.by == "published":
            others = [part for part in (None, *PARTS) if part != "validation"]
            return items.of_parts(others), items.of_parts(["validation"])
        return items.fold(section.fold, section.folds, section.seed, section.by == "group")
    if section.by == "published":
        return (
            [item for item in items if item.part != "validation"],
            [item for item in items if item.part == "validation"],
        )
    key = {item.name: item.group if section.by == "group" else item.name for item in items}
    groups = sorted(set(key.values()))
    np.random.default_rng(section.seed).shuffle(groups)
    held = {group for number, group in enumerate(groups) if number % section.folds == section.fold}
    train = [item for item in items if key[item.name] not in held]
    return train, [item for item in items if key[item.name] in held]


def words(section: SplitSection) -> str:
    """Say which items a split holds out."""
    if section.by == "published":
        return "the published part for validation"
    return f"fold {section.fold} of {section.folds}, by {section.by}"

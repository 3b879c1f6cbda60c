"""Which items are held out for validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_coseg.datasets.folder import FolderItem
from napari_coseg.training.sections import SplitSection


def split(
    items: Sequence[FolderItem], section: SplitSection
) -> tuple[list[FolderItem], list[FolderItem]]:
    """Part items into those to train on and those held out; a group stays together.

    Groups are shuffled by the seed and dealt out to the folds in turn, so that folds differ by
    one group at most and every item is held out in exactly one of them.

    Returns
    -------
    tuple of list of FolderItem
        Training items, held-out items.
    """
    key = {item.name: item.group if section.by == "group" else item.name for item in items}
    groups = sorted(set(key.values()))
    np.random.default_rng(section.seed).shuffle(groups)
    held = {group for number, group in enumerate(groups) if number % section.folds == section.fold}
    train = [item for item in items if key[item.name] not in held]
    return train, [item for item in items if key[item.name] in held]

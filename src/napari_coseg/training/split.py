"""Which items are held out for validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_coseg.datasets.labelled import PARTS, Item
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.training.sections import SplitSection


def split(items: Sequence[Item], section: SplitSection) -> tuple[Sequence[Item], Sequence[Item]]:
    """Part items into those to train on and those held out; a group stays together.

    Groups are shuffled by the seed and dealt out to the folds in turn, so that folds differ by
    one group at most and every item is held out in exactly one of them. Folds for the test are in
    neither of the two. Where the split is the published one, items of the part for validation are
    held out. A set that is too large for a list is divided by a hash of its groups, so that folds
    are alike in size, but not to one group.

    Returns
    -------
    tuple of sequence of Item
        Training items, held-out items.
    """
    if section.by == "published":
        if isinstance(items, ManyItems):
            others = [part for part in (None, *PARTS) if part != "validation"]
            return items.of_parts(others), items.of_parts(["validation"])
        return (
            [item for item in items if item.part != "validation"],
            [item for item in items if item.part == "validation"],
        )
    found = dealt(items, section)
    return found["train"], found["validation"]


def dealt(items: Sequence[Item], section: SplitSection) -> Mapping[str, Sequence[Item]]:
    """Part items into ``"train"``, ``"validation"`` and ``"test"``; every item is in one of them.

    Where the split is the published one, what its makers left undivided is for training.
    """
    if isinstance(items, ManyItems):
        return _many_dealt(items, section)
    parts: dict[str, list[Item]] = {part: [] for part in PARTS}
    if section.by == "published":
        for item in items:
            parts[item.part or "train"].append(item)
        return parts
    key = {item.name: item.group if section.by == "group" else item.name for item in items}
    groups = sorted(set(key.values()))
    np.random.default_rng(section.seed).shuffle(groups)
    part_of_fold = dict.fromkeys(section.test, "test") | {section.fold: "validation"}
    part_of = {
        group: part_of_fold.get(number % section.folds, "train")
        for number, group in enumerate(groups)
    }
    for item in items:
        parts[part_of[key[item.name]]].append(item)
    return parts


def _many_dealt(items: ManyItems, section: SplitSection) -> Mapping[str, Sequence[Item]]:
    if section.by == "published":
        held = {part: items.of_parts([part]) for part in ("validation", "test")}
        return {"train": items.of_parts([None, "train"]), **held}
    taken = {section.fold, *section.test}
    folds = {
        "train": [number for number in range(section.folds) if number not in taken],
        "validation": [section.fold],
        "test": list(section.test),
    }
    by_group = section.by == "group"
    return {
        part: items.of_folds(numbers, section.folds, section.seed, by_group)
        for part, numbers in folds.items()
    }


def words(section: SplitSection) -> str:
    """Say which items a split holds out."""
    if section.by == "published":
        return "the published part for validation"
    kept = f"; {len(section.test)} more kept for the test" if section.test else ""
    return f"fold {section.fold} of {section.folds}, by {section.by}{kept}"

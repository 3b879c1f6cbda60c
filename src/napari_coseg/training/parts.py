"""A part of a config's data: what it learns from, what it is chosen by, what it is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_coseg.datasets.labelled import PARTS, Item, LabelledDataset
from napari_coseg.training.config import AnyConfig
from napari_coseg.training.sections import SourceSection, SplitSection
from napari_coseg.training.sources import open_source
from napari_coseg.training.split import dealt
from napari_coseg.types import CosegError

#: What a person may ask for.
WANTED = (*PARTS, "all")


@dataclass(frozen=True)
class DataPart:
    """Items of one data set of a config.

    Attributes
    ----------
    section : SourceSection
        Where the config names it.
    dataset : LabelledDataset
    items : sequence of Item
    """

    section: SourceSection
    dataset: LabelledDataset
    items: Sequence[Item]


def open_parts(config: AnyConfig, part: str) -> list[DataPart]:
    """Open the data sets of a config with the items of one part, as its split has them.

    Parameters
    ----------
    config : TrainingConfig or PromptTrainingConfig
    part : str
        One of `WANTED`.

    Raises
    ------
    CosegError
        If a data set cannot be opened, or none of them has such a part.
    """
    found = []
    for section in config.data:
        dataset, items = _open_part(section, config.split, part)
        if items:
            found.append(DataPart(section, dataset, items))
    if not found:
        raise CosegError(
            f"{config.model.name} has no items for {part}: name folds with split.test, or split by "
            "the published parts."
        )
    return found


def _open_part(
    section: SourceSection, split: SplitSection, part: str
) -> tuple[LabelledDataset, Sequence[Item]]:
    if split.by == "published":
        # Training leaves the makers' test items out; here they are asked for.
        section = section.model_copy(update={"parts": PARTS})
    dataset, items = open_source(section)
    return dataset, items if part == "all" else dealt(items, split)[part]

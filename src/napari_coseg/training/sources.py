"""A data set of a config: opened, with the items that take part."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from napari_coseg.datasets.labelled import Item, ItemFault, LabelledDataset, OpenOptions
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.datasets.opening import open_dataset
from napari_coseg.training.sections import SourceSection
from napari_coseg.types import CosegError

_log = logging.getLogger(__name__)


def open_source(section: SourceSection) -> tuple[LabelledDataset, Sequence[Item]]:
    """Open a data set and choose its items.

    Returns
    -------
    tuple of LabelledDataset, sequence of Item
        Items of sets that are too large for a list are a `ManyItems`.

    Raises
    ------
    CosegError
        If it cannot be opened, something in it cannot be used and the config does not say to skip
        it, or nothing is left. Items are read only where faults are to be skipped, and none of
        sets that are too large for a list: those are met when samples are drawn.
    """
    options = OpenOptions(mpp=section.mpp, mapping=section.mapping)
    dataset = open_dataset(section.path, section.format, options)
    items: Sequence[Item]
    if isinstance(dataset.items, ManyItems):
        items = dataset.items.of_parts((None, *section.parts))
    else:
        items = [item for item in dataset.items if item.part is None or item.part in section.parts]
    faults = list(dataset.faults)
    if section.faults == "skip":
        if not isinstance(items, ManyItems):
            broken = _unreadable(dataset, items)
            items = [item for item in items if item.name not in broken]
            faults += broken.values()
        for fault in faults:
            _log.warning("Skipped %s of %s: %s", fault.name, dataset.name, fault.sentence)
    elif faults:
        more = f" {len(faults) - 1} more are faulty." if len(faults) > 1 else ""
        raise CosegError(
            f"{dataset.name}: {faults[0].name}: {faults[0].sentence}{more} "
            'Mend it, or set faults = "skip" for this data set.'
        )
    if not items:
        raise CosegError(f"{section.path} has no item of the parts {', '.join(section.parts)}.")
    return dataset, items


def _unreadable(dataset: LabelledDataset, items: Sequence[Item]) -> dict[str, ItemFault]:
    """Read each item once; those that cannot be read, by name."""

    def look(item: Item) -> ItemFault | None:
        try:
            dataset.read(item)
        except CosegError as error:
            return ItemFault(item.name, str(error))
        return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return {fault.name: fault for fault in pool.map(look, items) if fault is not None}

"""A look at every labelled image before the first step: faults are told, classes counted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import Item
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.training.items import TrainingSet
from napari_coseg.training.validation import HeldOut
from napari_coseg.types import CosegError

_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

#: Items of a set that is too large for a list that are looked at.
SURVEYED = 2000


def survey(
    sets: Sequence[TrainingSet], held_out: Sequence[HeldOut], classes: int
) -> npt.NDArray[np.float64]:
    """Read each item once; of a set that is too large for a list, some, evenly spread.

    Parameters
    ----------
    sets : sequence of TrainingSet
    held_out : sequence of HeldOut
    classes : int
        Instance classes of the model.

    Returns
    -------
    ndarray of float64, (classes + 1,)
        Objects of each class among the items that are trained on.

    Raises
    ------
    CosegError
        If one cannot be read; the sentence names the file, and says how many others are faulty.
    """

    def look(task: tuple[TrainingSet, Item, bool]) -> npt.NDArray[np.float64]:
        one, item, trained = task
        return _counted(one, item, classes) * trained

    counts = np.zeros(classes + 1)
    for found in look_at_all(look, _tasks(sets, held_out)):
        counts += found
    return counts


def look_at_all(look: Callable[[T], R], tasks: Iterable[T]) -> list[R]:
    """Call a function for each item, some at a time.

    Raises
    ------
    CosegError
        If it does for one; the sentence is the first one's, and says how many others there are.
    """

    def told(task: T) -> R | CosegError:
        try:
            return look(task)
        except CosegError as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(told, tasks))
    faults = [one for one in found if isinstance(one, CosegError)]
    if faults:
        more = f" {len(faults) - 1} more images are faulty." if len(faults) > 1 else ""
        raise CosegError(f"{faults[0]}{more}")
    return [one for one in found if not isinstance(one, CosegError)]


def looked_at(items: Sequence[Item], name: str) -> Sequence[Item]:
    """Return the items that a survey reads: all, or some of a set that is too large for a list."""
    if not isinstance(items, ManyItems) or len(items) <= SURVEYED:
        return items
    _log.warning(
        "%s has %s images: %s of them are looked at before the first step, evenly spread.",
        name,
        f"{len(items):,}",
        f"{SURVEYED:,}",
    )
    return items.spread(SURVEYED)


def _tasks(
    sets: Sequence[TrainingSet], held_out: Sequence[HeldOut]
) -> Iterable[tuple[TrainingSet, Item, bool]]:
    for one in sets:
        yield from ((one, item, True) for item in looked_at(one.items, one.dataset.name))
    for held in held_out:
        yield from ((held.training, item, False) for item in held.items)


def _counted(one: TrainingSet, item: Item, classes: int) -> npt.NDArray[np.float64]:
    read = one.read(item)
    if read.instances is None or read.classes is None:
        return np.zeros(classes + 1)
    _, first = np.unique(read.instances, return_index=True)
    found = one.instance_ids[read.classes.ravel()[first]]
    found = found[(found > 0) & (found <= classes)]
    return np.bincount(found, minlength=classes + 1).astype(np.float64)


def class_weights(counts: npt.NDArray[np.float64], cap: float = 4.0) -> npt.NDArray[np.float64]:
    """1 / sqrt(frequency) of each instance class among objects, at most `cap` times the least.

    Parameters
    ----------
    counts : ndarray of float64, (classes + 1,)
        As `survey` returns them.
    cap : float

    Returns
    -------
    ndarray of float64, (classes + 1,)
        Background's weight is 1, and so is a class's without any object.
    """
    weights = np.ones(len(counts))
    seen = counts > 0
    if seen.any():
        raw = 1 / np.sqrt(counts[seen])
        weights[seen] = np.minimum(raw / raw.min(), cap)
    return weights

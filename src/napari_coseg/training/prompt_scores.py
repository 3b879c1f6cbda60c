"""Scores SyncSAM as its paper does: whole images, with a box, one point, and five points.

Yang et al. 2025, sections 3.1 and 3.3: an image is padded to a square and resized; the prompts are
the object's box, a random point of it, and points one after the other where the mask is wrong, each
with the last answer fed back. The paper does not say at which size Dice is taken: here it is the
image's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from napari_coseg.metrics.comparison import KEYS
from napari_coseg.models.syncsam.encoder import Encoding
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.training.interaction import Session
from napari_coseg.training.mask_items import MaskItem, MaskSet, mask_item
from napari_coseg.training.prompt_samples import pixels_of, whole_image
from napari_coseg.training.prompt_validation import dice
from napari_coseg.training.task import normalised

#: Scores, by the number of points that they are taken after; 0 is the box.
SCORES = {"box": 0, "point": 1, "points5": 5}
#: Objects that are decoded together.
_OBJECTS = 16

Colour = tuple[float, float, float]


@torch.no_grad()
def score_prompts(
    network: SyncSamNetwork,
    mean: Colour,
    std: Colour,
    sets: Sequence[tuple[str, MaskSet]],
    *,
    objects: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Prompt every object of some items.

    Parameters
    ----------
    network : SyncSamNetwork
        In evaluation mode.
    mean, std : tuple of float
        The model's.
    sets : sequence of (str, MaskSet)
        Each with the name that it is scored under.
    objects : int, optional
        Most objects of each set: its items are taken in a random order until they are reached.
    seed : int
        Of the points, and of that order.
    progress : callable
        Called with items done and all items.

    Returns
    -------
    DataFrame
        One row an object: columns ``image`` (item and object), ``group`` (patient, slide or volume
        of the item, which itself is one where that is unknown), ``task`` (``"prompts"``),
        ``class_id``, ``class`` (the set), and one for each of `SCORES`.

    Raises
    ------
    CosegError
        If an item cannot be read.
    """
    rows: list[dict[str, object]] = []
    total, done = sum(len(one.items) for _, one in sets), 0
    for number, (name, one) in enumerate(sets, 1):
        order = np.random.default_rng(seed).permutation(len(one.items))
        found = 0
        for place in order if objects is not None else range(len(order)):
            if objects is not None and found >= objects:
                break
            item = one.items[int(place)]
            read = mask_item(one, item)
            random = torch.Generator().manual_seed(seed)
            most = None if objects is None else objects - found
            for label, scores in _of_item(network, mean, std, read, random, most):
                of_object = {"image": f"{item.name}#{label}", "group": item.group}
                of_set = {"task": "prompts", "class_id": number, "class": name}
                rows.append(of_object | of_set | scores)
                found += 1
            done += 1
            progress(done, total)
    return pd.DataFrame(rows, columns=[*KEYS, *SCORES])


def _of_item(
    network: SyncSamNetwork,
    mean: Colour,
    std: Colour,
    item: MaskItem,
    random: torch.Generator,
    most: int | None,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Scores of an item's objects, each with the kind of label and the id that it has."""
    if not len(item.ids):
        return
    device = next(network.parameters()).device
    side = network.config.side
    warp = whole_image(item.shape, side)
    picture = torch.from_numpy(pixels_of(item, warp, side).copy())[None].to(device)
    encoding = network.encode(normalised(picture, mean, std))
    small = [
        np.asarray(warp.apply(labels, side, 1, Image.Resampling.NEAREST, 0))
        for labels in item.labels
    ]
    large = [np.asarray(labels) for labels in item.labels]
    for first in range(0, len(item.ids[:most]), _OBJECTS):
        chosen = range(first, min(first + _OBJECTS, len(item.ids[:most])))
        seen = torch.from_numpy(np.stack([_seen(item, small, i, warp.factor) for i in chosen]))
        truth = torch.from_numpy(
            np.stack([large[item.kinds[i]] == item.ids[i] for i in chosen])
        ).to(device)
        found = _prompted(network, encoding, seen.to(device), truth, random)
        for place, i in enumerate(chosen):
            label = f"{item.kinds[i]}-{item.ids[i]}" if len(large) > 1 else str(item.ids[i])
            yield label, {name: float(values[place]) for name, values in found.items()}


def _seen(
    item: MaskItem, labels: Sequence[npt.NDArray[np.int32]], number: int, factor: float
) -> npt.NDArray[np.bool_]:
    """Return an object at the network's resolution; one that is lost there is its middle pixel."""
    mask: npt.NDArray[np.bool_] = labels[item.kinds[number]] == item.ids[number]
    if not mask.any():
        row0, column0, row1, column1 = item.boxes[number]
        mask = mask.copy()
        mask[int((row0 + row1) / 2 / factor), int((column0 + column1) / 2 / factor)] = True
    return mask


def _prompted(
    network: SyncSamNetwork,
    encoding: Encoding,
    seen: Tensor,
    truth: Tensor,
    random: torch.Generator,
) -> dict[str, Tensor]:
    """Dice of each object by the names of `SCORES`."""
    side = network.config.side
    rows, columns = truth.shape[-2:]
    numbers = torch.zeros(len(seen), dtype=torch.long, device=seen.device)

    def answer(session: Session) -> tuple[Tensor, Tensor]:
        logits = network.decode(encoding, numbers, session.prompts)
        longest = max(rows, columns)
        fine = functional.interpolate(
            logits[:, None].float(), (longest, longest), mode="bilinear", align_corners=False
        )
        return logits, dice(fine[:, 0, :rows, :columns] > 0, truth)

    session = Session(seen, 1, side, random)
    session.begin(1.0, 0.0, with_point=0.0)
    found = {"box": answer(session)[1].cpu()}
    session = Session(seen, 1, side, random)
    session.begin(0.0, 0.0, middle=0.0)
    names = {points: name for name, points in SCORES.items() if points}
    for points in range(1, max(names) + 1):
        logits, scores = answer(session)
        if points in names:
            found[names[points]] = scores.cpu()
        session.correct(logits, sure=0.0, middle=0.0)
    return found

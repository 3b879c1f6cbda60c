"""Scores SyncSAM on held-out objects, in crops as prediction cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.training.interaction import Session, boxes_of
from napari_coseg.training.mask_items import MaskSet
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.prompt_samples import TRUTH_STRIDE, PromptSamples
from napari_coseg.training.sections import LookSection
from napari_coseg.training.task import Done, normalised

#: Part of the crop that the object's longer side is.
FILL = 0.45
#: Clicks at which the Dice is noted.
CLICKS = (1, 3, 5)
_BATCH = 8


def dice(a: Tensor, b: Tensor) -> Tensor:
    """Return the Dice of each pair of masks, (K, H, W) of bool; of two empty ones 1."""
    both = (a & b).flatten(1).sum(1)
    total = a.flatten(1).sum(1) + b.flatten(1).sum(1)
    return torch.where(total > 0, 2 * both / total.clamp(min=1), torch.ones_like(total) * 1.0)


def inscribed_ellipses(boxes: Tensor, side: int) -> Tensor:
    """Return the ellipses that touch the edges of boxes, (K, side, side) of bool.

    They know nothing of the image: what a network must be better than.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=0.5)
    at = torch.arange(side, device=boxes.device) + 0.5
    rows = (at[None] - centre[:, :1]) / half[:, :1]
    columns = (at[None] - centre[:, 1:]) / half[:, 1:]
    return rows[:, :, None] ** 2 + columns[:, None, :] ** 2 <= 1


@torch.no_grad()
def validate_prompts(
    network: SyncSamNetwork,
    sets: Sequence[MaskSet],
    config: PromptTrainingConfig,
    objects: int,
    pictures: Path | None,
    progress: Done,
) -> pd.DataFrame:
    """Prompt objects of held-out items with a true box, or with clicks.

    Parameters
    ----------
    network : SyncSamNetwork
        In evaluation mode.
    sets : sequence of MaskSet
        Held-out items.
    config : PromptTrainingConfig
    objects : int
        Objects of each set.
    pictures : Path or None
        Folder for one picture a set: truth in yellow, mask from the box in cyan.
    progress : callable

    Returns
    -------
    DataFrame
        Columns ``set``, ``prompt`` (``box``, ``1 point``, ..., ``ellipse``), ``dice`` (mean),
        ``objects``.
    """
    plain = config.model_copy(
        update={
            "mix": config.mix.model_copy(update={"pseudo": 0.0, "shapes": 0.0}),
            "augment": config.augment.model_copy(
                update={
                    **dict.fromkeys((*LookSection.model_fields, "colour"), 0),
                    "fill": (FILL, FILL),
                    "rotate": False,
                }
            ),
            "interaction": config.interaction.model_copy(update={"masks": 1}),
        }
    )
    device = next(network.parameters()).device
    rows: list[dict[str, Any]] = []
    total, done = objects * len(sets), 0
    for one in sets:
        samples = PromptSamples([one], plain, objects)
        found: dict[str, list[Tensor]] = {}
        shown: list[npt.NDArray[np.uint8]] = []
        for first in range(0, objects, _BATCH):
            drawn = [samples[i] for i in range(first, min(first + _BATCH, objects))]
            # Where no object can be drawn a shape stands in, which says nothing here.
            batch = [s for s in drawn if int(s["source"]) == 0]
            if batch:
                boxed = _score(network, batch, config, device, found)
                shown += [_picture(s, m) for s, m in zip(batch, boxed, strict=True)]
            done += len(drawn)
            progress(done, total)
        for prompt, values in found.items():
            scores = torch.cat(values)
            rows.append(
                {
                    "set": one.dataset.name,
                    "prompt": prompt,
                    "dice": float(scores.mean()),
                    "objects": len(scores),
                }
            )
        if pictures is not None and shown:
            _save(shown[:16], pictures / f"{one.dataset.name}.png")
    return pd.DataFrame(rows, columns=["set", "prompt", "dice", "objects"])


def _score(
    network: SyncSamNetwork,
    batch: Sequence[dict[str, Tensor]],
    config: PromptTrainingConfig,
    device: torch.device,
    found: dict[str, list[Tensor]],
) -> npt.NDArray[np.bool_]:
    """Add the Dice of each prompt; return the masks from boxes."""
    images = torch.stack([s["image"] for s in batch]).to(device)
    truth = torch.stack([s["masks"][0] for s in batch]).to(device).bool()
    encoding = network.encode(normalised(images, config.model.mean, config.model.std))
    numbers = torch.arange(len(batch), device=device)
    side = network.config.side

    def add(name: str, masks: Tensor) -> None:
        found.setdefault(name, []).append(dice(masks, truth).cpu())

    def segmented(session: Session) -> tuple[Tensor, Tensor]:
        logits = network.decode(encoding, numbers, session.prompts)
        fine = functional.interpolate(
            logits[:, None], truth.shape[-2:], mode="bilinear", align_corners=False
        )
        return logits, fine[:, 0] > 0

    random = torch.Generator().manual_seed(0)
    session = Session(truth, TRUTH_STRIDE, side, random)
    session.begin(1.0, 0.0, with_point=0.0)
    boxed = segmented(session)[1]
    add("box", boxed)
    ellipses = inscribed_ellipses(boxes_of(truth, 1), truth.shape[-1])
    add("ellipse", ellipses)
    session = Session(truth, TRUTH_STRIDE, side, random)
    session.begin(0.0, 0.0)
    for click in range(1, max(CLICKS) + 1):
        logits, masks = segmented(session)
        if click in CLICKS:
            add(f"{click} point{'s' if click > 1 else ''}", masks)
        session.correct(logits, middle=1.0)
    out: npt.NDArray[np.bool_] = boxed.cpu().numpy()
    return out


def _picture(sample: dict[str, Tensor], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    picture: npt.NDArray[np.uint8] = sample["image"].numpy().copy()
    truth = sample["masks"][0].numpy().astype(bool)
    for bits, colour in ((truth, (240, 228, 66)), (mask, (86, 180, 233))):
        large = bits.repeat(TRUTH_STRIDE, 0).repeat(TRUTH_STRIDE, 1)
        edge = np.zeros_like(large)
        edge[1:] |= large[1:] != large[:-1]
        edge[:, 1:] |= large[:, 1:] != large[:, :-1]
        picture[edge] = colour
    return picture


def _save(shown: Sequence[npt.NDArray[np.uint8]], path: Path) -> None:
    across = 4
    blank = np.full_like(shown[0], 255)
    padded = [*shown, *[blank] * (-len(shown) % across)]
    lines = [np.concatenate(padded[i : i + across], 1) for i in range(0, len(padded), across)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(lines)).save(path)

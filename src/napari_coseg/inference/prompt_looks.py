"""Where an object is looked at: first, again while it is refined, and when it did not fit.

Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_coseg.inference.prompt_masks import mask_box
from napari_coseg.inference.zoom import (
    DEFAULT_HINT,
    SMALLEST_SIDE,
    Aim,
    Box,
    aim_at,
    contains,
    cover,
    crop_for,
    grown_crop,
    holds,
    longest,
)
from napari_coseg.types import CosegError, Prompt

#: An object found by points alone that takes less of its crop is looked at again from nearer.
SMALL = 1 / 6
# A crop is at the most this many times as long as the image.
_LARGEST = 4


@dataclass(frozen=True)
class Look:
    """One object in one crop.

    Attributes
    ----------
    index : int
        Of its prompt.
    aim : Aim
        What must be seen.
    crop : tuple of float
        Where it is looked at.
    grown : bool
        Whether an earlier crop was found too small.
    """

    index: int
    aim: Aim
    crop: Box
    grown: bool = False


def object_length(hint: float | None) -> float:
    """Return the length in pixels that a clicked object is taken to have.

    Raises
    ------
    CosegError
        If it is not a positive number.
    """
    if hint is None:
        return DEFAULT_HINT
    if not (math.isfinite(hint) and hint > 0):
        raise CosegError(f"The size of an object must be a positive number of pixels: {hint}.")
    return float(hint)


def first_looks(
    prompts: Sequence[Prompt],
    shape: tuple[int, int],
    crops: Sequence[Box | None],
    hint: float,
    share: float,
) -> list[Look]:
    """Choose the crop in which each object is seen first."""
    aims = [_aim(prompt, shape, hint) for prompt in prompts]
    chosen: dict[int, Box] = {}
    for index, crop in enumerate(crops):
        if crop is not None and _is_crop(crop, shape) and _still(crop, prompts[index], aims[index]):
            chosen[index] = crop
    sized = [
        index
        for index, prompt in enumerate(prompts)
        if index not in chosen and (prompt.box is not None or prompt.mask is not None)
    ]
    chosen.update(zip(sized, cover([aims[index] for index in sized], shape, share), strict=True))
    return [
        Look(index, aim, chosen.get(index) or crop_for(aim, shape))
        for index, aim in enumerate(aims)
    ]


def next_look(
    prompt: Prompt, look: Look, seen: Box, cut: bool, shape: tuple[int, int]
) -> Look | None:
    """Return in which crop an object should be looked at again, if in any.

    Parameters
    ----------
    prompt : Prompt
    look : Look
        Where it was seen.
    seen : tuple of float
        Bounding box of what was found.
    cut : bool
        Whether that meets an edge of the crop beyond which the image goes on.
    shape : tuple of int
        Rows and columns of the image.
    """
    side = look.crop[2] - look.crop[0]
    if cut:
        aim = aim_at(_union([seen, look.aim.box]), shape)
        return Look(look.index, aim, grown_crop(look.crop, aim, shape), grown=True)
    guessed = prompt.box is None and prompt.mask is None and not look.grown
    if guessed and longest(seen) < SMALL * side:
        aim = aim_at(_union([seen, *_on_object(prompt)]), shape)
        crop = crop_for(aim, shape)
        if crop[2] - crop[0] < side:
            return Look(look.index, aim, crop)
    return None


def _aim(prompt: Prompt, shape: tuple[int, int], hint: float) -> Aim:
    boxes = _on_object(prompt)
    if prompt.box is not None:
        boxes.append(prompt.box)
    if prompt.mask is not None:
        boxes.append(mask_box(prompt.mask))
    guessed = hint if prompt.box is None and prompt.mask is None else None
    return aim_at(_union(boxes), shape, guessed)


def _still(crop: Box, prompt: Prompt, aim: Aim) -> bool:
    if prompt.box is None and prompt.mask is None:
        return contains(crop, aim.box)
    return holds(crop, aim)


def _on_object(prompt: Prompt) -> list[Box]:
    return [(r, c, r + 1.0, c + 1.0) for r, c, positive in prompt.points if positive]


def _union(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _is_crop(crop: Box, shape: tuple[int, int]) -> bool:
    """Whether a crop that came from outside is one that we would choose."""
    side = crop[2] - crop[0]
    square = all(math.isfinite(v) for v in crop) and side == crop[3] - crop[1]
    return square and 0 < side <= max(SMALLEST_SIDE, _LARGEST * max(shape))

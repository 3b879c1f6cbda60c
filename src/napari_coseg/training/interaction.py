"""Simulated prompts: a box or a point first, then clicks where the mask is wrong.

Kirillov et al. 2023, "Segment Anything", appendix A, and Sofiiuk et al. 2022 ("Reviving iterative
training with mask guidance") train so.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_coseg.models.syncsam.prompts import (
    NEGATIVE,
    PADDING,
    POSITIVE,
    PromptBatch,
    mask_logits,
)

#: Side in pixels of the truth of the neighbourhood in which the middle of a region is looked for.
_MIDDLE = 15
#: Boxes move by this many deviations at most.
_MOST = 2.5


def boxes_of(masks: Tensor, stride: int) -> Tensor:
    """Return the boxes of masks.

    Parameters
    ----------
    masks : Tensor of bool, (K, H, W)
        None of them empty.
    stride : int
        Pixels of the network's square that one pixel of a mask stands for.

    Returns
    -------
    Tensor, (K, 4)
        First row and column, last row and column, exclusive; in pixels of the square.
    """
    firsts, lasts = [], []
    for axis in (2, 1):
        line = masks.any(axis).float()
        firsts.append(line.argmax(1))
        lasts.append(line.shape[1] - line.flip(1).argmax(1))
    return stride * torch.stack([*firsts, *lasts], 1).float()


def jittered(boxes: Tensor, deviation: float, side: int, random: torch.Generator) -> Tensor:
    """Move each edge by a part of its side; boxes stay within the square and keep an inside."""
    lengths = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    noise = torch.randn(boxes.shape, generator=random).clamp(-_MOST, _MOST).to(boxes)
    moved = (boxes + deviation * lengths * noise).clamp(0, side)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    first = torch.minimum(moved[:, :2], middle - 1)
    last = torch.maximum(moved[:, 2:], middle + 1)
    return torch.where(lengths < 2, boxes, torch.cat([first, last], 1))


def pick(weights: Tensor, random: torch.Generator, *, middle: float = 0.5) -> Tensor:
    """Choose a pixel of each map, evenly among those that are set, or in the middle of the most.

    Parameters
    ----------
    weights : Tensor of bool, (K, H, W)
    random : torch.Generator
        On the CPU.
    middle : float
        Probability of the middle.

    Returns
    -------
    Tensor of int, (K, 2)
        Row and column; any pixel where none is set.
    """
    count, _, columns = weights.shape
    flat = weights.float()
    noise = torch.rand(flat.shape, generator=random).to(flat)
    # One axis after the other: a fifteenth of the work.
    pad = _MIDDLE // 2
    crowd = functional.avg_pool2d(flat[:, None], (_MIDDLE, 1), 1, (pad, 0))
    crowd = functional.avg_pool2d(crowd, (1, _MIDDLE), 1, (0, pad))[:, 0]
    in_middle = (torch.rand(count, generator=random) < middle).to(flat.device)
    score = torch.where(in_middle[:, None, None], crowd + 0.01 * noise, noise) * flat
    best = score.flatten(1).argmax(1)
    return torch.stack([best // columns, best % columns], 1)


class Session:
    """Prompts on K objects, as they grow.

    Parameters
    ----------
    masks : Tensor of bool, (K, H, W)
        The truth.
    stride : int
        Pixels of the square that one pixel of the truth stands for.
    side : int
        Of the square.
    random : torch.Generator
        On the CPU.
    """

    def __init__(self, masks: Tensor, stride: int, side: int, random: torch.Generator) -> None:
        self.masks = masks
        self._stride = stride
        self._side = side
        self._random = random
        count = len(masks)
        self._boxes = torch.full((count, 4), torch.nan, device=masks.device)
        self._points = torch.zeros(count, 0, 2, device=masks.device)
        self._labels = torch.zeros(count, 0, dtype=torch.long, device=masks.device)
        self._logits: Tensor | None = None

    def begin(
        self, box: float, jitter: float, *, with_point: float = 0.25, middle: float = 0.5
    ) -> None:
        """Give each object a box, by this probability, or a point; some boxes get one too.

        `middle` is as in `pick`.
        """
        drawn = torch.rand(len(self.masks), generator=self._random).to(self.masks.device)
        with_box, pointed = drawn < box, (drawn >= box) | (drawn < with_point * box)
        boxes = boxes_of(self.masks, self._stride)
        if jitter:
            boxes = jittered(boxes, jitter, self._side, self._random)
        self._boxes[with_box] = boxes[with_box]
        places = pick(self.masks, self._random, middle=middle)
        self._add(places, torch.where(pointed, POSITIVE, PADDING))

    def correct(self, logits: Tensor, *, sure: float = 0.5, middle: float = 0.5) -> None:
        """Click where the mask is wrong, and feed it back.

        Parameters
        ----------
        logits : Tensor, (K, S/4, S/4)
            As the network gave them.
        sure : float
            Probability that the mask is fed back as a reopened object's is: without its doubts.
        middle : float
            See `pick`.
        """
        logits = logits.detach().float()
        size = self.masks.shape[-2:]
        fine = functional.interpolate(logits[:, None], size, mode="bilinear", align_corners=False)
        wrong = (fine[:, 0] > 0) != self.masks
        places = pick(wrong, self._random, middle=middle)
        rows, columns = places.unbind(1)
        numbers = torch.arange(len(places), device=places.device)
        kind = torch.where(self.masks[numbers, rows, columns], POSITIVE, NEGATIVE)
        self._add(places, torch.where(wrong.flatten(1).any(1), kind, PADDING))
        plain = (torch.rand(len(logits), generator=self._random) < sure).to(logits.device)
        self._logits = torch.where(
            plain[:, None, None], mask_logits((logits > 0).to(logits)), logits.clamp(-20, 20)
        )

    def _add(self, places: Tensor, labels: Tensor) -> None:
        # The centre of a pixel of the truth, in pixel centres of the square.
        points = self._stride * places.float() + (self._stride - 1) / 2
        self._points = torch.cat([self._points, points[:, None]], 1)
        self._labels = torch.cat([self._labels, labels[:, None]], 1)

    @property
    def prompts(self) -> PromptBatch:
        """What the network is given now."""
        return PromptBatch(self._boxes, self._points, self._labels, self._logits)

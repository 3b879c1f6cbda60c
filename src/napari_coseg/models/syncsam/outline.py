"""The outline branch: a small U-Net that sees the prompts themselves on the mask's own grid.

Not in the paper. SAM's decoder hears of a box as two tokens, and of a mask before on the grid of
its embedding, 16 pixels to a cell; that a mask should meet the four sides of its box, and stay as
it was away from a click, it can only learn by heart. Here box, points and mask before are drawn as
maps of 4 pixels to a cell beside the mask features, and what comes out is added to the logits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_coseg.models.syncsam.prompts import MASK_LOGIT, NEGATIVE, POSITIVE, PromptBatch

#: Maps that `prompt_maps` draws: five of a box, two of points, one of a mask before.
MAPS = 8
# Cells: how far from a side of the box distances are told, and the deviation of a point's blot.
_REACH, _BLOT = 4.0, 1.5
# Most half lengths away from a box's middle that are told apart.
_FAR = 1.5
# Logits beyond this are sure anyway.
_SURE = 10.0


def prompt_maps(prompts: PromptBatch, side: int, cells: int) -> Tensor:
    """Draw prompts as maps.

    Parameters
    ----------
    prompts : PromptBatch
        Of M objects.
    side : int
        Of the network's square, in pixels.
    cells : int
        Of its logits, in cells.

    Returns
    -------
    Tensor, (M, 8, cells, cells)
        Within about -1.5 and 1.5. Where there is a box: one everywhere; the height of its inscribed
        ellipse, 1 in the middle and 0 on its outline; rows and columns from its middle, in half
        lengths; the distance to its nearest side, positive inside. Blots at positive and at
        negative points. The mask before. All are zero of what an object has not.
    """
    some = next(p for p in (prompts.boxes, prompts.points, prompts.masks) if p is not None)
    at = (torch.arange(cells, device=some.device, dtype=torch.float32) + 0.5) * (side / cells)
    maps = torch.zeros(len(prompts), MAPS, cells, cells, device=some.device)
    if prompts.boxes is not None:
        maps[:, :5] = _box_maps(prompts.boxes.float(), at, side / cells)
    if prompts.points is not None and prompts.labels is not None and prompts.points.shape[1]:
        blots = _blots(prompts.points.float() + 0.5, at, side / cells)
        for channel, kind in ((5, POSITIVE), (6, NEGATIVE)):
            chosen = (prompts.labels == kind)[..., None, None]
            maps[:, channel] = torch.where(chosen, blots, 0.0).amax(1)
    if prompts.masks is not None:
        shown = (prompts.masks.float() / MASK_LOGIT).clamp(-1, 1)
        maps[:, 7] = torch.where(shown.isfinite(), shown, 0.0)
    return maps


def _box_maps(boxes: Tensor, at: Tensor, step: float) -> Tensor:
    known = boxes.isfinite().all(-1)
    boxes = torch.where(known[:, None], boxes, 0.0)
    first, last = boxes[:, :2], boxes[:, 2:]
    # However small, a box holds the middle of a cell.
    half = ((last - first) / 2).clamp(min=0.75 * step)
    # (M, 2, cells): rows and columns from the middle, in half lengths and in cells.
    away = (at - ((first + last) / 2)[..., None]) / half[..., None]
    inside = (1 - away.abs()) * half[..., None] / step
    down, across = away[:, 0, :, None], away[:, 1, None, :]
    height = 1 - (down.square() + across.square()).sqrt()
    nearest = torch.minimum(inside[:, 0, :, None], inside[:, 1, None, :]) / _REACH
    shape = height.shape
    drawn = torch.stack(
        [
            torch.ones_like(height),
            height.clamp(-1, 1),
            down.clamp(-_FAR, _FAR).expand(shape),
            across.clamp(-_FAR, _FAR).expand(shape),
            nearest.clamp(-1, 1),
        ],
        1,
    )
    return torch.where(known[:, None, None, None], drawn, 0.0)


def _blots(points: Tensor, at: Tensor, step: float) -> Tensor:
    """(M, N, 2) to (M, N, cells, cells)."""
    away = (at - points[..., None]) / (_BLOT * step)
    lines = torch.exp(-0.5 * away.square())
    return lines[:, :, 0, :, None] * lines[:, :, 1, None, :]


class _Separable(nn.Sequential):
    """A convolution of 3 x 3, channel by channel, then one of 1 x 1."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.Conv2d(channels, out, 1),
            nn.GELU(),
        )


class Outline(nn.Module):
    """What is added to the logits for what the prompts say on their grid.

    Begins at zero, so that a network begins as if it were not there.

    Parameters
    ----------
    features : int
        Channels of the mask features.
    channels : int
        Of the U-Net on the finest grid; twice as many on the three coarser ones.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.entry = nn.Conv2d(features + 1 + MAPS, channels, 1)
        self.fine = _Separable(channels, channels)
        self.down = nn.ModuleList(
            [_Separable(channels, wide), _Separable(wide, wide), _Separable(wide, wide)]
        )
        self.up = nn.ModuleList(
            [_Separable(wide, wide), _Separable(wide, wide), _Separable(wide, channels)]
        )
        self.last = _Separable(channels, channels)
        self.out = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, logits: Tensor, features: Tensor, maps: Tensor) -> Tensor:
        """Return better logits.

        Parameters
        ----------
        logits : Tensor, (M, S/4, S/4)
        features : Tensor, (M, features, S/4, S/4)
        maps : Tensor, (M, 8, S/4, S/4)
            See `prompt_maps`.
        """
        seen = (logits.clamp(-_SURE, _SURE) / _SURE)[:, None]
        finest = self.fine(self._entered(features, torch.cat([seen, maps.to(features)], 1)))
        steps = [finest]
        for down in self.down:
            steps.append(down(functional.avg_pool2d(steps[-1], 2)))
        x = steps.pop()
        for up in self.up:
            x = functional.interpolate(up(x), scale_factor=2, mode="bilinear", align_corners=False)
            x = x + steps.pop()
        more: Tensor = self.out(self.last(x))[:, 0]
        return logits + more

    def _entered(self, features: Tensor, maps: Tensor) -> Tensor:
        """Enter all maps, without a copy of the features, which are most of them."""
        known, new = torch.split(self.entry.weight, [features.shape[1], maps.shape[1]], 1)
        entered = functional.conv2d(features, known, self.entry.bias)
        return functional.gelu(entered + functional.conv2d(maps, new))

"""The loss of Co-Seg++, equations (9) to (12), with partial truth.

Pixels without truth (255 in regions and classes, -1 in instances) take no part in any term.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_coseg.models.coseg.network import CosegOutput
from napari_coseg.training.config import LossSection
from napari_coseg.types import IGNORE

_TINY = 1e-6


@dataclass(frozen=True)
class LossWeights:
    """Numbers of a preset after the config's own have replaced them."""

    preset: str
    first: float
    kl: float
    mask: float
    regions: float
    foreground: float
    classes: float
    mse: float
    msge: float

    @classmethod
    def of(cls, section: LossSection) -> LossWeights:
        """Fill what the config leaves open: CellViT's weights for "paper", the authors' else."""
        paper = section.preset == "paper"
        defaults = {
            "kl": 1.0 if paper else 10.0,
            "regions": 1.0 if paper else 0.5,
            "mse": 2.5 if paper else 8.0,
            "msge": 8.0 if paper else 2.5,
        }
        given = section.model_dump(exclude={"preset"})
        filled = {k: defaults[k] if v is None else float(v) for k, v in given.items()}
        return cls(preset=section.preset, **filled)


@dataclass
class Targets:
    """Truth of a batch, on the grids of the maps.

    Attributes
    ----------
    regions : Tensor of int64, (B, T/4, T/4)
        255 where unknown.
    instances : Tensor of bool, (B, T/s, T/s)
        Any object.
    known : Tensor of bool, (B, T/s, T/s)
        Where `instances` is truth.
    classes : Tensor of int64, (B, T/s, T/s)
        255 where unknown.
    hv : Tensor of float32, (B, 2, T/s, T/s)
    objects_known : Tensor of bool, (B, T/s, T/s)
        Where `hv` is truth: as `known`, but not where a teacher filled in.
    """

    regions: Tensor
    instances: Tensor
    known: Tensor
    classes: Tensor
    hv: Tensor
    objects_known: Tensor

    @classmethod
    def of(cls, batch: dict[str, Tensor]) -> Targets:
        """From a batch of samples."""
        known = batch["instances"] >= 0
        return cls(
            regions=batch["regions"].long(),
            instances=batch["instances"] > 0,
            known=known,
            classes=batch["classes"].long(),
            hv=batch["hv"],
            objects_known=known,
        )

    def rows(self, task: str) -> Tensor:
        """Numbers of the images that have any truth for a task, int64."""
        seen = self.regions != IGNORE if task == "regions" else self.known
        return seen.flatten(1).any(dim=1).nonzero()[:, 0]


def coseg_loss(
    output: CosegOutput,
    targets: Targets,
    rows: dict[str, Tensor],
    weights: LossWeights,
    class_weight: Tensor,
) -> dict[str, Tensor]:
    """Every term by its name, weighted; their sum is the loss.

    Parameters
    ----------
    output : CosegOutput
        The second forward's maps hold the images of `rows` alone.
    targets : Targets
        Of the whole batch.
    rows : dict of str to Tensor
        Images with truth, by task.
    weights : LossWeights
    class_weight : Tensor, (C + 1,)
        Weight of each instance class in its cross-entropy.
    """
    terms: dict[str, Tensor] = {}
    paper = weights.preset == "paper"
    if output.masks is not None:
        terms |= _first_forward(output, targets, weights)
    if output.regions is not None and len(rows["regions"]):
        truth = targets.regions[rows["regions"]]
        known = truth != IGNORE
        logits = output.regions.float()
        entropy = functional.cross_entropy(logits, truth, ignore_index=IGNORE)
        dice = _soft_dice(logits.softmax(1), truth, known)
        terms["regions"] = weights.regions * (entropy + dice)
    if output.foreground is not None and len(rows["instances"]):
        select = rows["instances"]
        known = targets.known[select]
        inside = targets.instances[select]
        logits = output.foreground.float()[:, 0]
        pixelwise = _focal(logits, inside, known) if paper else _binary(logits, inside, known)
        terms["foreground"] = weights.foreground * (
            pixelwise + _binary_dice(logits.sigmoid(), inside, known)
        )
        terms |= _class_terms(output, targets, select, weights, class_weight)
        terms |= _hv_terms(output, targets, select, weights)
    return terms


def _first_forward(
    output: CosegOutput, targets: Targets, weights: LossWeights
) -> dict[str, Tensor]:
    assert output.masks is not None
    paper = weights.preset == "paper"
    terms = {}
    regions, objects = output.masks["regions"], output.masks["instances"]
    size = objects.shape[-2:]
    truth = {
        "regions": (targets.regions > 0, targets.regions != IGNORE),
        "instances": (_shrink(targets.instances, size), _shrink(targets.known, size)),
    }
    for task, logits in (("regions", regions), ("instances", objects)):
        inside, known = truth[task]
        if not known.any():
            continue
        values = logits.float()[:, 0]
        loss = _binary(values, inside, known)
        if not paper:
            loss = loss + _binary_dice(values.sigmoid(), inside, known)
        terms[f"mask_{task}"] = weights.first * weights.mask * loss
    if output.distributions is not None and weights.kl:
        terms["kl"] = weights.first * weights.kl * consistency(output.distributions, paper=paper)
    return terms


def consistency(distributions: dict[str, Tensor], *, paper: bool) -> Tensor:
    """Equation (9), one-sided with log2 ("paper"), or the mean of both directions ("code").

    The mean runs over images, pixels and both channels in "code", as the authors' does; over
    images and pixels in "paper".
    """
    regions = distributions["regions"].float().log_softmax(1)
    objects = distributions["instances"].float().log_softmax(1)
    forward = regions.exp() * (regions - objects)
    if paper:
        nats: Tensor = forward.sum(1).mean()
        return nats / torch.log(torch.tensor(2.0, device=nats.device))
    backward = objects.exp() * (objects - regions)
    both: Tensor = (forward.mean() + backward.mean()) / 2
    return both


def distribution_entropy(distributions: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean entropy in bits of each task's distribution of class means over the image.

    Two constant maps satisfy equation (9) alone; then the spread over pixels, which is what this
    measures, is gone: ``spread_*`` is the deviation of the first channel's probability.
    """
    out = {}
    for task, logits in distributions.items():
        logs = logits.detach().float().log_softmax(1)
        probability = logs.exp()
        entropy = -(probability * logs).sum(1).mean()
        out[f"entropy_{task}"] = entropy / torch.log(torch.tensor(2.0, device=logits.device))
        out[f"spread_{task}"] = probability[:, 0].flatten(1).std(dim=1).mean()
    return out


def _class_terms(
    output: CosegOutput,
    targets: Targets,
    select: Tensor,
    weights: LossWeights,
    class_weight: Tensor,
) -> dict[str, Tensor]:
    assert output.classes is not None
    truth = targets.classes[select]
    known = truth != IGNORE
    if output.classes.shape[1] < 2 or not (known & (truth > 0)).any():
        return {}
    logits = output.classes.float()
    if weights.preset == "paper":
        loss = _multi_focal(logits, truth, known, class_weight)
    else:
        loss = functional.cross_entropy(logits, truth, class_weight, ignore_index=IGNORE)
    loss = loss + _soft_dice(logits.softmax(1), truth, known)
    return {"classes": weights.classes * loss}


def _hv_terms(
    output: CosegOutput, targets: Targets, select: Tensor, weights: LossWeights
) -> dict[str, Tensor]:
    assert output.hv is not None
    known = targets.objects_known[select]
    if not known.any():
        return {}
    hv, truth = output.hv.float(), targets.hv[select]
    mask = known[:, None].float()
    mse = ((hv - truth).square() * mask).sum() / (2 * mask.sum() + _TINY)
    inside = (targets.instances[select] & known).float()
    # Horizontal runs with the column, vertical with the row; each along its own axis.
    across = (_slope(hv[:, 0], 2) - _slope(truth[:, 0], 2)).square()
    down = (_slope(hv[:, 1], 1) - _slope(truth[:, 1], 1)).square()
    msge = ((across + down) * inside).sum() / (2 * inside.sum() + _TINY)
    return {"mse": weights.mse * mse, "msge": weights.msge * msge}


def _slope(values: Tensor, axis: int) -> Tensor:
    """Central difference along an axis of (B, H, W), zero at the ends.

    HoVer-Net's kernel of five widens the difference; over a nucleus of a few pixels at stride 2
    it would mix neighbours, so the narrow one stands here.
    """
    ahead, behind = torch.roll(values, -1, axis), torch.roll(values, 1, axis)
    slope = (ahead - behind) / 2
    inner = torch.zeros_like(slope)
    length = slope.shape[axis]
    inner.narrow(axis, 1, length - 2).copy_(slope.narrow(axis, 1, length - 2))
    return inner


def _shrink(mask: Tensor, size: torch.Size) -> Tensor:
    """Bring a boolean mask (B, H, W) to the first forward's grid by the majority of each cell."""
    if mask.shape[-2:] == size:
        return mask
    shrunk = functional.adaptive_avg_pool2d(mask[:, None].float(), (size[0], size[1]))
    return shrunk[:, 0] > 0.5


def _binary(logits: Tensor, inside: Tensor, known: Tensor) -> Tensor:
    loss = functional.binary_cross_entropy_with_logits(logits, inside.float(), reduction="none")
    return (loss * known).sum() / (known.sum() + _TINY)


def _focal(logits: Tensor, inside: Tensor, known: Tensor, gamma: float = 2.0) -> Tensor:
    loss = functional.binary_cross_entropy_with_logits(logits, inside.float(), reduction="none")
    miss = 1 - torch.exp(-loss)
    return (miss**gamma * loss * known).sum() / (known.sum() + _TINY)


def _multi_focal(
    logits: Tensor, truth: Tensor, known: Tensor, class_weight: Tensor, gamma: float = 2.0
) -> Tensor:
    loss = functional.cross_entropy(logits, truth, ignore_index=IGNORE, reduction="none")
    weight = class_weight[truth.clamp(max=len(class_weight) - 1)] * known
    return ((1 - torch.exp(-loss)) ** gamma * loss * weight).sum() / (weight.sum() + _TINY)


def _binary_dice(probability: Tensor, inside: Tensor, known: Tensor) -> Tensor:
    """1 - Dice, pooled over the batch, which an image without objects cannot upset."""
    probability, inside = probability * known, inside & known
    overlap = 2 * (probability * inside).sum() + 1
    dice: Tensor = 1 - overlap / (probability.sum() + inside.sum() + 1)
    return dice


def _soft_dice(probability: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """1 - mean Dice over the classes present, background left out, pooled over the batch."""
    losses = []
    for index in range(1, probability.shape[1]):
        inside = truth == index
        if inside.any():
            losses.append(_binary_dice(probability[:, index], inside, known))
    if not losses:
        return _binary_dice(probability[:, 0], truth == 0, known)
    return torch.stack(losses).mean()

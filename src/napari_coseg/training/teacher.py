"""Fills tasks that an image has no truth for with what a moving average is sure of."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.training.losses import Targets
from napari_coseg.types import IGNORE


@torch.no_grad()
def fill_missing(
    targets: Targets, teacher: CosegNetwork, images: Tensor, threshold: float, teach: Tensor
) -> Targets:
    """Add the teacher's sure pixels where a task has no truth on a whole image.

    Regions and foreground take the teacher's answer where its probability exceeds `threshold`;
    the rest stays unknown. HV maps and classes are left to real truth: they need whole objects.

    Parameters
    ----------
    targets : Targets
        Of the batch; not changed.
    teacher : CosegNetwork
        In evaluation mode.
    images : Tensor
        (B, 3, T, T), normalised.
    threshold : float
    teach : Tensor of bool, (B, 2)
        Whether regions and instances of each image may be filled in.

    Returns
    -------
    Targets
    """
    no_regions = (targets.regions == IGNORE).flatten(1).all(dim=1) & teach[:, 0]
    no_objects = ~targets.known.flatten(1).any(dim=1) & teach[:, 1]
    tasks = [t for t, m in (("regions", no_regions), ("instances", no_objects)) if m.any()]
    if not tasks:
        return targets
    rows = {"regions": no_regions.nonzero()[:, 0], "instances": no_objects.nonzero()[:, 0]}
    answer = teacher(images, tasks=tasks, rows=rows)
    regions, instances = targets.regions.clone(), targets.instances.clone()
    known = targets.known.clone()
    if answer.regions is not None:
        probability, label = answer.regions.float().softmax(1).max(dim=1)
        regions[rows["regions"]] = torch.where(probability > threshold, label, IGNORE)
    if answer.foreground is not None:
        inside = answer.foreground.float().sigmoid()[:, 0]
        size = instances.shape[-2:]
        if inside.shape[-2:] != size:
            inside = functional.interpolate(inside[:, None], size=size, mode="bilinear")[:, 0]
        instances[rows["instances"]] = inside > 0.5
        known[rows["instances"]] = (inside > threshold) | (inside < 1 - threshold)
    return Targets(
        regions=regions,
        instances=instances,
        known=known,
        classes=targets.classes,
        hv=targets.hv,
        objects_known=targets.objects_known,
    )

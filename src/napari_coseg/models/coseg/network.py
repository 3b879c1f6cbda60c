"""The Co-Seg++ network: encode once, decode twice, each task guided by the other.

Xu et al. 2025, "Co-Seg++: Mutual Prompt-Guided Collaborative Learning for Versatile Medical
Segmentation", section III.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.decoder import CollaborativeDecoder, ConvolutionalDecoder
from napari_coseg.models.coseg.encoder import Encoder
from napari_coseg.models.coseg.prompt_encoder import MaskDownscaling, PromptEncoder

TASKS = ("regions", "instances")


@dataclass
class CosegOutput:
    """Logits of both forwards; None where a task was not asked for or does not exist.

    Attributes
    ----------
    regions : Tensor or None
        (B, R + 1, T/4, T/4) logits, background first.
    foreground : Tensor or None
        (B, 1, T/s, T/s) logits of "any object", *s* the instance stride.
    classes : Tensor or None
        (B, C + 1, T/s, T/s) logits, background first.
    hv : Tensor or None
        (B, 2, T/s, T/s): horizontal and vertical map, -1 at an object's left or top edge, +1 at
        its right or bottom edge, 0 at its centre of mass (Graham et al. 2019, HoVer-Net).
    masks : dict of str to Tensor
        First forward's logits by task, (B, 1, T/4, T/4).
    distributions : dict of str to Tensor
        Logits of equation (9)'s two-channel distributions by task, (B, 2, T/16, T/16).
    """

    regions: Tensor | None = None
    foreground: Tensor | None = None
    classes: Tensor | None = None
    hv: Tensor | None = None
    masks: dict[str, Tensor] | None = None
    distributions: dict[str, Tensor] | None = None


class CosegNetwork(nn.Module):
    """Co-Seg++ with every size and switch taken from `config`.

    Both tasks always exist in the first forward, since each constrains the other.
    """

    def __init__(self, config: CosegConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        decoder = CollaborativeDecoder if config.use_collaborative_decoder else ConvolutionalDecoder
        maps = {"regions": config.region_classes + 1, "instances": config.instance_classes + 4}
        steps = {"regions": 2, "instances": 3 if config.instance_stride == 2 else 2}
        further = {"regions": (), "instances": config.refine_instances}
        self.decoders = nn.ModuleDict(
            {t: decoder(config, maps[t], steps[t], further[t]) for t in TASKS}
        )
        if config.two_forwards:
            prompt = PromptEncoder if config.use_prompt_encoder else MaskDownscaling
            self.prompts = nn.ModuleDict({task: prompt(config) for task in TASKS})
            self.no_prompt = nn.Parameter(torch.zeros(1, config.width, 1, 1))
        if config.use_collaborative_decoder:
            self.spatial = nn.ModuleDict({t: nn.Conv2d(config.width, 2, 1) for t in TASKS})

    def forward(
        self,
        images: Tensor,
        tasks: Sequence[str] = TASKS,
        rows: Mapping[str, Tensor] | None = None,
    ) -> CosegOutput:
        """Run both forwards.

        Parameters
        ----------
        images : Tensor
            (B, 3, T, T), normalised as the weights' card says.
        tasks : sequence of str
            Which of ``"regions"`` and ``"instances"`` the second forward decodes.
        rows : mapping of str to Tensor, optional
            Which of the images (int64 indices) the second forward of a task decodes; all by
            default. Training leaves out images that have no truth for the task.

        Returns
        -------
        CosegOutput
            Logits.
        """
        embedding, laterals = self.encoder(images)
        output = CosegOutput()
        constraints: dict[str, Tensor] = {}
        if self.config.two_forwards:
            start = embedding + self.no_prompt
            first = {t: self.decoders[t](start, laterals, final=False) for t in TASKS}
            output.masks = {t: first[t].maps for t in TASKS}
            if self.config.use_collaborative_decoder:
                output.distributions = {t: self.spatial[t](first[t].refined) for t in TASKS}
            for task in tasks:
                guide = _other(task) if self.config.use_crossing else task
                constraints[task] = self.prompts[guide](embedding, output.masks[guide])
        for task in tasks:
            constrained = embedding + constraints[task] if constraints else embedding
            details = laterals
            if rows is not None and task in rows:
                constrained = constrained[rows[task]]
                details = tuple(lateral[rows[task]] for lateral in laterals)
            maps = self.decoders[task](constrained, details, final=True).maps
            if task == "regions":
                output.regions = maps
            else:
                classes = self.config.instance_classes + 1
                output.foreground, output.classes, output.hv = maps.split([1, classes, 2], dim=1)
        return output


def _other(task: str) -> str:
    return "instances" if task == "regions" else "regions"

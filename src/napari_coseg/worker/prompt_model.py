"""A model for prompts as a host keeps it: loaded, and warm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.prompted import Prompter
from napari_coseg.types import Prompt
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.loading import load_prompt_model


@dataclass(frozen=True)
class LoadedPrompter:
    """What answers prompts, and where it came from."""

    prompter: Prompter
    card: ModelCard
    sha256: str


def load_prompter(path: Path, device: torch.device) -> LoadedPrompter:
    """Load a model for prompts and let it see one picture: the first one is slow.

    Raises
    ------
    CosegError
        As in `load_prompt_model`.
    """
    model = load_prompt_model(path, device)
    prompter = Prompter(model)
    side = model.network.config.side
    grey = ArraySource(np.full((side, side, 3), 128, np.uint8))
    quarter = side / 4
    for _ in range(2):
        prompter.segment(grey, [Prompt((quarter, quarter, 3 * quarter, 3 * quarter))])
    return LoadedPrompter(prompter, model.card, model.sha256)

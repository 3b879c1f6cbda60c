"""The loss of SyncSAM: Dice and focal terms of each mask (Yang et al. 2025, section 2.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.training.interaction import Session
from napari_coseg.training.prompt_config import PromptLossSection, PromptTrainingConfig
from napari_coseg.training.prompt_samples import TRUTH_STRIDE


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One less the soft Dice of each mask, (K, H, W) to a mean."""
    probability = logits.sigmoid().flatten(1)
    truth = truth.flatten(1)
    both = (probability * truth).sum(1)
    return (1 - (2 * both + 1) / (probability.sum(1) + truth.sum(1) + 1)).mean()


def focal_loss(logits: Tensor, truth: Tensor, gamma: float, alpha: float) -> Tensor:
    """Focal loss (Lin et al. 2017) as a mean over pixels and masks."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = alpha * truth + (1 - alpha) * (1 - truth)
    if gamma:
        weight = weight * (1 - torch.exp(-entropy)) ** gamma
    return (weight * entropy).mean()


def mask_loss(logits: Tensor, truth: Tensor, weights: PromptLossSection) -> dict[str, Tensor]:
    """Weighted terms.

    Parameters
    ----------
    logits : Tensor, (K, S/4, S/4)
        Brought to the truth's size here.
    truth : Tensor, (K, H, W)
        0 or 1.
    weights : PromptLossSection
    """
    fine = functional.interpolate(
        logits.float()[:, None], truth.shape[-2:], mode="bilinear", align_corners=False
    )[:, 0]
    return {
        "dice": weights.dice * dice_loss(fine, truth),
        "focal": weights.focal * focal_loss(fine, truth, weights.gamma, weights.alpha),
    }


class PromptLearner(nn.Module):
    """A network in training: images and true masks in, terms of the loss out.

    One module with one forward, so that several processes see every parameter used.
    """

    def __init__(self, network: SyncSamNetwork, config: PromptTrainingConfig) -> None:
        super().__init__()
        self.network = network
        self._config = config

    def forward(self, images: Tensor, masks: Tensor, valid: Tensor, seed: int) -> dict[str, Tensor]:
        """Prompt, segment, correct.

        Parameters
        ----------
        images : Tensor, (B, 3, side, side)
            Normalised.
        masks : Tensor of uint8, (B, M, side / 2, side / 2)
        valid : Tensor of bool, (B, M)
        seed : int
            Of what the person is taken to do.
        """
        settings = self._config.interaction
        random = torch.Generator().manual_seed(seed)
        numbers, objects = valid.nonzero(as_tuple=True)
        truth = masks[numbers, objects].bool()
        session = Session(truth, TRUTH_STRIDE, self.network.config.side, random)
        session.begin(settings.box, settings.jitter)
        encoding = self.network.encode(images)
        chance = torch.tensor(settings.corrections)
        rounds = int(torch.multinomial(chance, 1, generator=random)) + 1
        terms: dict[str, Tensor] = {}
        for number in range(rounds):
            logits = self.network.decode(encoding, numbers, session.prompts)
            for name, value in mask_loss(logits, truth.float(), self._config.loss).items():
                terms[name] = terms.get(name, 0) + value / rounds
            if number + 1 < rounds:
                session.correct(logits)
        return terms

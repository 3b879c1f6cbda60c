"""A moving average of the weights: what is validated, saved, and asked as a teacher."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """Exponential moving average of a network's parameters.

    Early on the average follows faster (as in TensorFlow's ``num_updates``), so that it is not
    tied to the random start.

    Parameters
    ----------
    network : nn.Module
    decay : float
        Part of the average that each step keeps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network as it is now."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        own = self.network.state_dict()
        new = network.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[n] for n in floats], [new[n] for n in floats], 1 - keep)
        for name in own.keys() - set(floats):
            own[name].copy_(new[name])

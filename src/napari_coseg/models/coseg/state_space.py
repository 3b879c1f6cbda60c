"""The state space model of the temporal branch of Co-Seg++'s STP-Encoder (its equation (4))."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_coseg.models.coseg.selective_scan import reference_scan, selective_scan
from napari_coseg.types import CosegError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["StateSpace", "reference_scan", "selective_scan"]

# The range of step sizes at the start of training, as Mamba draws them.
_STEP_MIN, _STEP_MAX = 1e-3, 1e-1


class StateSpace(nn.Module):
    """A selective state space model along a sequence: Mamba's inner part alone.

    Step sizes, input weights and output weights are linear functions of the input (Gu and Dao,
    2023, algorithm 2). Mamba's convolution, SiLU and gate stand outside or, as in Co-Seg++, are
    left out. The scan is causal: a position sees itself and those before it.

    Parameters
    ----------
    dim : int
        Channels.
    state_size : int
        States a channel.
    dt_rank : int, optional
        Rank of the projection to the step sizes; by default dim / 16, rounded up.

    Raises
    ------
    CosegError
        If a size is below 1.
    """

    def __init__(self, dim: int, state_size: int = 8, *, dt_rank: int | None = None) -> None:
        super().__init__()
        rank = math.ceil(dim / 16) if dt_rank is None else dt_rank
        if min(dim, state_size, rank) < 1:
            raise CosegError(
                "A state space model needs at least one channel, one state and rank one, not "
                f"{dim}, {state_size} and {rank}."
            )
        self.dim = dim
        self.state_size = state_size
        self.dt_rank = rank
        self.x_proj = nn.Linear(dim, rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(rank, dim)
        self.A_log = nn.Parameter(torch.empty(dim, state_size))
        self.D = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters as Mamba does: S4D-real decays, step sizes log-uniform."""
        self.x_proj.reset_parameters()
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        low, high = math.log(_STEP_MIN), math.log(_STEP_MAX)
        steps = torch.exp(torch.rand_like(self.dt_proj.bias) * (high - low) + low)
        # The inverse of softplus, so that softplus(bias) is the drawn step.
        self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))
        rates = torch.arange(1, self.state_size + 1, dtype=self.A_log.dtype)
        self.A_log.copy_(rates.log().expand_as(self.A_log))
        nn.init.ones_(self.D)

    def forward(self, x: Tensor) -> Tensor:
        """Run along the sequence.

        Parameters
        ----------
        x : Tensor
            Shape (batch, length, dim).

        Returns
        -------
        Tensor
            Shape (batch, length, dim), dtype of `x`.
        """
        rank, B, C = self.x_proj(x).split([self.dt_rank, self.state_size, self.state_size], dim=-1)
        # The step's projection runs in full precision: its rank is small, and the bias of about
        # -7 to -2 would lose most of a half-precision number's digits.
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.dt_proj.weight, self.dt_proj.bias
            delta = functional.softplus(functional.linear(rank.to(weight.dtype), weight, bias))
            A = -torch.exp(self.A_log)
        y = selective_scan(
            x.transpose(1, 2),
            delta.transpose(1, 2),
            A,
            B.transpose(1, 2),
            C.transpose(1, 2),
            self.D,
        )
        return y.transpose(1, 2)

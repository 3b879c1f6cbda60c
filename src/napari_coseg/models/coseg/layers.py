"""Small parts that the encoder, the prompt encoder and the decoder share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_coseg.models.coseg.positions import rotate


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every pixel's channels."""
        # A channels-last view lets the fused kernel run instead of five elementwise passes.
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Residual3x3(nn.Module):
    """x + convolution(GELU(norm(x))), 3 x 3, for detail after an upscaling step.

    Parameters
    ----------
    channels : int
    identity : bool
        Begin by handing x on as it is, so that a trained network can be given more of these.
    """

    def __init__(self, channels: int, *, identity: bool = False) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        if identity:
            nn.init.zeros_(self.convolution.weight)
            nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Shape in, shape out: (B, C, H, W)."""
        out: Tensor = x + self.convolution(functional.gelu(self.norm(x)))
        return out


class QueryMLPs(nn.Module):
    """A three-layer MLP of its own for each query, all run at once.

    Parameters
    ----------
    queries, width, out : int
        Number of queries, their channels, and the channels that the dot product needs.
    """

    def __init__(self, queries: int, width: int, out: int) -> None:
        super().__init__()
        sizes = [(width, width), (width, width), (width, out)]
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(queries, *s)) for s in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(queries, s[1])) for s in sizes)
        for weight in self.weights:
            nn.init.uniform_(weight, -math.sqrt(3 / width), math.sqrt(3 / width))
        # The dot product sums over channels that nothing has normalised: start near zero.
        with torch.no_grad():
            self.weights[-1].mul_(0.1 / math.sqrt(out))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, queries, width) to (B, queries, out)."""
        x = tokens
        last = len(self.weights) - 1
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.einsum("bqi,qio->bqo", x, weight) + bias
            if index < last:
                x = functional.relu(x)
        return x


class RotaryAttention(nn.Module):
    """Multi-head attention with 2D rotary positions, pre-norm, residual and feed-forward.

    Parameters
    ----------
    width, heads, mlp_width : int
        Channels, attention heads, hidden width of the feed-forward.
    cross : bool
        Whether keys and values come from another sequence, which then has its own norm.
    """

    def __init__(self, width: int, heads: int, mlp_width: int, *, cross: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.source_norm = nn.LayerNorm(width) if cross else None
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_width), nn.GELU(), nn.Linear(mlp_width, width)
        )

    def forward(
        self, x: Tensor, angles: tuple[Tensor, Tensor], source: Tensor | None = None
    ) -> Tensor:
        """(B, L, width) attends to itself, or to `source` of the same grid."""
        normed = self.norm(x)
        keys = normed if self.source_norm is None else self.source_norm(source)
        query = self._split(self.query(normed))
        key, value = (self._split(part) for part in self.key_value(keys).chunk(2, dim=-1))
        mixed = functional.scaled_dot_product_attention(
            rotate(query, *angles), rotate(key, *angles), value
        )
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out

    def _split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)

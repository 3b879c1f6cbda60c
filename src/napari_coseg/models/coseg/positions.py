"""Where a token lies: Fourier features for the decoder, rotary angles for attention.

Both take positions in pixels of the image, not as parts of the tile's side, so that a token means
the same at every tile size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def token_centres(rows: int, columns: int, stride: int, device: torch.device) -> Tensor:
    """Centres of a grid of tokens in pixels, float32 of shape (rows * columns, 2)."""
    row = (torch.arange(rows, device=device, dtype=torch.float32) + 0.5) * stride
    column = (torch.arange(columns, device=device, dtype=torch.float32) + 0.5) * stride
    grid = torch.meshgrid(row, column, indexing="ij")
    return torch.stack(grid, dim=-1).reshape(-1, 2)


class FourierPositions(nn.Module):
    """Random Fourier features of a position (Tancik et al. 2020), as SAM's decoder expects them.

    Parameters
    ----------
    width : int
        Channels of the encoding, even.
    extent : float
        Pixels that span the unit interval.
    """

    frequencies: Tensor

    def __init__(self, width: int, extent: float = 512.0) -> None:
        super().__init__()
        self.extent = extent
        self.register_buffer("frequencies", torch.randn(2, width // 2))

    def forward(self, rows: int, columns: int, stride: int) -> Tensor:
        """Encode a grid of tokens; (1, width, rows, columns)."""
        centres = token_centres(rows, columns, stride, self.frequencies.device) / self.extent
        angles = 2 * math.pi * ((2 * centres - 1) @ self.frequencies.float())
        features = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return features.T.reshape(1, -1, rows, columns)


def rotary_angles(
    rows: int, columns: int, stride: int, head_width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosine and sine for 2D rotary positions (Su et al. 2021), each (rows * columns, head_width).

    The first half of a head turns with the row, the second with the column; wavelengths go from
    about six tokens to a thousand.
    """
    quarter = head_width // 4
    speeds = 1000.0 ** (-torch.arange(quarter, device=device, dtype=torch.float32) / quarter)
    tokens = token_centres(rows, columns, stride, device) / stride
    angles = torch.cat([tokens[:, :1] * speeds, tokens[:, 1:] * speeds], dim=-1)
    angles = angles.repeat_interleave(2, dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the channel pairs of `x`, (B, heads, L, head_width), by the given angles."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    turned = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
    return x * cosine.to(x.dtype) + turned * sine.to(x.dtype)

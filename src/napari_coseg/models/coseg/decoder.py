"""MTC-Decoder: one task's head, run once without and once with the other task's constraint.

Xu et al. 2025 (Co-Seg++), section III-C, equations (7) to (9).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from segment_anything.modeling.transformer import TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.layers import ChannelNorm, QueryMLPs, Residual3x3
from napari_coseg.models.coseg.positions import FourierPositions


class PixelDecoder(nn.Module):
    """SAM 2's upscaling with strides 8 and 4, and a third step to stride 2 where asked for.

    `refine` adds a residual convolution to each step, `further` as many more as it says, which
    run in the second forward alone: HV maps turn within a few pixels, masks do not.
    """

    def __init__(
        self, width: int, channels: tuple[int, ...], *, refine: bool, further: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        inputs = (width, *channels[:-1])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in zip(inputs, channels, strict=True)
        )
        # SAM 2 leaves the norm out of the last step, whose size carries the mask's certainty.
        self.norms = nn.ModuleList(ChannelNorm(c) for c in channels[:-1])
        self.refine = nn.ModuleList(Residual3x3(c) if refine else nn.Identity() for c in channels)
        self.further = nn.ModuleList(
            nn.Sequential(*(Residual3x3(c, identity=True) for _ in range(count)))
            for c, count in zip(channels, further, strict=False)
        )

    def forward(
        self, embedding: Tensor, laterals: tuple[Tensor, ...], steps: int, *, final: bool
    ) -> Tensor:
        """Upscale (B, width, H, W) by two, `steps` times, adding the encoder's detail."""
        x = embedding
        for index in range(steps):
            x = self.up[index](x) + laterals[index]
            if index < steps - 1:
                x = self.norms[index](x)
            x = self.refine[index](functional.gelu(x))
            if final and index < len(self.further):
                x = self.further[index](x)
        return x


class Decoded(NamedTuple):
    """A decoder's answer: maps (B, K, H, W) and the refined embedding *g* (B, width, h, w)."""

    maps: Tensor
    refined: Tensor


class CollaborativeDecoder(nn.Module):
    """Two-way transformer between a task's queries and the constrained embedding.

    Query 0 gives the binary mask of the first forward, the others the maps of the second; all of
    them take part in both, since the paper's forwards share their parameters.

    Parameters
    ----------
    config : CosegConfig
        Sizes.
    maps : int
        Maps of the second forward.
    steps : int
        Upscaling steps of the second forward, 2 (stride 4) or 3 (stride 2).
    further : tuple of int
        See `PixelDecoder`.
    """

    def __init__(
        self, config: CosegConfig, maps: int, steps: int, further: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        channels = config.pixel_channels[:steps]
        self.steps = steps
        self.queries = nn.Parameter(torch.randn(1, 1 + maps, config.width))
        self.positions = FourierPositions(config.width)
        self.transformer = TwoWayTransformer(
            depth=config.depth,
            embedding_dim=config.width,
            num_heads=config.heads,
            mlp_dim=config.mlp_width,
        )
        self.pixels = PixelDecoder(config.width, channels, refine=config.refine, further=further)
        self.mask_mlp = QueryMLPs(1, config.width, channels[1])
        self.map_mlps = QueryMLPs(maps, config.width, channels[-1])
        self.map_bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, embedding: Tensor, laterals: tuple[Tensor, ...], *, final: bool) -> Decoded:
        """Decode the embedding, with a constraint already added; `final` is the second forward."""
        batch, width, rows, columns = embedding.shape
        positions = self.positions(rows, columns, 16).to(embedding.dtype)
        queries = self.queries.expand(batch, -1, -1).to(embedding.dtype)
        queries, tokens = self.transformer(embedding, positions.expand(batch, -1, -1, -1), queries)
        refined = tokens.transpose(1, 2).reshape(batch, width, rows, columns)
        if not final:
            pixels = self.pixels(refined, laterals, 2, final=False)
            weights = self.mask_mlp(queries[:, :1])
            return Decoded(_dot(weights, pixels), refined)
        pixels = self.pixels(refined, laterals, self.steps, final=True)
        weights = self.map_mlps(queries[:, 1:])
        return Decoded(_dot(weights, pixels) + self.map_bias, refined)


class ConvolutionalDecoder(nn.Module):
    """Convolutional head in the collaborative decoder's place, for the ablation (D off)."""

    def __init__(
        self, config: CosegConfig, maps: int, steps: int, further: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        channels = config.pixel_channels[:steps]
        self.steps = steps
        self.body = nn.Sequential(
            nn.Conv2d(config.width, config.width, 3, padding=1),
            ChannelNorm(config.width),
            nn.GELU(),
            nn.Conv2d(config.width, config.width, 3, padding=1),
            ChannelNorm(config.width),
        )
        self.pixels = PixelDecoder(config.width, channels, refine=config.refine, further=further)
        self.mask_head = nn.Conv2d(channels[1], 1, 1)
        self.map_heads = nn.Conv2d(channels[-1], maps, 1)

    def forward(self, embedding: Tensor, laterals: tuple[Tensor, ...], *, final: bool) -> Decoded:
        """As `CollaborativeDecoder.forward`."""
        refined = embedding + self.body(embedding)
        pixels = self.pixels(refined, laterals, self.steps if final else 2, final=final)
        return Decoded(self.map_heads(pixels) if final else self.mask_head(pixels), refined)


def _dot(weights: Tensor, pixels: Tensor) -> Tensor:
    """(B, K, C) with (B, C, H, W) to (B, K, H, W)."""
    return torch.einsum("bkc,bchw->bkhw", weights, pixels)

"""The multi-scale dual-branch decoder (Yang et al. 2025, section 2.3), on SAM's transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

from napari_coseg.models.syncsam.config import STAGES, SyncSamConfig
from napari_coseg.models.syncsam.encoder import Encoding
from napari_coseg.models.syncsam.two_way import SharedTwoWay

# SAM's mask tokens; the first is the one for a single mask.
_MASK_TOKENS = 4


class MultiScale(nn.Module):
    """Maps of the first three stages and the final one, as (B, embedding / 8, S/4, S/4).

    The paper says "a series of convolutional layers"; these are ours: each map is narrowed by a 1 x
    1 convolution, all are joined by a 3 x 3 one and upscaled twice as SAM's mask features are. The
    last convolution begins at zero, so that the branch begins as if it were not there.
    """

    def __init__(self, config: SyncSamConfig) -> None:
        super().__init__()
        wide, middle, narrow = config.embedding, config.embedding // 4, config.embedding // 8
        self.narrow = nn.ModuleList(
            nn.Conv2d(channels, middle, 1) for channels in [config.width] * (STAGES - 1) + [wide]
        )
        self.join = nn.Sequential(
            nn.Conv2d(STAGES * middle, wide, 3, padding=1),
            LayerNorm2d(wide),
            nn.GELU(),
            nn.ConvTranspose2d(wide, middle, 2, 2),
            LayerNorm2d(middle),
            nn.GELU(),
            nn.ConvTranspose2d(middle, narrow, 2, 2),
            nn.GELU(),
        )
        self.out = nn.Conv2d(narrow, narrow, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, stages: Sequence[Tensor], embedding: Tensor) -> Tensor:
        """Fuse maps of one grid."""
        maps = [
            narrow(feature)
            for narrow, feature in zip(self.narrow, (*stages, embedding), strict=True)
        ]
        out: Tensor = self.out(self.join(torch.cat(maps, 1)))
        return out


class SyncDecoder(nn.Module):
    """Prompts and an encoding to one mask an object.

    Parameters
    ----------
    config : SyncSamConfig
    detail_channels : sequence of int
        Of the CNN's maps at strides 8 and 4; empty for none.
    """

    def __init__(self, config: SyncSamConfig, detail_channels: Sequence[int] = ()) -> None:
        super().__init__()
        wide, middle, narrow = config.embedding, config.embedding // 4, config.embedding // 8
        self.transformer = SharedTwoWay(depth=2, embedding_dim=wide, num_heads=8, mlp_dim=8 * wide)
        self.upscaling = nn.Sequential(
            nn.ConvTranspose2d(wide, middle, 2, 2),
            LayerNorm2d(middle),
            nn.GELU(),
            nn.ConvTranspose2d(middle, narrow, 2, 2),
            nn.GELU(),
        )
        self.med_token: nn.Embedding | None = None
        self.iou_token: nn.Embedding | None = None
        if config.med_token:
            self.med_token = nn.Embedding(1, wide)
            self.med_mlp: Any = MLP(wide, wide, narrow, 3)
        else:
            self.iou_token = nn.Embedding(1, wide)
            self.mask_tokens = nn.Embedding(_MASK_TOKENS, wide)
            self.mask_mlps: Any = nn.ModuleList(
                MLP(wide, wide, narrow, 3) for _ in range(_MASK_TOKENS)
            )
            self.iou_head: Any = MLP(wide, 256, _MASK_TOKENS, 3)
        self.multi_scale = MultiScale(config) if config.multi_scale else None
        self.details = nn.ModuleList(
            nn.Conv2d(channels, out, 1)
            for channels, out in zip(detail_channels, (middle, narrow), strict=False)
        )
        for detail in self.details:
            nn.init.zeros_(detail.weight)  # type: ignore[arg-type]
            nn.init.zeros_(detail.bias)  # type: ignore[arg-type]

    def forward(
        self, encoding: Encoding, images: Tensor, positions: Tensor, sparse: Tensor, dense: Tensor
    ) -> Tensor:
        """Return the masks' logits, (M, S/4, S/4).

        Parameters
        ----------
        encoding : Encoding
            Of B images.
        images : Tensor of int, (M,)
            Which image each object lies in.
        positions : Tensor, (1, embedding, S/16, S/16)
        sparse : Tensor, (M, tokens, embedding)
        dense : Tensor, (M, embedding, S/16, S/16) or (1, embedding, 1, 1)
            From the prompt encoder.
        """
        count = len(sparse)
        tokens = torch.cat([self._tokens().expand(count, -1, -1), sparse], 1)
        embedding = encoding.embedding
        if dense.shape[-1] == 1:
            tokens, source = self.transformer(embedding + dense, images, positions, tokens)
        else:
            tokens, source = self.transformer(embedding[images] + dense, None, positions, tokens)
        source = source.transpose(1, 2).reshape(count, -1, *embedding.shape[-2:])
        features = self._upscaled(source, encoding, images)
        fused = self.fused(encoding)
        if fused is not None:
            features = features + fused[images]
        weights = self._weights(tokens)
        return torch.einsum("mc,mchw->mhw", weights, features)

    def fused(self, encoding: Encoding) -> Tensor | None:
        """Return what the multi-scale branch adds: once an image, however many objects it has."""
        if encoding.fused is not None or self.multi_scale is None:
            return encoding.fused
        out: Tensor = self.multi_scale(encoding.stages, encoding.embedding)
        return out

    def _tokens(self) -> Tensor:
        if self.med_token is not None:
            return self.med_token.weight[None]
        assert self.iou_token is not None
        return torch.cat([self.iou_token.weight, self.mask_tokens.weight])[None]

    def _weights(self, tokens: Tensor) -> Tensor:
        """Return each object's weights of the mask features' channels, (M, embedding / 8)."""
        if self.med_token is not None:
            weights: Tensor = self.med_mlp(tokens[:, 0])
        else:
            # Of SAM's four masks the first, as with its multimask_output=False.
            weights = self.mask_mlps[0](tokens[:, 1])
        return weights

    def _upscaled(self, source: Tensor, encoding: Encoding, images: Tensor) -> Tensor:
        first, norm, gelu, second, last = self.upscaling
        features: Tensor = first(source)
        if encoding.details:
            features = features + self.details[0](encoding.details[0])[images]
        features = second(gelu(norm(features)))
        if encoding.details:
            features = features + self.details[1](encoding.details[1])[images]
        out: Tensor = last(features)
        return out

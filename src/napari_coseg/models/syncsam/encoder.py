"""The synchronised encoder: a ViT and a CNN, whose maps meet in each of four stages.

Yang et al. 2025, "Improved Baselines with Synchronized Encoding for Universal Medical Image
Segmentation" (MICCAI), section 2.2. The ViT is segment-anything's, the CNN timm's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import timm
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn
from torch.nn import functional

from napari_coseg.models.folding import fold_batch_norms
from napari_coseg.models.same_padding import pad_kernels
from napari_coseg.models.syncsam.config import PATCH, STAGES, SyncSamConfig

# Strides that the CNN's maps must have: the stem's, and one a stage.
_STRIDES = (2, 4, 8, 16, 32)


class Encoding(NamedTuple):
    """What the decoder needs of some images; prompts on the same images share it.

    Attributes
    ----------
    embedding : Tensor
        *F*, (B, embedding, S/16, S/16).
    stages : tuple of Tensor
        Outputs of the first three stages, (B, width, S/16, S/16); empty without `multi_scale`.
    details : tuple of Tensor
        The CNN's maps at strides 8 and 4; empty without `details`.
    fused : Tensor or None
        What the decoder's multi-scale branch makes of the rest, (B, embedding / 8, S/4, S/4), once
        `SyncSamNetwork.prepare` was asked for it.
    """

    embedding: Tensor
    stages: tuple[Tensor, ...]
    details: tuple[Tensor, ...]
    fused: Tensor | None = None


class Bridge(nn.Module):
    """Brings a CNN map to the ViT's grid, and by a convolution to its channels.

    The paper says "convolution" alone; that of 3 x 3 explains the 22 million parameters by which
    its networks with ResNet-50 and ResNet-34 differ. It begins at zero, so that a network with
    SAM's weights begins as SAM.
    """

    def __init__(self, channels: int, width: int, grid: int, kernel: int) -> None:
        super().__init__()
        self.grid = grid
        self.convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, ...) to (B, width, S/16, S/16)."""
        size = (self.grid, self.grid)
        if x.shape[-1] > self.grid:
            x = functional.adaptive_avg_pool2d(x, size)
        elif x.shape[-1] < self.grid:
            x = functional.interpolate(x, size, mode="bilinear", align_corners=False)
        out: Tensor = self.convolution(x)
        return out


class SyncEncoder(nn.Module):
    """ViT, CNN or both, and SAM's neck.

    Raises
    ------
    ValueError
        If the CNN does not give maps at strides 2, 4, 8, 16 and 32.
    """

    def __init__(self, config: SyncSamConfig) -> None:
        super().__init__()
        self.config = config
        vit = ImageEncoderViT(
            img_size=config.side,
            patch_size=PATCH,
            embed_dim=config.width,
            depth=config.depth if config.vit else 0,
            num_heads=config.heads,
            out_chans=config.embedding,
            use_rel_pos=True,
            window_size=config.window,
            global_attn_indexes=global_blocks(config),
        )
        self.neck: Any = vit.neck
        del vit.neck
        self.vit: Any = None
        if config.vit:
            self.vit = vit
            # segment-anything leaves them at zero, for weights that are loaded.
            nn.init.trunc_normal_(self.vit.pos_embed, std=0.02)
        self.cnn: Any = None
        self.bridges = nn.ModuleList()
        if config.cnn:
            self.cnn = timm.create_model(config.cnn, features_only=True, pretrained=False)
            pad_kernels(self.cnn)
            strides = tuple(self.cnn.feature_info.reduction())
            if strides != _STRIDES:
                raise ValueError(f"{config.cnn} gives strides {strides} and not {_STRIDES}")
            channels = self.cnn.feature_info.channels()
            last = STAGES - 1
            self.bridges.extend(
                Bridge(channels[i + 1], config.width, config.grid, config.bridge)
                for i in range(STAGES)
                if config.fusion == "synchronised" or i == last
            )
        if not config.vit:
            # Nothing else carries the image: from zero it would not learn.
            for bridge in self.bridges.modules():
                if isinstance(bridge, Bridge):
                    bridge.convolution.reset_parameters()
        if config.freeze_vit and config.vit:
            vit.requires_grad_(False)
            self.neck.requires_grad_(False)

    def fold_norms(self) -> None:
        """Fold the CNN's batch norms into its convolutions: quicker, the same but for rounding.

        For prediction alone: afterwards the network can be neither trained nor saved.
        """
        if self.cnn is not None:
            fold_batch_norms(self.cnn, strict=False)

    @property
    def detail_channels(self) -> tuple[int, ...]:
        """Channels of `Encoding.details`: strides 8 and 4."""
        if not self.config.details:
            return ()
        channels = self.cnn.feature_info.channels()
        return channels[2], channels[1]

    def forward(self, images: Tensor) -> Encoding:
        """Encode (B, 3, S, S), normalised."""
        maps = self.cnn(images) if self.cnn is not None else []
        bridged = [
            bridge(feature)
            for bridge, feature in zip(self.bridges, maps[-len(self.bridges) :], strict=True)
        ]
        stages = self._vit_stages(images, bridged) if self.vit is not None else bridged
        if self.vit is not None and self.config.fusion == "single" and bridged:
            stages[-1] = stages[-1] + bridged[-1]
        return Encoding(
            self.neck(stages[-1]),
            tuple(stages[:-1]) if self.config.multi_scale else (),
            (maps[2], maps[1]) if self.config.details else (),
        )

    def _vit_stages(self, images: Tensor, bridged: list[Tensor]) -> list[Tensor]:
        """Run the four stages: windowed blocks, the CNN's map added, a global block."""
        tokens = self.vit.patch_embed(images) + self.vit.pos_embed
        outputs = []
        length = self.config.depth // STAGES
        for stage in range(STAGES):
            *windowed, whole = self.vit.blocks[stage * length : (stage + 1) * length]
            for block in windowed:
                tokens = block(tokens)
            if self.config.fusion == "synchronised" and bridged:
                tokens = tokens + bridged[stage].permute(0, 2, 3, 1)
            tokens = whole(tokens)
            outputs.append(tokens.permute(0, 3, 1, 2))
        return outputs


def global_blocks(config: SyncSamConfig) -> tuple[int, ...]:
    """Return the numbers of the blocks that attend to the whole image: the last of each stage."""
    length = config.depth // STAGES
    return tuple(length * (stage + 1) - 1 for stage in range(STAGES))

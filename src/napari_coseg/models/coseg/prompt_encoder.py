"""STP-Encoder: a task's mask logits and the image embedding become a spatial constraint.

Xu et al. 2025 (Co-Seg++), section III-B, equations (4) to (6).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.layers import ChannelNorm, RotaryAttention
from napari_coseg.models.coseg.positions import rotary_angles
from napari_coseg.models.coseg.state_space import StateSpace

#: Strides of the mask logits and of the embedding.
MASK_STRIDE, EMBEDDING_STRIDE = 4, 16


class TemporalBranch(nn.Module):
    """Equation (4): linear down, Conv1D of width 3, state space model, norm, linear up.

    The embedding's tokens are read as one sequence, row by row. Unlike a Mamba block it has
    neither SiLU nor gate.
    """

    def __init__(self, width: int, state_width: int, state_size: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, state_width)
        self.convolution = nn.Conv1d(state_width, state_width, 3, padding=1)
        self.state_space = StateSpace(state_width, state_size)
        self.norm = nn.LayerNorm(state_width)
        self.up = nn.Linear(state_width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, width) to (B, L, width)."""
        x = self.down(tokens)
        x = self.convolution(x.transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.up(self.norm(self.state_space(x)))
        return out


class PromptEncoder(nn.Module):
    """STP-Encoder of one task.

    Without positions equation (6) would be blind to place, so both attentions turn queries and
    keys by 2D rotary positions.
    """

    def __init__(self, config: CosegConfig) -> None:
        super().__init__()
        width, patch = config.width, EMBEDDING_STRIDE // MASK_STRIDE
        self.heads = config.heads
        self.temporal = TemporalBranch(width, config.state_width, config.state_size)
        # 16 x 16 pixels of the image are 4 x 4 of the mask logits, which have stride 4.
        self.patches = nn.Conv2d(1, config.spatial_width, patch, stride=patch)
        self.patch_norm = ChannelNorm(config.spatial_width)
        self.widen = nn.Conv2d(config.spatial_width, width, 1)
        self.spatial = RotaryAttention(width, config.heads, config.mlp_width)
        self.cross = RotaryAttention(width, config.heads, config.mlp_width, cross=True)

    def forward(self, embedding: Tensor, mask: Tensor) -> Tensor:
        """Constraint *c* of a task.

        Parameters
        ----------
        embedding : Tensor
            *h*, (B, width, H, W) at stride 16.
        mask : Tensor
            Logits of the first forward, (B, 1, 4H, 4W), not detached: the second forward's loss
            teaches the first what to say.

        Returns
        -------
        Tensor
            (B, width, H, W).
        """
        _, width, rows, columns = embedding.shape
        temporal = self.temporal(embedding.flatten(2).transpose(1, 2))
        patches = functional.gelu(self.patch_norm(self.patches(mask)))
        spatial = self.widen(patches).flatten(2).transpose(1, 2)
        angles = rotary_angles(
            rows, columns, EMBEDDING_STRIDE, width // self.heads, embedding.device
        )
        spatial = self.spatial(spatial, angles)
        constraint: Tensor = self.cross(spatial, angles, temporal)
        return constraint.transpose(1, 2).reshape(-1, width, rows, columns)


class MaskDownscaling(nn.Module):
    """SAM's way from a mask to an embedding, for the ablation without the STP-Encoder (P off)."""

    def __init__(self, config: CosegConfig) -> None:
        super().__init__()
        width = config.spatial_width
        self.layers = nn.Sequential(
            nn.Conv2d(1, width // 4, 2, stride=2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.Conv2d(width // 4, width, 2, stride=2),
            ChannelNorm(width),
            nn.GELU(),
            nn.Conv2d(width, config.width, 1),
        )

    def forward(self, embedding: Tensor, mask: Tensor) -> Tensor:
        """As `PromptEncoder.forward`; the embedding is not looked at."""
        out: Tensor = self.layers(mask)
        return out

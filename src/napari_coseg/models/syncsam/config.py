"""Every size and switch of a SyncSAM network, as one checked value."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Stages of the encoder; the stride of the ViT's patches, and of the logits.
STAGES, PATCH, STRIDE = 4, 16, 4


class SyncSamConfig(BaseModel):
    """Sizes and switches of a SyncSAM network; stored with its weights.

    Attributes
    ----------
    side : int
        Side in pixels of the square that the network sees, a multiple of 32.
    vit : bool
        Whether there is a ViT branch (ablation of the paper's table 5).
    width, depth, heads : int
        Channels, blocks and attention heads of the ViT: four stages, whose last block attends to
        the whole image and the others within windows.
    window : int
        Side of a window in patches.
    freeze_vit : bool
        Whether ViT and neck keep their weights in training, as the paper has it.
    cnn : str
        timm name of the CNN branch, which gives maps at strides 2, 4, 8, 16 and 32; empty for none.
    bridge : {1, 3}
        Side of the convolutions that bring the CNN's maps to the ViT.
    fusion : {"synchronised", "single"}
        A CNN map is added in each stage, or the last one alone after the last stage (ablation).
    med_token : bool
        One Med-Output token instead of SAM's four mask tokens and IoU head (ablation).
    multi_scale : bool
        Whether the maps of the first three stages join the mask features (ablation).
    details : bool
        Whether the CNN's maps at strides 8 and 4 join the mask features too. Not in the paper.
    embedding : int
        Channels of the image embedding and of the prompts: 256 in SAM.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: int = Field(default=256, ge=64, multiple_of=32)
    vit: bool = True
    width: int = Field(default=768, ge=16)
    depth: int = Field(default=12, ge=STAGES, multiple_of=STAGES)
    heads: int = Field(default=12, ge=1)
    window: int = Field(default=14, ge=1)
    freeze_vit: bool = True
    cnn: str = "resnet34"
    bridge: Literal[1, 3] = 3
    fusion: Literal["synchronised", "single"] = "synchronised"
    med_token: bool = True
    multi_scale: bool = True
    details: bool = False
    embedding: int = Field(default=256, ge=32, multiple_of=32)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.vit and not self.cnn:
            raise ValueError("a network needs a ViT, a cnn, or both")
        if not self.vit and self.fusion == "single":
            raise ValueError("a single fusion adds the CNN's last map to a ViT: it needs vit")
        if self.details and not self.cnn:
            raise ValueError("details are the CNN's: they need a cnn")
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self

    @property
    def grid(self) -> int:
        """Side of the image embedding."""
        return self.side // PATCH

    @property
    def cells(self) -> int:
        """Side of the logits."""
        return self.side // STRIDE


#: The paper's networks, and a small one for a laptop's CPU.
SYNCSAM_34 = SyncSamConfig()
SYNCSAM_50 = SyncSamConfig(cnn="resnet50")
SYNCSAM_LITE = SyncSamConfig(
    width=192,
    depth=8,
    heads=6,
    window=8,
    freeze_vit=False,
    cnn="tf_efficientnet_lite0",
    bridge=1,
    details=True,
)

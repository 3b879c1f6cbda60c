"""Every size and switch of the Co-Seg++ network, as one checked value."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class CosegConfig(BaseModel):
    """Sizes and switches of a Co-Seg++ network; stored with its weights.

    Attributes
    ----------
    encoder : str
        timm name: a SAM 2 Hiera (``sam2_hiera_*``, kept frozen, with adapters) or any network that
        timm gives with ``features_only`` at strides 4, 8, 16 and 32 (trained whole).
    region_classes, instance_classes : int
        Number of classes of each task, background not counted. Instances without classes have 0.
    tile : int
        Side in pixels of the square the network is trained and run on, a multiple of 32.
    width : int
        Channels *d* of the image embedding *h*.
    mlp_width : int
        Hidden width of the feed-forward layers.
    heads, depth : int
        Attention heads, and layers of the two-way transformer.
    pixel_channels : tuple of int
        Channels of the pixel decoder at strides 8 and 4 (paper: d/4, d/8), and at stride 2 where
        `instance_stride` is 2.
    refine : bool
        A residual 3 x 3 convolution after each upscaling step. Not in the paper.
    refine_instances : tuple of int
        How many more of these follow each upscaling step of the instances' second forward, from
        stride 8 on. They begin as the identity. Not in the paper.
    instance_stride : int
        Stride of the instance maps, 4 (paper) or 2.
    state_width, state_size : int
        Channels and states a channel of the state space model of eq. (4).
    spatial_width : int
        Channels of the mask patches of eq. (5) before they are widened to `width`.
    use_prompt_encoder, use_collaborative_decoder, use_crossing : bool
        The paper's P, D and C. With all three off there is one forward without constraints: the
        encoder-shared baseline.
    folded_norm : bool
        A CNN encoder's batch norms are folded into its convolutions. Small batches drawn from
        several data sets have no use for their statistics, and on a CPU they cost a fifth of a
        training step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str
    region_classes: int = Field(ge=0, le=254)
    instance_classes: int = Field(ge=0, le=254)
    tile: int = Field(ge=32, multiple_of=32)
    width: int = Field(default=256, ge=16, multiple_of=16)
    mlp_width: int = Field(default=2048, ge=16)
    heads: int = Field(default=8, ge=1)
    depth: int = Field(default=2, ge=1)
    pixel_channels: tuple[int, ...] = (64, 32)
    refine: bool = False
    refine_instances: tuple[Annotated[int, Field(ge=0)], ...] = ()
    instance_stride: Literal[2, 4] = 4
    state_width: int = Field(default=128, ge=8)
    state_size: int = Field(default=16, ge=1)
    spatial_width: int = Field(default=64, ge=4)
    use_prompt_encoder: bool = True
    use_collaborative_decoder: bool = True
    use_crossing: bool = True
    folded_norm: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        steps = 3 if self.instance_stride == 2 else 2
        if len(self.pixel_channels) != steps:
            raise ValueError(
                f"pixel_channels needs {steps} numbers for instance_stride {self.instance_stride}"
            )
        if len(self.refine_instances) > steps:
            raise ValueError(f"refine_instances has more than {steps} numbers, one an upscaling")
        if self.width % (4 * self.heads):
            raise ValueError("width must be a multiple of 4 x heads, for 2D rotary positions")
        return self

    @property
    def two_forwards(self) -> bool:
        """Whether the decoders run twice, the second time under constraints."""
        return self.use_prompt_encoder or self.use_collaborative_decoder or self.use_crossing

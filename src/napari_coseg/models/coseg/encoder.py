"""Image encoder: a timm trunk, adapters in a frozen one, and the neck that makes *h*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import timm
from torch import Tensor, nn
from torch.nn import functional

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.folding import fold_batch_norms
from napari_coseg.models.same_padding import pad_kernels

#: Strides whose maps the neck needs; stride 2 beside them where instances are decoded there.
STRIDES = (4, 8, 16, 32)


class Features(NamedTuple):
    """What one encoding gives to both decoders.

    Attributes
    ----------
    embedding : Tensor
        *h*, (B, width, T/16, T/16).
    laterals : tuple of Tensor
        Details for the pixel decoder at strides 8, 4 and perhaps 2, with `pixel_channels`.
    """

    embedding: Tensor
    laterals: tuple[Tensor, ...]


class Adapter(nn.Module):
    """A frozen block's MLP with a small trained one beside it (Chen et al. 2022, AdaptFormer).

    Both see the same normed input; the trained one is added with a factor of 0.5 and starts at
    zero, so that an untrained adapter leaves the trunk as it was.
    """

    def __init__(self, mlp: nn.Module, width: int) -> None:
        super().__init__()
        self.mlp = mlp
        self.down = nn.Linear(width, max(1, width // 4))
        self.up = nn.Linear(max(1, width // 4), width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Shape in, shape out."""
        out: Tensor = self.mlp(x) + 0.5 * self.up(functional.gelu(self.down(x)))
        return out


def is_hiera(name: str) -> bool:
    """Whether a timm name is one of SAM 2's Hiera trunks."""
    return name.startswith("sam2_hiera")


class Encoder(nn.Module):
    """Trunk and neck.

    The neck's laterals and the pixel decoder's narrowing are two 1 x 1 convolutions in a row in
    SAM 2; with nothing between them they are one, and that is how strides 4 and 8 are made here.
    """

    trunk: Any  # timm's classes carry feature_info beside what nn.Module knows

    def __init__(self, config: CosegConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = _build_trunk(config, None)
        channels = dict(zip(_strides(config), self.trunk.feature_info.channels(), strict=True))
        self.lateral16 = nn.Conv2d(channels[16], config.width, 1)
        self.lateral32 = nn.Conv2d(channels[32], config.width, 1)
        self.details = nn.ModuleList(
            nn.Conv2d(channels[stride], out, 1)
            for stride, out in zip((8, 4, 2), config.pixel_channels, strict=False)
        )

    def trunk_template(self) -> dict[str, Tensor]:
        """Names and shapes of the trunk's tensors as `load_trunk` expects them."""
        template: dict[str, Tensor] = _create_trunk(self.config).state_dict()
        return template

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take a trunk's published weights, with timm's names and unfolded batch norms.

        Raises
        ------
        RuntimeError
            If a tensor that the trunk needs is missing or has another shape.
        """
        self.trunk = _build_trunk(self.config, state)

    def forward(self, images: Tensor) -> Features:
        """Encode (B, 3, T, T) once."""
        maps = self.trunk(images)
        *finer, stride16, stride32 = maps
        coarse = functional.interpolate(
            self.lateral32(stride32), size=stride16.shape[-2:], mode="nearest"
        )
        laterals = tuple(
            detail(feature) for detail, feature in zip(self.details, reversed(finer), strict=True)
        )
        return Features(self.lateral16(stride16) + coarse, laterals)


def _strides(config: CosegConfig) -> tuple[int, ...]:
    return (2, *STRIDES) if config.instance_stride == 2 else STRIDES


def _create_trunk(config: CosegConfig) -> Any:
    strides = _strides(config)
    trunk: Any = timm.create_model(config.encoder, features_only=True, pretrained=False)
    reductions = trunk.feature_info.reduction()
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        raise ValueError(f"{config.encoder} gives strides {reductions}, {missing} missing")
    indices = tuple(reductions.index(stride) for stride in strides)
    if len(indices) < len(reductions):
        trunk = timm.create_model(
            config.encoder, features_only=True, out_indices=indices, pretrained=False
        )
    pad_kernels(trunk)
    return trunk


def _build_trunk(config: CosegConfig, state: Mapping[str, Tensor] | None) -> Any:
    trunk = _create_trunk(config)
    if state is not None:
        own = trunk.state_dict()
        trunk.load_state_dict({name: state[name] for name in own if name in state})
    if is_hiera(config.encoder):
        _freeze_and_adapt(trunk)
    if config.folded_norm:
        fold_batch_norms(trunk)
    return trunk


def _freeze_and_adapt(trunk: nn.Module) -> None:
    for parameter in trunk.parameters():
        parameter.requires_grad_(False)
    adapted = 0
    block: Any
    for block in list(trunk.modules()):
        if hasattr(block, "norm2") and isinstance(getattr(block, "mlp", None), nn.Module):
            block.mlp = Adapter(block.mlp, block.norm2.normalized_shape[0])
            adapted += 1
    if not adapted:
        raise ValueError("No transformer block with an MLP was found in the frozen trunk")

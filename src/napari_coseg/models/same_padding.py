"""Convolutions with TensorFlow's "same" padding, without a padded copy of what they read."""

from __future__ import annotations

from typing import Any

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import Tensor, nn
from torch.nn import functional


class SameConv2d(Conv2dSame):
    """timm's `Conv2dSame`, which on a CPU pads its small kernel in the place of its large input.

    With a stride of 2 the padding is one pixel more at the end than at the beginning. A kernel
    with a row and a column of zeros put before it, and as much padding on both sides, gives the
    same numbers. In a CNN's first stages the copy takes several times as long as the convolution.
    """

    @classmethod
    def of(cls, other: Any) -> SameConv2d:
        """Return a convolution with the parameters of a `Conv2dSame`."""
        new = cls(
            other.in_channels,
            other.out_channels,
            other.kernel_size,
            stride=other.stride,
            dilation=other.dilation,
            groups=other.groups,
            bias=other.bias is not None,
        )
        new.weight, new.bias = other.weight, other.bias
        return new.train(other.training)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        if x.device.type != "cpu" or set(self.dilation) != {1}:
            out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return out
        parts = zip(x.shape[-2:], self.kernel_size, self.stride, strict=True)
        added = [get_same_padding(length, kernel, stride, 1) for length, kernel, stride in parts]
        more_rows, more_columns = (pixels % 2 for pixels in added)
        weight = functional.pad(self.weight, (more_columns, 0, more_rows, 0))
        padding = [(pixels + 1) // 2 for pixels in added]
        return functional.conv2d(x, weight, self.bias, self.stride, padding, 1, self.groups)


def pad_kernels(module: nn.Module) -> None:
    """Put `SameConv2d` in the place of each of timm's convolutions of this kind."""
    for name, child in list(module.named_children()):
        if type(child) is Conv2dSame:
            setattr(module, name, SameConv2d.of(child))
        else:
            pad_kernels(child)

"""Batch norms folded into the convolutions before them."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(module: nn.Module, *, strict: bool = True) -> None:
    """Fold each batch norm into the convolution just before it in the same parent, in place.

    Parameters
    ----------
    module : Module
    strict : bool
        Whether all of them must be folded: for training, nothing may be left that trains unlike it
        predicts.

    Raises
    ------
    ValueError
        With `strict`, if a batch norm does not follow a convolution of its channels.
    """
    previous: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            if previous is None or child.num_features != previous[1].out_channels:
                if not strict:
                    previous = None
                    continue
                raise ValueError(
                    f"Batch norm {name} follows no convolution, so it cannot be folded"
                )
            fused = fuse_conv_bn_eval(previous[1].eval(), child.eval())
            setattr(module, previous[0], fused)
            # timm's norm carries the activation that follows it.
            setattr(module, name, getattr(child, "act", nn.Identity()))
            previous = None
        elif isinstance(child, nn.Conv2d):
            previous = (name, child)
        elif not isinstance(child, nn.Identity):
            previous = None
            fold_batch_norms(child, strict=strict)

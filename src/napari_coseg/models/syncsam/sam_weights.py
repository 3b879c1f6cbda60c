"""Weights of SAM and MedSAM for a SyncSAM network: names, and sizes that differ.

Both publish the state dict of segment-anything's ViT-B at 1024 pixels. A network of another size
takes positions by interpolation: of the image embedding's grid in two dimensions, and of the
relative positions of blocks that see the whole grid in one (as SAM itself does when it runs).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from napari_coseg.models.syncsam.network import SyncSamNetwork

_ENCODER, _PROMPTS, _DECODER = "image_encoder.", "prompt_encoder.", "mask_decoder."


def load_sam(network: SyncSamNetwork, state: Mapping[str, Tensor]) -> list[str]:
    """Fill what a network has in common with SAM; the rest stays as it is.

    Parameters
    ----------
    network : SyncSamNetwork
        Without a ViT, or with another one than SAM's ViT-B, it takes the prompt encoder and the
        decoder alone.
    state : mapping of str to Tensor
        As published: ``image_encoder.*``, ``prompt_encoder.*``, ``mask_decoder.*``.

    Returns
    -------
    list of str
        Names of the network's tensors that were filled.

    Raises
    ------
    ValueError
        If a tensor that SAM has is missing or does not fit.
    """
    wanted = network.state_dict()
    found: dict[str, Tensor] = {}
    names = set(state)
    with_vit = network.encoder.vit is not None and _same_vit(network, state)
    for name, own in wanted.items():
        theirs = sam_name(name, with_vit=with_vit)
        if theirs is None:
            continue
        if theirs not in names:
            raise ValueError(f"a SAM checkpoint without {theirs}")
        value = state[theirs].to(own.dtype)
        if name == "decoder.med_token.weight":
            # Mask token 0 is the one that SAM uses when it is asked for a single mask.
            value = value[:1]
        found[name] = _fitted(name, value, own)
    network.load_state_dict(found, strict=False)
    return sorted(found)


def sam_name(name: str, *, with_vit: bool) -> str | None:
    """Return SAM's name of one of our tensors; None for what SAM does not have."""
    if name.startswith("encoder.vit.") and with_vit:
        return _ENCODER + name.removeprefix("encoder.vit.")
    if name.startswith("encoder.neck.") and with_vit:
        return _ENCODER + name.removeprefix("encoder.")
    if name.startswith("prompt_encoder.sam."):
        return _PROMPTS + name.removeprefix("prompt_encoder.sam.")
    if not name.startswith("decoder."):
        return None
    part = name.removeprefix("decoder.")
    for ours, theirs in (
        ("transformer.", "transformer."),
        ("upscaling.", "output_upscaling."),
        ("med_token.", "mask_tokens."),
        ("med_mlp.", "output_hypernetworks_mlps.0."),
        ("iou_token.", "iou_token."),
        ("mask_tokens.", "mask_tokens."),
        ("mask_mlps.", "output_hypernetworks_mlps."),
        ("iou_head.", "iou_prediction_head."),
    ):
        if part.startswith(ours):
            return _DECODER + theirs + part.removeprefix(ours)
    return None


def _same_vit(network: SyncSamNetwork, state: Mapping[str, Tensor]) -> bool:
    theirs = state.get(_ENCODER + "patch_embed.proj.weight")
    return theirs is not None and theirs.shape == network.encoder.vit.patch_embed.proj.weight.shape


def _fitted(name: str, value: Tensor, own: Tensor) -> Tensor:
    if value.shape == own.shape:
        return value
    if name.endswith("pos_embed") and value.ndim == own.ndim and value.shape[-1] == own.shape[-1]:
        grid = value.permute(0, 3, 1, 2).float()
        size = own.shape[1:3]
        grid = functional.interpolate(grid, size, mode="bicubic", antialias=True)
        return grid.permute(0, 2, 3, 1).to(own.dtype)
    if name.rsplit(".", 1)[-1] in ("rel_pos_h", "rel_pos_w") and value.shape[1] == own.shape[1]:
        line = value.t()[None].float()
        line = functional.interpolate(line, own.shape[0], mode="linear")
        return torch.as_tensor(line[0].t(), dtype=own.dtype)
    raise ValueError(f"{name} is {tuple(value.shape)} and not {tuple(own.shape)}")

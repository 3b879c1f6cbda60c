"""What a SyncSAM network knows before the first step: parts of SAM, a CNN, or another model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.models.syncsam.sam_weights import load_sam
from napari_coseg.training.prompt_config import PromptModelSection
from napari_coseg.training.start import resolve, trunk_state
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import fill, load_prompt_model
from napari_coseg.weights.tensors import read_pickled, read_state_dict

#: Parts of a file that holds SAM's prompt encoder and mask decoder alone, with SAM's names for
#: them; the first one is spelt so where it is published.
_PARTS = {"PromtEncoder": "prompt_encoder.", "MaskDecoder": "mask_decoder."}


def build_prompt_network(model: PromptModelSection) -> SyncSamNetwork:
    """Make the network of a config with its starting weights.

    Raises
    ------
    CosegError
        If the sizes do not fit together or the starting weights are another network's.
    """
    try:
        network = SyncSamNetwork(model.network)
    except (ValueError, RuntimeError) as error:
        raise CosegError(f"model.network does not make a network: {error}") from error
    if model.start is not None:
        other = load_prompt_model(model.start)
        fill(network, other.network.state_dict(), model.start)
        for key in ("mean", "std"):
            if getattr(other.card, key) != getattr(model, key):
                raise CosegError(f"{model.start} was made with another model.{key}: use the same.")
        return network
    if model.sam_weights is not None:
        try:
            load_sam(network, _sam_state(model.sam_weights))
        except ValueError as error:
            raise CosegError(
                f"model.sam_weights: {model.sam_weights} does not fit: {error}."
            ) from error
    if model.encoder_weights is not None:
        if network.encoder.cnn is None:
            raise CosegError("model.encoder_weights are the CNN's, which model.network has not.")
        own: Mapping[str, Tensor] = network.encoder.cnn.state_dict()
        state = trunk_state(model.encoder_weights, own)
        fill(network.encoder.cnn, {name: state[name] for name in own}, model.encoder_weights)
    return network


def _sam_state(where: str) -> dict[str, Tensor]:
    path = resolve(where)
    if path.suffix in (".pt", ".pth"):
        held = read_pickled(path)
        if isinstance(held, Mapping) and set(_PARTS) <= set(held):
            parts = {prefix: held[part] for part, prefix in _PARTS.items()}
            if all(_holds_tensors(part) for part in parts.values()):
                return {
                    prefix + name: value.to(torch.float32) if value.is_floating_point() else value
                    for prefix, part in parts.items()
                    for name, value in part.items()
                }
    return read_state_dict(path)


def _holds_tensors(part: object) -> bool:
    return isinstance(part, Mapping) and all(isinstance(value, Tensor) for value in part.values())

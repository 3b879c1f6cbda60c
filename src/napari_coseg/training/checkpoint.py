"""The state of a run on disk, so that a stopped one goes on as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import torch

from napari_coseg.imaging.files import atomic_path
from napari_coseg.training.config import AnyConfig
from napari_coseg.types import CosegError
from napari_coseg.weights.tensors import read_pickled

CHECKPOINT = "last.pt"
#: What a checkpoint holds.
_STATE = ("config", "network", "average", "updates", "optimiser", "schedule", "step", "best")
#: Sections of a config that decide what is learnt; a run that goes on must not change them.
_FIXED = (
    "kind",
    "model",
    "data",
    "split",
    "mix",
    "augment",
    "interaction",
    "loss",
    "teacher",
    "optimiser",
)


def save_checkpoint(folder: Path, state: dict[str, Any], config: AnyConfig) -> None:
    """Write the state whole or not at all."""
    with atomic_path(folder / CHECKPOINT) as path, path.open("wb") as file:
        told: Any = _Told(file)  # torch asks for more of a file than it uses
        try:
            torch.save({**state, "config": config.model_dump_json()}, told)
        except RuntimeError as error:
            # torch says that bytes are missing, and not that the disk is full.
            raise (told.error or error) from error


class _Told:
    """A file that remembers why a write failed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, or raise what the system says."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._file.flush()


def load_checkpoint(folder: Path, config: AnyConfig) -> dict[str, Any]:
    """Read the state of a run that goes on.

    Raises
    ------
    CosegError
        If there is none, it cannot be read, or it belongs to another config.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise CosegError(f"{folder} holds no run to resume: {CHECKPOINT} is missing.")
    state = read_pickled(path)
    missing = [key for key in _STATE if not isinstance(state, dict) or key not in state]
    if missing:
        raise CosegError(f"{path} is no checkpoint of a run: it lacks {', '.join(missing)}.")
    try:
        raw = json.loads(state["config"])
        if raw.get("kind", "coseg") != config.kind:
            raise CosegError(f"{folder} holds a run of another kind of model: {raw['kind']}.")
        before = type(config).model_validate(raw)
    except (ValueError, AttributeError) as error:
        raise CosegError(
            f"{path} was made by another version of the program, whose config is not understood: "
            "start from its last.safetensors with model.start."
        ) from error
    changed = [name for name in _FIXED if _learnt(before, name) != _learnt(config, name)]
    for name in ("batch", "seed", "accumulate"):
        if getattr(before.run, name) != getattr(config.run, name):
            changed.append(f"run.{name}")
    if changed:
        raise CosegError(
            f"{folder} was made with another config ({', '.join(changed)} differ): resume with "
            "the same one, or train into another folder."
        )
    checked: dict[str, Any] = state
    return checked


def _learnt(config: AnyConfig, name: str) -> Any:
    """Return a section without what is written into the weights file but teaches nothing."""
    section = getattr(config, name, None)
    if name == "model" and section is not None:
        plain = {"post_processing": {}, "description": "", "licence": "", "licence_note": ""}
        known = type(section).model_fields
        return section.model_copy(update={k: v for k, v in plain.items() if k in known})
    return section

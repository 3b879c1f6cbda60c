"""The state of a run on disk, so that a stopped one goes on as if nothing had happened."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from napari_coseg.imaging.files import atomic_path
from napari_coseg.training.config import TrainingConfig
from napari_coseg.types import CosegError

CHECKPOINT = "last.pt"
#: Sections of a config that decide what is learnt; a run that goes on must not change them.
_FIXED = ("kind", "model", "data", "split", "augment", "loss", "teacher", "optimiser")


def save_checkpoint(folder: Path, state: dict[str, Any], config: TrainingConfig) -> None:
    """Write the state whole or not at all."""
    # Through Python's own file, which tells why a write failed; torch's hides a full disk.
    with atomic_path(folder / CHECKPOINT) as path, path.open("wb") as file:
        torch.save({**state, "config": config.model_dump_json()}, file)


def load_checkpoint(folder: Path, config: TrainingConfig) -> dict[str, Any]:
    """Read the state of a run that goes on.

    Raises
    ------
    CosegError
        If there is none, it cannot be read, or it belongs to another config.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise CosegError(f"{folder} holds no run to resume: {CHECKPOINT} is missing.")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before = TrainingConfig.model_validate_json(state["config"])
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise CosegError(f"{path} cannot be read as a checkpoint: {error}.") from error
    changed = [name for name in _FIXED if _learnt(before, name) != _learnt(config, name)]
    for name in ("batch", "seed", "accumulate"):
        if getattr(before.run, name) != getattr(config.run, name):
            changed.append(f"run.{name}")
    if changed:
        raise CosegError(
            f"{folder} was made with another config ({', '.join(changed)} differ): resume with "
            "the same one, or train into another folder."
        )
    return state


def _learnt(config: TrainingConfig, name: str) -> Any:
    """Return a section without what is written into the weights file but teaches nothing."""
    section = getattr(config, name)
    if name == "model":
        return section.model_copy(
            update={"post_processing": {}, "description": "", "licence": "", "licence_note": ""}
        )
    return section

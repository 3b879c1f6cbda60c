"""Which device computes."""

from __future__ import annotations

import torch

from napari_coseg.types import CosegError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name : str
        ``"auto"`` takes CUDA, else Apple's Metal, else the CPU. ``"cpu"``, ``"cuda"``,
        ``"cuda:1"`` and ``"mps"`` name one.

    Raises
    ------
    CosegError
        If there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise CosegError(f"{name} is no device: choose auto, cpu, cuda or mps.") from error
    if device.type == "cuda":
        there = torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    elif device.type == "mps":
        there = torch.backends.mps.is_available()
    else:
        there = device.type == "cpu"
    if not there:
        raise CosegError(
            f"This machine (or this build of PyTorch) has no device {name}: use --device auto."
        )
    return device

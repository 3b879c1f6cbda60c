"""In which numbers a network computes: half as many bits where the device is quick with them.

bfloat16 has float32's range and eight bits for the digits. Convolutions and matrix products run in
it under PyTorch's autocast, the selective scan never does.
"""

from __future__ import annotations

import torch

from napari_coseg.types import CosegError

#: What may be asked for.
PRECISIONS = ("auto", "float32", "bfloat16")
#: What an x86 processor says that multiplies bfloat16 by itself; without it, it is slower.
_QUICK = ("avx512_bf16", "amx_bf16")


def choose_precision(device: torch.device, name: str = "auto") -> torch.dtype:
    """Return the type in which a device computes.

    Parameters
    ----------
    device : torch.device
    name : {"auto", "float32", "bfloat16"}
        ``"auto"`` takes bfloat16 on a GPU of NVIDIA and on a processor that has instructions for it
        (AVX512-BF16 or AMX), float32 elsewhere.

    Raises
    ------
    CosegError
        If there is no such precision, or not on this device.
    """
    if name not in PRECISIONS:
        raise CosegError(f"{name} is no precision: choose {', '.join(PRECISIONS)}.")
    if name == "auto":
        return torch.bfloat16 if _is_quick(device) else torch.float32
    if name == "bfloat16" and device.type not in ("cpu", "cuda"):
        raise CosegError(f"No bfloat16 on the device {device.type}: use --precision float32.")
    return torch.float32 if name == "float32" else torch.bfloat16


def computing_in(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which a network computes in a type; the thread's own."""
    enabled = dtype != torch.float32
    return torch.autocast(device.type, dtype if enabled else torch.bfloat16, enabled=enabled)


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a type as `choose_precision` takes it, for records."""
    return str(dtype).removeprefix("torch.")


def _is_quick(device: torch.device) -> bool:
    if device.type == "cuda":
        # Before Ampere it is emulated.
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # Older versions of PyTorch do not tell what a processor can do.
    told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(told.get(feature) for feature in _QUICK)

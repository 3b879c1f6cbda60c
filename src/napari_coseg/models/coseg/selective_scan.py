"""The selective scan of Mamba: the recurrence, its gradients, and the choice of implementation.

The recurrence of Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
2023, equations (2a) and (2b) with the discretisation of section 2 (exact for the state, Euler's
for the input), for channel *d* and state *n*::

    h[t] = exp(delta[t] * A) * h[t - 1] + delta[t] * B[t] * u[t]
    y[t] = sum over n of C[t] * h[t]  +  D * u[t]
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from napari_coseg.models.coseg.chunked_scan import chunked_scan
from napari_coseg.types import CosegError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Implementation = Literal["auto", "chunked", "mamba"]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    chunk: int | None = None,
    implementation: Implementation = "auto",
) -> Tensor:
    """Run the selective scan along the last axis, with gradients for every argument.

    Parameters
    ----------
    u : Tensor
        Input, shape (batch, channels, length), any floating dtype.
    delta : Tensor
        Step sizes, never negative (softplus already applied), shape (batch, channels, length).
    A : Tensor
        Decay rates, never positive, shape (channels, states).
    B, C : Tensor
        Input and output weights, shape (batch, states, length).
    D : Tensor, optional
        Weight of the input in the output, shape (channels,).
    chunk : int, optional
        Positions computed at once. By default as many as suit the device's caches. It changes
        time and memory, not the result.
    implementation : {"auto", "chunked", "mamba"}
        "auto" takes the kernel of the package mamba_ssm where it is installed and `u` is on
        CUDA, and the chunked scan of this module elsewhere (and for float64).

    Returns
    -------
    Tensor
        Shape (batch, channels, length), dtype of `u`. Computed in float32, or in float64 where
        `u` is float64; autocast has no effect on it.

    Raises
    ------
    CosegError
        For shapes that do not fit each other, a chunk below 1, an unknown implementation, or
        "mamba" where it cannot run.
    """
    _check_shapes(u, delta, A, B, C, D)
    if chunk is not None and chunk < 1:
        raise CosegError(f"A selective scan's chunk must be at least 1, not {chunk}.")
    kernel = choose_kernel(implementation, u.device, u.dtype)
    precision = torch.float64 if u.dtype == torch.float64 else torch.float32
    with torch.autocast(u.device.type, enabled=False):
        scan = partial(chunked_scan, chunk=chunk) if kernel is None else kernel
        u_, delta, A, B, C = (value.to(precision) for value in (u, delta, A, B, C))
        y = scan(u_, delta, A, B, C, None if D is None else D.to(precision))
        return y.to(u.dtype)


def reference_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None
) -> Tensor:
    """Run the selective scan by its definition, one position after another.

    The same arguments and result as `selective_scan`, without chunks or custom gradients: what
    the tests compare with, and the benchmark's step-by-step loop.
    """
    precision = torch.float64 if u.dtype == torch.float64 else torch.float32
    dtype = u.dtype
    u, delta, A, B, C = (value.to(precision) for value in (u, delta, A, B, C))
    state = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    # Unbound once: the gradient of a slice a position would be an array of the full length each.
    steps = (value.unbind(-1) for value in (u, delta, B, C))
    for u_t, delta_t, B_t, C_t in zip(*steps, strict=True):
        decay = torch.exp(delta_t[..., None] * A)
        state = decay * state + (delta_t * u_t)[..., None] * B_t[:, None, :]
        outputs.append((state * C_t[:, None, :]).sum(-1))
    y = torch.stack(outputs, dim=-1)
    if D is not None:
        y = y + D.to(precision)[:, None] * u
    return y.to(dtype)


def choose_kernel(
    implementation: Implementation, device: torch.device, dtype: torch.dtype
) -> Callable[..., Tensor] | None:
    """Return mamba_ssm's scan where it is to be used, None for the chunked scan.

    Raises
    ------
    CosegError
        For an unknown implementation, or "mamba" where the package is missing or cannot serve
        this device and dtype.
    """
    if implementation == "chunked":
        return None
    if implementation not in ("auto", "mamba"):
        raise CosegError(
            f"There is no selective scan named {implementation!r}: use auto, chunked or mamba."
        )
    # The package's kernel is written for CUDA and has no double precision.
    suits = device.type == "cuda" and dtype != torch.float64
    kernel = _import_mamba() if suits else None
    if kernel is None and implementation == "mamba":
        raise CosegError(
            "The mamba selective scan needs the package mamba_ssm and tensors on CUDA below "
            "float64: install the extra napari-coseg[mamba], or use auto."
        )
    return kernel


def _import_mamba() -> Callable[..., Tensor] | None:
    """Import mamba_ssm's scan, which is compiled code of an optional package."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "mamba_ssm":
            return None
        warnings.warn(_broken_mamba(error), RuntimeWarning, stacklevel=4)
        return None
    except ImportError as error:
        warnings.warn(_broken_mamba(error), RuntimeWarning, stacklevel=4)
        return None
    kernel: Callable[..., Tensor] = selective_scan_fn
    return kernel


def _broken_mamba(error: ImportError) -> str:
    return f"mamba_ssm is installed but cannot be imported ({error}); the chunked scan is used."


def _check_shapes(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None
) -> None:
    """Refuse shapes that would broadcast into a wrong result."""
    if u.dim() != 3 or A.dim() != 2:
        raise CosegError(
            "A selective scan takes u of shape (batch, channels, length) and A of shape "
            f"(channels, states), not {tuple(u.shape)} and {tuple(A.shape)}."
        )
    batch, channels, length = u.shape
    states = A.shape[1]
    if length < 1:
        raise CosegError("A selective scan needs at least one position.")
    expected = {
        "delta": (delta, (batch, channels, length)),
        "A": (A, (channels, states)),
        "B": (B, (batch, states, length)),
        "C": (C, (batch, states, length)),
        "D": (D, (channels,)),
    }
    for name, (value, shape) in expected.items():
        if value is not None and tuple(value.shape) != shape:
            raise CosegError(
                f"A selective scan of u with shape {tuple(u.shape)} needs {name} of shape "
                f"{shape}, not {tuple(value.shape)}."
            )

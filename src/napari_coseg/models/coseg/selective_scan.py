"""The selective scan of Mamba: the recurrence, its gradients, and the choice of implementation.

The recurrence of Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
2023, equations (2a) and (2b) with the discretisation of section 2 (exact for the state, Euler's
for the input), for channel *d* and state *n*::

    h[t] = exp(delta[t] * A) * h[t - 1] + delta[t] * B[t] * u[t]
    y[t] = sum over n of C[t] * h[t]  +  D * u[t]

The scan works on one chunk of positions after another. Within a chunk the decays, the inputs and
all sums are computed for all positions at once, in buffers that stay in the processor's cache;
what is sequential is one fused multiply-add a position. Only ``delta * A``, which is never
positive, is exponentiated: nothing can overflow, and nothing is divided by a decay that has
become zero. Between the forward and the backward pass only the state before each chunk is kept;
the backward pass computes the states of a chunk again.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.autograd.function import once_differentiable

from napari_coseg.types import CosegError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Implementation = Literal["auto", "chunked", "mamba"]

# Numbers in a chunk's buffer: on a CPU what a core's caches hold, which is more than the second
# level alone, since each call to an operation costs as much as some thousand numbers; on a GPU
# enough to keep it busy.
_CHUNK_NUMBERS = 2**18
_CHUNK_NUMBERS_ELSEWHERE = 2**24


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
        arguments = [
            value if value is None else value.to(precision) for value in (u, delta, A, B, C, D)
        ]
        y = kernel(*arguments) if kernel is not None else _ChunkedScan.apply(*arguments, chunk)
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


class _ChunkedScan(torch.autograd.Function):
    """The chunked scan; inside, arrays are (length, batch, states, channels)."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        chunk: int | None,
    ) -> Tensor:
        batch, channels, length = u.shape
        u, delta, B, C = (_positions_first(value) for value in (u, delta, B, C))
        A = A.t().contiguous()
        spans = _spans(length, chunk or _default_chunk(batch * A.numel(), A.device))
        # Positions before channels in memory: the order of the sequences a network works on.
        y = u.new_empty(batch, length, channels).transpose(0, 1)
        drive = delta * u
        starts = u.new_zeros(len(spans) + 1, batch, *A.shape)
        work = _Chunk(spans[0], batch, A)
        for index, span in enumerate(spans):
            _, states = work.run(delta[span], drive[span], B[span], starts[index])
            y[span] = torch.matmul(C[span].unsqueeze(2), states[1:]).squeeze(2)
            starts[index + 1] = states[-1]
        if D is not None:
            y.addcmul_(u, D)
        ctx.save_for_backward(u, delta, A, B, C, D, starts)
        ctx.spans = spans
        return y.permute(1, 2, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        u, delta, A, B, C, D, starts = ctx.saved_tensors
        spans = ctx.spans
        with torch.autocast(u.device.type, enabled=False):
            dy = _positions_first(dy)
            drive = delta * u
            d_drive, d_delta = torch.empty_like(u), torch.empty_like(u)
            d_B, d_C = torch.empty_like(B), torch.empty_like(C)
            d_A = torch.zeros_like(A)
            work = _Chunk(spans[0], u.shape[1], A)
            # What reaches a chunk's last state from the chunks after it.
            carried = torch.zeros_like(starts[0])
            for index in range(len(spans) - 1, -1, -1):
                span = spans[index]
                decay, states = work.run(delta[span], drive[span], B[span], starts[index])
                d_C[span] = _dot(dy[span], states[1:])
                d_states = work.run_back(dy[span], C[span], carried)
                carried = decay[0] * d_states[0]
                d_drive[span] = torch.matmul(B[span].unsqueeze(2), d_states).squeeze(2)
                d_B[span] = _dot(drive[span], d_states)
                # The gradient of the exponents delta * A: the state before, times its decay,
                # times the gradient of the state after.
                d_exponents = d_states.mul_(decay).mul_(states[:-1])
                d_delta[span] = torch.mul(d_exponents, A, out=decay).sum(2)
                d_A += d_exponents.mul_(delta[span].unsqueeze(2)).sum((0, 1))
            d_u = d_drive * delta
            d_delta.addcmul_(d_drive, u)
            d_D = None
            if D is not None:
                d_u.addcmul_(dy, D)
                d_D = (dy * u).sum((0, 1))
        return (
            d_u.permute(1, 2, 0),
            d_delta.permute(1, 2, 0),
            d_A.t(),
            d_B.permute(1, 2, 0),
            d_C.permute(1, 2, 0),
            d_D,
            None,
        )


class _Chunk:
    """Buffers for the decays and states of one chunk, used again for every chunk.

    On a CPU the recurrence is one fused multiply-add a position. Elsewhere a launch costs more
    than the arithmetic, and log2(positions) passes over the whole chunk take its place.
    """

    def __init__(self, span: slice, batch: int, A: Tensor) -> None:
        positions = span.stop - span.start
        self._A = A
        self._decay = A.new_empty(positions, batch, *A.shape)
        # One row more: the state before the chunk comes first.
        self._states = A.new_empty(positions + 1, batch, *A.shape)
        self._back: Tensor | None = None

    def run(self, delta: Tensor, drive: Tensor, B: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Return the chunk's decays, and `start` followed by the chunk's states."""
        decay = self._decay[: len(delta)]
        states = self._states[: len(delta) + 1]
        torch.mul(delta.unsqueeze(2), self._A, out=decay).exp_()
        torch.mul(drive.unsqueeze(2), B.unsqueeze(3), out=states[1:])
        states[0] = start
        if states.device.type == "cpu":
            rows = states.unbind(0)
            for previous, row, factor in zip(rows, rows[1:], decay.unbind(0), strict=False):
                row.addcmul_(factor, previous)
        else:
            states[1].addcmul_(decay[0], start)
            _run_by_doubling(decay[1:], states[1:])
        return decay, states

    def run_back(self, dy: Tensor, C: Tensor, carried: Tensor) -> Tensor:
        """Return the gradients of the chunk's states, after `run` on the same chunk."""
        if self._back is None:
            self._back = torch.empty_like(self._decay)
        d_states = self._back[: len(dy)]
        decay = self._decay[: len(dy)]
        torch.mul(dy.unsqueeze(2), C.unsqueeze(3), out=d_states)
        d_states[-1] += carried
        if d_states.device.type == "cpu":
            rows, factors = d_states.unbind(0)[::-1], decay.unbind(0)[:0:-1]
            for after, row, factor in zip(rows, rows[1:], factors, strict=False):
                row.addcmul_(factor, after)
        else:
            flipped = d_states.flip(0)
            _run_by_doubling(decay[1:].flip(0), flipped)
            d_states.copy_(flipped.flip(0))
        return d_states


def _default_chunk(numbers: int, device: torch.device) -> int:
    """Positions whose states, `numbers` each, make buffers of the size that suits the device."""
    room = _CHUNK_NUMBERS if device.type == "cpu" else _CHUNK_NUMBERS_ELSEWHERE
    return max(4, room // numbers)


def _spans(length: int, chunk: int) -> list[slice]:
    return [slice(first, min(first + chunk, length)) for first in range(0, length, chunk)]


def _positions_first(value: Tensor) -> Tensor:
    """(batch, channels, length) to (length, batch, channels), channels side by side in memory."""
    value = value.permute(2, 0, 1)
    return value if value.stride(2) == 1 else value.contiguous()


def _dot(values: Tensor, states: Tensor) -> Tensor:
    """Sum (.., channels) times (.., states, channels) over the channels."""
    return torch.matmul(values.unsqueeze(2), states.transpose(2, 3)).squeeze(2)


def _run_by_doubling(factors: Tensor, values: Tensor) -> None:
    """In place, values[t] += factors[t - 1] * values[t - 1], from the first t to the last.

    By steps of 1, 2, 4, ... positions (Hillis and Steele, 1986).
    """
    step = 1
    while step < values.shape[0]:
        # factors[t - step] is the decay from position t - step to position t.
        values[step:] = torch.addcmul(values[step:], factors, values[:-step])
        factors = factors[step:] * factors[:-step]
        step *= 2

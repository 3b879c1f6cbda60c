"""The selective scan in chunks, with its own backward pass, in plain PyTorch.

The recurrence is that of `napari_coseg.models.coseg.selective_scan`. The scan works on one chunk
of positions after another. Within a chunk the decays, the inputs and all sums are computed for
all positions at once, in buffers that stay in the processor's caches; what is sequential is one
fused multiply-add a position. Only ``delta * A``, which is never positive, is exponentiated:
nothing can overflow, and nothing is divided by a decay that has become zero. Between the forward
and the backward pass only the state before each chunk is kept; the backward pass computes the
states of a chunk again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Recurrence = Callable[..., None]

# Numbers in a chunk's buffer: on a CPU what a core's caches hold, which is more than the second
# level alone, since each call to an operation costs as much as some thousand numbers; on a GPU
# enough to keep it busy.
_CHUNK_NUMBERS = 2**18
_CHUNK_NUMBERS_ELSEWHERE = 2**24
# Least exponent of a decay. e to the -60 leaves nothing of a state, in double precision either,
# and numbers too small for their type cost a processor six times as long.
_LEAST_EXPONENT = -60.0


def chunked_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> Tensor:
    """Run the selective scan in chunks of `chunk` positions.

    Arguments and result are those of `selective_scan`, all of one dtype (float32 or float64) and
    of shapes that fit each other: that function sees to both, and turns autocast off.
    """
    y: Tensor = _ChunkedScan.apply(u, delta, A, B, C, D, chunk)
    return y


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
    """Buffers for the decays and states of one chunk, used again for every chunk."""

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
        torch.mul(delta.unsqueeze(2), self._A, out=decay).clamp_(min=_LEAST_EXPONENT).exp_()
        states[0] = start
        torch.mul(drive.unsqueeze(2), B.unsqueeze(3), out=states[1:])
        recurrence(states.device)(decay, states)
        return decay, states

    def run_back(self, dy: Tensor, C: Tensor, carried: Tensor) -> Tensor:
        """Return the gradients of the chunk's states, after `run` on the same chunk."""
        if self._back is None:
            self._back = torch.empty_like(self._decay)
        d_states = self._back[: len(dy)]
        torch.mul(dy.unsqueeze(2), C.unsqueeze(3), out=d_states)
        d_states[-1] += carried
        recurrence(d_states.device)(self._decay[1 : len(dy)], d_states, backwards=True)
        return d_states


def _default_chunk(numbers: int, device: torch.device) -> int:
    """Positions whose states, `numbers` each, make buffers of the size that suits the device."""
    room = _CHUNK_NUMBERS if device.type == "cpu" else _CHUNK_NUMBERS_ELSEWHERE
    return max(8, room // max(1, numbers))


def _spans(length: int, chunk: int) -> list[slice]:
    return [slice(first, min(first + chunk, length)) for first in range(0, length, chunk)]


def _positions_first(value: Tensor) -> Tensor:
    """(batch, channels, length) to (length, batch, channels), channels side by side in memory."""
    value = value.permute(2, 0, 1)
    return value if value.stride(2) == 1 else value.contiguous()


def _dot(values: Tensor, states: Tensor) -> Tensor:
    """Sum (.., channels) times (.., states, channels) over the channels."""
    return torch.matmul(values.unsqueeze(2), states.transpose(2, 3)).squeeze(2)


def recurrence(device: torch.device) -> Recurrence:
    """Return the form of the recurrence that suits the device.

    On a CPU the least arithmetic wins. Elsewhere launching an operation costs more than its
    arithmetic, and a few passes over the whole chunk beat one operation a position.
    """
    return run_by_position if device.type == "cpu" else run_by_doubling


def run_by_position(factors: Tensor, values: Tensor, *, backwards: bool = False) -> None:
    """Run a linear recurrence in place, one position after another.

    Parameters
    ----------
    factors : Tensor
        Shape (positions - 1, ...): the factor between each position and the next.
    values : Tensor
        Shape (positions, ...). Becomes values[t] + factors[t - 1] * (new) values[t - 1], or
        backwards values[t] + factors[t] * (new) values[t + 1].
    backwards : bool
        Run from the last position to the first.
    """
    rows, steps = values.unbind(0), factors.unbind(0)
    if backwards:
        rows, steps = rows[::-1], steps[::-1]
    for before, row, factor in zip(rows[:-1], rows[1:], steps, strict=True):
        row.addcmul_(factor, before)


def run_by_doubling(factors: Tensor, values: Tensor, *, backwards: bool = False) -> None:
    """Run the recurrence of `run_by_position` in log2(positions) passes over all positions.

    Each pass adds what comes from 1, 2, 4, ... positions away (Hillis and Steele, "Data parallel
    algorithms", 1986).
    """
    step = 1
    while step < len(values):
        # factors[t] now is the product of the factors from position t to position t + step.
        early, late = values[:-step], values[step:]
        if backwards:
            early.copy_(torch.addcmul(early, factors, late))
        else:
            late.copy_(torch.addcmul(late, factors, early))
        factors = factors[:-step] * factors[step:]
        step *= 2

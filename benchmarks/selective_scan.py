"""Time the chunked selective scan against the step-by-step loop, in one run.

``python benchmarks/selective_scan.py`` prints, for the size that the design names and for sizes
of training, the best time of each program and their ratio, forward alone and with backward. The
two take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING

import torch

from napari_coseg.models.coseg.selective_scan import reference_scan, selective_scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# (batch, length, channels, states); the first is the design's, the others are training's.
SIZES = ((1, 4096, 256, 8), (4, 576, 64, 8), (8, 576, 128, 8), (8, 576, 256, 16))
#: The ratio that the design asks for at the first size.
AIM = 4.0


def arguments(batch: int, length: int, channels: int, states: int, device: str) -> list[Tensor]:
    """Arguments of a scan as a network makes them: steps up to 0.1, decay rates up to 8."""
    torch.manual_seed(0)
    values = [
        torch.randn(batch, length, channels).mT,
        torch.rand(batch, length, channels).mT * 0.1,
        -8 * torch.rand(channels, states),
        torch.randn(batch, length, states).mT,
        torch.randn(batch, length, states).mT,
        torch.randn(channels),
    ]
    return [value.to(device) for value in values]


def with_backward(scan: Callable[..., Tensor], values: list[Tensor]) -> None:
    """Run a scan and the gradients of all its arguments."""
    torch.autograd.grad(scan(*values).sum(), values)


def best_times(
    programs: list[Callable[[], object]],
    repeats: int,
    device: str,
    clock: Callable[[], float],
) -> list[float]:
    """Return the shortest time of each program in seconds, programs taking turns."""
    best = [float("inf")] * len(programs)
    for _ in range(repeats):
        for index, program in enumerate(programs):
            start = clock()
            program()
            if device != "cpu":
                torch.cuda.synchronize()
            best[index] = min(best[index], clock() - start)
    return best


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description="Chunked selective scan against the loop.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: time of the processor, for a machine that others use too",
    )
    options = parser.parse_args()
    clock = time.perf_counter if options.clock == "wall" else time.process_time

    scans = [reference_scan, selective_scan]
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {options.device}, {threads} threads, {options.clock} time")
    ratios = []
    for batch, length, channels, states in SIZES:
        size = f"batch {batch:2}, L {length:4}, D {channels:3}, N {states:2}"
        values = arguments(batch, length, channels, states, options.device)
        tracked = [value.detach().requires_grad_() for value in values]
        programs: dict[str, list[Callable[[], object]]] = {
            "forward": [partial(scan, *values) for scan in scans],
            "forward + backward": [partial(with_backward, scan, tracked) for scan in scans],
        }
        for what, pair in programs.items():
            loop, ours = best_times(pair, options.repeats, options.device, clock)
            ratios.append(loop / ours)
            print(
                f"{size}  {what:18}  loop {loop * 1e3:7.1f} ms  "
                f"ours {ours * 1e3:6.1f} ms  {loop / ours:5.1f} x",
                flush=True,
            )
    reached = min(ratios[:2]) >= AIM
    print(f"aim {AIM:.0f} x at the first size: {'reached' if reached else 'NOT reached'}")


if __name__ == "__main__":
    main()

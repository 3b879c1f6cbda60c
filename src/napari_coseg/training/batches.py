"""The batches of a run, from the step where it stands."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from napari_coseg.training.sections import RunSection
from napari_coseg.types import CosegError


def batches_of_steps(
    samples: Dataset[dict[str, Tensor]],
    run: RunSection,
    step: int,
    device: torch.device,
    process: int,
    processes: int,
) -> Iterator[list[dict[str, Tensor]]]:
    """Yield the batches of each step that is left, on the device.

    Parameters
    ----------
    samples : Dataset
        Of the whole run.
    run : RunSection
        Batch, accumulation, loading processes.
    step : int
        Steps that are done: a resumed run sees the samples that it would have seen.
    device : torch.device
    process, processes : int
        Which of how many processes of the training this is; each takes every n-th batch.

    Raises
    ------
    CosegError
        If an image cannot be read any more.
    RuntimeError
        If a loading process has died, as on Ctrl-C in a terminal.
    """
    per_step = run.accumulate * processes
    numbers = range(step * per_step + process, run.steps * per_step, processes)
    indices = [number * run.batch + i for number in numbers for i in range(run.batch)]
    loader = DataLoader(
        Subset(samples, indices),
        batch_size=run.batch,
        num_workers=run.workers,
        persistent_workers=run.workers > 0,
        prefetch_factor=4 if run.workers else None,
        # Spawned and not forked: the parent has threads.
        multiprocessing_context="spawn" if run.workers else None,
        pin_memory=device.type == "cuda",
    )
    drawn = iter(loader)
    for _ in range(step, run.steps):
        try:
            group = [next(drawn) for _ in range(run.accumulate)]
        except CosegError as error:
            # PyTorch hands on what a loading process raised with its traceback in the words.
            raise CosegError(str(error).strip().rsplit("CosegError: ", 1)[-1]) from error
        yield [
            {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            for batch in group
        ]

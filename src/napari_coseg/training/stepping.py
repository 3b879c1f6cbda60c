"""One step of training: forward, losses, backward, the moving average."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.lr_scheduler import LambdaLR

from napari_coseg.training.average import MovingAverage
from napari_coseg.training.setup import freeze, make_optimiser, rate_factor
from napari_coseg.training.task import Task


class Stepper:
    """A network, and what moves its weights.

    Parameters
    ----------
    task : Task
        Network, loss and config.
    accelerator : Accelerator
        Device, precision and processes.

    Attributes
    ----------
    average : MovingAverage
        What is validated and saved as the model.
    """

    def __init__(self, task: Task, accelerator: Accelerator) -> None:
        self._task = task
        self._config = task.config
        self._accelerator = accelerator
        settings = self._config.optimiser
        freeze(task.network, settings.frozen)
        optimiser = make_optimiser(task.network, settings, task.slow)
        # Not prepared: Accelerate would advance it once a process.
        self._schedule = LambdaLR(optimiser, lambda step: rate_factor(step, self._config))
        learner = task.learner().to(memory_format=torch.channels_last)
        self._learner, self._optimiser = accelerator.prepare(learner, optimiser)
        self.average = MovingAverage(self._plain, settings.average)

    @property
    def _plain(self) -> Any:
        return self._task.inner(self._accelerator.unwrap_model(self._learner))

    @property
    def rate(self) -> float:
        """Learning rate of the last group of parameters."""
        return float(self._schedule.get_last_lr()[-1])

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {
            "network": self._plain.state_dict(),
            "average": self.average.network.state_dict(),
            "updates": self.average.updates,
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._plain.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])

    def take(self, batches: list[dict[str, Tensor]], step: int) -> dict[str, Tensor]:
        """Move the weights once.

        Parameters
        ----------
        batches : list of dict of str to Tensor
            Batches of samples, on the device; their gradients are added.
        step : int
            Steps before this one.

        Returns
        -------
        dict of str to Tensor
            The weighted terms of the loss, the mean over the batches of this process.

        Raises
        ------
        CosegError
            If a batch has no label at all.
        """
        self._learner.train()
        processes, process = self._accelerator.num_processes, self._accelerator.process_index
        told: dict[str, Tensor] = {}
        for part, batch in enumerate(batches):
            last = part == len(batches) - 1
            # The batch's number among all of the step, whichever process has it.
            number = part * processes + process
            with self._accelerator.autocast():
                terms = self._task.loss(self._learner, self.average.network, batch, step, number)
                loss = torch.stack(list(terms.values())).sum() / len(batches)
            for name, value in terms.items():
                told[name] = told.get(name, 0) + value.detach() / len(batches)
            if last or processes == 1:
                self._accelerator.backward(loss)
            else:
                with self._accelerator.no_sync(self._learner):
                    self._accelerator.backward(loss)
        clip = self._config.optimiser.clip
        self._accelerator.clip_grad_norm_(self._learner.parameters(), clip)
        self._optimiser.step()
        self._schedule.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._share_statistics()
        self.average.update(self._plain)
        return told

    def _share_statistics(self) -> None:
        """Give batch norms the mean of what each process has seen, and not the first one's alone.

        A batch is normed by itself, as in each part of an accumulated step.
        """
        if self._accelerator.num_processes == 1:
            return
        seen = [value for value in self._plain.buffers() if value.is_floating_point()]
        if seen:
            mean = self._accelerator.reduce(parameters_to_vector(seen), "mean")
            vector_to_parameters(mean, seen)

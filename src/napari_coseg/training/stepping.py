"""One step of training: forward, losses, backward, the moving average."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.training.average import MovingAverage
from napari_coseg.training.config import TrainingConfig
from napari_coseg.training.losses import LossWeights, Targets, coseg_loss, distribution_entropy
from napari_coseg.training.setup import freeze, make_optimiser, rate_factor
from napari_coseg.training.teacher import fill_missing
from napari_coseg.types import CosegError


class Stepper:
    """A network, and what moves its weights.

    Parameters
    ----------
    config : TrainingConfig
    accelerator : Accelerator
        Device, precision and processes.
    network : CosegNetwork
        With its starting weights.
    class_weights : ndarray of float64, (C + 1,)
        Of the instance classes in their cross-entropy.

    Attributes
    ----------
    average : MovingAverage
        What is validated and saved as the model.
    spread : dict of str to Tensor
        Entropies of equation (9)'s distributions at the last step that was to be logged.
    """

    def __init__(
        self,
        config: TrainingConfig,
        accelerator: Accelerator,
        network: CosegNetwork,
        class_weights: npt.NDArray[np.float64],
    ) -> None:
        self._config = config
        self._accelerator = accelerator
        device = accelerator.device
        self._class_weight = torch.tensor(class_weights, dtype=torch.float32, device=device)
        self._weights = LossWeights.of(config.loss)
        freeze(network, config.optimiser.frozen)
        optimiser = make_optimiser(network, config.optimiser)
        # Not prepared: Accelerate would advance it once a process.
        self._schedule = LambdaLR(optimiser, lambda step: rate_factor(step, config))
        network = network.to(memory_format=torch.channels_last)
        self._network, self._optimiser = accelerator.prepare(network, optimiser)
        self.average = MovingAverage(self._plain, config.optimiser.average)
        mean = torch.tensor(config.model.mean, device=device)
        std = torch.tensor(config.model.std, device=device)
        self._mean, self._std = 255 * mean.view(1, 3, 1, 1), 255 * std.view(1, 3, 1, 1)
        self.spread: dict[str, Tensor] = {}

    @property
    def _plain(self) -> Any:
        return self._accelerator.unwrap_model(self._network)

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
            The weighted terms of the last batch's loss.

        Raises
        ------
        CosegError
            If a batch has no label at all.
        """
        self._network.train()
        terms: dict[str, Tensor] = {}
        for part, batch in enumerate(batches):
            last = part == len(batches) - 1
            with self._accelerator.autocast():
                terms = self._loss(batch, step)
                loss = torch.stack(list(terms.values())).sum() / len(batches)
            if last or self._accelerator.num_processes == 1:
                self._accelerator.backward(loss)
            else:
                with self._accelerator.no_sync(self._network):
                    self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self._network.parameters(), self._config.optimiser.clip)
        self._optimiser.step()
        self._schedule.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.average.update(self._plain)
        return terms

    def _loss(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        images = (batch["image"].permute(0, 3, 1, 2).float() - self._mean) / self._std
        targets = Targets.of(batch)
        teacher = self._config.teacher
        if teacher is not None and step >= teacher.start * self._config.run.steps:
            targets = fill_missing(
                targets, self.average.network, images, teacher.threshold, batch["teach"]
            )
        rows = {task: targets.rows(task) for task in ("regions", "instances")}
        tasks = [task for task, chosen in rows.items() if len(chosen)]
        output = self._network(images, tasks=tasks, rows=rows)
        terms = coseg_loss(output, targets, rows, self._weights, self._class_weight)
        if not terms:
            raise CosegError("A batch has no label at all: every data set needs some.")
        if output.distributions is not None and (step + 1) % self._config.run.log_every == 0:
            self.spread = distribution_entropy(output.distributions)
        return terms

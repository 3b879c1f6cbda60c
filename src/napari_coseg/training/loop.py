"""The training loop of Co-Seg++."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Subset

from napari_coseg.imaging.files import write_error
from napari_coseg.training.average import MovingAverage
from napari_coseg.training.checkpoint import load_checkpoint, save_checkpoint
from napari_coseg.training.config import TrainingConfig
from napari_coseg.training.describe import card_scores, model_card
from napari_coseg.training.logs import RunLog
from napari_coseg.training.losses import LossWeights, Targets, coseg_loss, distribution_entropy
from napari_coseg.training.samples import SampleDataset
from napari_coseg.training.setup import freeze, load_sets, make_optimiser, rate_factor
from napari_coseg.training.start import build_network
from napari_coseg.training.teacher import fill_missing
from napari_coseg.training.validation import ValidationResult, validate
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import LoadedModel, save_model

_log = logging.getLogger(__name__)

BEST, LAST = "best.safetensors", "last.safetensors"

#: Called with the stage ("train", "validate"), how far it is, its end, and figures to show.
Progress = Callable[[str, int, int, dict[str, float]], None]


@dataclass
class TrainingResult:
    """Where a run ended.

    Attributes
    ----------
    folder : Path
        Holds ``best.safetensors``, ``last.safetensors``, ``last.pt``, the logs and the config.
    step : int
    best_score : float
        NaN where nothing was held out.
    """

    folder: Path
    step: int
    best_score: float


def train_coseg(
    config: TrainingConfig,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network as a config says.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path
        Where everything of the run goes. It must be new or empty unless `resume`.
    resume : bool
        Go on from the last checkpoint in `folder`.
    progress : callable, optional
        See `Progress`.

    Raises
    ------
    CosegError
        If the config, the data or the folder cannot be used, or the loss is no longer a number.
    """
    if not resume and folder.exists() and any(folder.iterdir()):
        raise CosegError(f"{folder} is not empty: choose another --out, or --resume it.")
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    run = _Run(config, folder, progress)
    if resume:
        run.restore(load_checkpoint(folder, config))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run.go()
    except OSError as error:
        told = write_error(error, folder)
        if told is None:
            raise
        raise told from error
    finally:
        run.log.close()
    return TrainingResult(folder, run.step, run.best)


class _Run:
    """One run's parts and its position."""

    def __init__(self, config: TrainingConfig, folder: Path, progress: Progress | None) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self.accelerator = Accelerator(
            mixed_precision=config.run.precision, cpu=config.run.device == "cpu"
        )
        set_seed(config.run.seed)
        network = build_network(config.model)
        sets, self.held_out = load_sets(config)
        samples = config.run.steps * config.run.accumulate * config.run.batch
        self.samples = SampleDataset(
            sets,
            config.model,
            config.augment,
            samples * self.accelerator.num_processes,
            config.run.seed,
        )
        self.class_weight = torch.tensor(
            self.samples.class_weights, dtype=torch.float32, device=self.accelerator.device
        )
        self.weights = LossWeights.of(config.loss)
        freeze(network, config.optimiser.frozen)
        optimiser = make_optimiser(network, config.optimiser)
        schedule = LambdaLR(optimiser, lambda step: rate_factor(step, config))
        network = network.to(memory_format=torch.channels_last)
        self.network, self.optimiser = self.accelerator.prepare(network, optimiser)
        # Not prepared: Accelerate would advance it once a process.
        self.schedule = schedule
        self.average = MovingAverage(self.accelerator.unwrap_model(self.network), self._decay)
        mean = torch.tensor(config.model.mean, device=self.accelerator.device)
        std = torch.tensor(config.model.std, device=self.accelerator.device)
        self._mean, self._std = 255 * mean.view(1, 3, 1, 1), 255 * std.view(1, 3, 1, 1)
        self.step = 0
        self.best = math.nan
        self.since_best = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        main = self.accelerator.is_main_process
        self.log = RunLog(folder, tensorboard=config.run.tensorboard and main)

    @property
    def _decay(self) -> float:
        return self.config.optimiser.average

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was written."""
        self.accelerator.unwrap_model(self.network).load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.best = state["step"], state["best"]
        self.since_best, self.seconds = state["since_best"], state["seconds"]

    def go(self) -> None:
        """Train to the end, or until nothing gets better."""
        run = self.config.run
        if self.accelerator.is_main_process:
            text = self.config.model_dump_json(indent=2)
            (self.folder / "config.json").write_text(text, encoding="utf-8")
        loader = self._loader()
        batches = iter(loader)
        started = time.monotonic()
        try:
            while self.step < run.steps:
                terms = self._one_step(batches)
                self.step += 1
                if self.step % run.log_every == 0 or self.step == run.steps:
                    self.seconds += time.monotonic() - started
                    started = time.monotonic()
                    self._report(terms)
                if self.step % run.validate_every == 0 or self.step == run.steps:
                    self._validate()
                    self._save()
                    if run.patience and self.since_best >= run.patience:
                        _log.info("No better score for %d validations: done.", run.patience)
                        break
                elif self.step % run.save_every == 0:
                    self._save()
        except KeyboardInterrupt:
            self._save()
            raise

    def _loader(self) -> DataLoader[dict[str, Tensor]]:
        run = self.config.run
        processes = self.accelerator.num_processes
        per_step = run.batch * run.accumulate * processes
        # A process takes every n-th batch; all of them start where the run stands.
        batches = range(
            self.step * run.accumulate * processes + self.accelerator.process_index,
            run.steps * run.accumulate * processes,
            processes,
        )
        indices = [b * run.batch + i for b in batches for i in range(run.batch)]
        assert not indices or indices[0] >= self.step * per_step
        return DataLoader(
            Subset(self.samples, indices),
            batch_size=run.batch,
            num_workers=run.workers,
            persistent_workers=run.workers > 0,
            prefetch_factor=4 if run.workers else None,
            multiprocessing_context="spawn" if run.workers else None,
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def _one_step(self, batches: Any) -> dict[str, Tensor]:
        self.network.train()
        terms: dict[str, Tensor] = {}
        for part in range(self.config.run.accumulate):
            batch = {
                name: value.to(self.accelerator.device, non_blocking=True)
                for name, value in next(batches).items()
            }
            last = part == self.config.run.accumulate - 1
            with self.accelerator.autocast():
                terms = self._loss(batch)
                loss = torch.stack(list(terms.values())).sum() / self.config.run.accumulate
            if last or self.accelerator.num_processes == 1:
                self.accelerator.backward(loss)
            else:
                with self.accelerator.no_sync(self.network):
                    self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update(self.accelerator.unwrap_model(self.network))
        return terms

    def _loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images = (batch["image"].permute(0, 3, 1, 2).float() - self._mean) / self._std
        targets = Targets.of(batch)
        teacher = self.config.teacher
        if teacher is not None and self.step >= teacher.start * self.config.run.steps:
            targets = fill_missing(targets, self.average.network, images, teacher.threshold)
        rows = {task: targets.rows(task) for task in ("regions", "instances")}
        tasks = [task for task, chosen in rows.items() if len(chosen)]
        output = self.network(images, tasks=tasks, rows=rows)
        terms = coseg_loss(output, targets, rows, self.weights, self.class_weight)
        if not terms:
            raise CosegError("A batch has no label at all: every data set needs some.")
        if output.distributions is not None and (self.step + 1) % self.config.run.log_every == 0:
            self._spread = distribution_entropy(output.distributions)
        return terms

    _spread: dict[str, Tensor] | None = None

    def _report(self, terms: dict[str, Tensor]) -> None:
        figures = {name: float(value.detach()) for name, value in terms.items()}
        figures["loss"] = math.fsum(figures.values())
        if not math.isfinite(figures["loss"]):
            bad = [name for name, value in figures.items() if not math.isfinite(value)]
            raise CosegError(
                f"The loss is no number any more at step {self.step} ({', '.join(bad)}): lower "
                "optimiser.rate and resume from the last checkpoint."
            )
        figures |= {name: float(value) for name, value in (self._spread or {}).items()}
        figures["rate"] = float(self.schedule.get_last_lr()[-1])
        figures["seconds"] = self.seconds
        if self.accelerator.is_main_process:
            self.log.write("losses", self.step, figures)
            if self.progress is not None:
                self.progress("train", self.step, self.config.run.steps, figures)

    def _validate(self) -> None:
        if not self.accelerator.is_main_process:
            self.accelerator.wait_for_everyone()
            return
        card = model_card(self.config, self.average.network, {"step": self.step})
        model = LoadedModel(self.average.network, card, sha256="", path=self.folder / LAST)
        result: ValidationResult | None = None
        if self.held_out:
            pictures = self.folder / "pictures" / f"step-{self.step:06d}"
            shown = self.progress
            result = validate(
                model,
                self.held_out,
                pictures=pictures if self.config.run.pictures else None,
                count=self.config.run.pictures,
                progress=None if shown is None else lambda i, n: shown("validate", i, n, {}),
            )
            figures = {"score": result.score, **result.figures()}
            images = sum(len(one.items) for one in self.held_out)
            self.log.write("scores", self.step, figures)
            result.table.to_csv(self.folder / "validation.csv", index=False)
            card = model_card(
                self.config,
                self.average.network,
                card_scores(self.config, self.step, images, result),
            )
        save_model(self.folder / LAST, self.average.network, card)
        score = result.score if result is not None else math.nan
        if result is None or math.isnan(self.best) or score > self.best:
            self.best, self.since_best = score, 0
            save_model(self.folder / BEST, self.average.network, card)
        else:
            self.since_best += 1
        if self.progress is not None:
            self.progress("validated", self.step, self.config.run.steps, {"score": score})
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        state = {
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "average": self.average.network.state_dict(),
            "updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "best": self.best,
            "since_best": self.since_best,
            "seconds": self.seconds,
        }
        save_checkpoint(self.folder, state, self.config)

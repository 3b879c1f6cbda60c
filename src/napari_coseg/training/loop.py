"""The training loop, whatever the model."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.utils import gather_object, set_seed
from torch import Tensor, nn

from napari_coseg.imaging.files import write_error
from napari_coseg.training.batches import batches_of_steps
from napari_coseg.training.checkpoint import load_checkpoint, save_checkpoint
from napari_coseg.training.config import AnyConfig, TrainingConfig
from napari_coseg.training.coseg_task import CosegTask
from napari_coseg.training.logs import RunLog
from napari_coseg.training.prompt_task import PromptTask
from napari_coseg.training.stepping import Stepper
from napari_coseg.training.stopping import StopRequest
from napari_coseg.training.task import Task, Validation
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import save_model

_log = logging.getLogger(__name__)

BEST, LAST = "best.safetensors", "last.safetensors"

#: Called with the stage ("begin", "train", "validate", "validated"), how far it is, its end, and
#: figures to show.
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


def train(
    config: AnyConfig,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network as a config says.

    Parameters
    ----------
    config : TrainingConfig or PromptTrainingConfig
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
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    # Another process of the run may have begun to write here: the first one looks for all.
    if not resume and _is_first(config) and folder.exists() and any(folder.iterdir()):
        raise CosegError(f"{folder} is not empty: choose another --out, or --resume it.")
    run = _Run(config, folder, progress)
    if resume:
        run.restore(load_checkpoint(folder, config))
    try:
        with StopRequest() as stop:
            run.go(stop)
    except OSError as error:
        told = write_error(error, folder)
        if told is None:
            raise
        raise told from error
    finally:
        run.log.close()
    return TrainingResult(folder, run.step, run.best)


def _is_first(config: AnyConfig) -> bool:
    return bool(PartialState(cpu=config.run.device == "cpu").is_main_process)


def _task(config: AnyConfig) -> Task:
    return CosegTask(config) if isinstance(config, TrainingConfig) else PromptTask(config)


class _Run:
    """One run's parts and its position."""

    def __init__(self, config: AnyConfig, folder: Path, progress: Progress | None) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self.accelerator = Accelerator(
            mixed_precision=config.run.precision,
            cpu=config.run.device == "cpu",
            # A batch without truth for a task leaves that task's decoder without gradients.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        set_seed(config.run.seed)
        self.task = _task(config)
        samples = config.run.steps * config.run.accumulate * config.run.batch
        self.samples = self.task.samples(samples * self.accelerator.num_processes)
        self.stepper = Stepper(self.task, self.accelerator)
        # Fails now, and not at the first validation, where a name or a class cannot be written.
        self.task.card(self.network, {})
        self.step = self.validated = 0
        self.best = math.nan
        self.since_best = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        main = self.accelerator.is_main_process
        self.log = RunLog(folder, tensorboard=config.run.tensorboard and main)

    @property
    def network(self) -> nn.Module:
        """The moving average: the network that is validated and kept."""
        return self.stepper.average.network

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was written."""
        self.stepper.restore(state)
        self.step, self.best = state["step"], state["best"]
        self.since_best, self.seconds = state["since_best"], state["seconds"]
        # Runs of older versions were always validated before they were saved.
        self.validated = state.get("validated", self.step)

    def go(self, stop: StopRequest) -> None:
        """Train to the end, until nothing gets better, or until somebody wants it to stop.

        Raises
        ------
        KeyboardInterrupt, SystemExit
            If a signal came; the state is on the disk then.
        """
        run = self.config.run
        if self.accelerator.is_main_process:
            text = self.config.model_dump_json(indent=2)
            (self.folder / "config.json").write_text(text, encoding="utf-8")
        accelerator = self.accelerator
        batches = batches_of_steps(
            self.samples,
            run,
            self.step,
            accelerator.device,
            accelerator.process_index,
            accelerator.num_processes,
        )
        if self.progress is not None and accelerator.is_main_process:
            self.progress("begin", self.step, run.steps, {})
        started = time.monotonic()
        # A run that was stopped in the middle of a validation has it before it.
        over = self._due and self.validated < self.step and self._validated_over(stop)
        while self.step < run.steps and not over:
            try:
                drawn = next(batches)
            except RuntimeError:
                # Ctrl-C in a terminal ends the processes that load as well.
                if stop.asked:
                    self._save()
                    stop.obey()
                raise
            terms = self.stepper.take(drawn, self.step)
            self.step += 1
            if self.step % run.log_every == 0 or self.step == run.steps:
                self.seconds += time.monotonic() - started
                started = time.monotonic()
                self._report(terms)
            if self._agree(stop.asked):
                self._save()
                stop.obey()
                raise KeyboardInterrupt  # another process was asked
            if self._due:
                # Saved before and after: what goes wrong in a validation costs no step.
                self._save()
                over = self._validated_over(stop)
                self._save()
            elif self.step % run.save_every == 0:
                self._save()

    @property
    def _due(self) -> bool:
        run = self.config.run
        return self.step > 0 and (self.step % run.validate_every == 0 or self.step == run.steps)

    def _validated_over(self, stop: StopRequest) -> bool:
        """Validate; return whether nothing has got better for long enough."""
        patience = self.config.run.patience
        self._validate(stop)
        self.validated = self.step
        # The first process alone knows the score.
        over = self._agree(
            self.accelerator.is_main_process and bool(patience) and self.since_best >= patience
        )
        if over:
            _log.info("No better score for %d validations: done.", patience)
        return over

    def _agree(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        if self.accelerator.num_processes == 1:
            return wish
        flag = torch.tensor(float(wish), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def _mean(self, figures: dict[str, float]) -> dict[str, float]:
        """Mean over the processes; a term that one has not is 0 there, as in its gradient."""
        if self.accelerator.num_processes == 1:
            return figures
        told: list[dict[str, float]] = gather_object([figures])
        names = dict.fromkeys(name for one in told for name in one)
        return {name: math.fsum(one.get(name, 0.0) for one in told) / len(told) for name in names}

    def _report(self, terms: dict[str, Tensor]) -> None:
        figures = self._mean({name: float(value) for name, value in terms.items()})
        figures["loss"] = math.fsum(figures.values())
        if not math.isfinite(figures["loss"]):
            bad = [name for name, value in figures.items() if not math.isfinite(value)]
            raise CosegError(
                f"The loss is no number any more at step {self.step} ({', '.join(bad)}): lower "
                "optimiser.rate and resume from the last checkpoint."
            )
        figures |= {name: float(value) for name, value in self.task.observed().items()}
        figures["rate"] = self.stepper.rate
        figures["seconds"] = self.seconds
        if self.accelerator.is_main_process:
            self.log.write("losses", self.step, figures)
            if self.progress is not None:
                self.progress("train", self.step, self.config.run.steps, figures)

    def _validate(self, stop: StopRequest) -> None:
        if not self.accelerator.is_main_process:
            self.accelerator.wait_for_everyone()
            return
        pictures = self.folder / "pictures" / f"step-{self.step:06d}"

        def shown(done: int, total: int) -> None:
            stop.obey()
            if self.progress is not None:
                self.progress("validate", done, total, {})

        result: Validation | None = self.task.validate(
            self.network,
            self.step,
            self.folder / LAST,
            pictures if self.config.run.pictures else None,
            shown,
        )
        scores: dict[str, Any] = {"step": self.step}
        if result is not None:
            self.log.write("scores", self.step, {"score": result.score, **result.figures})
            result.table.to_csv(self.folder / "validation.csv", index=False)
            scores = result.card
        card = self.task.card(self.network, scores)
        save_model(self.folder / LAST, self.network, card)
        score = result.score if result is not None else math.nan
        if result is None or math.isnan(self.best) or score > self.best:
            self.best, self.since_best = score, 0
            save_model(self.folder / BEST, self.network, card)
        else:
            self.since_best += 1
        if self.progress is not None:
            self.progress("validated", self.step, self.config.run.steps, {"score": score})
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        state = {
            **self.stepper.state(),
            "step": self.step,
            "best": self.best,
            "since_best": self.since_best,
            "validated": self.validated,
            "seconds": self.seconds,
        }
        save_checkpoint(self.folder, state, self.config)

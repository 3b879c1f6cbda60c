"""Sections that the configs of every kind of model have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from napari_coseg.weights.card import NAME_PATTERN


class Section(BaseModel):
    """A part of a config; it refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _in_order(values: tuple[float, float]) -> tuple[float, float]:
    if not 0 < values[0] <= values[1]:
        raise ValueError("the first number must be above 0 and not above the second")
    return values


Range = Annotated[tuple[float, float], AfterValidator(_in_order)]


class AboutSection(Section):
    """What the weights file says about itself, and where training starts.

    Attributes
    ----------
    mean, std : tuple of float
        Of red, green and blue, for images scaled to 0..1.
    start : str or None
        Weights of the same kind of model to go on from: a model's name or a file.
    encoder_weights : str or None
        File with weights of the encoder alone; of SyncSAM's, the CNN alone.
    """

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    licence: str = "unknown"
    licence_note: str = ""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    start: str | None = None
    encoder_weights: str | None = None

    @field_validator("std")
    @classmethod
    def _above_zero(cls, std: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(std) <= 0:
            raise ValueError("each deviation must be above 0")
        return std


class SourceSection(Section):
    """One data set.

    Attributes
    ----------
    path : Path
        Its folder or file; a relative one is looked for beside the config file.
    format : str or None
        Key of its format (docs/formats.md); found out where it is not given.
    mpp : float or None
        µm per pixel, where the set does not say it.
    mapping : Path or None
        A TOML file with names that differ from the published ones, for formats that take one.
    parts : tuple of str
        Parts of a set that its makers divided which take part. Items that belong to none always do.
    faults : str
        What to do about items that cannot be used: ``"stop"`` before the first step, or ``"skip"``
        them, each one named.
    weight : float
        Share of the samples drawn from it.
    validation : bool
        Whether its held-out items are scored.
    """

    path: Path
    format: str | None = None
    mpp: float | None = Field(default=None, gt=0)
    mapping: Path | None = None
    parts: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation")
    faults: Literal["stop", "skip"] = "stop"
    weight: float = Field(default=1.0, gt=0)
    validation: bool = True


class LookSection(Section):
    """How the look of a sample varies.

    Attributes
    ----------
    stain : float
        Deviation of the haematoxylin, eosin and residual concentrations; half of it is added as
        an offset.
    brightness : float
        Deviation of brightness and contrast.
    blur, noise, jpeg : float
        Probability of each.
    remap : float
        Probability that grey values go through a random curve that rises: another scanner.
    coarse : float
        Probability that a sample is as if its voxels had been larger, along all three axes where
        its channels are planes.
    """

    stain: float = Field(default=0.2, ge=0)
    brightness: float = Field(default=0.08, ge=0)
    blur: float = Field(default=0.2, ge=0, le=1)
    noise: float = Field(default=0.2, ge=0, le=1)
    jpeg: float = Field(default=0.2, ge=0, le=1)
    remap: float = Field(default=0.0, ge=0, le=1)
    coarse: float = Field(default=0.0, ge=0, le=1)


class SplitSection(Section):
    """Which items are held out: one of `folds`, never parts of an item or of a group.

    Seven parts of ten to train on, one for validation and two for the test are ``folds = 10``,
    ``fold = 7`` and ``test = [8, 9]``.

    Attributes
    ----------
    by : str
        ``"group"``: patients or slides; ``"image"``; ``"published"``: the part for validation as
        the set's makers chose it.
    test : tuple of int
        Folds that take no part in training, neither to learn from nor to choose a checkpoint by.
        Where the split is the published one, the part for the test is what its makers chose.
    """

    by: Literal["image", "group", "published"] = "group"
    folds: int = Field(default=5, ge=2)
    fold: int = Field(default=0, ge=0)
    seed: int = 0
    test: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if max(self.fold, *self.test, 0) >= self.folds:
            raise ValueError(f"fold and test must be below folds ({self.folds})")
        if self.test and self.by == "published":
            raise ValueError("a published split has its own part for the test: leave test out")
        if self.fold in self.test:
            raise ValueError(f"fold {self.fold} cannot be for validation and for the test")
        if len({self.fold, *self.test}) == self.folds:
            raise ValueError("no fold is left to train on")
        return self


class OptimiserSection(Section):
    """AdamW with warm-up and a cosine or exponential decay.

    Attributes
    ----------
    frozen : tuple of str
        Parameters whose names start with one of these stay as they are. Where that covers the
        first layers, the backward pass ends above them, which saves much on a CPU.
    """

    rate: float = Field(default=5e-4, gt=0)
    encoder_factor: float = Field(default=0.5, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=200, ge=0)
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    decay: float = Field(default=0.98, gt=0, le=1, description="exponential: factor an epoch")
    epoch_steps: int = Field(default=100, ge=1)
    clip: float = Field(default=1.0, gt=0)
    frozen: tuple[str, ...] = ()
    average: float = Field(default=0.999, ge=0, lt=1)


class RunSection(Section):
    """How long, how large, how often.

    Attributes
    ----------
    batch : int
        Images a step and process.
    accumulate : int
        Steps whose gradients are added before the weights move.
    patience : int
        Validations without a better score before training stops; 0 never stops early.
    """

    steps: int = Field(ge=1)
    batch: int = Field(default=4, ge=1)
    accumulate: int = Field(default=1, ge=1)
    seed: int = 0
    workers: int = Field(default=1, ge=0)
    threads: int | None = Field(default=None, ge=1)
    precision: Literal["no", "bf16", "fp16"] = "no"
    device: Literal["auto", "cpu"] = "auto"
    validate_every: int = Field(default=500, ge=1)
    save_every: int = Field(default=200, ge=1)
    log_every: int = Field(default=20, ge=1)
    patience: int = Field(default=0, ge=0)
    pictures: int = Field(default=4, ge=0)
    tensorboard: bool = True

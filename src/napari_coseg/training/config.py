"""A training run as one TOML file, checked before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from napari_coseg.inference.instances import InstanceSettings
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.weights.card import NAME_PATTERN


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _told(check: Callable[..., Any], *values: Any) -> None:
    """Let a check that speaks in `CosegError` speak in pydantic's way."""
    try:
        check(*values)
    except CosegError as error:
        raise ValueError(str(error)) from None


class NetworkSection(_Section):
    """Sizes and switches of the network; see `CosegConfig` for what each is."""

    encoder: str = "tf_efficientnet_lite0"
    tile: int = 384
    width: int = 128
    mlp_width: int = 512
    heads: int = 8
    depth: int = 2
    pixel_channels: tuple[int, ...] = (64, 40, 24)
    refine: bool = True
    refine_instances: tuple[int, ...] = ()
    instance_stride: Literal[2, 4] = 2
    state_width: int = 64
    state_size: int = 8
    spatial_width: int = 32
    use_prompt_encoder: bool = True
    use_collaborative_decoder: bool = True
    use_crossing: bool = True
    folded_norm: bool = True


class ModelSection(_Section):
    """What the weights file says about itself, and where training starts.

    Attributes
    ----------
    post_processing : dict
        Thresholds of the model's objects that differ from the defaults; see `InstanceSettings`.
    start : str or None
        Weights to fine-tune: a model's name or a file. Heads are matched by class name.
    encoder_weights : str or None
        File with weights of the encoder alone.
    """

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    licence: str = "unknown"
    licence_note: str = ""
    region_classes: tuple[str, ...] = ()
    instance_classes: tuple[str, ...] = ()
    region_mpp: float = Field(gt=0)
    instance_mpp: float = Field(gt=0)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    post_processing: dict[str, float | int] = {}
    start: str | None = None
    encoder_weights: str | None = None
    network: NetworkSection = NetworkSection()

    @field_validator("region_classes", "instance_classes")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _told(ClassTable.from_names, names)
        return names

    @field_validator("post_processing")
    @classmethod
    def _known(cls, values: dict[str, float | int]) -> dict[str, float | int]:
        try:
            _told(lambda: InstanceSettings(**values))  # type: ignore[arg-type]
        except TypeError:
            known = ", ".join(field.name for field in fields(InstanceSettings))
            raise ValueError(f"there are {known}") from None
        return values

    @field_validator("std")
    @classmethod
    def _above_zero(cls, std: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(std) <= 0:
            raise ValueError("each deviation must be above 0")
        return std

    @model_validator(mode="after")
    def _has_a_task(self) -> Self:
        if not self.region_classes and not self.instance_classes:
            raise ValueError("name region_classes or instance_classes: the model has none")
        return self


class DataSection(_Section):
    """One folder data set.

    Attributes
    ----------
    path : Path
        Folder; a relative one is looked for beside the config file.
    weight : float
        Share of the samples drawn from it.
    region_names, instance_names : dict
        The data set's class name to the model's; names that are equal need no entry. An entry
        with the value "ignore" takes no part in training.
    validation : bool
        Whether its held-out items are scored.
    teacher : tuple of str
        Tasks that the teacher may fill in on its images: glands, for instance, on colon only.
    """

    path: Path
    weight: float = Field(default=1.0, gt=0)
    region_names: dict[str, str] = {}
    instance_names: dict[str, str] = {}
    validation: bool = True
    teacher: tuple[Literal["regions", "instances"], ...] = ("regions", "instances")


class SplitSection(_Section):
    """Which items are held out: one of `folds`, never parts of an item or of a group."""

    by: Literal["image", "group"] = "group"
    folds: int = Field(default=5, ge=2)
    fold: int = Field(default=0, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"fold must be below folds ({self.folds})")
        return self


def _in_order(values: tuple[float, float]) -> tuple[float, float]:
    if not 0 < values[0] <= values[1]:
        raise ValueError("the first number must be above 0 and not above the second")
    return values


Range = Annotated[tuple[float, float], AfterValidator(_in_order)]


class AugmentSection(_Section):
    """How samples vary. Ranges are drawn evenly (scales on a logarithmic axis).

    Attributes
    ----------
    region_scale, instance_scale : (float, float)
        Factor on the task's µm per pixel.
    rotate : bool
        Any angle; quarter turns and flips are always drawn.
    stain : float
        Deviation of the haematoxylin, eosin and residual concentrations; half of it is added as
        an offset.
    brightness : float
        Deviation of brightness and contrast.
    blur, noise, jpeg : float
        Probability of each.
    """

    region_scale: Range = (0.6, 1.4)
    instance_scale: Range = (0.8, 1.25)
    rotate: bool = True
    stain: float = Field(default=0.2, ge=0)
    brightness: float = Field(default=0.08, ge=0)
    blur: float = Field(default=0.2, ge=0, le=1)
    noise: float = Field(default=0.2, ge=0, le=1)
    jpeg: float = Field(default=0.2, ge=0, le=1)


class LossSection(_Section):
    """Preset and weights; a weight that is not given is the preset's (MODELS, section 1)."""

    preset: Literal["paper", "code"] = "code"
    first: float = Field(default=0.5, ge=0)
    kl: float | None = Field(default=None, ge=0)
    mask: float = Field(default=1.0, ge=0)
    regions: float | None = Field(default=None, ge=0)
    foreground: float = Field(default=1.0, ge=0)
    classes: float = Field(default=1.0, ge=0)
    mse: float | None = Field(default=None, ge=0)
    msge: float | None = Field(default=None, ge=0)


class TeacherSection(_Section):
    """A moving average of the model fills tasks that an image has no truth for."""

    start: float = Field(default=0.5, ge=0, le=1, description="part of the steps before it fills")
    threshold: float = Field(default=0.9, gt=0.5, lt=1)


class OptimiserSection(_Section):
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


class RunSection(_Section):
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


class TrainingConfig(_Section):
    """Everything that a run is made of."""

    kind: Literal["coseg"] = "coseg"
    model: ModelSection
    data: tuple[DataSection, ...] = Field(min_length=1)
    split: SplitSection = SplitSection()
    augment: AugmentSection = AugmentSection()
    loss: LossSection = LossSection()
    teacher: TeacherSection | None = None
    optimiser: OptimiserSection = OptimiserSection()
    run: RunSection


def load_config(path: Path, changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a config, apply ``key=value`` changes, and check it.

    Raises
    ------
    CosegError
        If the file is no TOML, or a key is wrong; the sentence names each key.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CosegError(f"There is no config {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CosegError(f"{path} cannot be read as TOML: {error}.") from error
    for change in changes:
        _apply(raw, change)
    for section in raw.get("data", []):
        if isinstance(section, dict) and isinstance(section.get("path"), str):
            folder = Path(section["path"]).expanduser()
            section["path"] = folder if folder.is_absolute() else path.parent / folder
    return check_config(raw, str(path))


def check_config(raw: dict[str, Any], where: str = "The config") -> TrainingConfig:
    """Turn a nested mapping into a `TrainingConfig`.

    Raises
    ------
    CosegError
        Naming every wrong key.
    """
    try:
        return TrainingConfig.model_validate(raw)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'config'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise CosegError(f"{where} has wrong keys: {'; '.join(faults)}.") from None


def _apply(raw: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise CosegError(f"--set needs key=value, for example run.steps=2000, not {change!r}.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    target: Any = raw
    *parents, last = key.strip().split(".")
    for part in parents:
        if isinstance(target, list) and part.isdigit() and int(part) < len(target):
            target = target[int(part)]
        elif isinstance(target, dict):
            target = target.setdefault(part, {})
        else:
            raise CosegError(f"--set {change}: there is no {part} to change.")
    if isinstance(target, list) and last.isdigit() and int(last) < len(target):
        target[int(last)] = value
    elif isinstance(target, dict):
        target[last] = value
    else:
        raise CosegError(f"--set {change}: there is no {last} to change.")

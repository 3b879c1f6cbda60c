"""A training run as one TOML file, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, FiniteFloat, ValidationError, field_validator, model_validator

from napari_coseg.inference.instances import InstanceSettings
from napari_coseg.training.config_files import apply_change, place_data, read_config
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.sections import (
    AboutSection,
    LookSection,
    OptimiserSection,
    Range,
    RunSection,
    Section,
    SourceSection,
    SplitSection,
)
from napari_coseg.types import ClassTable, CosegError


def _told(check: Callable[..., Any], *values: Any) -> None:
    """Let a check that speaks in `CosegError` speak in pydantic's way."""
    try:
        check(*values)
    except CosegError as error:
        raise ValueError(str(error)) from None


class NetworkSection(Section):
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


class ModelSection(AboutSection):
    """The model; heads of the weights in `start` are matched by class name.

    Attributes
    ----------
    planes : tuple of float, or None
        For volumes: where the network's three channels are taken, in mm from the plane that it
        segments; see `ModelCard`. None for pictures.
    post_processing : dict
        Thresholds of the model's objects that differ from the defaults; see `InstanceSettings`.
    """

    region_classes: tuple[str, ...] = ()
    instance_classes: tuple[str, ...] = ()
    region_mpp: float = Field(gt=0)
    instance_mpp: float = Field(gt=0)
    planes: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    post_processing: dict[str, float | int] = Field(default_factory=dict)
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

    @model_validator(mode="after")
    def _has_a_task(self) -> Self:
        if not self.region_classes and not self.instance_classes:
            raise ValueError("name region_classes or instance_classes: the model has none")
        return self


class DataSection(SourceSection):
    """One data set.

    Attributes
    ----------
    region_names, instance_names : dict
        The data set's class name to the model's; names that are equal need no entry. An entry
        with the value "ignore" takes no part in training.
    teacher : tuple of str
        Tasks that the teacher may fill in on its images: glands, for instance, on colon only.
    score_at_most : int or None
        Held-out items that are scored, spread evenly; None scores all. A volume has as many items
        as planes.
    """

    region_names: dict[str, str] = Field(default_factory=dict)
    instance_names: dict[str, str] = Field(default_factory=dict)
    teacher: tuple[Literal["regions", "instances"], ...] = ("regions", "instances")
    score_at_most: int | None = Field(default=None, ge=1)


class AugmentSection(LookSection):
    """How samples vary. Ranges are drawn evenly (scales on a logarithmic axis).

    Attributes
    ----------
    region_scale, instance_scale : (float, float)
        Factor on the task's µm per pixel.
    rotate : bool
        Any angle up to 45 degrees, before the quarter turns.
    quarter_turns, flip : bool
        Whether samples are turned by quarters, and mirrored.
    immunostain : float
        Probability that a sample of H&E is as if a marker had been stained brown in it instead of
        eosin: see `napari_coseg.training.immunostain`.
    """

    region_scale: Range = (0.6, 1.4)
    instance_scale: Range = (0.8, 1.25)
    rotate: bool = True
    quarter_turns: bool = True
    flip: bool = True
    immunostain: float = Field(default=0.0, ge=0, le=1)


class LossSection(Section):
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


class TeacherSection(Section):
    """A moving average of the model fills tasks that an image has no truth for."""

    start: float = Field(default=0.5, ge=0, le=1, description="part of the steps before it fills")
    threshold: float = Field(default=0.9, gt=0.5, lt=1)


class TrainingConfig(Section):
    """Everything that a run of Co-Seg++ is made of."""

    kind: Literal["coseg"] = "coseg"
    model: ModelSection
    data: tuple[DataSection, ...] = Field(min_length=1)
    split: SplitSection = SplitSection()
    augment: AugmentSection = AugmentSection()
    loss: LossSection = LossSection()
    teacher: TeacherSection | None = None
    optimiser: OptimiserSection = OptimiserSection()
    run: RunSection


#: What a run can be made of; `kind` tells which.
AnyConfig = TrainingConfig | PromptTrainingConfig
_KINDS: dict[str, type[AnyConfig]] = {
    "coseg": TrainingConfig,
    "syncsam": PromptTrainingConfig,
}


def load_config(path: Path, changes: Sequence[str] = ()) -> AnyConfig:
    """Read a config with what it extends, apply ``key=value`` changes, and check it.

    A change of ``extends`` lays the file over another one than it names.

    Raises
    ------
    CosegError
        If the file is no TOML, or a key is wrong; the sentence names each key.
    """
    raw = read_config(path, next((c.partition("=")[2] for c in changes if _extends(c)), None))
    for change in changes:
        if not _extends(change):
            apply_change(raw, change)
    place_data(raw, path)
    return check_config(raw, str(path))


def check_config(raw: dict[str, Any], where: str = "The config") -> AnyConfig:
    """Turn a nested mapping into the config of its kind.

    Raises
    ------
    CosegError
        Naming every wrong key.
    """
    kind = raw.get("kind", "coseg")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise CosegError(f"{where} has wrong keys: kind: it is one of {', '.join(_KINDS)}.")
    try:
        return _KINDS[kind].model_validate(raw)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'config'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise CosegError(f"{where} has wrong keys: {'; '.join(faults)}.") from None


def _extends(change: str) -> bool:
    return change.partition("=")[0].strip() == "extends"

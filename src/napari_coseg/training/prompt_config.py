"""The config of a SyncSAM training run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from napari_coseg.models.syncsam.config import SyncSamConfig
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

#: Labels of a folder data set that give masks.
MaskKind = Literal["instances", "region_instances", "regions"]


def _of_a_crop(values: tuple[float, float]) -> tuple[float, float]:
    if values[1] > 1:
        raise ValueError("no object is larger than its crop: at most 1")
    return values


class PromptModelSection(AboutSection):
    """The model.

    Attributes
    ----------
    sam_weights : str or None
        Checkpoint of SAM or MedSAM, whole or its prompt encoder and mask decoder alone.
    """

    sam_weights: str | None = None
    network: SyncSamConfig = SyncSamConfig()


class PromptDataSection(SourceSection):
    """One data set.

    Attributes
    ----------
    masks : tuple of str
        Labels whose objects are masks: instances, region instances, or the connected parts of
        regions. A kind that the set lacks is passed over; without any, its images serve
        pseudo-masks and textures alone.
    """

    masks: tuple[MaskKind, ...] = ("instances", "region_instances")


class MixSection(Section):
    """Where masks come from: shares, of which what is left is real masks.

    Attributes
    ----------
    pseudo : float
        Segments of the image itself, kept by edge contrast and solidity.
    shapes : float
        Generated shapes of one texture pasted into another.
    """

    pseudo: float = Field(default=0.25, ge=0, le=1)
    shapes: float = Field(default=0.25, ge=0, le=1)

    @model_validator(mode="after")
    def _within_one(self) -> Self:
        if self.pseudo + self.shapes > 1:
            raise ValueError("the shares add up to more than 1")
        return self


class PromptAugmentSection(LookSection):
    """How samples vary.

    Attributes
    ----------
    fill : (float, float)
        Longest side of the object, as a part of the crop's.
    rotate : bool
        Any angle; quarter turns and flips are always drawn.
    whole : bool
        The sample is the whole image, padded to a square at its lower and right edge as SAM pads,
        and resized: what the paper does. `fill` and `rotate` are of no matter then, and nothing is
        turned or flipped.
    colour : float
        Probability that colours are permuted, inverted or made grey, so that hue is no cue.
    """

    fill: Annotated[Range, AfterValidator(_of_a_crop)] = (0.12, 0.7)
    rotate: bool = True
    whole: bool = False
    colour: float = Field(default=0.5, ge=0, le=1)


class InteractionSection(Section):
    """What the person is taken to do.

    Attributes
    ----------
    masks : int
        Objects of an image, at most.
    box : float
        Probability that an object begins with a box, and not with a point.
    jitter : float
        Deviation of each edge of a box, as a part of that side.
    corrections : tuple of float
        Probability of no, one, two, ... rounds of corrective clicks with the mask fed back.
    """

    masks: int = Field(default=3, ge=1)
    box: float = Field(default=0.65, ge=0, le=1)
    jitter: float = Field(default=0.05, ge=0, le=0.5)
    corrections: tuple[float, ...] = (0.4, 0.45, 0.15)

    @field_validator("corrections")
    @classmethod
    def _probabilities(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or min(values) < 0 or abs(sum(values) - 1) > 1e-6:
            raise ValueError("probabilities that add up to 1")
        return values


class PromptLossSection(Section):
    """Weights of the terms: the paper prints dice 20 and focal 1, SAM has focal 20 and dice 1.

    Attributes
    ----------
    gamma, alpha : float
        Of the focal term (Lin et al. 2017); gamma 0 and alpha 0.5 make it half the cross-entropy.
    """

    dice: float = Field(default=20.0, ge=0)
    focal: float = Field(default=1.0, ge=0)
    gamma: float = Field(default=2.0, ge=0)
    alpha: float = Field(default=0.25, ge=0, le=1)


class PromptTrainingConfig(Section):
    """Everything that a run of SyncSAM is made of."""

    kind: Literal["syncsam"] = "syncsam"
    model: PromptModelSection
    data: tuple[PromptDataSection, ...] = Field(min_length=1)
    split: SplitSection = SplitSection()
    mix: MixSection = MixSection()
    augment: PromptAugmentSection = PromptAugmentSection()
    interaction: InteractionSection = InteractionSection()
    loss: PromptLossSection = PromptLossSection()
    optimiser: OptimiserSection = OptimiserSection()
    run: RunSection

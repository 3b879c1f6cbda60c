"""What a run's weights file says about itself."""

from __future__ import annotations

import math
from typing import Any

import napari_coseg
from napari_coseg.datasets.opening import reader_of
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.training.config import AnyConfig, TrainingConfig
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.split import words
from napari_coseg.training.validation import ValidationResult
from napari_coseg.types import OKABE_ITO, ClassTable
from napari_coseg.weights.card import ClassEntry, ModelCard


def model_card(config: TrainingConfig, network: CosegNetwork, scores: dict[str, Any]) -> ModelCard:
    """Describe a network as its weights file will."""
    model = config.model
    return ModelCard(
        **common_facts(config, network, scores),
        region_classes=_entries(model.region_classes),
        instance_classes=_entries(model.instance_classes, len(model.region_classes)),
        region_mpp=model.region_mpp if model.region_classes else None,
        instance_mpp=model.instance_mpp,
        planes=model.planes,
        post_processing=dict(model.post_processing),
    )


def prompt_card(
    config: PromptTrainingConfig, network: SyncSamNetwork, scores: dict[str, Any]
) -> ModelCard:
    """Describe a SyncSAM network as its weights file will."""
    return ModelCard(kind="syncsam", **common_facts(config, network, scores))


def common_facts(
    config: AnyConfig, network: CosegNetwork | SyncSamNetwork, scores: dict[str, Any]
) -> dict[str, Any]:
    """Fields of a card that every kind of model has."""
    model = config.model
    return {
        "name": model.name,
        "config": network.config.model_dump(mode="json"),
        "mean": model.mean,
        "std": model.std,
        "licence": model.licence,
        "licence_note": model.licence_note,
        "data": tuple(
            reader_of(section.path, section.format).name_of(section.path) for section in config.data
        ),
        "scores": scores,
        "description": model.description,
        "software": f"napari-coseg {napari_coseg.__version__}",
    }


def _entries(names: tuple[str, ...], taken: int = 0) -> tuple[ClassEntry, ...]:
    """Give classes the colours after those which are `taken`: both tasks are seen at once."""
    ClassTable.from_names(names)  # refuses names that stand twice
    return tuple(
        ClassEntry(name=name, colour=OKABE_ITO[(taken + number) % len(OKABE_ITO)])
        for number, name in enumerate(names)
    )


def card_scores(
    config: TrainingConfig, step: int, images: int, result: ValidationResult
) -> dict[str, Any]:
    """Figures of a validation as they stand in a card, with how they were taken."""
    figures = {
        name: round(value, 4) for name, value in result.figures().items() if not math.isnan(value)
    }
    return {
        "step": step,
        "validation": words(config.split),
        "images": images,
        "score": round(result.score, 4),
        **figures,
    }

"""Which models a machine has for which work, and how one machine tells another. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_coseg.types import CosegError
from napari_coseg.weights.card import Kind, ModelCard
from napari_coseg.weights.catalogue import bundled_models, card_or_problem, user_models

#: Most models that a machine tells of.
_MOST = 200


def segment_models() -> list[tuple[str, ModelCard]]:
    """Return the models of this machine that segment by themselves, by name, bundled ones first.

    Those of volumes are among them: their cards have `planes`.
    """
    return _models_of("coseg")


def prompt_models() -> list[tuple[str, ModelCard]]:
    """Return the models of this machine that boxes and points are for, bundled ones first."""
    return _models_of("syncsam")


def default_prompt_model() -> str:
    """Return the name of the model that boxes and points use where none is named.

    Raises
    ------
    CosegError
        If this machine has none.
    """
    names = [name for name, _ in prompt_models()]
    if not names:
        raise CosegError(
            "There is no model for boxes and points on this machine: train one with "
            "`napari-coseg train`, or bring one with `napari-coseg models import FILE`."
        )
    return names[0]


def to_message(models: Sequence[tuple[str, ModelCard]]) -> list[list[str]]:
    """Return models as a host tells of them: what a person chooses by, without the network."""
    short = [(n, c.model_copy(update={"config": {}, "scores": {}})) for n, c in models[:_MOST]]
    return [[name, card.to_json()] for name, card in short]


def from_message(listed: Any) -> list[tuple[str, ModelCard]]:
    """Read what another machine's `to_message` wrote.

    Raises
    ------
    CosegError
        If it is something else.
    """
    try:
        pairs = [(str(name), str(card)) for name, card in listed]
    except (TypeError, ValueError) as error:
        raise CosegError("The model worker does not say which models it has.") from error
    return [(name, ModelCard.from_json(card, name)) for name, card in pairs]


def _models_of(kind: Kind) -> list[tuple[str, ModelCard]]:
    listed = [*bundled_models().items(), *user_models().items()]
    cards = [(name, card_or_problem(path)) for name, path in listed]
    # A broken file of the user's must not keep the others from being seen.
    return [(n, c) for n, c in cards if isinstance(c, ModelCard) and c.kind == kind]

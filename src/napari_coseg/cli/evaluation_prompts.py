"""A model that is prompted, scored on the objects of labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import Progress

from napari_coseg.cli.evaluation_run import Scores
from napari_coseg.cli.evaluation_truth import TruthOptions, faults_of, open_part
from napari_coseg.inference.devices import choose_device
from napari_coseg.metrics.report import summarise_table
from napari_coseg.training.config import load_config
from napari_coseg.training.mask_items import MaskSet
from napari_coseg.training.parts import open_parts
from napari_coseg.training.prompt_config import MaskKind, PromptDataSection
from napari_coseg.training.prompt_scores import SCORES, score_prompts
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import load_prompt_model


def score_model(
    model: Path,
    truth: Path,
    options: TruthOptions,
    objects: int | None,
    seed: int,
    device: str,
) -> tuple[Scores, tuple[str | None, ...]]:
    """Give a model prompts on the objects of a data set, or of a training config's part.

    Parameters
    ----------
    model : Path
        Weights file, or a model's name.
    truth : Path
    options : TruthOptions
    objects : int or None
        Most objects of each set.
    seed : int
    device : str

    Returns
    -------
    Scores
    tuple of str or None
        What the truth may be called.

    Raises
    ------
    CosegError
        If the model or the data cannot be opened, an item cannot be read, or there is no object.
    """
    loaded = load_prompt_model(str(model), choose_device(device))
    sets = _mask_sets(truth, options)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Prompting", total=None)
        images = score_prompts(
            loaded.network,
            loaded.card.mean,
            loaded.card.std,
            sets,
            objects=objects,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if images.empty:
        raise CosegError(f"{truth} has no object that could be prompted.")
    notes = []
    for name, one in sets:
        if name not in set(images["class"]):
            notes.append(f"{name} has no object: it is not scored.")
        elif objects is not None and len(one.items) > 0:
            notes.append(f"{name}: at most {objects} objects, of items in a random order.")
    for name, of_set in images.groupby("class", sort=False):
        groups = of_set["group"].nunique()
        if groups > 1:
            notes.append(f"{name}: intervals are over {groups} patients, volumes or images.")
        else:
            notes.append(f"{name}: all objects are of one patient or image: there is no interval.")
    summary = summarise_table(images, list(SCORES))
    problems = [line for _, one in sets for line in faults_of(one.dataset)]
    scores = Scores(model, truth, images, summary, notes=notes, problems=problems)
    return scores, tuple(name for name, _ in sets)


def _mask_sets(truth: Path, options: TruthOptions) -> list[tuple[str, MaskSet]]:
    if truth.suffix.lower() != ".toml":
        dataset, items = open_part(truth, options)
        return [(truth.resolve().name, MaskSet(dataset, tuple(items), get_args(MaskKind), 1.0))]
    config = load_config(truth)
    found = []
    for part in open_parts(config, options.part or "test"):
        section = part.section
        masks = section.masks if isinstance(section, PromptDataSection) else get_args(MaskKind)
        name = section.path.resolve().name
        found.append((name, MaskSet(part.dataset, part.items, masks, 1.0)))
    if len({name for name, _ in found}) < len(found):
        raise CosegError(f"{truth}: the folders of two data sets have one name: rename one.")
    return found

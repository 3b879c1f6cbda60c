"""Dice of a SyncSAM on held-out objects at full resolution, as a person would prompt them.

For each data set of a training config, objects of its held-out items are drawn evenly over the
images and prompted through the real `Prompter`, one at a time: the true box; one click in the
object's middle; then further clicks in the middle of the largest part that is wrong, each with the
mask before fed back. Beside the box stands the ellipse that fits it, which knows nothing of the
image. Prints Markdown tables of the scores and of the calibration of the stability score.

    python benchmarks/prompt_scores.py CONFIG --model NAME|FILE|random [--set data.0.path=...]
        [--objects 200] [--only SET] [--typical-size] [--seed 0] [--out FOLDER]

With --out it writes `objects.csv` and a sheet of pictures a set: the truth's outline in yellow,
that of the mask from the box in blue. `--model random` tries it with a network of the config that
has learnt nothing. A click says nothing of the object's size: with --typical-size the first one
comes with the median length of the set's objects, as after a first object in the dock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage

from napari_coseg.datasets.labelled import Item
from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.prompted import PromptedMask, Prompter
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.training.config import load_config
from napari_coseg.training.mask_items import MaskItem, MaskSet, mask_item
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.prompt_task import load_mask_sets
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.loading import LoadedPromptModel, load_prompt_model

#: Clicks after which the Dice is noted.
CLICKS = (1, 3, 5)
PROMPTS = ("box", "ellipse", "1 point", "3 points", "5 points")
#: Edges of the bins of the stability score.
BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
#: Pictures a sheet and a line, and their side in pixels.
SHOWN, ACROSS, SIDE = 24, 6, 192
YELLOW, BLUE = (240, 228, 66), (86, 180, 233)


@dataclass(frozen=True)
class Target:
    """An object to prompt: number of its item, and its own number there."""

    item: int
    number: int


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--model", required=True, help="name, file, or random")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--objects", type=int, default=200, help="of each data set")
    parser.add_argument("--only", default=None, help="name of one data set")
    parser.add_argument("--typical-size", action="store_true", help="tell the first click a size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.changes)
    if not isinstance(config, PromptTrainingConfig):
        raise SystemExit(f'{arguments.config} is no config of kind = "syncsam".')
    model = random_model(config) if arguments.model == "random" else None
    model = model or load_prompt_model(arguments.model)
    tables = []
    started = time.perf_counter()
    for one in load_mask_sets(config)[1]:
        if arguments.only in (None, one.dataset.name):
            asked = (arguments.objects, arguments.seed, arguments.typical_size, arguments.out)
            tables.append(score_set(Prompter(model), one, *asked))
    if not tables or not sum(map(len, tables)):
        raise SystemExit("No held-out object is there to be scored.")
    table = pd.concat(tables, ignore_index=True)
    if arguments.out is not None:
        table.to_csv(arguments.out / "objects.csv", index=False)
    print(f"## {model.card.name}: {len(table)} held-out objects, seed {arguments.seed}\n")
    print(markdown(scores(table)))
    print("\nStability score of the mask from a box, and from one point:\n")
    print(markdown(calibration(table)))
    print(f"\n{time.perf_counter() - started:.0f} s")


def random_model(config: PromptTrainingConfig) -> LoadedPromptModel:
    """Return a config's network without any training."""
    torch.manual_seed(0)
    card = ModelCard(name="random", kind="syncsam", mean=config.model.mean, std=config.model.std)
    network = SyncSamNetwork(config.model.network).eval()
    return LoadedPromptModel(network, card, sha256="", path=Path())


def score_set(
    prompter: Prompter, one: MaskSet, count: int, seed: int, sized: bool, out: Path | None
) -> pd.DataFrame:
    """Prompt objects of a data set; a row each."""
    items = [mask_item(one, item) for item in one.items]
    chosen = drawn([len(item.ids) for item in items], count, np.random.default_rng(seed))
    sides = np.concatenate([(item.boxes[:, 2:] - item.boxes[:, :2]).max(1) for item in items])
    hint = float(np.median(sides)) if sized and len(sides) else None
    shown = {int(i) for i in np.linspace(0, max(len(chosen) - 1, 0), SHOWN)}
    rows, pictures = [], []
    for index, target in enumerate(chosen):
        item, read = items[target.item], one.items[target.item]
        image = np.asarray(item.levels[0])
        truth = mask_of(item, target.number)
        key = f"{one.dataset.name}/{read.name}"
        found, boxed = score_object(prompter, image, truth, key, hint)
        facts = {"set": one.dataset.name, "kind": kind_of(one, read, item.kinds[target.number])}
        where = {"image": read.name, "id": int(item.ids[target.number]), "area": truth.area}
        rows.append({**facts, **where, **found})
        if out is not None and index in shown:
            pictures.append(picture(image, truth, boxed))
    if pictures and out is not None:
        out.mkdir(parents=True, exist_ok=True)
        sheet(pictures).save(out / f"{one.dataset.name}.png")
    return pd.DataFrame(rows)


def drawn(counts: list[int], wanted: int, rng: np.random.Generator) -> list[Target]:
    """Draw objects round by round, one of each image that has some left, until there are enough."""
    left = [rng.permutation(count).tolist() for count in counts]
    chosen: list[Target] = []
    while len(chosen) < wanted and any(left):
        for item in rng.permutation(len(left)).tolist():
            if left[item] and len(chosen) < wanted:
                chosen.append(Target(item, left[item].pop()))
    # Image after image, so that each is decoded and cut up once.
    return sorted(chosen, key=lambda target: (target.item, target.number))


def kind_of(one: MaskSet, item: Item, number: int) -> str:
    """What an object is, by the number of its label image among those of its item."""
    if one.dataset.spacing is not None:
        return "CT structures"
    if [kind for kind in one.masks if kind in item.labels][number] == "instances":
        return "nuclei"
    return " and ".join(f"{name}s" for name in one.dataset.region_classes.names) or "regions"


def mask_of(item: MaskItem, number: int) -> Mask:
    """Cut an object out of its label image."""
    row0, column0, row1, column1 = (int(v) for v in item.boxes[number])
    labels = np.asarray(item.labels[item.kinds[number]])[row0:row1, column0:column1]
    return Mask.of(labels == item.ids[number], (row0, column0))


def score_object(
    prompter: Prompter, image: npt.NDArray[np.uint8], truth: Mask, key: str, hint: float | None
) -> tuple[dict[str, float], Mask]:
    """Return the Dice and the stability of each prompt, and the mask from the box."""
    source = ArraySource(image)
    (row, column), (rows, columns) = truth.origin, truth.bits.shape
    box = (float(row), float(column), float(row + rows), float(column + columns))
    (boxed,) = prompter.segment(source, [Prompt(box=box)], key=key)
    found = {
        "box": dice(boxed.mask, truth),
        "box stability": boxed.stability,
        "ellipse": dice(Mask(truth.origin, ellipse(rows, columns)), truth),
    }
    clicks = zip(
        range(1, max(CLICKS) + 1), clicked(prompter, source, truth, key, hint), strict=True
    )
    for click, answer in clicks:
        if click in CLICKS:
            name = f"{click} point{'s' if click > 1 else ''}"
            found |= {name: dice(answer.mask, truth), f"{name} stability": answer.stability}
    return found, boxed.mask


def clicked(
    prompter: Prompter, source: ArraySource, truth: Mask, key: str, hint: float | None
) -> Iterator[PromptedMask]:
    """Yield the answer to one click, two clicks, ..."""
    points: tuple[tuple[float, float, bool], ...] = ()
    answer: PromptedMask | None = None
    for _ in range(max(CLICKS)):
        before = None if answer is None or not answer.mask.area else answer.mask
        click = next_click(truth, before)
        # Nothing is wrong any more: the person is done.
        if click is not None or answer is None:
            points += () if click is None else (click,)
            prompt = Prompt(points=points, mask=before)
            crops = [] if answer is None else [answer.crop]
            (answer,) = prompter.segment(source, [prompt], key=key, crops=crops, hint=hint)
        yield answer


def next_click(truth: Mask, mask: Mask | None) -> tuple[float, float, bool] | None:
    """Middle of the largest part that is wrong, and whether it belongs to the object."""
    masks = [truth] if mask is None else [truth, mask]
    first = np.min([m.origin for m in masks], axis=0)
    last = np.max([np.add(m.origin, m.bits.shape) for m in masks], axis=0)
    canvas = np.zeros((len(masks), *(last - first)), bool)
    for plane, one in zip(canvas, masks, strict=True):
        row, column = np.subtract(one.origin, first)
        plane[row : row + one.bits.shape[0], column : column + one.bits.shape[1]] = one.bits
    wrong = canvas[0] if mask is None else canvas[0] ^ canvas[1]
    parts, count = ndimage.label(wrong)
    if not count:
        return None
    largest = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    depth = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(first[0] + row), float(first[1] + column), bool(canvas[0][row, column])


def dice(one: Mask, two: Mask) -> float:
    """Dice of two masks at full resolution."""
    both = 0
    starts = np.maximum(one.origin, two.origin)
    ends = np.minimum(np.add(one.origin, one.bits.shape), np.add(two.origin, two.bits.shape))
    if (starts < ends).all():
        cuts = [
            mask.bits[tuple(map(slice, starts - mask.origin, ends - mask.origin))]
            for mask in (one, two)
        ]
        both = int((cuts[0] & cuts[1]).sum())
    total = one.area + two.area
    return 2 * both / total if total else 1.0


def ellipse(rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """Return the ellipse that touches the edges of a box of this size."""
    down = (np.arange(rows) + 0.5 - rows / 2) / (rows / 2)
    across = (np.arange(columns) + 0.5 - columns / 2) / (columns / 2)
    inside: npt.NDArray[np.bool_] = down[:, None] ** 2 + across[None] ** 2 <= 1
    return inside


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice of each set, and of each kind as the mean over its objects."""
    rows = []
    groups = [(name, kind, part) for (kind, name), part in table.groupby(["kind", "set"])]
    kinds = table.groupby("kind")
    groups += [("all", kind, part) for kind, part in kinds if part["set"].nunique() > 1]
    for name, kind, part in sorted(groups, key=lambda group: (group[1], group[0] == "all")):
        means = {prompt: part[prompt].mean() for prompt in PROMPTS}
        rows.append({"kind": kind, "set": name, "objects": len(part), **means})
    frame = pd.DataFrame(rows)
    frame["box - ellipse"] = frame["box"] - frame["ellipse"]
    return frame


def calibration(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice by stability; the last row has Spearman's rank correlation."""
    rows: list[dict[str, object]] = []
    for low, high in pairwise(BINS):
        row: dict[str, object] = {"stability": f"{low:.2f} to {high:.2f}"}
        for prompt in ("box", "1 point"):
            stated = table[f"{prompt} stability"]
            part = table[(stated >= low) & ((stated < high) | (high == BINS[-1]))]
            row |= {f"{prompt}: objects": len(part), f"{prompt}: mean Dice": part[prompt].mean()}
        rows.append(row)
    last: dict[str, object] = {"stability": "Spearman"}
    for prompt in ("box", "1 point"):
        ranks = table[[f"{prompt} stability", prompt]].rank()
        last |= {
            f"{prompt}: objects": len(table),
            f"{prompt}: mean Dice": ranks.iloc[:, 0].corr(ranks.iloc[:, 1]),
        }
    return pd.DataFrame([*rows, last])


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, with three digits."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.3f}"
        return str(value)

    lines = [list(table.columns), ["---"] * len(table.columns)]
    lines += [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def picture(image: npt.NDArray[np.uint8], truth: Mask, mask: Mask) -> npt.NDArray[np.uint8]:
    """Cut out an object with what is round it, with both outlines."""
    (row, column), (rows, columns) = truth.origin, truth.bits.shape
    half = max(round(0.7 * max(rows, columns)), 12)
    top, left = row + rows // 2 - half, column + columns // 2 - half
    around = np.pad(image, ((half, half), (half, half), (0, 0)), constant_values=255)
    cut = Image.fromarray(around[top + half : top + 3 * half, left + half : left + 3 * half])
    shown = np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).copy()
    for one, colour in ((truth, YELLOW), (mask, BLUE)):
        plane = np.zeros((2 * half, 2 * half), bool)
        r, c = one.origin[0] - top, one.origin[1] - left
        r1, c1 = r + one.bits.shape[0], c + one.bits.shape[1]
        place = (slice(max(r, 0), max(r1, 0)), slice(max(c, 0), max(c1, 0)))
        inside = plane[place]
        inside |= one.bits[max(-r, 0) :, max(-c, 0) :][: inside.shape[0], : inside.shape[1]]
        large = np.asarray(Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.NEAREST))
        shown[large & ~ndimage.binary_erosion(large, iterations=1)] = colour
    return shown


def sheet(pictures: list[npt.NDArray[np.uint8]]) -> Image.Image:
    """Lay pictures out line by line."""
    padded = [*pictures, *[np.full((SIDE, SIDE, 3), 255, np.uint8)] * (-len(pictures) % ACROSS)]
    lines = [np.concatenate(padded[i : i + ACROSS], 1) for i in range(0, len(padded), ACROSS)]
    return Image.fromarray(np.concatenate(lines))


if __name__ == "__main__":
    try:
        main()
    except CosegError as error:
        raise SystemExit(str(error)) from None

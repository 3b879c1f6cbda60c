"""``napari-coseg predict``: segment images and write labels, tables and outlines."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_coseg.types import CosegError
from napari_coseg.weights.catalogue import DEFAULT_MODEL

if TYPE_CHECKING:
    from rich.console import Console

    from napari_coseg.inference.batch import JobResult, PredictionFolder
    from napari_coseg.inference.jobs import Job

_FAILED = 1
_TERMINATED = 128 + signal.SIGTERM


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(help="Images (PNG, JPEG, BMP, TIFF), or folders with images directly in."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")],
    model: Annotated[
        str, typer.Option(help="Name of a model (see models list), or a weights file.")
    ] = DEFAULT_MODEL,
    mpp: Annotated[
        float | None,
        typer.Option(help="Size of a pixel in µm, instead of what the files say."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    shard: Annotated[
        str | None,
        typer.Option(help="i/n: only the i-th of n parts, so that n processes share the work."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results of other models, settings or images. What was made with the "
            "same ones is skipped all the same.",
        ),
    ] = False,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average over the four flips: four times the work.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the CPU; PyTorch's choice by default.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Tiles that run together; by device by default.")
    ] = None,
) -> None:
    """Segment images into regions and objects.

    Writes for each image NAME_regions.tif, NAME_instances.tif, NAME_objects.csv and NAME.geojson
    (for QuPath), as far as the model has regions and objects. run.json says what was done with
    what. A second run skips what is there already. Images that fail are listed in failures.csv,
    the others are done all the same, and the exit code is 1.
    """
    from napari_coseg.inference.jobs import find_jobs, parse_shard, shard_of

    part = None if shard is None else parse_shard(shard)
    jobs = find_jobs(images, out)
    if part is not None:
        jobs = shard_of(jobs, *part)

    import torch
    from rich.console import Console

    from napari_coseg.inference.batch import PredictionFolder
    from napari_coseg.inference.devices import choose_device
    from napari_coseg.inference.settings import PredictSettings
    from napari_coseg.weights.loading import load_model

    if threads is not None:
        torch.set_num_threads(threads)
    settings = PredictSettings(tta=tta, batch=batch)
    loaded = load_model(model, choose_device(device))
    folder = PredictionFolder(out, loaded, settings, mpp)
    if not overwrite:
        folder.check(jobs)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    licence = loaded.card.licence or "licence not stated"
    console.print(f"Model {loaded.card.name} ({licence}). For research, not a medical device.")
    try:
        with _leaving_cleanly():
            failed = _report(folder, jobs, out, console)
    except CosegError as error:
        # Some of the work is done: not the exit code of "nothing was started".
        print(f"napari-coseg: {error}", file=sys.stderr)
        raise typer.Exit(_FAILED) from error
    if failed:
        raise typer.Exit(_FAILED)


def _report(folder: PredictionFolder, jobs: Sequence[Job], out: Path, console: Console) -> int:
    """Run the jobs, tell how each ended, and return the number that failed."""
    counts = dict.fromkeys(("done", "skipped", "failed"), 0)
    assumed = 0
    for result in _with_bars(folder, jobs, console):
        counts[result.outcome] += 1
        if result.outcome == "failed":
            print(f"{result.job.name}: {result.error}", file=sys.stderr)
        elif result.outcome == "done":
            objects, seconds = result.facts["objects"], result.facts["seconds"]["all"]
            console.print(f"{result.job.name}: {objects:,} objects in {seconds:.1f} s")
            notes: list[str] = result.facts["notes"]
            assumed += bool(notes)
            if notes and assumed == 1:
                console.print(*notes, sep="\n")
    if assumed > 1:
        console.print(f"The same holds for {assumed - 1} other images without a pixel size.")
    told = [f"{number} {outcome}" for outcome, number in counts.items() if number]
    console.print(f"{', '.join(told) or 'No image in this part'}. Results are in {out}.")
    if counts["failed"]:
        console.print(f"What failed is listed in {out / 'failures.csv'}.")
    return counts["failed"]


def _with_bars(
    folder: PredictionFolder, jobs: Sequence[Job], console: Console
) -> Iterator[JobResult]:
    """Yield the results, with a bar for all images and one for the tiles of the present one."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        images = bars.add_task("images", total=len(jobs))
        tiles = bars.add_task("tiles of the image")

        def show(done: int, total: int) -> None:
            bars.update(tiles, completed=done, total=total)

        with contextlib.closing(folder.run(jobs, progress=show)) as results:
            for result in results:
                bars.reset(tiles)
                bars.advance(images)
                yield result


@contextlib.contextmanager
def _leaving_cleanly() -> Iterator[None]:
    """Let a scheduler's SIGTERM take the way of Ctrl-C: unfinished files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> None:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

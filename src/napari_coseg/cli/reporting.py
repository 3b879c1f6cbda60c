"""How commands that work through many images tell of it, and how they end."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from napari_coseg.types import CosegError

if TYPE_CHECKING:
    from rich.console import Console

    from napari_coseg.inference.jobs import Job
    from napari_coseg.inference.result_folder import JobResult, ResultFolder
    from napari_coseg.weights.card import ModelCard

_FAILED = 1
_TERMINATED = 128 + signal.SIGTERM


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with a sentence that says what is kept and how to go on."""


def run_folder(
    folder: ResultFolder,
    jobs: Sequence[Job],
    card: ModelCard,
    *,
    parts: str,
    more: Callable[[dict[str, Any]], str] | None = None,
) -> None:
    """Work through the images, and say how each ended.

    Parameters
    ----------
    folder : ResultFolder
    jobs : sequence of Job
    card : ModelCard
        What is said of the model at the beginning.
    parts : str
        What the second bar counts.
    more : callable, optional
        Given the facts of an image that is done, returns what else is said of it.

    Raises
    ------
    typer.Exit
        With 1, if an image failed or the work could not go on.
    Stopped
        On Ctrl-C.
    CosegError
        If the folder cannot be made: nothing was started.
    """
    from rich.console import Console

    from napari_coseg.inference.records import make_folder

    make_folder(folder.out)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    licence = card.licence or "licence not stated"
    console.print(f"Model {card.name} ({licence}). For research, not a medical device.")
    try:
        with _leaving_cleanly():
            failed = _report(folder, jobs, console, parts, more)
    except CosegError as error:
        # Some of the work is done: not the exit code of "nothing was started".
        print(f"napari-coseg: {error}", file=sys.stderr)
        raise typer.Exit(_FAILED) from error
    if failed:
        raise typer.Exit(_FAILED)


def _report(
    folder: ResultFolder,
    jobs: Sequence[Job],
    console: Console,
    parts: str,
    more: Callable[[dict[str, Any]], str] | None,
) -> int:
    """Run the jobs, tell how each ended, and return the number that failed."""
    counts = dict.fromkeys(("done", "skipped", "failed"), 0)
    with _saying_what_is_done(counts, len(jobs)):
        _tell_each(_with_bars(folder, jobs, console, parts), counts, console, more)
    told = [f"{number} {outcome}" for outcome, number in counts.items() if number]
    console.print(f"{', '.join(told) or 'No image in this part'}. Results are in {folder.out}.")
    if counts["failed"]:
        console.print(f"What failed is listed in {folder.out / 'failures.csv'}.")
    return counts["failed"]


def _tell_each(
    results: Iterable[JobResult],
    counts: dict[str, int],
    console: Console,
    more: Callable[[dict[str, Any]], str] | None,
) -> None:
    """Say of each image how it ended, and count it."""
    assumed = 0
    for result in results:
        counts[result.outcome] += 1
        if result.outcome == "failed":
            print(f"{result.job.name}: {result.error}", file=sys.stderr)
        elif result.outcome == "done":
            objects, seconds = result.facts["objects"], result.facts["seconds"]["all"]
            rest = more(result.facts) if more is not None else ""
            console.print(f"{result.job.name}: {objects:,} objects in {seconds:.1f} s{rest}")
            notes: list[str] = result.facts["notes"]
            if result.facts.get("mpp_origin") == "assumed" and result.facts["mpp"] is not None:
                assumed += 1
                # The same of most images of a folder: once is enough.
                first, *notes = notes
                if assumed == 1:
                    console.print(first)
            for note in notes:
                console.print(f"{result.job.name}: {note}" if result.job.volume else note)
    if assumed > 1:
        console.print(f"The same holds for {assumed - 1} other images without a pixel size.")


@contextlib.contextmanager
def _saying_what_is_done(counts: Mapping[str, int], total: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        done = counts["done"] + counts["skipped"]
        raise Stopped(
            f"stopped. {done} of {total} images are done and stay; the same command goes on with "
            "the others."
        ) from error


def _with_bars(
    folder: ResultFolder, jobs: Sequence[Job], console: Console, parts: str
) -> Iterator[JobResult]:
    """Yield the results, with a bar for all images and one for the parts of the present one."""
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
        tiles = bars.add_task(parts)

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

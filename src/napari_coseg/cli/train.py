"""``napari-coseg train``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from napari_coseg.cli.reporting import Stopped
from napari_coseg.types import CosegError


def train(
    config: Annotated[Path, typer.Argument(help="Training config, a TOML file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; by default runs/NAME of the model."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. run.steps=2000."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last step.")] = False,
) -> None:
    """Train a model on folders of labelled images, as a config says."""
    from napari_coseg.training.config import load_config

    checked = load_config(config, set_ or ())
    from napari_coseg.training.loop import train as run_training

    # The index of a set of millions is minutes of work: it is told.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("napari_coseg.datasets").setLevel(logging.INFO)
    folder = out if out is not None else Path("runs") / checked.model.name
    console = Console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
    steps = bar.add_task("Training", total=checked.run.steps, note="")
    check = bar.add_task("Validating", total=None, visible=False, note="")

    begun = False
    reached = 0

    def show(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        nonlocal begun, reached
        if not begun:
            # What cannot be trained is said before there is a bar.
            bar.start()
        begun = True
        if stage in ("begin", "train"):
            reached = done
        if stage == "begin":
            bar.update(steps, completed=done)
        elif stage == "train":
            bar.update(steps, completed=done, note=f"loss {figures['loss']:.3f}")
            if not console.is_terminal:
                console.print(f"step {done}/{total}  loss {figures['loss']:.3f}")
        elif stage == "validate":
            bar.update(check, completed=done, total=total, visible=done < total)
        else:
            console.print(f"Step {done}: validation score {figures['score']:.4f}")

    try:
        result = run_training(checked, folder, resume=resume, progress=show)
    except CosegError as error:
        if not begun:
            raise
        # Exit code 2 says that nothing was started.
        print(f"napari-coseg: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        if not begun:
            raise
        raise Stopped(
            f"stopped after step {reached}. What was saved last is in {folder}; the same "
            "command with --resume goes on from there."
        ) from error
    finally:
        bar.stop()
    console.print(
        f"Done after {result.step} steps, best score {result.best_score:.4f}. "
        f"The model is {result.folder / 'best.safetensors'}."
    )

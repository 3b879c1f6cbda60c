"""The program `napari-coseg`: its commands, and how errors reach a person."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import napari_coseg
from napari_coseg.cli import data, models
from napari_coseg.cli.compare import compare
from napari_coseg.cli.demo import demo
from napari_coseg.cli.doctor import doctor
from napari_coseg.cli.evaluate import evaluate
from napari_coseg.cli.predict import predict
from napari_coseg.cli.prompt import prompt
from napari_coseg.cli.reporting import Stopped
from napari_coseg.cli.serve import serve
from napari_coseg.cli.train import train
from napari_coseg.types import CosegError
from napari_coseg.worker.collecting import collect_seldom, leave_quickly
from napari_coseg.worker.waiting import share_cores

#: Exit codes: 1 some item failed, 2 nothing was started, 130 stopped with Ctrl-C.
FAILED, NOT_STARTED, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="napari-coseg",
    help="Segment histology pictures and dental CBCT volumes: regions, and instances with classes. "
    "For research, not a medical device.",
    # Rich's own markup would take [dask] for a style, and keep the line ends of docstrings.
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# In the order in which a person meets them. Their modules import torch only when they run, so
# that help comes at once.
for command in (demo, predict, prompt, evaluate, compare, train, serve, doctor):
    app.command()(command)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"napari-coseg {napari_coseg.__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere in the line.")
    ] = False,
) -> None:
    """Take what all commands share; `main` has read both options already."""


def _words(leaving: BaseException) -> str:
    """Return what is said of Ctrl-C, which Typer has made an exit code of."""
    error: BaseException | None = leaving
    while error is not None:
        if isinstance(error, Stopped):
            return str(error)
        error = error.__cause__ or error.__context__
    return "stopped."


def main(arguments: list[str] | None = None) -> None:
    """Run the program and leave with its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        Words after the program's name; those of this process by default.

    Raises
    ------
    SystemExit
        Always: 0 done, 1 some item failed, 2 nothing was started, 130 stopped with Ctrl-C.
    """
    share_cores()
    collect_seldom()
    leave_quickly()
    words = list(sys.argv[1:] if arguments is None else arguments)
    # People add --debug at the end of the line that failed, where typer would not take it.
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        app(args=words, prog_name="napari-coseg")
    except CosegError as error:
        if debug:
            raise
        print(f"napari-coseg: {error}", file=sys.stderr)
        sys.exit(NOT_STARTED)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            print(f"napari-coseg: {_words(leaving)}", file=sys.stderr)
        raise
    except Exception as error:
        if debug:
            raise
        print(
            f"napari-coseg: unexpected {type(error).__name__}: {error}. This is a mistake in the "
            "program: repeat with --debug and report what it prints.",
            file=sys.stderr,
        )
        sys.exit(FAILED)

"""How errors, interruptions and exit codes leave the program."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from napari_coseg.cli import main as program
from napari_coseg.cli.reporting import Stopped
from napari_coseg.types import CosegError


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """A program with one command for each way to end."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def wrong() -> None:
        raise CosegError("The file x is empty: choose another.")

    @app.command()
    def bug() -> None:
        raise ZeroDivisionError("nobody thought of that")

    @app.command()
    def stopped() -> None:
        raise KeyboardInterrupt

    @app.command()
    def kept() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise Stopped("stopped. 3 of 4 are done.") from error

    @app.command()
    def some_failed() -> None:
        raise typer.Exit(1)

    @app.command()
    def fine() -> None:
        pass

    monkeypatch.setattr(program, "app", app)
    return app


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["fine"], 0),
        (["some-failed"], 1),
        (["wrong"], 2),
        (["no-such-command"], 2),
        (["fine", "--no-such-option"], 2),
        (["stopped"], 130),
        (["kept"], 130),
        (["bug"], 1),
    ],
)
def test_exit_codes(ending: typer.Typer, words: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as left:
        program.main(words)
    assert (left.value.code or 0) == code


def test_message_is_one_line_on_stderr(
    ending: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        program.main(["wrong"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "napari-coseg: The file x is empty: choose another.\n"
    with pytest.raises(SystemExit):
        program.main(["bug"])
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "--debug" in err
    assert "Traceback" not in err


def test_ctrl_c_says_what_is_kept(ending: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    for word, said in (("stopped", "stopped."), ("kept", "stopped. 3 of 4 are done.")):
        with pytest.raises(SystemExit):
            program.main([word])
        assert capsys.readouterr().err == f"napari-coseg: {said}\n"


@pytest.mark.parametrize("words", [["--debug", "wrong"], ["wrong", "--debug"]])
def test_debug_lets_the_traceback_through(ending: typer.Typer, words: list[str]) -> None:
    with pytest.raises(CosegError):
        program.main(words)


def test_importing_the_program_does_not_import_torch() -> None:
    code = "import sys, napari_coseg.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_shows_brackets_and_flowing_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As Rich's markup, [dask] is a style that prints nothing, and each line of a docstring ends
    # where its source does.
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)
    with pytest.raises(SystemExit) as ended:
        program.main(["predict", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "napari-coseg[dask]" in printed
    (line,) = [line for line in printed.splitlines() if "Writes for each picture" in line]
    assert len(line.rstrip()) > 300

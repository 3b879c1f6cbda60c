"""The installed program as a person starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import napari_coseg

# Beside the interpreter that runs the tests, whether or not its folder is on PATH.
PROGRAM = Path(sys.executable).with_name(
    "napari-coseg.exe" if sys.platform == "win32" else "napari-coseg"
)


def start(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [str(PROGRAM), *words],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        check=False,
        timeout=120,
    )


def test_program_is_installed() -> None:
    assert PROGRAM.is_file(), "install the package to run these tests"


def test_help_names_the_commands() -> None:
    done = start("--help")
    assert done.returncode == 0
    for command in ("demo", "predict", "evaluate", "train", "data", "models", "doctor"):
        assert command in done.stdout
    assert "not a medical device" in " ".join(done.stdout.split())


def test_without_a_word_it_explains_itself() -> None:
    done = start()
    assert "Usage" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_version() -> None:
    done = start("--version")
    assert done.returncode == 0
    assert done.stdout == f"napari-coseg {napari_coseg.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-command",),
        ("--no-such-option",),
        ("models", "show", "no-such-model"),
        ("models", "fetch", "no-such-model"),
        ("predict", "no-such-image.png"),
        ("train", "no-such-config.toml"),
        ("evaluate", "no-such-folder", "no-such-folder"),
    ],
)
def test_mistakes_exit_with_2_and_a_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    if words[0] == "predict":
        words = (*words, "--out", str(tmp_path / "out"))
    done = start(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_models_list() -> None:
    done = start("models", "list")
    assert done.returncode == 0
    assert "sam2.1-hiera-large" in done.stdout


def test_napari_finds_the_manifest() -> None:
    (entry,) = [e for e in entry_points(group="napari.manifest") if e.name == "napari-coseg"]
    assert entry.value == "napari_coseg:napari.yaml"
    assert Path(napari_coseg.__file__).with_name("napari.yaml").is_file()


def test_the_doctor_finds_nothing_wrong() -> None:
    done = start("doctor", "--no-window", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Dice 0.") == 2
    assert "FAILED" not in done.stdout

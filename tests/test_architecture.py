"""The rooms of the house: the import-linter contracts hold, and would notice a breach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import napari_coseg

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(napari_coseg.__file__).parent


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts on the package in `folder`, with the project's own settings."""
    code = (
        "import sys; from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(config_filename=sys.argv[1], no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "pyproject.toml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's code, to spoil."""
    shutil.copytree(
        PACKAGE,
        tmp_path / "napari_coseg",
        ignore=shutil.ignore_patterns("__pycache__", "bundled", "*.safetensors"),
    )
    return tmp_path


def test_contracts_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kept, 0 broken" in done.stdout


BREACHES = {
    "up the list": ("metrics/breach.py", "from napari_coseg.datasets import synthetic_histology"),
    "across a line": ("imaging/breach.py", "from napari_coseg.metrics import overlap"),
    "torch below": ("metrics/breach.py", "import torch"),
    "torch inside a function": ("layers/breach.py", "def f():\n    import timm"),
    "torch by way of a room": (
        "weights/catalogue.py",
        "from napari_coseg.models.coseg import network",
    ),
    "napari in a headless room": ("inference/breach.py", "import napari"),
    "qt in layers": ("layers/breach.py", "from qtpy import QtWidgets"),
    "a room that nobody placed": ("cellar/__init__.py", ""),
    "torch in a room to come": ("widgets/breach.py", "import torch"),
    "a room to come, from below": ("annotation/breach.py", "from napari_coseg.cli import main"),
    "qt in a room to come": ("worker/breach.py", "import qtpy"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_contracts_notice(copy: Path, name: str) -> None:
    where, line = BREACHES[name]
    path = copy / "napari_coseg" / where
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert " 0 broken" not in done.stdout

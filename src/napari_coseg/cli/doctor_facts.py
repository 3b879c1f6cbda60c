"""What a bug report needs to know of a machine. Torch-free, and napari runs apart."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil

import napari_coseg
from napari_coseg.weights import catalogue
from napari_coseg.worker.waiting import TURNS

Facts = list[tuple[str, str]]

#: Variables of the environment that change what the program does.
_VARIABLES = (
    catalogue.FOLDER_VARIABLE,
    "CUDA_VISIBLE_DEVICES",
    "GOMP_SPINCOUNT",
    "LIBGL_ALWAYS_SOFTWARE",
    "NAPARI_ASYNC",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "PYOPENGL_PLATFORM",
    "QT_API",
    "QT_QPA_PLATFORM",
)
#: Seconds that napari has to tell of itself.
_PATIENCE = 120
_ASK_NAPARI = "from napari.utils.info import sys_info; print(sys_info())"
#: Parts of what napari tells that are ours to tell, or nobody's business.
_LEFT_OUT = ("Settings path:", "Launch command:")


def package_facts() -> Facts:
    """Return versions of this program, of Python, and of all packages that it can use."""
    facts = [("napari-coseg", napari_coseg.__version__), ("Python", platform.python_version())]
    names = set()
    for line in metadata.requires("napari-coseg") or ():
        found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        # Tools of those who build the program are no business of it when it runs.
        if found and not re.search(r"""extra\s*==\s*['"](test|docs)['"]""", line):
            names.add(found.group().lower())
    for name in sorted(names - {"napari-coseg"}):
        try:
            facts.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            facts.append((name, "not installed"))
    return facts


def machine_facts() -> Facts:
    """Return system, cores, memory, and variables that change what the program does."""
    memory = psutil.virtual_memory()
    facts = [
        ("system", platform.platform()),
        ("processor", platform.processor() or platform.machine()),
        ("cores", f"{psutil.cpu_count(logical=False) or '?'}, threads {os.cpu_count()}"),
        ("memory", f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free"),
    ]
    told = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    if told.get("GOMP_SPINCOUNT") == str(TURNS):
        # Our own doing.
        del told["GOMP_SPINCOUNT"]
    return [*facts, *told.items()]


def model_facts() -> Facts:
    """Return models of this machine with size and hash, and what is wrong with broken ones."""
    facts = [("your folder", str(catalogue.user_folder()))]
    for where, models in (
        ("bundled", catalogue.bundled_models()),
        ("yours", catalogue.user_models()),
    ):
        for name, path in models.items():
            card = catalogue.card_or_problem(path)
            if isinstance(card, str):
                facts.append((name, f"{where}, cannot be used: {card}"))
                continue
            size = path.stat().st_size / 1e6
            told = f"{where}, {card.kind}, {size:.1f} MB, SHA-256 {catalogue.sha256_of(path)}"
            facts.append((name, told))
    return facts


def napari_facts() -> tuple[Facts, bool]:
    """Ask napari for itself, Qt and OpenGL, in a process of its own.

    Returns
    -------
    facts : list of (str, str)
    opened : bool
        False where napari is installed and cannot tell: Qt ends the process where it finds no
        display or lacks a library of the system.
    """
    try:
        metadata.version("napari")
    except metadata.PackageNotFoundError:
        return [("napari", 'not installed: pip install "napari-coseg[all]"')], True
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in displays):
        return [("napari", "not asked: there is no display, and the commands need none")], True
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK_NAPARI],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [("napari", f"FAILED: {error}")], False
    if asked.returncode != 0:
        lines = [line for line in asked.stderr.splitlines() if line.strip()]
        facts = [("napari", f"FAILED: it ended with {asked.returncode}; its last words:")]
        return facts + [("", line) for line in lines[-5:]], False
    return _sorted_out(asked.stdout), True


def without_home(text: str) -> str:
    """Return a text without the name of the person's folder."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _sorted_out(told: str) -> Facts:
    """Read lines ``name: value``, those below a heading too."""
    facts: Facts = []
    left_out = False
    for line in told.splitlines():
        if not line.strip():
            continue
        inner = line.startswith(("  ", "-", "\t"))
        if not inner:
            left_out = line.strip() in _LEFT_OUT
        if left_out:
            continue
        name, _, value = line.strip().lstrip("- ").partition(":")
        if inner or value:
            facts.append((name.strip(), value.strip()))
    return facts

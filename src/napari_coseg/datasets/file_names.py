"""Names of files: which belong together, and which lead out of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from napari_coseg.datasets.labelled import ItemFault

#: Folders below a data set's own that are looked into.
DEPTH = 4
#: Files that are looked at to see what a folder is: some sets have millions.
GLANCE = 20_000


def by_stem(paths: Iterable[Path], ending: str = "") -> tuple[dict[str, Path], list[ItemFault]]:
    """Give files by their names without suffix and `ending`; a name that is there twice is none.

    Returns
    -------
    found : dict
    faults : list of ItemFault
        Names of several files.
    """
    found: dict[str, Path] = {}
    twice: dict[str, Path] = {}
    for path in paths:
        name = path.stem.removesuffix(ending)
        if name in found:
            twice.setdefault(name, path)
        found.setdefault(name, path)
    faults = [
        ItemFault(name, f"{found[name]} and {other} have the same name: remove one of them.")
        for name, other in twice.items()
    ]
    return {name: path for name, path in found.items() if name not in twice}, faults


def climbs_out(name: str) -> bool:
    """Whether a path that a file gives leaves the folder that it is relative to."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return (
        posix.is_absolute() or bool(windows.anchor) or ".." in posix.parts or ".." in windows.parts
    )

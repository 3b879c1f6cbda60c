"""Files of a data set found in its folders, without running in circles or out of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from napari_coseg.datasets.labelled import ItemFault

#: Folders below a data set's own that are looked into.
DEPTH = 4
#: Names that are looked at to see what a folder is: some sets have millions.
GLANCE = 20_000


def find_files(
    root: Path, suffixes: Collection[str], depth: int = DEPTH, most: int | None = None
) -> tuple[list[Path], list[ItemFault]]:
    """List files below a folder by their endings.

    Links to folders are followed, unless they lead back to a folder that they lie in.

    Parameters
    ----------
    root : Path
    suffixes : collection of str
        Endings in small letters, with the point.
    depth : int
        How many folders deep.
    most : int, optional
        Names that are looked at at most; all by default.

    Returns
    -------
    files : list of Path
        Sorted; none whose name begins with a point.
    faults : list of ItemFault
        Links that lead in a circle, and folders that cannot be read.
    """
    files: list[Path] = []
    faults: list[ItemFault] = []
    names = itertools.count(1)

    def look(folder: Path, above: frozenset[str], left: int) -> None:
        real = os.path.realpath(folder)
        if real in above:
            faults.append(
                ItemFault(
                    folder.relative_to(root).as_posix(),
                    f"{folder} is a link to a folder that it lies in: remove it.",
                )
            )
            return
        try:
            with os.scandir(folder) as found:
                entries = sorted(itertools.islice(found, most), key=lambda entry: entry.name)
        except OSError as error:
            faults.append(ItemFault(folder.name, f"{folder} cannot be read: {error.strerror}."))
            return
        for entry in entries:
            if most is not None and next(names) > most:
                return
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if _is_folder(entry):
                if left:
                    look(path, above | {real}, left - 1)
            elif path.suffix.lower() in suffixes:
                files.append(path)

    look(root, frozenset(), depth)
    return sorted(files), faults


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


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself.
        return False

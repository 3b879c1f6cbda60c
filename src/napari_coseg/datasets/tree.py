"""Files of a published set: found at whatever depth an archive was unpacked.

Hidden files and what macOS adds to archives (``__MACOSX``, ``._NAME``) are no data. Links are
followed; one that leads back to a folder above it, or nowhere, is named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from napari_coseg.datasets.labelled import ItemFault

# How many folders of a level are looked into: a set has few, a disk has many.
_MANY = 64
_NUMBER = re.compile(r"([0-9]+)")


def files_in(
    folder: Path, suffixes: Sequence[str], most: int | None = None
) -> tuple[list[Path], list[ItemFault]]:
    """List the files of a folder that end with one of `suffixes`, in the order of their names.

    Parameters
    ----------
    folder : Path
    suffixes : sequence of str
        In small letters, with the point; large ones in names are the same.
    most : int, optional
        Names that are looked at; all by default.

    Returns
    -------
    tuple of list of Path, list of ItemFault
        The files; links among them that lead nowhere, and a folder that cannot be read.
    """
    entries, faults = _entries(folder, most)
    files = []
    for entry in entries:
        if Path(entry.name).suffix.lower() not in suffixes:
            continue
        if _leads_to(entry, "file"):
            files.append(Path(entry.path))
        elif entry.is_symlink() and not _leads_to(entry, "folder"):
            faults.append(_nowhere(entry))
    return files, faults


def folders_in(folder: Path) -> tuple[list[Path], list[ItemFault]]:
    """List the folders of a folder in the order of their names.

    Returns
    -------
    tuple of list of Path, list of ItemFault
        The folders; links that lead nowhere, and a folder that cannot be read.
    """
    entries, faults = _entries(folder)
    folders = []
    for entry in entries:
        if _leads_to(entry, "folder"):
            folders.append(Path(entry.path))
        elif entry.is_symlink() and not _leads_to(entry, "file"):
            faults.append(_nowhere(entry))
    return folders, faults


def files_below(
    folder: Path, suffixes: Sequence[str], depth: int | None = None, most: int | None = None
) -> tuple[list[Path], list[ItemFault]]:
    """List the files of a folder and of those below it; see `files_in`.

    Links to folders are followed, save those that lead to a folder above them, which are named.

    Parameters
    ----------
    folder : Path
    suffixes : sequence of str
        As in `files_in`.
    depth : int, optional
        How many folders deep; as deep as it goes by default.
    most : int, optional
        Names of a folder that are looked at, and files after which it is enough: a glance at what
        a folder is.
    """
    return _files_below(folder, folder, suffixes, (), depth, most)


def _files_below(
    root: Path,
    folder: Path,
    suffixes: Sequence[str],
    above: tuple[tuple[int, int], ...],
    depth: int | None,
    most: int | None,
) -> tuple[list[Path], list[ItemFault]]:
    files, faults = files_in(folder, suffixes, most)
    if not folder.is_dir() or depth == 0:
        return files, faults
    own = _place(folder)
    folders, wrong = folders_in(folder)
    # Links among them that lead nowhere are told with the files, if they are named as one.
    faults += [fault for fault in wrong if not Path(fault.name).suffix]
    for inner in folders:
        if most is not None and len(files) >= most:
            break
        if _place(inner) in (*above, own):
            sentence = f"{inner} is a link to a folder above it: remove the link."
            faults.append(ItemFault(inner.relative_to(root).as_posix(), sentence))
            continue
        left = None if most is None else most - len(files)
        deeper = None if depth is None else depth - 1
        more, wrong = _files_below(root, inner, suffixes, (*above, own), deeper, left)
        files += more
        faults += wrong
    return files, faults


def find_folder(root: Path, fits: Callable[[Path], bool], depth: int = 2) -> Path | None:
    """Find the uppermost folder that `fits`: `root` or one of those up to `depth` below it.

    Returns
    -------
    Path or None
        None where there is none.
    """
    return next((folder for folder in folders_below(root, depth) if fits(folder)), None)


def folders_below(root: Path, depth: int = 2) -> Iterator[Path]:
    """Yield `root` and the folders below it, the upper ones first; a few of each level's."""
    level = [root]
    for below in range(depth + 1):
        yield from level
        if below < depth:
            level = [inner for folder in level for inner in folders_in(folder)[0]][:_MANY]


def in_order(name: str) -> tuple[str | int, ...]:
    """Key that puts ``train_2`` before ``train_10``."""
    # Text and numbers take turns, so that keys can be compared.
    return tuple(int(part) if at % 2 else part for at, part in enumerate(_NUMBER.split(name)))


def _entries(
    folder: Path, most: int | None = None
) -> tuple[list[os.DirEntry[str]], list[ItemFault]]:
    try:
        with os.scandir(folder) as entries:
            seen = islice(entries, most)
            found = [e for e in seen if not e.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        sentence = f"{folder} cannot be read: {error.strerror or error}."
        return [], [ItemFault(folder.name, sentence)]
    return sorted(found, key=lambda entry: entry.name), []


def _place(folder: Path) -> tuple[int, int]:
    """Tell which folder it is, whatever path leads to it."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _leads_to(entry: os.DirEntry[str], what: str) -> bool:
    """Whether an entry, or what a link leads to, is a file or a folder."""
    try:
        return entry.is_file() if what == "file" else entry.is_dir()
    except OSError:
        # A link to itself.
        return False


def _nowhere(entry: os.DirEntry[str]) -> ItemFault:
    return ItemFault(
        entry.name, f"{entry.path} is a link that leads nowhere: mend or remove the link."
    )

"""Copies in ``conflicts``: what somebody drew on a case that another person took over meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.annotation.share_files import Share, copy_whole, reaching
from napari_coseg.annotation.stored_labels import StoredLabels, read_stored
from napari_coseg.types import CosegError

#: Folder in ``conflicts`` of copies that nobody needs any more.
SETTLED = "settled"


@dataclass(frozen=True)
class LostCopy:
    """A copy.

    Attributes
    ----------
    path : Path
        The file that tells of it.
    case_key : str
        Path of the case's image below the queue's folder.
    name : str
        Who drew it.
    time : float
        When it was kept, in seconds since 1970, by the clock of the share.
    labels : mapping of str to str
        Names of the journals beside that file, by ``"objects"`` and ``"regions"``.
    note : str
        Of the person on the case.
    """

    path: Path
    case_key: str
    name: str
    time: float
    labels: Mapping[str, str]
    note: str = ""


def list_copies(share: Share) -> list[LostCopy]:
    """Return the copies that nobody has settled, the youngest first.

    A file that says nothing of use, or that somebody else is just moving away, is left out.

    Raises
    ------
    ShareGoneError
        If the share cannot be reached.
    """
    found = []
    with reaching(share):
        names = sorted(os.listdir(share.conflicts))
    for name in names:
        if name.endswith(".json"):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                found.append(_read(share.conflicts / name))
    return sorted(found, key=lambda copy: copy.time, reverse=True)


def read_copy(share: Share, copy: LostCopy) -> dict[str, StoredLabels]:
    """Read what a copy holds; nothing on the share is opened with SQLite.

    Raises
    ------
    ShareGoneError
        If the share cannot be reached.
    CosegError
        If the copy is damaged, or somebody has settled it.
    """
    with reaching(share):
        share.check()
        if not copy.path.exists():
            raise CosegError("Somebody else has settled this copy: it is in the list no more.")
    found: dict[str, StoredLabels] = {}
    with tempfile.TemporaryDirectory(prefix="coseg-copy-") as own:
        for role, name in copy.labels.items():
            here = Path(own) / role
            with reaching(share):
                copy_whole(copy.path.parent / name, here)
            stored = read_stored(here)
            if stored is not None:
                found[role] = stored
    if not found:
        raise CosegError("There are no labels in this copy: dismiss it.")
    return found


def settle(share: Share, copy: LostCopy) -> None:
    """Take a copy off the list: its files go to the folder ``settled``, and none is deleted.

    Raises
    ------
    ShareGoneError
        If the share cannot be reached.
    """
    with reaching(share):
        share.check()
        folder = share.conflicts / SETTLED
        folder.mkdir(exist_ok=True)
        # What tells of it goes first: a copy is listed as a whole or not at all.
        for name in (copy.path.name, *copy.labels.values()):
            with contextlib.suppress(FileNotFoundError):
                os.replace(copy.path.parent / name, folder / name)


def _read(path: Path) -> LostCopy:
    plain = json.loads(path.read_text(encoding="utf-8"))
    labels = {str(role): str(name) for role, name in plain["labels"].items()}
    if any(Path(name).name != name for name in labels.values()):
        # Beside it, and nowhere else.
        raise ValueError(labels)
    return LostCopy(
        path,
        str(plain["case"]),
        str(plain["name"]),
        path.stat().st_mtime,
        labels,
        str(plain.get("note", "")),
    )

"""What is written to a journal: edits, steps back and forth, and the beginning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_coseg.annotation.chunks import Patch
from napari_coseg.annotation.records import ObjectRecord, Row


@dataclass(frozen=True, eq=False)
class Edit:
    """One step of undo.

    Attributes
    ----------
    id, parent : int
        Its number, from 1, and that of the edit before it, 0 for none.
    kind : str
        "commit", "delete", "split", "merge", "relabel", "class", "fdi", "stroke", "run".
    name : str
        What the person reads: "box: object 12".
    time : float
        Seconds since 1970.
    model : str
        The model that made it, "" for none.
    settings : dict
        Its settings.
    patches : tuple of Patch
        Pixels before and after.
    rows : dict
        Records before and after, by label.
    """

    id: int
    parent: int
    kind: str
    name: str
    time: float
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    patches: tuple[Patch, ...] = ()
    rows: Mapping[int, Row] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, roughly."""
        return 1000 + sum(patch.size for patch in self.patches) + 1000 * len(self.rows)

    @property
    def box(self) -> list[int]:
        """The box of all of its pixels, first edges, then last ones; empty without pixels."""
        if not self.patches:
            return []
        sides = list(zip(*(patch.window for patch in self.patches), strict=True))
        return [
            *(min(s.start for s in side) for side in sides),
            *(max(s.stop for s in side) for side in sides),
        ]


@dataclass(frozen=True, eq=False)
class Step:
    """One thing to write: an edit done for the first time, or undone, or done again."""

    edit: Edit
    forward: bool = True
    new: bool = True


@dataclass(frozen=True, eq=False)
class Base:
    """What the layer held when its journal was made."""

    chunks: Mapping[int, bytes]
    objects: Mapping[int, ObjectRecord]


@dataclass(frozen=True, eq=False)
class Note:
    """Something to remember beside the edits: the last one of a name counts."""

    name: str
    text: str

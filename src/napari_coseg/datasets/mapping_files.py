"""What a person says about a published set in a mapping file (`OpenOptions.mapping`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import PARTS, OpenOptions
from napari_coseg.types import IGNORE, ClassTable, CosegError


@dataclass(frozen=True)
class MappingFile:
    """A mapping file's keys; without a file there are none.

    Attributes
    ----------
    path : Path or None
    keys : mapping
    """

    path: Path | None
    keys: Mapping[str, Any]

    @classmethod
    def read(cls, options: OpenOptions | None, known: Sequence[str]) -> MappingFile:
        """Read the file that the options name.

        Parameters
        ----------
        options : OpenOptions or None
        known : sequence of str
            Keys that the reader takes.

        Raises
        ------
        CosegError
            If it cannot be read, or has another key.
        """
        path = None if options is None else options.mapping
        if path is None:
            return cls(None, {})
        try:
            keys = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CosegError(f"The mapping file {path} does not exist.") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CosegError(f"{path} cannot be read as TOML: {error}.") from error
        unknown = sorted(set(keys) - set(known))
        if unknown:
            raise CosegError(
                f"{path} has unknown keys: {', '.join(unknown)} (this format takes "
                f"{', '.join(known) or 'none'})."
            )
        return cls(path, keys)

    def folder(self, key: str) -> Path | None:
        """Folder that a key names, beside the mapping file where it is relative.

        Raises
        ------
        CosegError
            If there is no such folder.
        """
        if key not in self.keys or self.path is None:
            return None
        named = self.keys[key]
        folder = self.path.parent / named if isinstance(named, str) else None
        if folder is None or not folder.is_dir():
            raise CosegError(f"{key} in {self.path} must be a folder, and {named!r} is none.")
        return folder

    def merging(
        self, default: Mapping[str, Sequence[int]], published: Sequence[int]
    ) -> ClassMerging:
        """Classes by the keys ``classes`` (name = published ids) and ``ignored`` (ids).

        Parameters
        ----------
        default : mapping of str to sequence of int
            Classes where the file says nothing.
        published : sequence of int
            Every id that the set's makers name.

        Raises
        ------
        CosegError
            If they are no such lists, name an id twice or one that is not published, or leave a
            published one out.
        """
        classes = self.keys.get("classes", default)
        ignored = self.keys.get("ignored", [])
        if not isinstance(classes, Mapping) or not all(
            _numbers(ids) for ids in (*classes.values(), ignored)
        ):
            raise CosegError(
                f"In {self.path} classes must be a table of class name = list of published ids, "
                "and ignored a list of them."
            )
        named = [number for ids in (*classes.values(), ignored) for number in ids]
        if sorted(named) != sorted(published):
            raise CosegError(
                f"In {self.path} classes and ignored must name each published id once: "
                f"{', '.join(map(str, published))}."
            )
        return ClassMerging.of(classes, ignored)

    def parts(self, default: Mapping[int, str]) -> Mapping[int, str]:
        """Part of each fold by the key ``parts`` (part = list of folds).

        Raises
        ------
        CosegError
            If it is no such table, or a fold stands in two parts.
        """
        listed = self.keys.get("parts")
        if listed is None:
            return default
        if not isinstance(listed, Mapping) or not all(
            part in PARTS and _numbers(folds) for part, folds in listed.items()
        ):
            raise CosegError(
                f"parts in {self.path} must be lists of folds' numbers: {', '.join(PARTS)}."
            )
        found = [(fold, part) for part, folds in listed.items() for fold in folds]
        if len(dict(found)) < len(found):
            raise CosegError(f"parts in {self.path} has a fold in two parts.")
        return dict(found)


@dataclass(frozen=True)
class ClassMerging:
    """Published class ids, and the classes that they are read as.

    Attributes
    ----------
    table : ClassTable
    ids : mapping of int to int
        Class of each published id; `IGNORE` for those that are left out.
    """

    table: ClassTable
    ids: Mapping[int, int]

    @classmethod
    def of(cls, classes: Mapping[str, Sequence[int]], ignored: Sequence[int] = ()) -> ClassMerging:
        """Return classes that are numbered from 1 in their order."""
        ids = {number: at for at, name in enumerate(classes, 1) for number in classes[name]}
        return cls(ClassTable.from_names(classes), ids | dict.fromkeys(ignored, IGNORE))

    def apply(self, published: npt.NDArray[np.int32], path: Path) -> npt.NDArray[np.uint8]:
        """Return the class of each published id, 0 for 0.

        Raises
        ------
        CosegError
            If an id is not published.
        """
        highest = max(self.ids)
        table = np.full(highest + 2, -1, np.int16)
        table[0] = 0
        for number, own in self.ids.items():
            table[number] = own
        found = table[np.minimum(published, highest + 1)]
        if (found < 0).any():
            raise CosegError(
                f"{path} holds class {published[found < 0].flat[0]}, and the published classes are "
                f"{', '.join(map(str, sorted(self.ids)))}."
            )
        return found.astype(np.uint8)


def _numbers(value: object) -> bool:
    return isinstance(value, list | tuple | range) and all(
        isinstance(one, int) and not isinstance(one, bool) for one in value
    )

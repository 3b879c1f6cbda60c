"""Mapping files: what a person says about a set where its makers' names or details differ.

A mapping is a TOML file. Tables ``[regions]`` and ``[instances]`` give each published class the
class that it is taken for, ``"background"`` or ``"ignore"``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_coseg.types import IGNORE, ClassTable, CosegError

BACKGROUND, IGNORED = "background", "ignore"


@dataclass(frozen=True)
class ClassMapping:
    """Ids of published classes.

    Attributes
    ----------
    table : ClassTable
        Our classes, in the order in which the mapping names them first.
    ids : mapping of str to int
        Id for each published name: 0 for background, 255 for what must not be looked at.
    """

    table: ClassTable
    ids: Mapping[str, int]

    @classmethod
    def of(cls, names: Mapping[str, str]) -> ClassMapping:
        """Return classes numbered in the order in which published ones are taken for them."""
        ours = [name for name in dict.fromkeys(names.values()) if name not in (BACKGROUND, IGNORED)]
        known = {BACKGROUND: 0, IGNORED: IGNORE} | {n: i for i, n in enumerate(ours, 1)}
        return cls(ClassTable.from_names(ours), {one: known[name] for one, name in names.items()})

    def id_of(self, name: str, where: str, table: str) -> int:
        """Return the id of a published class.

        Raises
        ------
        CosegError
            If nobody said what it is.
        """
        if name not in self.ids:
            called = f"the class {name!r}" if name else "no class"
            raise CosegError(
                f"{where} has {called}, which is none of {', '.join(self.ids) or 'the known ones'}"
                f": say in [{table}] of a mapping file what it is, {BACKGROUND!r} or {IGNORED!r}."
            )
        return self.ids[name]


def read_mapping(path: Path | None, keys: Collection[str]) -> dict[str, Any]:
    """Read a mapping file; nothing where there is none.

    Parameters
    ----------
    path : Path or None
    keys : collection of str
        Those that the reader takes.

    Raises
    ------
    CosegError
        If it cannot be read as TOML or has other keys.
    """
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CosegError(f"The mapping {path} cannot be read as TOML: {error}.") from error
    unknown = sorted(set(found) - set(keys))
    if unknown:
        raise CosegError(
            f"The mapping {path} has the unknown key {unknown[0]}: this format takes "
            f"{', '.join(sorted(keys)) or 'none'}."
        )
    return found


def classes_of(
    mapping: Mapping[str, Any], key: str, default: Mapping[str, str], where: Path | None
) -> ClassMapping:
    """Return the classes of a mapping's table, or else the default ones.

    Raises
    ------
    CosegError
        If it is no table of names.
    """
    names = mapping.get(key, default)
    if not isinstance(names, Mapping) or not all(
        isinstance(one, str) and name and isinstance(name, str) for one, name in names.items()
    ):
        raise CosegError(f"[{key}] in {where} must give each published name a class.")
    return ClassMapping.of(names)


def choice_of(mapping: Mapping[str, Any], key: str, choices: Collection[str], default: str) -> str:
    """Return one of several words.

    Raises
    ------
    CosegError
        If it is another one.
    """
    value = mapping.get(key, default)
    if value not in choices:
        raise CosegError(f"{key} in a mapping must be one of {', '.join(choices)}: {value!r}.")
    return str(value)


def group_of(mapping: Mapping[str, Any], name: str) -> str:
    """Return the patient or slide of an item: what the pattern ``group`` finds in its name.

    Raises
    ------
    CosegError
        If it is no regular expression, or fits no part of the name.
    """
    pattern = mapping.get("group")
    if pattern is None:
        return name
    try:
        match = re.search(pattern, name)
    except (TypeError, re.error) as error:
        raise CosegError(f"group in a mapping is no regular expression: {error}.") from error
    if match is None:
        raise CosegError(f"group in a mapping fits no part of the name {name}: change the pattern.")
    return match.group(1) if match.groups() else match.group(0)

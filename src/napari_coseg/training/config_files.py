"""The text of a config: files that extend others, and changes on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_coseg.types import CosegError

#: Key of the file that a config is laid over.
EXTENDS = "extends"


def read_config(path: Path, base: str | None = None) -> dict[str, Any]:
    """Read a TOML file laid over the one that it extends, if any.

    Tables are merged key by key; any other value, also a list such as the data sets, takes the
    place of the one below. Paths of data sets stay relative to the file that names them.

    Parameters
    ----------
    path : Path
    base : str, optional
        File to lie over instead of the one that `path` names; relative to `path`.

    Raises
    ------
    CosegError
        If a file is not there or no TOML, or they extend each other in a circle.
    """
    return _read(path, base, [])


def _read(path: Path, base: str | None, above: Sequence[Path]) -> dict[str, Any]:
    here = path.resolve()
    if here in above:
        raise CosegError(f"{path} extends itself: {' -> '.join(p.name for p in [*above, here])}.")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        by = f", which {above[-1].name} extends" if above else ""
        raise CosegError(f"There is no config {path}{by}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CosegError(f"{path} cannot be read as TOML: {error}.") from error
    named = raw.pop(EXTENDS, None)
    wanted = named if base is None else base.strip().strip("\"'")
    if wanted is None:
        return raw
    if not isinstance(wanted, str) or not wanted:
        raise CosegError(f"{path}: extends is the name of one config file.")
    place_data(raw, path)
    below = path.parent / wanted
    under = _read(below, None, [*above, here])
    place_data(under, below)
    return _laid_over(under, raw)


def _laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        held = merged.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            merged[key] = _laid_over(held, value)
        else:
            merged[key] = value
    return merged


def place_data(raw: dict[str, Any], path: Path) -> None:
    """Look for data sets and their mapping files beside the config that names them."""
    sections = raw.get("data")
    for section in sections if isinstance(sections, list) else ():
        for key in ("path", "mapping") if isinstance(section, dict) else ():
            if isinstance(section.get(key), str):
                where = Path(section[key]).expanduser()
                section[key] = where if where.is_absolute() else path.parent / where


def apply_change(raw: dict[str, Any], change: str) -> None:
    """Change one key, given as ``key=value``.

    Raises
    ------
    CosegError
        If it has no value, or there is no such place.
    """
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise CosegError(f"--set needs key=value, for example run.steps=2000, not {change!r}.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    target: Any = raw
    *parents, last = key.strip().split(".")
    for part in parents:
        if isinstance(target, list) and part.isdigit() and int(part) < len(target):
            target = target[int(part)]
        elif isinstance(target, dict):
            target = target.setdefault(part, {})
        else:
            raise CosegError(f"--set {change}: there is no {part} to change.")
    if isinstance(target, list) and last.isdigit() and int(last) < len(target):
        target[int(last)] = value
    elif isinstance(target, dict):
        target[last] = value
    else:
        raise CosegError(f"--set {change}: there is no {last} to change.")

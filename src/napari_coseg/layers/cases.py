"""Which case of a queue a layer belongs to: names of layers are not enough to tell two apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Key of a layer's metadata.
_CASE = "napari_coseg_case"


def mark_case(image: Any, case: str) -> None:
    """Let an image layer be known as that of a case."""
    image.metadata = {**image.metadata, _CASE: case}


def case_of(layer: Any) -> str:
    """Return what a layer's case is known by, "" where it belongs to none."""
    return str((getattr(layer, "metadata", None) or {}).get(_CASE, ""))


def kept_case(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what of a layer's metadata tells its case, for a layer that is made of it."""
    return {_CASE: metadata[_CASE]} if metadata and _CASE in metadata else {}

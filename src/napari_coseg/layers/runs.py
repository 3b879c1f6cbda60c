"""Layers that a run of Co-Seg++ made, and how its objects come into another layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.layers.results import own_facts, role_of
from napari_coseg.layers.sheet import Sheet, Window
from napari_coseg.types import CosegError

#: What of a run's facts a journal keeps; no names of files.
_KEPT = ("software", "model_sha256", "mpp", "device")
#: From one end to the other, pixels of two layers may drift apart by this part of one.
_SLACK = 0.1
#: An object that has more than this share of its pixels on others is one of them.
_SAME = 0.5


@dataclass(frozen=True)
class RunFacts:
    """A run of a model.

    Attributes
    ----------
    name : str
        What a person reads: "Co-Seg++ run: 612 objects".
    model : str
    settings : mapping
        Of the model.
    """

    name: str
    model: str
    settings: Mapping[str, Any]


def run_of(layer: Any) -> RunFacts | None:
    """Return the run that made an instance layer; None for any other layer.

    A layer that comes from a file is as somebody left it, and no run.
    """
    if role_of(layer) != "instances" or "model" not in layer.metadata or _is_file(layer):
        return None
    count = len(layer.features)
    settings = {name: layer.metadata[name] for name in _KEPT if name in layer.metadata}
    words = "1 object" if count == 1 else f"{count:,} objects"
    return RunFacts(f"Co-Seg++ run: {words}", str(layer.metadata["model"]), settings)


def image_of(layer: Any) -> str:
    """Return the name that the image of one of our layers had, "" where it is unknown."""
    return str((own_facts(layer) or {}).get("image", ""))


@dataclass(frozen=True)
class Found:
    """A run's objects as they come into another layer.

    Attributes
    ----------
    window : tuple of slice
        Of the layer's sheet.
    values : ndarray of int32
        What the labels there become.
    labels : dict of int to int
        New id of each object that comes in, by its id in the run.
    """

    window: Window
    values: npt.NDArray[np.int32]
    labels: dict[int, int]


def objects_for(sheet: Sheet, layer: Any, first: int, *, protect: bool) -> Found:
    """Bring the objects of a run's layer to another one.

    Parameters
    ----------
    sheet : Sheet
        Where they go; it is not changed.
    layer : Labels layer
        Of the run: of the same image, or of a part of it.
    first : int
        The id of the first of them.
    protect : bool
        Whether objects that are there keep their pixels. An object that lies on them for the
        greater part is left out then; else all objects there make room.

    Raises
    ------
    CosegError
        If its pixels are not those of the other layer.
    """
    run = Sheet(layer)
    part, window = _shared(sheet, run)
    there = np.asarray(sheet.labels[window], np.int64)
    # A run on one plane has an axis less.
    values = np.asarray(run.labels[part], np.int64).reshape(there.shape)
    ids, areas = np.unique(values[values > 0], return_counts=True)
    kept = ids
    if protect:
        hidden, counts = np.unique(values[(values > 0) & (there > 0)], return_counts=True)
        lost = np.zeros(len(ids), np.int64)
        lost[np.searchsorted(ids, hidden)] = counts
        kept = ids[lost <= _SAME * areas]
    if not len(kept):
        raise CosegError(
            f"{layer.name} has no object that is not there yet; allow new objects to take pixels "
            "of others, under More, to exchange them."
        )
    numbers = np.zeros(int(ids[-1]) + 1, np.int64)
    numbers[kept] = first + np.arange(len(kept))
    if int(numbers.max()) > np.iinfo(np.int32).max:
        raise CosegError("There are no ids left for the objects of the run; take a new layer.")
    new = numbers[np.maximum(values, 0)].astype(np.int32)
    if protect:
        new = np.where(there > 0, there, new).astype(np.int32)
    return Found(window, new, dict(zip(kept.tolist(), numbers[kept].tolist(), strict=True)))


def runs_among(layers: Iterable[Any], sheet: Sheet) -> list[Any]:
    """Return other layers that a run made and whose pixels are a sheet's, the last one first.

    Parameters
    ----------
    layers : iterable of layers
        In the order of the viewer.
    sheet : Sheet
    """
    found = []
    for layer in reversed(list(layers)):
        if run_of(layer) is None or layer == sheet.layer:
            continue
        try:
            _shared(sheet, Sheet(layer))
        except CosegError:
            continue
        found.append(layer)
    return found


def _shared(sheet: Sheet, run: Sheet) -> tuple[Window, Window]:
    """Return which part of a run's pixels lies on a sheet, and where."""
    target, layer = sheet.layer, run.layer
    trouble = CosegError(
        f"The pixels of {layer.name} are not those of {target.name}: choose it under Into instead."
    )
    if layer.ndim != target.ndim or run.axes not in (sheet.axes, sheet.axes[-len(run.axes) :]):
        raise trouble

    def place(index: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(target.world_to_data(layer.data_to_world(index)), float)

    origin = place(np.zeros(layer.ndim))
    first = np.round(origin).astype(int)
    lengths = np.array(layer.data.shape)
    last = place(lengths - 1.0)
    seen = list(sheet.axes)
    if (
        np.abs(origin - first)[seen].max() > _SLACK
        or np.abs(last - origin - (lengths - 1))[seen].max() > _SLACK
    ):
        raise trouble
    parts: list[slice] = []
    window: list[slice] = []
    for axis in seen:
        low = max(int(first[axis]), 0)
        high = min(int(first[axis] + lengths[axis]), int(target.data.shape[axis]))
        if low >= high:
            raise trouble
        window.append(slice(low, high))
        if axis in run.axes:
            parts.append(slice(low - int(first[axis]), high - int(first[axis])))
    return tuple(parts), tuple(window)


def _is_file(layer: Any) -> bool:
    return getattr(getattr(layer, "source", None), "path", None) is not None

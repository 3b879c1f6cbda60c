"""napari's reader and writer of volume files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.utils.notifications import show_warning

from napari_coseg.imaging.volume_headers import volume_stem
from napari_coseg.imaging.volume_writing import write_labels
from napari_coseg.imaging.volumes import read_volume
from napari_coseg.layers.crowds import PICTURE
from napari_coseg.layers.tuples import METADATA, LayerData
from napari_coseg.layers.volume_layers import grid_in, grids_of, layer_of
from napari_coseg.types import CosegError


def read_volume_file(path: str) -> list[LayerData]:
    """Read a volume as an Image or a Labels layer (npe2 reader)."""
    file = Path(path)
    volume = read_volume(file)
    for words in volume.notes:
        show_warning(words)
    return [layer_of(volume, volume_stem(file), file)]


def write_label_volume(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer on exactly the grid of its volume (npe2 writer).

    The grid is that in the layer's metadata; a layer that somebody added by hand takes the grid of
    the open volume on which it lies.

    Raises
    ------
    CosegError
        If there is no such grid, or the file cannot be written.
    """
    name = str(attributes.get("name", "labels"))
    metadata = attributes.get("metadata") or {}
    own = metadata.get(METADATA) or {}
    if own.get("role") == PICTURE:
        raise CosegError(
            f"{name} holds colours and no objects: save the hidden layer that it stands for."
        )
    labels = np.asarray(data[0] if attributes.get("multiscale") else data)
    grid = grid_in(metadata)
    if grid is None or grid.shape != labels.shape:
        viewer = napari.current_viewer()
        layers = [] if viewer is None else [*viewer.layers]
        grid = grids_of(layers, labels.shape, attributes)
    write_labels(path, _typed(labels, own.get("role")), grid)
    return [path]


def _typed(labels: npt.NDArray[Any], role: object) -> npt.NDArray[Any]:
    """Return labels in the type of their role, those of none in the smallest that holds them."""
    if labels.dtype.kind != "b" and labels.min(initial=0) < 0:
        return labels
    highest = int(labels.max(initial=0))
    if role == "instances" or highest > np.iinfo(np.uint16).max:
        # What is too much for 32 bits is told when it is written.
        fits = highest <= np.iinfo(np.int32).max
        return labels.astype(np.int32) if fits else labels
    return labels.astype(np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16)

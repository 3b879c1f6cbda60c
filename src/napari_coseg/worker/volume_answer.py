"""What is found in a volume as messages: labels in slabs of planes, then the table. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS, VolumeResult
from napari_coseg.types import JAWS, ClassTable
from napari_coseg.worker.protocol import Message, ProtocolError

if TYPE_CHECKING:
    import pandas as pd

#: Bytes of labels that travel in one message, but for a plane that is larger.
_SLAB = 16 << 20
#: Of each task the type of its labels, and the largest that fits.
_TASKS: dict[str, tuple[type[np.integer[Any]], int]] = {
    "regions": (np.uint8, (1 << 8) - 1),
    "instances": (np.uint16, (1 << 16) - 1),
}
#: Columns that follow from others, or are words.
_WORDS = ("class_name", "region_name", "jaw")


def slabs(labels: npt.NDArray[np.integer[Any]]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Cut labels into what fits into a message, in the smallest type that holds all of them.

    Yields
    ------
    plane : int
        The first.
    slab : ndarray of uint8, uint16 or int32, (planes, rows, columns)
        Slabs of background alone are left out.
    """
    highest = int(labels.max(initial=0))
    dtype = np.uint8 if highest < 1 << 8 else np.uint16 if highest < 1 << 16 else np.int32
    count = max(1, _SLAB // max(1, labels[0].size * np.dtype(dtype).itemsize))
    for first in range(0, len(labels), count):
        slab = labels[first : first + count]
        if slab.any():
            yield first, slab.astype(dtype)


def send_result(result: VolumeResult, send: Callable[..., None]) -> None:
    """Send a result.

    Parameters
    ----------
    result : VolumeResult
    send : callable
        As `napari_coseg.worker.job.Job.send`.
    """
    blocks = 0
    for task in _TASKS:
        labels = getattr(result, task)
        if labels is None:
            continue
        highest = int(labels.max(initial=0))
        for plane, slab in slabs(labels):
            body = {"task": task, "place": [plane], "highest": highest}
            send("block", body, {"labels": slab}, pack=True)
            blocks += 1
    voxels: list[int] | None = None
    if result.regions is not None:
        most = len(result.region_classes) + 1
        # A plane at a time: counting widens what it counts.
        counts = [np.bincount(plane.ravel(), minlength=most) for plane in result.regions]
        voxels = np.sum(counts, axis=0).tolist()
    body = {
        "blocks": blocks,
        "has_regions": result.regions is not None,
        "has_instances": result.instances is not None,
        "region_voxels": voxels,
        "region_classes": _listed(result.region_classes),
        "instance_classes": _listed(result.instance_classes),
        "metadata": result.metadata,
    }
    send("result", body, _columns(result.objects), pack=True)


def _columns(objects: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    columns = {name: objects[name].to_numpy() for name in VOLUME_COLUMNS if name not in _WORDS}
    codes = [JAWS.index(word) for word in objects["jaw"]]
    return {**columns, "jaw": np.array(codes, np.uint8)}


def _listed(table: ClassTable) -> list[list[Any]]:
    return [[info.name, list(info.colour)] for info in table]


class VolumeAssembly:
    """Puts the slabs of a volume together, on the client's side.

    Parameters
    ----------
    grid : VolumeGrid
        Of the volume.
    """

    def __init__(self, grid: VolumeGrid) -> None:
        self._grid = grid
        self._labels: dict[str, npt.NDArray[Any]] = {}
        self._blocks = 0

    def put(self, message: Message) -> tuple[str, tuple[int, ...], npt.NDArray[Any]]:
        """Take a slab; return its task, first plane and labels."""
        task, (plane,) = message.body["task"], (int(v) for v in message.body["place"])
        labels = message.arrays["labels"]
        if task not in _TASKS or labels.ndim != 3 or labels.dtype.kind not in "ui":
            raise ValueError(task)
        canvas = self._canvas(task, int(message.body["highest"]))
        window = canvas[max(plane, 0) : plane + len(labels)]
        if window.shape != labels.shape:
            raise ValueError("a slab outside of the volume")
        window[...] = labels
        self._blocks += 1
        return task, (plane,), labels

    def _canvas(self, task: str, highest: int = 0) -> npt.NDArray[Any]:
        if task not in self._labels:
            # As napari draws them at once: in 16 bits where they fit.
            dtype, largest = _TASKS[task]
            fits = highest <= largest
            self._labels[task] = np.zeros(self._grid.shape, dtype if fits else np.int32)
        return self._labels[task]

    def result(self, message: Message) -> VolumeResult:
        """Make the whole result.

        Raises
        ------
        ProtocolError
            If slabs were lost.
        """
        body = message.body
        if body["blocks"] != self._blocks:
            raise ProtocolError("The model worker has lost some planes on the way.")
        regions, instances = (_table(body[f"{name}_classes"]) for name in ("region", "instance"))
        metadata = dict(body["metadata"])
        if body["region_voxels"] is not None:
            metadata["region_voxels"] = [int(count) for count in body["region_voxels"]]
        return VolumeResult(
            regions=self._canvas("regions") if body["has_regions"] else None,
            instances=self._canvas("instances") if body["has_instances"] else None,
            objects=_objects(message.arrays, regions, instances),
            region_classes=regions,
            instance_classes=instances,
            grid=self._grid,
            metadata=metadata,
        )


def _table(entries: list[tuple[str, list[int]]]) -> ClassTable:
    return ClassTable.from_names([name for name, _ in entries], dict(entries))


def _objects(
    arrays: Mapping[str, npt.NDArray[Any]], regions: ClassTable, instances: ClassTable
) -> pd.DataFrame:
    """Rebuild the table; names follow from ids and need not travel."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in VOLUME_COLUMNS:
        if name == "jaw":
            columns[name] = np.array(JAWS, object)[arrays["jaw"]]
        elif name in _WORDS:
            table = regions if name == "region_name" else instances
            names = np.array([table.name_of(i) for i in range(len(table) + 1)], object)
            if name == "class_name" or len(table) == 0:
                names[0] = ""
            columns[name] = names[arrays[name.removesuffix("_name")]]
        else:
            # A writable copy: frames are not.
            columns[name] = np.array(arrays[name])
    return pd.DataFrame(columns)

"""Boxes and points on planes of volumes to label volumes and tables."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.imaging.prompt_tables import PromptedObject
from napari_coseg.imaging.volume_objects import volume_objects
from napari_coseg.imaging.volume_opening import label_suffix, open_volume
from napari_coseg.imaging.volume_pictures import VolumePictures
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.imaging.volume_results import (
    volume_result_paths,
    write_volume_results,
    written_volume_paths,
)
from napari_coseg.imaging.windows import Window
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.key_planes import KeyPlane, PlaneMask
from napari_coseg.inference.prompted import Prompter
from napari_coseg.inference.propagation import WalkSettings, propagate
from napari_coseg.inference.result_folder import ResultFolder
from napari_coseg.inference.stream import Cancel, Progress
from napari_coseg.inference.timing import Timings
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.weights.loading import LoadedPromptModel


class VolumePromptFolder(ResultFolder):
    """A folder of results for prompts in volumes, made by one model.

    Parameters
    ----------
    out : Path
        The folder; made if it is not there.
    model : LoadedPromptModel
        Network, card, hash.
    objects : mapping of str
        What is asked for in each volume, by the name of its job; each with its plane.
    classes : ClassTable
        Of these objects.
    axis : int
        The axis that planes are counted along: 0 for the volume's own planes.
    window : (float, float), optional
        Grey values that become black and white; by default the automatic window.
    follow : bool
        Whether objects are followed from the planes that they are prompted on.
    size : float, optional
        Length in pixels of objects that have points alone.
    precision : {"auto", "float32", "bfloat16"}
        In which numbers the network computes, see `napari_coseg.inference.precision`.
    """

    def __init__(
        self,
        out: Path,
        model: LoadedPromptModel,
        objects: Mapping[str, Sequence[PromptedObject]],
        classes: ClassTable,
        *,
        axis: int = 0,
        window: Window | None = None,
        follow: bool = True,
        size: float | None = None,
        precision: str = "auto",
    ) -> None:
        self._walk = WalkSettings()
        settings = {
            "axis": axis,
            "window": None if window is None else list(window),
            "follow": follow,
            "size": size,
            **asdict(self._walk),
        }
        super().__init__(out, model, {**settings, "precision": precision}, settings)
        self._prompter = Prompter(model, precision=precision)
        self._objects = objects
        self._table = classes
        self._axis, self._window, self._follow, self._size = axis, window, follow, size

    def _make(
        self, job: Job, base: Path, progress: Progress | None, cancel: Cancel | None
    ) -> dict[str, Any]:
        return prompt_volume(
            job.path,
            base,
            self._prompter,
            self._objects[job.name],
            self._table,
            axis=self._axis,
            window=self._window,
            follow=self._follow,
            size=self._size,
            walk=self._walk,
            progress=progress,
            cancel=cancel,
        )

    def _written(self, job: Job) -> tuple[Path, ...]:
        base = self.out / job.name
        return written_volume_paths(base, label_suffix(job.path), regions=False, instances=True)

    def _possible(self, job: Job) -> tuple[Path, ...]:
        return volume_result_paths(self.out / job.name)

    def _classes(self) -> dict[str, ClassTable]:
        return {"instance_classes": self._table}

    def _request(self, job: Job) -> dict[str, Any]:
        return {**super()._request(job), "prompts": _hash(self._objects[job.name], self._table)}


def prompt_volume(
    path: Path,
    base: Path,
    prompter: Prompter,
    objects: Sequence[PromptedObject],
    classes: ClassTable,
    *,
    axis: int = 0,
    window: Window | None = None,
    follow: bool = True,
    size: float | None = None,
    walk: WalkSettings | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Any]:
    """Segment objects of a volume from planes that they are prompted on, and write the results.

    Parameters
    ----------
    path : Path
        A volume; see `napari_coseg.imaging.volume_opening.open_volume`.
    base : Path
        Folder and name of the results; the folder must exist. Files of that name are replaced.
    prompter : Prompter
    objects : sequence of PromptedObject
        Each with its plane; several of one label are one object.
    classes : ClassTable
        Of these objects.
    axis, window, follow, size
        As for `VolumePromptFolder`.
    walk : WalkSettings, optional
    progress, cancel : callable, optional
        Told of ends that objects have come to and all ends, two an object; asked between batches.

    Returns
    -------
    dict
        Shape, spacing, window, number of objects, labels that ended empty, how many planes came
        about in which way, device, seconds by stage.

    Raises
    ------
    CosegError
        If the volume or a prompt cannot be used, or a file cannot be written.
    napari_coseg.inference.stream.Cancelled
        If `cancel` said so.
    """
    started = time.perf_counter()
    timings = Timings()
    keys = [_key(path, one) for one in objects]
    with timings.of("read"):
        volume = open_volume(path)
        pictures = VolumePictures(volume.voxels, volume.grid.spacing, axis, window)
    instances = np.zeros(volume.grid.shape, np.int32)
    # Painted without gaps, since labels may be as large as they like.
    labels = sorted({one.label for one in objects})
    ids = {label: number for number, label in enumerate(labels, 1)}
    # To the planes that are prompted and no further.
    reach = None if follow else _spans(keys)
    scores: dict[int, list[tuple[int, float]]] = {}
    ways: dict[str, int] = {}
    ended, ends = 0, 2 * len(labels)
    with timings.of("segment"):
        for found in propagate(
            prompter, pictures, keys, settings=walk, reach=reach, hint=size, cancel=cancel
        ):
            if found.how == "ended":
                ended += 1
                if progress is not None:
                    progress(ended, ends)
                continue
            _paint(instances, pictures, found, ids[found.label])
            ways[found.how] = ways.get(found.how, 0) + 1
            scores.setdefault(found.label, []).append((found.mask.area, found.stability))
    if progress is not None:
        progress(ends, ends)
    with timings.of("write"):
        mean = np.array([0.0, *(_mean(scores.get(label, ())) for label in labels)])
        table = volume_objects(instances, None, volume.grid, ClassTable(), classes, scores=mean)
        numbers = np.array([0, *labels], np.int32)
        table["label"] = numbers[table["label"].to_numpy()].astype(np.int64)
        _classify(table, objects, classes)
        instances = numbers[instances]
        suffix = label_suffix(path)
        write_volume_results(base, suffix, None, instances, table, VOLUME_COLUMNS, volume.grid)
    there = set(table["label"].tolist())
    return {
        "shape": list(volume.grid.shape),
        "spacing": list(volume.grid.spacing),
        "window": list(pictures.window),
        "objects": len(table),
        "empty": sorted({one.label for one in objects} - there),
        "planes": ways,
        "device": str(prompter.device),
        "precision": prompter.precision,
        "batch": prompter.batch,
        "notes": list(volume.notes),
        "seconds": {**timings.as_dict(), "all": round(time.perf_counter() - started, 3)},
    }


def _key(path: Path, one: PromptedObject) -> KeyPlane:
    if one.plane is None:
        raise CosegError(
            f"{path} is a volume, and nothing says on which plane label {one.label} is prompted: "
            "give the tables a column plane, counted from 0."
        )
    return KeyPlane(one.label, one.plane, one.prompt)


def _spans(keys: Sequence[KeyPlane]) -> dict[int, tuple[int, int]]:
    planes: dict[int, list[int]] = {}
    for key in keys:
        planes.setdefault(key.label, []).append(key.plane)
    return {label: (min(there), max(there) + 1) for label, there in planes.items()}


def _paint(
    instances: npt.NDArray[np.int32], pictures: VolumePictures, found: PlaneMask, number: int
) -> None:
    if found.mask.area:
        window = instances[pictures.at(found.plane, found.mask.window)]
        window[found.mask.bits] = number


def _classify(table: pd.DataFrame, objects: Sequence[PromptedObject], classes: ClassTable) -> None:
    known = {one.label: one.class_id for one in objects}
    ids = [known[label] for label in table["label"].tolist()]
    table["class"] = np.array(ids, np.int64)
    table["class_name"] = [classes.name_of(i) if i else "" for i in ids]


def _mean(planes: Sequence[tuple[int, float]]) -> float:
    """Return the mean stability of planes by their area."""
    whole = sum(area for area, _ in planes)
    return math.fsum(area * sure for area, sure in planes) / max(whole, 1)


def _hash(objects: Sequence[PromptedObject], classes: ClassTable) -> str:
    listed = [
        (one.label, one.plane, one.prompt.box, one.prompt.points, classes.name_of(one.class_id))
        for one in objects
    ]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

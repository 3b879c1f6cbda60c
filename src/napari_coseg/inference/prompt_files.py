"""Boxes and points from files to label images and tables."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_coseg.imaging.objects import pixel_table
from napari_coseg.imaging.prompt_tables import PromptedObject
from napari_coseg.imaging.result_files import write_results, written_paths
from napari_coseg.imaging.source import open_image
from napari_coseg.inference.canvas import Canvas, make_canvas
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.prompt_looks import object_length
from napari_coseg.inference.prompt_shapes import checked
from napari_coseg.inference.prompted import Prompter
from napari_coseg.inference.result_folder import ResultFolder
from napari_coseg.inference.stream import Cancel, Progress
from napari_coseg.inference.timing import Timings
from napari_coseg.types import OBJECT_COLUMNS, ClassTable, Mask, empty_objects
from napari_coseg.weights.loading import LoadedPromptModel

#: Objects that are segmented in one go: enough to share crops, few enough for their logits.
_TOGETHER = 512
#: Least fill of a shared crop: nobody waits for a single object here, so finer than for a click.
SHARE = 0.25
# Pixels of a square whose objects are likely to share crops.
_NEAR = 1024


class PromptFolder(ResultFolder):
    """A folder of results for prompts, made by one model.

    Parameters
    ----------
    out : Path
        The folder; made if it is not there.
    model : LoadedPromptModel
        Network, card, hash.
    objects : mapping of str
        What is asked for on each image, by the name of its job; see
        `napari_coseg.inference.prompt_jobs.assign`.
    classes : ClassTable
        Of these objects.
    mpp : float, optional
        µm per pixel of all images, instead of what their files say.
    size : float, optional
        Length in pixels of objects that have points alone.
    precision : {"auto", "float32", "bfloat16"}
        In which numbers the network computes, see `napari_coseg.inference.precision`.

    Raises
    ------
    CosegError
        If the pixel size or the size of objects is not a positive number.
    """

    def __init__(
        self,
        out: Path,
        model: LoadedPromptModel,
        objects: Mapping[str, Sequence[PromptedObject]],
        classes: ClassTable,
        mpp: float | None = None,
        size: float | None = None,
        precision: str = "auto",
    ) -> None:
        settings = {"size": object_length(size), "share": SHARE}
        super().__init__(out, model, {**settings, "precision": precision}, settings, mpp)
        self._prompter = Prompter(model, precision=precision)
        self._objects = objects
        self._table = classes
        self._size = size

    def _make(
        self, job: Job, base: Path, progress: Progress | None, cancel: Cancel | None
    ) -> dict[str, Any]:
        return prompt_file(
            job.path,
            base,
            self._prompter,
            self._objects[job.name],
            self._table,
            mpp=self._mpp,
            size=self._size,
            progress=progress,
            cancel=cancel,
        )

    def _written(self, job: Job) -> tuple[Path, ...]:
        return written_paths(self.out / job.name, regions=False, instances=True)

    def _classes(self) -> dict[str, ClassTable]:
        return {"instance_classes": self._table}

    def _request(self, job: Job) -> dict[str, Any]:
        return {**super()._request(job), "prompts": _hash(self._objects[job.name], self._table)}


def prompt_file(
    path: Path,
    base: Path,
    prompter: Prompter,
    objects: Sequence[PromptedObject],
    classes: ClassTable,
    *,
    mpp: float | None = None,
    size: float | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Any]:
    """Segment the objects that prompts on an image file are on, and write the results.

    Where objects overlap, a pixel belongs to the one that was asked for first.

    Parameters
    ----------
    path : Path
        PNG, JPEG, BMP or TIFF.
    base : Path
        Folder and name of the results; the folder must exist. Files of that name are replaced.
    prompter : Prompter
    objects : sequence of PromptedObject
        Labels must differ.
    classes : ClassTable
        Of these objects.
    mpp : float, optional
        µm per pixel, instead of what the file says.
    size : float, optional
        Length in pixels of objects that have points alone.
    progress, cancel : callable, optional
        Told of objects done and all objects; asked between batches.

    Returns
    -------
    dict
        Shape, pixel size, number of objects, labels that ended empty, device, seconds by stage.

    Raises
    ------
    CosegError
        If the image or a prompt cannot be used, or a file cannot be written.
    napari_coseg.inference.stream.Cancelled
        If `cancel` said so.
    """
    started = time.perf_counter()
    timings = Timings()
    with open_image(path) as source, ExitStack() as stack:
        known = source.mpp if mpp is None else mpp
        for one in objects:
            checked(one.prompt, source.shape, f"Label {one.label}")
        found: dict[int, tuple[Mask, float]] = {}
        near = sorted(range(len(objects)), key=lambda index: _square(objects[index]))
        with timings.of("segment"):
            for first in range(0, len(near), _TOGETHER):
                part = near[first : first + _TOGETHER]
                prompts = [objects[index].prompt for index in part]
                answers = prompter.segment(source, prompts, hint=size, share=SHARE, cancel=cancel)
                for index, answer in zip(part, answers, strict=True):
                    found[index] = (answer.mask, answer.stability)
                if progress is not None:
                    progress(len(found), len(objects))
        with timings.of("write"):
            canvas = make_canvas(source.shape, np.int32, base.parent, stack)
            in_order = [(one, *found[index]) for index, one in enumerate(objects)]
            table = _painted(canvas, in_order, classes, known)
            labels: Any = canvas
            write_results(base, None, labels, table, ClassTable(), classes, known)
    there = set(table["label"].tolist())
    empty = [one.label for one in objects if one.label not in there]
    return {
        "shape": list(source.shape),
        "mpp": known,
        "mpp_origin": "given" if mpp is not None else "image" if known is not None else "unknown",
        "objects": len(table),
        "empty": empty,
        "device": str(prompter.device),
        "precision": prompter.precision,
        "batch": prompter.batch,
        "notes": [],
        "seconds": {**timings.as_dict(), "all": round(time.perf_counter() - started, 3)},
    }


def _painted(
    canvas: Canvas,
    found: Sequence[tuple[PromptedObject, Mask, float]],
    classes: ClassTable,
    mpp: float | None,
) -> pd.DataFrame:
    """Write the masks into the label image, first come, first served; return their table."""
    columns = int(canvas.shape[1])
    pixels, ids = [], []
    for one, mask, _ in found:
        if not mask.area:
            continue
        row, column = mask.window
        there = canvas[row, column]
        free = mask.bits & (there == 0)
        canvas[row, column] = np.where(free, np.int32(one.label), there)
        rows, across = np.nonzero(free)
        pixels.append((rows + row.start) * columns + across + column.start)
        ids.append(np.full(len(rows), one.label, np.int64))
    if not sum(map(len, pixels)):
        return empty_objects()
    flat, owners = np.concatenate(pixels), np.concatenate(ids)
    order = np.argsort(flat, kind="stable")
    table = pixel_table(flat[order], owners[order], columns)
    known = {one.label: (one.class_id, score) for one, _, score in found}
    facts = [known[label] for label in table["label"].tolist()]
    table["class"] = np.array([class_id for class_id, _ in facts], np.int64)
    table["class_name"] = [classes.name_of(i) if i else "" for i, _ in facts]
    table["score"] = np.array([score for _, score in facts], np.float64)
    table["area_um2"] = table["area_px"] * (np.nan if mpp is None else mpp**2)
    table["region"], table["region_name"] = 0, ""
    return table[list(OBJECT_COLUMNS)]


def _square(one: PromptedObject) -> tuple[int, int]:
    """Return in which square of the image an object begins: neighbours are worked on together."""
    corners = [(row, column) for row, column, _ in one.prompt.points]
    if one.prompt.box is not None:
        corners.append(one.prompt.box[:2])
    row, column = min(corners)
    return int(row // _NEAR), int(column // _NEAR)


def _hash(objects: Sequence[PromptedObject], classes: ClassTable) -> str:
    listed = [
        (one.label, one.prompt.box, one.prompt.points, classes.name_of(one.class_id))
        for one in objects
    ]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

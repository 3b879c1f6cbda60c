"""Panoptic prediction of one volume in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_objects import volume_objects
from napari_coseg.imaging.volume_result import VolumeResult
from napari_coseg.imaging.volume_turning import Turning
from napari_coseg.imaging.volumes import Volume
from napari_coseg.imaging.windows import automatic_window
from napari_coseg.inference.fdi import propose_fdi
from napari_coseg.inference.jaw_votes import vote_jaws
from napari_coseg.inference.panoptic import model_facts
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancel, Model, Progress, has_instances, has_regions
from napari_coseg.inference.timing import Timings
from napari_coseg.inference.volume_debris import drop_small_parts
from napari_coseg.inference.volume_linking import LinkSettings, link_planes
from napari_coseg.inference.volume_stream import VolumeStream
from napari_coseg.weights.card import ModelCard

#: Names of the regions by which teeth are told apart.
UPPER, LOWER = "upper jaw", "lower jaw"
#: How a model of jaws sees every volume: axial, from head to foot, as its training sets lie.
AXIAL = "IPL"
#: mm between planes from which on a person is told that there are few of them.
_FEW_PLANES = 3.0


def segment_volume(
    volume: Volume,
    model: Model,
    *,
    settings: PredictSettings | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> VolumeResult:
    """Segment a volume into regions and instances.

    Planes go through the network with their neighbours, in pixels of the model's size; the
    components of each plane are linked to objects. Planes so thin that several fit into the
    model's pixel are left out, and their maps interpolated. A model that knows upper and lower jaw
    sees axial planes from head to foot, however the volume is stored; it looks closely only where
    planes a centimetre apart show anything (`napari_coseg.inference.volume_scouting`); its regions
    agree in 3D, and its teeth get a jaw and an FDI number. Other models see planes as they are
    stored. Air is not looked at.

    Parameters
    ----------
    volume : Volume
    model : LoadedModel
        A model of volumes, see `napari_coseg.weights.loading.load_model`.
    settings : PredictSettings, optional
        Defaults where left out.
    progress : callable, optional
        Called with the planes done and all planes.
    cancel : callable, optional
        Asked between batches; True ends the work.

    Returns
    -------
    VolumeResult
        Its metadata hold model, settings, device, window, planes seen and seconds by stage.

    Raises
    ------
    CosegError
        If the model is one of pictures, the voxels are beyond belief, or memory does not suffice.
    napari_coseg.inference.stream.Cancelled
        If `cancel` said so.
    """
    return segment_voxels(
        volume.voxels,
        volume.grid,
        model,
        notes=volume.notes,
        settings=settings,
        progress=progress,
        cancel=cancel,
    )


def segment_voxels(
    voxels: Any,
    stored: VolumeGrid,
    model: Model,
    *,
    notes: Sequence[str] = (),
    settings: PredictSettings | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> VolumeResult:
    """Segment voxels that need not be in memory; see `segment_volume`.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
        NumPy's, or one that is read when it is sliced, and can be transposed.
    stored : VolumeGrid
        Theirs.
    model : LoadedModel
    notes : sequence of str
        What a person should know of the volume.
    settings, progress, cancel
        As of `segment_volume`.
    """
    started = time.perf_counter()
    card = model.card
    card.expect_input(volume=True)
    settings = (settings or PredictSettings()).for_model(card)
    timings = Timings()
    dental = has_jaws(card)
    turning = Turning.to(stored, AXIAL) if dental else Turning()
    grid = turning.grid(stored)
    window = settings.window or automatic_window(voxels)
    stream = VolumeStream(
        turning.seen(voxels),
        grid,
        window,
        model,
        settings,
        scouting=dental,
        timings=timings,
        progress=progress,
        cancel=cancel,
    )
    regions = np.zeros(grid.shape, np.uint8) if has_regions(card) else None
    instances = np.zeros(grid.shape, np.int32) if has_instances(card) else None
    components = stream.run(regions, instances)
    facts = None
    if instances is not None:
        with timings.of("linking"):
            if len(components):
                # Nothing is too small to be an object but for a tooth.
                rules = None if dental else LinkSettings(least_volume=0, least_length=0)
                link_planes(instances, grid.spacing, rules, cancel=cancel)
            facts = object_facts(components, instances)
            assert settings.instances is not None
            facts = _without_doubtful(instances, facts, settings.instances.min_score)
    if dental and regions is not None:
        with timings.of("votes"):
            vote_jaws(regions, *_jaw_ids(card), grid.spacing[0])
    if regions is not None and dental:
        # After the votes: a part of the wrong class may be the bridge between two of the right one.
        with timings.of("debris"):
            drop_small_parts(regions, grid.spacing, settings.min_region_mm3)
    if turning != Turning():
        with timings.of("turning"):
            if regions is not None:
                regions = np.ascontiguousarray(turning.stored(regions))
            if instances is not None:
                instances = np.ascontiguousarray(turning.stored(instances))
    with timings.of("facts"):
        objects = _objects(instances, regions, facts, stored, card)
    seconds = {**timings.as_dict(), "all": round(time.perf_counter() - started, 3)}
    return VolumeResult(
        regions=regions,
        instances=instances,
        objects=objects,
        region_classes=card.region_table,
        instance_classes=card.instance_table,
        grid=stored,
        metadata={
            **model_facts(model),
            "settings": settings.as_dict(),
            "device": stream.device,
            "precision": stream.precision,
            "batch": stream.batch,
            "window": list(window),
            "seen": grid.orientation,
            "planes": [len(stream.planes), grid.shape[0]],
            "tiles": stream.tiles,
            "notes": [*notes, *_notes(grid, dental)],
            "seconds": seconds,
        },
    )


def has_jaws(card: ModelCard) -> bool:
    """Whether a model tells upper from lower jaw, so that its objects are teeth."""
    return {UPPER, LOWER} <= {entry.name for entry in card.region_classes}


def object_facts(components: pd.DataFrame, instances: npt.NDArray[np.int32]) -> pd.DataFrame:
    """Tell class and score of objects from those of the components in their planes.

    Parameters
    ----------
    components : DataFrame
        As `VolumeStream.run` returns it.
    instances : ndarray of int32, (planes, rows, columns)
        Object ids from 1 without gaps.

    Returns
    -------
    DataFrame
        Indexed by label: ``class``, the one with most area, and ``score``, the mean foreground
        probability. An object without a component of its own, such as a piece that was cut off,
        has the class 0 and no score.
    """
    count = int(instances.max(initial=0))
    places = tuple(components[name].to_numpy(np.int64) for name in ("plane", "row", "column"))
    label = instances[places].astype(np.int64)
    area = components["area_px"].to_numpy(np.float64)
    weight = np.bincount(label, area, count + 1)
    with np.errstate(invalid="ignore"):
        score = np.bincount(label, area * components["score"].to_numpy(float), count + 1) / weight
    classes = components["class"].to_numpy(np.int64)
    most = int(classes.max(initial=0)) + 1
    votes = np.bincount(label * most + classes, area, (count + 1) * most).reshape(-1, most)
    chosen = np.where(votes[:, 1:].any(1), votes[:, 1:].argmax(1) + 1, 0) if most > 1 else 0
    table = pd.DataFrame({"class": chosen, "score": score}, index=np.arange(count + 1))
    return table.rename_axis("label").iloc[1:]


def _without_doubtful(
    instances: npt.NDArray[np.int32], facts: pd.DataFrame, least: float
) -> pd.DataFrame:
    """Take objects of a low score out of the labels, in place, and leave no gap."""
    doubtful = facts["score"].to_numpy() < least
    if not doubtful.any():
        return facts
    numbers = np.zeros(len(facts) + 1, np.int32)
    numbers[1:][~doubtful] = np.arange(1, np.count_nonzero(~doubtful) + 1)
    for plane in instances:
        plane[...] = numbers[plane]
    kept = facts[~doubtful]
    return kept.set_axis(np.arange(1, len(kept) + 1)).rename_axis("label")


def _objects(
    instances: npt.NDArray[np.int32] | None,
    regions: npt.NDArray[np.uint8] | None,
    facts: pd.DataFrame | None,
    grid: VolumeGrid,
    card: ModelCard,
) -> pd.DataFrame:
    """Return the object table of labels as they are stored."""
    if instances is None or facts is None:
        instances = np.zeros(grid.shape, np.int32)
        facts = pd.DataFrame({"class": [], "score": []})
    numbers = None
    if regions is not None and len(facts) and has_jaws(card):
        numbers = propose_fdi(instances, regions, grid, *_jaw_ids(card))
    table = volume_objects(
        instances, regions, grid, card.region_table, card.instance_table, numbers=numbers
    )
    own = facts.reindex(table["label"])
    classes = own["class"].to_numpy(np.int64)
    # What has no component of its own, such as a piece that was cut off, keeps the first class.
    classes = np.where(classes > 0, classes, table["class"].to_numpy(np.int64))
    return table.assign(
        **{"class": classes, "score": own["score"].to_numpy(np.float64)},
        class_name=[card.instance_table.name_of(number) if number else "" for number in classes],
    )


def _jaw_ids(card: ModelCard) -> tuple[int, int]:
    names = card.region_table.names
    return names.index(UPPER) + 1, names.index(LOWER) + 1


def _notes(grid: VolumeGrid, dental: bool) -> list[str]:
    notes = []
    if dental and grid.superior == 0:
        notes.append(
            "The planes are so oblique that none of them is axial: resample the volume if jaws or "
            "teeth are missing."
        )
    if grid.spacing[0] >= _FEW_PLANES:
        notes.append(
            f"The planes are {grid.spacing[0]:g} mm apart: objects are in few of them, and what "
            "lies between is not seen."
        )
    return notes

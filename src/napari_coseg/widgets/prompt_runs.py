"""Objects that a run of Co-Seg++ found, brought into the layer that is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_coseg.annotation.change import Change
from napari_coseg.layers.drawing import classes_of
from napari_coseg.layers.runs import objects_for, run_of, runs_among
from napari_coseg.types import CosegError
from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_known import known_records, made_by
from napari_coseg.widgets.prompt_target import Target

if TYPE_CHECKING:
    import napari.viewer


class Runs(QObject):
    """Hears of runs, and takes their objects in.

    A run makes layers of its own, which this leaves as they are: what a person has drawn is
    exchanged for nothing unasked.
    """

    def __init__(self, viewer: napari.viewer.Viewer, desk: Desk) -> None:
        super().__init__()
        self._viewer = viewer
        self._desk = desk
        viewer.layers.events.inserted.connect(self._on_inserted)

    def take(self) -> None:
        """Bring the objects of a run into the layer that objects go into, as one step."""
        if not any(run_of(layer) for layer in self._viewer.layers):
            self._desk.said.emit("There is no run here: press Run in the Segment dock first.")
            return
        self._desk.with_target(self._take, count=0)

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)

    def _take(self, target: Target) -> bool:
        layers = runs_among(self._viewer.layers, target.sheet)
        if not layers:
            self._desk.said.emit(f"There is no run whose pixels are those of {target.layer.name}.")
            return False
        # The one that the person means, by a click in the list or by what is seen.
        active = self._viewer.layers.selection.active
        seen = [layer for layer in layers if layer.visible]
        layer = active if active in layers else (seen or layers)[0]
        protect = self._desk.form.protect.isChecked()
        change = self._desk.do(lambda: take_run(target, layer, protect=protect))
        if change is None:
            return False
        self._desk.form.show_classes(target.classes)
        self._desk.said.emit(f"{change.name}, from {layer.name}.")
        return True

    def _on_inserted(self, event: Any) -> None:
        target, layer = self._desk.target, event.value
        run = run_of(layer)
        if run is None or target is None or not runs_among([layer], target.sheet):
            return
        name = target.layer.name
        words = f"{run.name}. More > Take in puts them into {name} as one step."
        if not target.layer.visible:
            words += f" {name} is hidden now."
        self._desk.said.emit(words)


def take_run(target: Target, layer: Any, *, protect: bool) -> Change:
    """Put the objects of a run's layer into the one with the journal, as one step.

    Parameters
    ----------
    target : Target
    layer : Labels layer
        It stays as it is.
    protect : bool
        As of `napari_coseg.layers.runs.objects_for`.

    Raises
    ------
    CosegError
        If the layer is of no run, or its pixels are others.
    """
    run = made_by(layer)
    if run is None:
        raise CosegError(f"{layer.name} is not the result of a run.")
    target.catch_up()
    found = objects_for(target.sheet, layer, target.case.next_label(), protect=protect)
    largest = np.iinfo(target.sheet.labels.dtype).max
    if any(new in target.case.objects or new > largest for new in found.labels.values()):
        raise CosegError("There are no ids left for the objects of the run; take a new layer.")
    # Once it is known that they fit: classes stay.
    classes = _classes_for(target, layer)
    known = {
        new: replace(told[old], label=new, class_id=classes.get(told[old].class_id, 0))
        for told in (known_records(layer),)
        for old, new in found.labels.items()
        if old in told
    }
    count = len(found.labels)
    words = "1 object" if count == 1 else f"{count:,} objects"
    named = replace(run, name=f"{run.name.partition(':')[0]}: {words}")
    pixels = [(found.window, found.values)]
    return target.edit(
        lambda: target.case.adopt(
            pixels, known, named.name, model=named.model, settings=named.settings
        )
    )


def _classes_for(target: Target, layer: Any) -> Mapping[int, int]:
    """Return the class there of each class of a run's layer; those that lack are added."""
    theirs = classes_of(layer)
    for name in theirs.names:
        if name not in target.classes.names:
            target.add_class(name)
    here = {info.name: info.id for info in target.classes}
    return {info.id: here[info.name] for info in theirs}

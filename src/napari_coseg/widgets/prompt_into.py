"""What the field Into of the Prompt dock offers: layers, and earlier work."""

from __future__ import annotations

import time
from pathlib import Path

from qtpy.QtWidgets import QComboBox

from napari_coseg.widgets.held_layers import held_on
from napari_coseg.widgets.prompt_opening import Opening
from napari_coseg.widgets.prompt_place import PromptPlace
from napari_coseg.widgets.prompt_target import Target


def fill_into(
    into: QComboBox, place: PromptPlace, target: Target | None, opening: Opening | None
) -> None:
    """List where objects could go, and light what is used.

    Parameters
    ----------
    into : QComboBox
        Its data are ("new", None), ("layer", Labels layer) or ("journal", Path).
    place : PromptPlace
        Knows the layers on the image and the journals of earlier work on it.
    target, opening
        What is used, or being read for that.
    """
    into.blockSignals(True)
    into.clear()
    held = None if place.image is None else held_on(place.image)
    if held is not None:
        # A queue's case has one layer for objects, and one journal.
        layer = None if held.target is None else held.target.layer
        into.addItem(
            *("New layer", ("new", None)) if layer is None else (layer.name, ("layer", layer))
        )
        into.blockSignals(False)
        return
    into.addItem("New layer", ("new", None))
    used = target if opening is None else opening.target
    shown = False
    for layer in place.sheets():
        into.addItem(layer.name, ("layer", layer))
        if used is not None and layer == used.layer:
            shown = True
            into.setCurrentIndex(into.count() - 1)
    known = None if used is None else used.path
    shown = shown or (opening is not None and opening.fresh)
    for path in place.earlier():
        if path != known or not shown:
            words = time.strftime("%d %b %H:%M", time.localtime(_changed(path)))
            into.addItem(f"Earlier work, {words}", ("journal", path))
        if path == known and not shown:
            into.setCurrentIndex(into.count() - 1)
    into.blockSignals(False)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

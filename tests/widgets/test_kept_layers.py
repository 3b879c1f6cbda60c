"""Layers that take the place of what a journal holds: their classes go by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image

from napari_coseg.annotation.identity import identify
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.queue_layers import regions_on
from napari_coseg.layers.results import Place, class_table, result_layers
from napari_coseg.types import ClassTable
from napari_coseg.widgets.kept_layer import KeptLayer
from napari_coseg.widgets.kept_regions import KeptRegions
from napari_coseg.widgets.prompt_target import Target
from tests.layers.test_results import result


def opened(kept: KeptLayer) -> KeptLayer:
    kept.read()
    kept.begin()
    return kept


def test_regions_of_other_classes(qtbot: Any, tmp_path: Path) -> None:
    image = Image(np.arange(2000.0).reshape(40, 50), name="a")
    identity, path = identify(image.data), tmp_path / "a.regions"
    labels = np.zeros((40, 50), np.uint8)
    labels[:9], labels[20:] = 1, 2
    first = regions_on(image, labels.copy(), ClassTable.from_names(["upper", "lower"]), None)
    assert opened(KeptRegions(first, path, identity)).let_go()
    second = regions_on(
        image, labels[::-1].copy(), ClassTable.from_names(["lower", "pharynx"]), None
    )
    kept = opened(KeptRegions(second, path, identity, instead=True))
    np.testing.assert_array_equal(second.data, np.array([0, 2, 3])[labels[::-1]])
    assert list(class_table(second).names) == ["upper", "lower", "pharynx"]
    kept.undo()
    np.testing.assert_array_equal(second.data, labels)
    assert kept.redo() is not None
    assert kept.let_go()
    third = regions_on(image, np.zeros((40, 50), np.uint8), ClassTable(), None)
    assert opened(KeptRegions(third, path, identity)).let_go()
    np.testing.assert_array_equal(third.data, second.data)
    assert list(class_table(third).names) == ["upper", "lower", "pharynx"]


def test_objects_of_other_classes(qtbot: Any, tmp_path: Path) -> None:
    image = Image(np.arange(2000.0).reshape(40, 50), name="a")
    identity, path = identify(image.data), tmp_path / "a.objects"
    place, stack = Place((), 0, (0, 0, 40, 50)), Stack.of(image)
    first = result_layers([result(40, 50)], image, stack, place)[1]
    kept = Target(first, path, identity, instead=True)
    opened(kept)
    assert kept.case.stands_on_run
    assert {label: one.class_id for label, one in kept.case.objects.items()} == {1: 1, 2: 2}
    kept.let_go()
    other = replace(result(40, 50), instance_classes=ClassTable.from_names(["b", "c"]))
    second = result_layers([other], image, stack, place)[1]
    kept = Target(second, path, identity, instead=True)
    opened(kept)
    # b was the second class already; c is new.
    assert list(kept.classes.names) == ["a", "b", "c"]
    assert {label: one.class_id for label, one in kept.case.objects.items()} == {1: 2, 2: 3}
    kept.undo()
    assert {label: one.class_id for label, one in kept.case.objects.items()} == {1: 1, 2: 2}
    assert kept.let_go()

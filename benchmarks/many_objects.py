"""70,000 nuclei in napari: showing them by class, and a click in the legend.

Makes discs on a jittered grid, opens the Segment dock (twice, for its time) and gives it a result
with these objects, as if the worker had sent it: layers, colours, table, legend, first draw. Then
classes are switched off and on by their boxes in the legend, until the canvas shows it, and
colours change from class to object and back. Needs napari; starts Xvfb where there is no display.

Seconds are of the clock; those of the CPU, in brackets, say what a machine that has nothing else
to do would need at most.

    python benchmarks/many_objects.py [--objects 70000] [--side 8192] [--clicks 10] [--profile FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import statistics
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from window import Draws, live, need_display, open_viewer, say_load

from napari_coseg.types import OBJECT_COLUMNS, ClassTable, PanopticResult

SHOW, CLICK, OPEN = 3.0, 0.050, 0.5
CLASSES = ("epithelial", "lymphocyte", "stromal", "other")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=70_000)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument("--profile", help="file for cProfile's statistics of show and clicks")
    given = parser.parse_args()
    need_display()
    say_load()
    result = nuclei(given.objects, given.side)
    print(f"{len(result.objects):,} objects on {given.side:,}²")
    profile = cProfile.Profile() if given.profile else None
    measure(result, given.clicks, profile or nullcontext())
    if profile is not None:
        profile.dump_stats(given.profile)
    assert "torch" not in sys.modules


def nuclei(count: int, side: int) -> PanopticResult:
    """Discs of 4 to 9 pixels radius around the jittered points of a grid, as a result."""
    random = np.random.default_rng(0)
    across = int(np.ceil(np.sqrt(count)))
    pitch = side / across
    places = np.indices((across, across)).reshape(2, -1).T[:count]
    centres = (places + 0.5) * pitch + random.uniform(-pitch / 5, pitch / 5, (count, 2))
    radii = random.uniform(0.13, 0.29, count) * pitch
    cell = np.minimum((np.arange(side) / pitch).astype(int), across - 1)
    labels = np.zeros((side, side), np.int32)
    # A disc stays in its cell of the grid, so that a pixel has one disc to look at.
    known = np.zeros((3, across * across), np.float32)
    known[:, :count] = *centres.T, radii
    for row in range(side):
        mine = cell[row] * across + cell
        rows, columns, radius = known[:, mine]
        inside = (row - rows) ** 2 + (np.arange(side, dtype=np.float32) - columns) ** 2 <= radius**2
        labels[row, inside] = mine[inside] + 1
    return PanopticResult(
        regions=None,
        instances=labels,
        objects=table(labels, centres, random),
        region_classes=ClassTable.from_names([]),
        instance_classes=ClassTable.from_names(CLASSES),
        mpp=0.25,
        metadata={"notes": [], "seconds": {"all": 1.0}, "device": "cpu"},
    )


def table(
    labels: npt.NDArray[np.int32], centres: npt.NDArray[np.float64], random: np.random.Generator
) -> pd.DataFrame:
    """Facts of the objects, those that matter here true."""
    count = len(centres)
    kinds = random.integers(1, len(CLASSES) + 1, count)
    columns: dict[str, Any] = {
        name: np.full(count, "") if name.endswith("_name") else np.zeros(count)
        for name in (*OBJECT_COLUMNS, "class_score")
    }
    columns |= {
        "label": np.arange(1, count + 1),
        "class": kinds,
        "class_name": np.array(CLASSES, object)[kinds - 1],
        "row": centres[:, 0],
        "column": centres[:, 1],
        "area_px": np.bincount(labels.ravel(), minlength=count + 1)[1:],
        "class_score": random.uniform(0.5, 1, count),
    }
    return pd.DataFrame(columns)


def measure(result: PanopticResult, clicks: int, profile: AbstractContextManager[Any]) -> None:
    """Do what a person does, and print how long it takes."""
    from napari_coseg.layers.planes import Stack
    from napari_coseg.layers.results import Place, result_layers

    assert result.instances is not None
    shape = result.instances.shape
    viewer = open_viewer()
    draws = Draws(viewer)
    dock = opened_twice(viewer, draws)
    image = viewer.add_image(np.full(shape, 200, np.uint8), name="slide", contrast_limits=(0, 255))
    live(2)
    place = Place((), 0, (0, 0, *shape))

    def show() -> None:
        dock.results.add(result_layers([result], image, Stack.of(image), place))

    with profile:
        print(line("shown by class", draws.timed(show), SHOW))
    live(2)
    layer = dock.results.layers[-1]
    legend = dock.results._legend
    group = legend.topLevelItem(0)
    with profile:
        times = [
            draws.timed(partial(toggle, group.child(box)))
            for box in [i // 2 % len(CLASSES) for i in range(clicks)]
        ]
    middle = tuple(statistics.median(column) for column in zip(*times, strict=True))
    print(line("click in the legend, first", times[0], CLICK))
    print(line(f"click in the legend, median of {clicks}", middle, CLICK))
    toggle(group.child(0))
    live(1)
    check(layer, result, hidden=1)
    toggle(group.child(0))
    live(1)
    for name, index in (("colour by object", 1), ("colour by class", 0)):
        choose = partial(dock.results._colour_by.setCurrentIndex, index)
        print(line(name, draws.timed(choose), None))
        live(1)
    viewer.close()


def opened_twice(viewer: Any, draws: Draws) -> Any:
    """Open the Segment dock, take it away, open it again; the last one."""
    dock = None
    for which in ("first", "second"):
        if dock is not None:
            viewer.window.remove_dock_widget(dock)
            live(1)
        found: list[Any] = []

        def add(found: list[Any] = found) -> None:
            found.extend(viewer.window.add_plugin_dock_widget("napari-coseg", "Segment"))

        print(line(f"dock opened, {which}", draws.timed(add), OPEN))
        dock = found[1]
        live(1)
    return dock


def toggle(item: Any) -> None:
    """Click the box of a class."""
    from qtpy.QtCore import Qt

    checked = item.checkState(0) == Qt.CheckState.Checked
    item.setCheckState(0, Qt.CheckState.Unchecked if checked else Qt.CheckState.Checked)


def check(layer: Any, result: PanopticResult, hidden: int) -> None:
    """See that a class is hidden and the others are not: fast and wrong is no use."""
    for row in result.objects.groupby("class").first().itertuples():
        alpha = float(layer.get_color(int(layer.data[round(row.row), round(row.column)]))[3])
        assert (alpha == 0) == (row.Index == hidden), (row.Index, alpha)


def line(what: str, times: tuple[float, ...], reach: float | None) -> str:
    """One line: until the call returned, until it was drawn, CPU; and what it should be."""
    changed, drawn, cpu = times
    aim = ""
    if reach is not None:
        aim = f"; below {reach:.3g} s: {'yes' if drawn < reach else 'NO'} ({reach / drawn:.2g} x)"
    return f"{what}: {drawn:.3f} s (call {changed:.3f}, CPU {cpu:.3f}){aim}"


if __name__ == "__main__":
    main()

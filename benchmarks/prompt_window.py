"""From the mouse's release to the mask on the screen, and what the event loop feels of it.

python benchmarks/prompt_window.py [--boxes 60] [--drag 0.8]

A real window, a real worker, Qt's own mouse events. For each box on a fresh place of a 1024 x 1024
picture, drawn in 0.8 s with a tenth of a second of rest at its end: the time from the release until
the mask is drawn; then a click on the same object. The same for boxes that come at once, of which
the worker has seen nothing before. Beside it the worst gap of the event loop, idle and while boxes
are asked for, and the time from a commit until it is on the disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any

import numpy as np
from window import BEAT, Draws, Mouse, live, need_display, open_viewer, say_load

#: Seconds that a hand rests before it lets the button go.
REST = 0.1


class Beats:
    """A timer of the GUI's thread; how late it comes is what a person feels."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now

    def worst(self) -> float:
        """Return the worst gap since the last call, in milliseconds."""
        gaps, self.gaps = self.gaps, []
        return 1000 * max(gaps, default=0.0)


def picture(side: int) -> np.ndarray:
    """Return dark discs on a bright ground, and noise."""
    rng = np.random.default_rng(0)
    image = np.full((side, side, 3), 215, np.float32)
    rows, columns = np.mgrid[:side, :side]
    for row in range(24, side, 44):
        for column in range(24, side, 44):
            near = (slice(row - 12, row + 13), slice(column - 12, column + 13))
            disc = (rows[near] - row) ** 2 + (columns[near] - column) ** 2 < 100
            image[near][disc] = (110, 60, 140)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=int, default=60)
    parser.add_argument("--drag", type=float, default=0.8, help="seconds that a box is drawn for")
    options = parser.parse_args()
    need_display()
    with tempfile.TemporaryDirectory() as own:
        os.environ["XDG_DATA_HOME"] = own
        measure(options.boxes, options.drag)


def measure(count: int, seconds: float) -> None:
    """Drive the dock."""
    say_load()
    viewer = open_viewer()
    viewer.add_image(picture(1024), rgb=True, name="discs")
    _, dock = viewer.window.add_plugin_dock_widget("napari-coseg", "Prompt")
    live(2, lambda: dock.desk.place.identity is not None)
    dock.take("box")
    if not dock.asker.model:
        raise SystemExit("There is no model for boxes and points.")
    draws = Draws(viewer)
    # How often the canvas had been drawn when an answer came: one step of the event loop may both
    # bring it and draw it.
    drawn: list[int] = []
    dock.asker.answered.connect(lambda *_: drawn.append(draws.count))

    def until_drawn(act: Any) -> float:
        drawn.clear()
        began = time.perf_counter()
        act()
        if not live(30, lambda: bool(drawn)):
            raise SystemExit("No answer came.")
        answered = time.perf_counter()
        # A click that changes no pixel has nothing to draw.
        shown = live(0.5, lambda: draws.count > drawn[0])
        return 1000 * ((time.perf_counter() if shown else answered) - began)

    first = until_drawn(lambda: dock.canvas.boxed.emit((10.0, 10.0, 38.0, 38.0)))
    print(f"first box, with the model's loading: {first / 1000:.1f} s")
    beats = Beats()
    live(4)
    idle = beats.worst()
    rng = np.random.default_rng(1)
    # Each place once: an object that is there is protected.
    grid = 24 + 44 * np.stack(np.mgrid[1:22, 1:22], axis=-1).reshape(-1, 2)
    places = rng.permutation(grid)[: 2 * count]
    mouse = Mouse(viewer)
    drawn_boxes, boxes, clicks, durable = [], [], [], []
    beats.worst()
    gaps = []
    for number, (row, column) in enumerate(places):
        edges = (row - 12.0, column - 12.0, row + 13.0, column + 13.0)
        if number % 2:
            boxes.append(until_drawn(lambda edges=edges: dock.canvas.boxed.emit(edges)))
        else:
            first, last = np.subtract(edges[:2], 0.5), np.subtract(edges[2:], 0.5)
            mouse.drag(first, last, seconds)
            live(REST)
            beats.worst()
            drawn_boxes.append(until_drawn(lambda last=last: mouse.release(last)))
            wanted = dock.drawing.work.drawn.box
            if wanted is None or not np.allclose(wanted, edges, atol=1):
                raise SystemExit(f"The box {edges} came as {wanted}.")
        live(0.2)
        place = (float(row) + 3, float(column) + 3, False)
        clicks.append(until_drawn(lambda place=place: dock.canvas.clicked.emit(*place)))
        gaps.append(beats.worst())
        began = time.perf_counter()
        dock.drawing.commit()
        target = dock.desk.target
        live(5, lambda target=target: target is not None and target.case.saved)
        durable.append(1000 * (time.perf_counter() - began))
        live(0.1)
        beats.worst()
    for name, values, aim in (
        (f"box drawn in {seconds:g} s, release to the mask drawn", drawn_boxes, "80 / 150"),
        ("box that comes at once to the mask drawn", boxes, "80 / 150"),
        ("next click on the same object", clicks, "50"),
        ("commit to durable", durable, "99 %: 100"),
    ):
        median, late, last = np.percentile(values, (50, 95, 99))
        print(f"{name}: median {median:.0f} ms, 95 % {late:.0f}, 99 % {last:.0f} (aim {aim})")
    print(
        f"event loop, worst gap: idle {idle:.0f} ms; with clicks median {np.median(gaps):.0f}, "
        f"worst {max(gaps):.0f} (aim idle + 20)"
    )
    viewer.close()


if __name__ == "__main__":
    main()

"""How long napari's window stands still while the Segment dock computes, worker against thread.

A timer beats every 5 ms in the event loop while the camera moves every 16 ms, as if a person
scrolled; the worst gap between two beats is what the person feels. Measured (a) with nothing else
to do, before each run anew: the layers of the run before have to be drawn too, (b) while an image
is segmented, until the results arrive, (c) while the result's layers are made, for the first run
and for the next one; beside it napari's own `add_labels` of the same labels, which have neither
facts nor colours then and are made at once. Once with the Segment dock and its worker process,
once with `segment_image` in a napari thread worker, each in a process of its own: napari with the
dock must never import torch. The model is in memory before.

Needs napari; starts Xvfb where there is no display. Leaves with 1 where the two find other objects.

    python benchmarks/event_loop.py [--side 2048] [--model NAME] [--idle 5] [--runs 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from window import Draws, Heartbeat, live, need_display, open_viewer, say_load

#: Milliseconds above the idle window's worst gap, and for layers, first time and later.
MORE, FIRST, LATER = 20.0, 400.0, 100.0
PATIENCE = 900.0
MPP = 0.5
PART = 1024


def main() -> int:
    """Measure both and compare them; the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--model")
    parser.add_argument("--idle", type=float, default=5.0, help="seconds of each baseline")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--only", choices=["worker", "thread"])
    parser.add_argument("--part", choices=["worker", "thread"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        measure = in_worker if given.part == "worker" else in_thread
        print(json.dumps(measure(given)))
        return 0
    need_display()
    say_load()
    found = {part: run_part(part) for part in ("worker", "thread") if given.only in (None, part)}
    for part, rows in found.items():
        report(part, rows)
    say_load()
    if len(found) < 2:
        return 0
    worst = {
        part: max(run["gaps"]["worst"] for run in rows["runs"]) for part, rows in found.items()
    }
    print(f"worst gap, thread against worker: {worst['thread'] / worst['worker']:.1f} x")
    counts = {run["objects"] for rows in found.values() for run in rows["runs"]}
    print(f"objects: {', '.join(map(str, sorted(counts)))}")
    return 0 if len(counts) == 1 else 1


def run_part(part: str) -> dict[str, Any]:
    """Run this script for one of the two; what it found."""
    command = [sys.executable, __file__, "--part", part, *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def report(part: str, rows: dict[str, Any]) -> None:
    """Print the figures of one of the two."""
    print(f"\n{part:8}{'worst':>9}{'99 %':>9}{'median':>9}   (ms between two beats)")
    for number, run in enumerate(rows["runs"], 1):
        idle, gaps = run["idle"], run["gaps"]
        print(f"{'idle':8}{idle['worst']:9.1f}{idle['late']:9.1f}{idle['median']:9.1f}")
        more = gaps["worst"] - idle["worst"]
        print(
            f"{f'run {number}':8}{gaps['worst']:9.1f}{gaps['late']:9.1f}{gaps['median']:9.1f}"
            f"   {gaps['seconds']:.1f} s, {run['objects']:,} objects; idle + {more:.0f} ms, "
            f"below {MORE:.0f}: {'yes' if more < MORE else 'NO'}"
        )
        if "layers" in run:
            layers, aim = run["layers"], FIRST if number == 1 else LATER
            print(
                f"        layers made in {1000 * layers['made']:.0f} ms, drawn after "
                f"{1000 * layers['drawn']:.0f}; worst gap meanwhile {layers['worst']:.0f} ms, "
                f"below {aim:.0f}: {'yes' if layers['worst'] < aim else 'NO'}"
            )
    if "bare" in rows:
        made, drawn, cpu = (1000 * seconds for seconds in rows["bare"])
        print(
            f"        napari's own add_labels of the same labels: {made:.0f} ms, drawn after "
            f"{drawn:.0f} (CPU {cpu:.0f})"
        )


def picture(side: int) -> npt.NDArray[np.uint8]:
    """Return a generated tile, repeated and cut to the size."""
    from napari_coseg.datasets.synthetic_histology import generate_tile

    tile = generate_tile(0, (PART, PART), MPP).image
    times = -(-side // PART)
    return np.tile(tile, (times, times, 1))[:side, :side]


def has(arrived: list[Any], count: int) -> bool:
    """Whether so many have come."""
    return len(arrived) >= count


def idle_gaps(viewer: Any, beat: Heartbeat, seconds: float) -> dict[str, float]:
    """Gaps of a window that has nothing else to do."""
    live(2)
    beat.start()
    live(seconds)
    return beat.stop()


def shown(
    draws: Draws, beat: Heartbeat, show: Callable[[], object], over: Callable[[], bool]
) -> dict[str, float]:
    """Show what was found; gaps meanwhile, and seconds until all of it is drawn."""
    beat.start()
    start = time.perf_counter()
    show()
    if not live(PATIENCE, over):
        sys.exit("the layers were not made")
    made, before = time.perf_counter() - start, draws.count
    live(60, lambda: draws.count > before)
    return {**beat.stop(), "made": made, "drawn": time.perf_counter() - start}


def in_worker(given: argparse.Namespace) -> dict[str, Any]:
    """Segment with the dock, whose worker is another process."""
    from napari_coseg.widgets.segment_dock import SegmentDock
    from napari_coseg.widgets.session import shared_session

    image = picture(given.side)
    viewer = open_viewer()
    draws = Draws(viewer)
    beat = Heartbeat(viewer)
    arrived: list[Any] = []

    class TimedDock(SegmentDock):
        """A dock whose layers are made when the clock is read for it."""

        def _on_finished(self, results: list[Any]) -> None:
            gaps = beat.stop()
            objects = sum(len(result.objects) for result in results)
            labels = [one for r in results for one in (r.regions, r.instances) if one is not None]
            show = lambda: super(TimedDock, self)._on_finished(results)  # noqa: E731
            arrived.append((gaps, objects, show, labels))

    viewer.add_image(image, rgb=True, name="tile", scale=(MPP, MPP), units=("um", "um"))
    dock = TimedDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    model = given.model or dock.form.model
    loaded = shared_session().client.load(model)
    if not live(PATIENCE, loaded.done):
        sys.exit("the model was not loaded")
    loaded.result()
    rows: dict[str, Any] = {"runs": []}
    for number in range(given.runs):
        idle = idle_gaps(viewer, beat, given.idle)
        beat.start()
        dock.start()
        if not live(PATIENCE, partial(has, arrived, number + 1)):
            sys.exit(f"no result came: {dock.status}")
        gaps, objects, show, labels = arrived[number]
        layers = shown(draws, beat, show, lambda: not dock.running)
        rows["runs"].append({"idle": idle, "gaps": gaps, "objects": objects, "layers": layers})
        live(2)
    rows["bare"] = draws.timed(lambda: [viewer.add_labels(one.copy()) for one in labels])
    assert "torch" not in sys.modules
    shared_session().close()
    viewer.close()
    return rows


def in_thread(given: argparse.Namespace) -> dict[str, Any]:
    """Segment in a thread of the window's own process."""
    from napari.qt.threading import create_worker

    from napari_coseg.inference.panoptic import segment_image
    from napari_coseg.weights.catalogue import DEFAULT_MODEL, find_weights
    from napari_coseg.weights.loading import load_model

    # Before the window: parts of torch that come after it can crash software OpenGL.
    model = load_model(find_weights(given.model or DEFAULT_MODEL), "cpu")
    image = picture(given.side)
    segment_image(image[:64, :64], model, mpp=MPP)
    viewer = open_viewer()
    beat = Heartbeat(viewer)
    viewer.add_image(image, rgb=True, name="tile", scale=(MPP, MPP), units=("um", "um"))
    rows: dict[str, Any] = {"runs": []}
    for _ in range(given.runs):
        idle = idle_gaps(viewer, beat, given.idle)
        found: list[Any] = []
        worker = create_worker(partial(segment_image, image, model, mpp=MPP), _start_thread=False)
        beat.start()
        worker.returned.connect(found.append)
        worker.errored.connect(found.append)
        worker.start()
        live(PATIENCE, partial(has, found, 1))
        gaps = beat.stop()
        if not found or isinstance(found[0], Exception):
            sys.exit(f"no result came: {found}")
        rows["runs"].append({"idle": idle, "gaps": gaps, "objects": len(found[0].objects)})
        time.sleep(0.1)
        live(1)
    viewer.close()
    return rows


if __name__ == "__main__":
    sys.exit(main())

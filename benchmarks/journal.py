"""The journal of annotation: undo in a large layer, a killed program, and how soon work is safe.

(a) Undo of one object in a layer of 16,000 x 16,000 pixels with 50,000 objects, with the growth of
memory, beside a copy of the whole layer (what undo by snapshots costs) and napari's own undo of
the same paint, where napari is installed. (b) 1,000 commits in another process, which is killed
with SIGKILL; then the time to open the journal again, and what is there of what was shown as saved.
(c) The time from handing over an object (the mouse's release) to "saved", at ten a second and as
fast as possible, and how long the calling thread was held; beside saving the whole layer as a
compressed file after each object, which is what a program without a journal can do.

    python benchmarks/journal.py [--side 16000] [--objects 50000] [--commits 1000] [--seconds 20]

Leaves with 1 where something that was shown as saved is lost, or an aim is missed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.identity import identify
from napari_coseg.types import Mask, Prompt

#: Aims: milliseconds of an undo, seconds of opening again, milliseconds until it is safe.
UNDO, REOPEN, DURABLE = 50.0, 3.0, 100.0
RADIUS = 14
SMALL = 1024


def main() -> int:
    """Measure everything; the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=16000)
    parser.add_argument("--objects", type=int, default=50000)
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of ten commits a second")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        return commit_for_ever(Path(given.part[0]), int(given.part[1]))
    print(f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "")
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        good = [
            undo_in_a_large_layer(folder, given.side, given.objects),
            killed(folder, given.commits),
            durable(folder, given.seconds, given.commits),
        ]
    return 0 if all(good) else 1


def disk() -> npt.NDArray[np.bool_]:
    """Return an object's bits."""
    yy, xx = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    return np.asarray(yy**2 + xx**2 <= RADIUS**2)


def field(side: int, count: int) -> npt.NDArray[np.int32]:
    """Return labels with disks on a grid."""
    labels = np.zeros((side, side), np.int32)
    bits, width = disk(), 2 * RADIUS + 1
    columns = int(np.ceil(np.sqrt(count)))
    step = side // columns
    if step < width:
        raise SystemExit(f"{count} objects do not fit {side} x {side} pixels.")
    for number in range(count):
        row, column = number // columns * step, number % columns * step
        labels[row : row + width, column : column + width][bits] = number + 1
    return labels


def memory() -> float:
    """Return the memory of this process in MB."""
    return float(psutil.Process().memory_info().rss) / 1e6


class Peak:
    """The most memory while something runs, above what there was before."""

    def __enter__(self) -> Peak:
        self.before = self.most = memory()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self.most = max(self.most, memory())

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()
        self.growth = max(self.most, memory()) - self.before


def undo_in_a_large_layer(folder: Path, side: int, count: int) -> bool:
    """Measure undo, and what it is compared with."""
    print(f"\nundo of one object, {side:,} x {side:,}, {count:,} objects")
    labels = field(side, count)
    began = time.perf_counter()
    identity = identify(labels)
    case = Case.open(folder / "large", identity, labels)
    opened = time.perf_counter() - began
    case.wait()
    safe = time.perf_counter() - began
    print(f"  new journal of a full layer: {opened:.2f} s, on the disk after {safe:.2f} s")
    times: dict[str, list[float]] = {"commit": [], "delete": [], "undo": [], "redo": []}
    rng = np.random.default_rng(0)
    bits = disk()
    with Peak() as peak:
        for _ in range(100):
            row, column = rng.integers(0, side - 2 * RADIUS - 1, 2).tolist()
            mask = Mask((row, column), bits)
            timed(times["commit"], lambda m=mask: case.commit(m, protect=False))
            label = int(rng.choice(list(case.objects)))
            timed(times["delete"], lambda n=label: case.delete([n]))
            timed(times["undo"], case.undo)
            timed(times["redo"], case.redo)
            timed(times["undo"], case.undo)
        case.wait()
    for name, values in times.items():
        print(f"  {name:8}{told(values)}")
    print(f"  memory: {peak.growth:.0f} MB above {peak.before:.0f} MB")
    case.close()
    size = (folder / "large").stat().st_size / 1e6
    began = time.perf_counter()
    case = Case.open(folder / "large", identity, labels)
    print(f"  open again: {time.perf_counter() - began:.2f} s (the file has {size:.0f} MB)")
    first: list[float] = []
    timed(first, case.undo)
    print(f"  first undo after that: {first[0]:.2f} ms")
    case.close()
    ours = float(np.median(times["undo"]))
    began = time.perf_counter()
    copy = labels.copy()
    labels[...] = copy
    snapshot = 1000 * (time.perf_counter() - began)
    print(f"  a copy of the layer, there and back: {snapshot:.0f} ms, {snapshot / ours:,.0f} x")
    del copy
    peer = napari_undo(labels, bits)
    if peer:
        found = float(np.median(peer))
        print(f"  napari's own undo of such a paint: {told(peer)}, {found / ours:.1f} x")
    return max(times["undo"]) < UNDO


def napari_undo(labels: npt.NDArray[np.int32], bits: npt.NDArray[np.bool_]) -> list[float]:
    """Return milliseconds of napari's undo of painting an object; none without napari."""
    try:
        from napari.layers import Labels
    except ImportError:
        return []
    layer = Labels(labels)
    times: list[float] = []
    rng = np.random.default_rng(1)
    for _ in range(20):
        row, column = rng.integers(0, len(labels) - len(bits), 2).tolist()
        places = np.nonzero(bits)
        layer.data_setitem((places[0] + row, places[1] + column), 7)
        timed(times, layer.undo)
    return times


def timed(times: list[float], call: Any) -> None:
    """Add the milliseconds of a call."""
    began = time.perf_counter()
    call()
    times.append(1000 * (time.perf_counter() - began))


def told(times: list[float]) -> str:
    """Return median, 99th percentile and worst of some milliseconds."""
    low, high = np.percentile(times, [50, 99])
    return f"median {low:.2f} ms, 99 % {high:.2f} ms, worst {max(times):.2f} ms"


def next_mask(number: int) -> Mask:
    """Return the mask of a commit on the small layer; each one covers a part of older ones."""
    row, column = number * 389 % (SMALL - 29), number * 577 % (SMALL - 29)
    return Mask((row, column), disk())


def prompt_of(mask: Mask) -> list[Prompt]:
    """Return a box around a mask."""
    (row, column), (rows, columns) = mask.origin, mask.bits.shape
    return [Prompt((row, column, row + rows, column + columns))]


def open_small(path: Path, **more: Any) -> Case:
    """Open a case of 1024 x 1024."""
    labels = np.zeros((SMALL, SMALL), np.int32)
    return Case.open(path, identify(np.zeros((SMALL, SMALL), np.uint8)), labels, **more)


def commit_for_ever(path: Path, count: int) -> int:
    """Commit, and print after each "saved" how many commits it was shown for."""
    made = 0

    def saved(done: bool) -> None:
        if done:
            # An edit may have begun since: what was surely shown is one less.
            sys.stdout.write(f"{made - 1}\n")
            sys.stdout.flush()

    case = open_small(path, on_saved=saved)
    while made < count:
        made += 1
        mask = next_mask(made)
        case.commit(mask, prompts=prompt_of(mask), protect=False)
    case.wait()
    sys.stdout.write(f"end {made}\n")
    sys.stdout.flush()
    while True:
        made += 1
        mask = next_mask(made)
        case.commit(mask, prompts=prompt_of(mask), protect=False)


def killed(folder: Path, count: int) -> bool:
    """Kill a program that has made so many commits and goes on, and open its journal."""
    print(f"\n{count:,} commits, then SIGKILL while more are made")
    path = folder / "killed"
    command = [sys.executable, __file__, "--part", str(path), str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    saved = 0
    for line in process.stdout:
        if line.startswith("end"):
            saved = max(saved, int(line.split()[1]))
            time.sleep(0.3)
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        else:
            saved = max(saved, int(line))
    process.wait()
    sizes = [Path(f"{path}{end}").stat().st_size / 1e6 for end in ("", "-wal")]
    began = time.perf_counter()
    case = open_small(path)
    seconds = time.perf_counter() - began
    steps = 0
    began = time.perf_counter()
    while case.undo() is not None:
        steps += 1
    back = time.perf_counter() - began
    empty = not case.objects
    case.close()
    print(f"  journal {sizes[0]:.1f} MB, -wal {sizes[1]:.1f} MB")
    print(f"  shown as saved {saved:,}, back {steps:,}; opened in {seconds:.2f} s")
    print(f"  all undone in {back:.1f} s, {1000 * back / max(steps, 1):.2f} ms each")
    return steps >= saved >= count and seconds < REOPEN and empty


def durable(folder: Path, seconds: float, count: int) -> bool:
    """Measure the time until a commit is on the disk."""
    print("\nfrom the mouse's release to durable")
    good = True
    rates = (("10 a second", 0.1, int(10 * seconds)), ("at full speed", 0.0, count))
    for name, pause, number in rates:
        held, safe = commits(folder / name.replace(" ", "-"), pause, number)
        print(f"  {name}: {told(safe)}; the caller was held {told(held)}")
        good &= float(np.percentile(safe, 99)) < DURABLE
        ours = float(np.median(safe))
    peer: list[float] = []
    labels = field(SMALL, 600)
    for turn in range(10):
        timed(peer, lambda n=turn: save(labels, folder / f"whole{n % 2}.npz"))
    print(
        f"  saving the whole layer of {SMALL} x {SMALL}: {told(peer)}, "
        f"{float(np.median(peer)) / ours:.1f} x our median"
    )
    return good


def save(labels: npt.NDArray[np.int32], path: Path) -> None:
    """Write a layer so that it survives a power cut."""
    with path.open("wb") as file:
        np.savez_compressed(file, labels=labels)
        file.flush()
        os.fsync(file.fileno())


def commits(path: Path, pause: float, count: int) -> tuple[list[float], list[float]]:
    """Return milliseconds of the call, and until durable, of each commit."""
    case = open_small(path)
    case.wait()
    held: list[float] = []
    starts: list[float] = []
    ends: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        # Numbers of edits: the writer says which is the youngest on the disk.
        writer = case._state.writer
        while not stop.is_set() or len(ends) < len(starts):
            now, there = time.perf_counter(), writer.durable
            ends.extend([now] * (there - len(ends)))
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(count):
        mask = next_mask(number)
        began = time.perf_counter()
        starts.append(began)
        case.commit(mask, prompts=prompt_of(mask), protect=False)
        held.append(1000 * (time.perf_counter() - began))
        if pause:
            time.sleep(max(0.0, pause - (time.perf_counter() - began)))
    stop.set()
    watcher.join()
    case.close()
    return held, [1000 * (b - a) for a, b in zip(starts, ends, strict=True)]


if __name__ == "__main__":
    sys.exit(main())

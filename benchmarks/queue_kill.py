"""The queue under kill -9: what was told to be saved is there, and no case is in two states.

A program works at a queue of generated tiles: it sets statuses, notes and times, and commits
objects to the cases' journals, and says on its standard output what is on the disk. It is killed
with SIGKILL at random moments; then queue and journals are opened again and compared with what it
said.

    python benchmarks/queue_kill.py [--kills 50] [--seed 0]

Leaves with 1 where something that was told to be saved is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.identity import identify
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE, FLAGGED, IN_PROGRESS, STATUSES, TO_DO
from napari_coseg.types import Mask, Prompt

SIDE, CASES = 64, 6
#: A program is killed up to so many seconds after it began to work.
LONGEST = 0.6


def main() -> int:
    """Kill and look; the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        return work_for_ever(Path(given.part[0]), int(given.part[1]))
    with tempfile.TemporaryDirectory() as name:
        return 0 if one_program(Path(name) / "local", given.kills, given.seed) else 1


def one_program(root: Path, kills: int, seed: int) -> bool:
    """Kill a program that works alone; whether nothing was lost."""
    make_tiles(root)
    chance = random.Random(seed)
    told: dict[str, Any] = {}
    lost, changes, during = [], 0, 0
    for kill in range(kills):
        program = Program(root, seed * 1000 + kill)
        program.started.wait(60)
        time.sleep(chance.random() * LONGEST)
        lines = program.kill()
        changes += len(lines)
        last = None
        for line in lines:
            if "begin" in line:
                # What is on its way while it is killed may be there or not.
                last = line["begin"]
            else:
                told[line["what"]] = line["is"]
                last = None
        during += last is not None
        lost += compare(root, told, last)
    print(
        f"alone: {kills} kills, {changes} messages, {during} kills in the middle of a change, "
        f"{len(lost)} losses"
    )
    for words in lost[:10]:
        print(f"  {words}")
    return not lost


class Program:
    """A process of `work_for_ever`, and what it says."""

    def __init__(self, root: Path, seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--part", str(root), str(seed)],
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self.started = threading.Event()
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def kill(self) -> list[dict[str, Any]]:
        """Kill it; its messages, of which the last may be cut."""
        self._process.send_signal(signal.SIGKILL)
        ended = self._process.wait()
        self._reader.join()
        if ended != -signal.SIGKILL or not self.started.is_set():
            raise RuntimeError("the program ended by itself, or did not start")
        return [json.loads(line) for line in self._lines if line.endswith("\n")]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready"):
                self.started.set()
            else:
                self._lines.append(line)


def work_for_ever(root: Path, seed: int) -> int:
    """Work at random until somebody kills this."""
    chance = random.Random(seed)
    project = QueueProject.open(root)
    project.wait()
    say("ready")
    while True:
        number = chance.randint(1, CASES)
        deed = chance.choice(["status", "note", "time", "object", "object"])
        before = project.case(number)
        if deed == "object":
            say_json({"begin": f"labels {number}"})
            say_json({"what": f"labels {number}", "is": commit_some(project, number, chance)})
            continue
        say_json({"begin": f"case {number}"})
        if deed == "status":
            project.set_status(number, chance.choice([TO_DO, IN_PROGRESS, DONE, FLAGGED]))
        elif deed == "note":
            project.set_note(number, f"note {chance.random()}")
        else:
            project.add_time(number, before.seconds + 1 + chance.random())
        assert project.wait(60)
        say_json({"what": f"case {number}", "is": state_of(project, number)})


def commit_some(project: QueueProject, number: int, chance: random.Random) -> list[int]:
    """Commit objects to a case's journal; the sum of each label's pixels, and their number."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_labels(project, number, labels) as case:
        for _ in range(chance.randint(1, 3)):
            row, column = chance.randrange(SIDE - 8), chance.randrange(SIDE - 8)
            box = (float(row), float(column), row + 8.0, column + 8.0)
            mask = Mask((row, column), np.ones((8, 8), bool))
            case.commit(mask, prompts=[Prompt(box)], protect=False)
        assert case.wait(60)
        return [int(labels.sum()), len(case.objects)]


def compare(root: Path, told: dict[str, Any], last: str | None) -> list[str]:
    """Open everything again and say what is not as it was told; `told` becomes what is there."""
    lost = []
    with QueueProject.open(root) as project:
        for number in range(1, CASES + 1):
            found: dict[str, Any] = {f"case {number}": state_of(project, number)}
            if project.case(number).status not in STATUSES:
                lost.append(f"case {number} has the status {project.case(number).status!r}")
            labels = np.zeros((SIDE, SIDE), np.int32)
            if project.journal(number, "objects").exists():
                with open_labels(project, number, labels) as case:
                    found[f"labels {number}"] = [int(labels.sum()), len(case.objects)]
                    if set(case.objects) != set(np.unique(labels).tolist()) - {0}:
                        lost.append(f"case {number}: table and pixels differ")
            for what, state in told.items():
                own = what.endswith(f" {number}")
                if own and found.get(what) != state and what != last:
                    lost.append(f"{what}: told {state}, found {found.get(what)}")
            told.update(found)
    return lost


def open_labels(project: QueueProject, number: int, labels: np.ndarray) -> Case:
    """Open the journal of a case."""
    with Image.open(project.path(number)) as image:
        identity = identify(np.asarray(image))
    return Case.open(project.journal(number, "objects"), identity, labels)


def state_of(project: QueueProject, number: int) -> list[Any]:
    """Return what is kept of a case."""
    case = project.case(number)
    return [case.status, case.note, case.seconds]


def make_tiles(root: Path) -> None:
    """Make the folder of a queue."""
    root.mkdir(parents=True)
    for number in range(CASES):
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"tile{number}.png")


def say_json(message: dict[str, Any]) -> None:
    """Say something to whoever is to kill this."""
    say(json.dumps(message))


def say(line: str) -> None:
    """Write a line in one piece."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    raise SystemExit(main())

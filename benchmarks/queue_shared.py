"""Two programs on one shared queue, killed and stopped at random moments.

Each program has a disk of its own and takes cases of one shared folder, draws, and gives them back.
It says on its standard output what it drew and what was published. Now and then one is killed with
SIGKILL and started again, at once or after its claims have expired, or it is stopped with SIGSTOP
until they have, and goes on: the owner who comes back. At the end both are opened once more, and
the share is compared with what was said:

- no step of a case was made by two programs, and every case is in one state, with labels and note
  that belong together;
- what was said to be published is there;
- what was said to be drawn is published, or in a conflict copy.

    python benchmarks/queue_shared.py [--kills 50] [--seed 0]

Leaves with 1 where one of these does not hold.
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
from napari_coseg.annotation.claims import Chains, chain_key
from napari_coseg.annotation.identity import identify
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE, FLAGGED, IN_PROGRESS, STATUSES
from napari_coseg.annotation.share_files import Share
from napari_coseg.annotation.shared_opening import facts_of, open_shared
from napari_coseg.annotation.shared_queue import SharedQueue, TakenError
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.types import Mask

SIDE, CASES = 64, 4
NAMES = ("Ada", "Ben")
#: Seconds between beats, and after which a claim expires: short, so that many do.
BEAT, PATIENCE = 0.2, 2.0
#: A program is killed up to so many seconds after it began to work.
LONGEST = 2.0


def main() -> int:
    """Kill and look; the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        root, home, name, seed = given.part
        return work_for_ever(Path(root), Path(home), name, int(seed))
    with tempfile.TemporaryDirectory() as folder:
        return 0 if two_programs(Path(folder), given.kills, given.seed) else 1


def two_programs(folder: Path, kills: int, seed: int) -> bool:
    """Kill programs that share a folder; whether all that was said holds."""
    root = folder / "shared"
    make_tiles(root)
    Share.begin(root)
    chance = random.Random(seed)
    programs = [Program(root, folder / name, name, seed) for name in NAMES]
    lines: list[dict[str, Any]] = []
    stops = 0
    for number in range(kills):
        which = chance.randrange(len(programs))
        for program in programs:
            program.wait_for_start()
        time.sleep(chance.random() * LONGEST)
        if chance.random() < 0.3:
            programs[which].stop_for(PATIENCE * 2)
            stops += 1
            time.sleep(chance.random() * LONGEST)
        lines += programs[which].kill()
        if chance.random() < 0.3:
            time.sleep(PATIENCE * 2)
        again = seed * 1000 + number + 1
        programs[which] = Program(root, folder / NAMES[which], NAMES[which], again)
    for program in programs:
        program.wait_for_start()
        lines += program.kill()
    faults, copies = compare(root, folder, lines)
    counts = {word: sum(word in line for line in lines) for word in ("got", "drawn", "published")}
    print(
        f"two programs: {kills} kills, {stops} stops, {counts['got']} cases taken, "
        f"{counts['drawn']} objects drawn, {counts['published']} publications, {copies} conflict "
        f"copies, {len(faults)} faults"
    )
    for words in faults[:10]:
        print(f"  {words}")
    return not faults


class Program:
    """A process of `work_for_ever`, and what it says."""

    def __init__(self, root: Path, home: Path, name: str, seed: int) -> None:
        part = [str(root), str(home), name, str(seed)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--part", *part], stdout=subprocess.PIPE, encoding="utf-8"
        )
        self._started = threading.Event()
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for_start(self) -> None:
        """Wait until it works."""
        if not self._started.wait(120):
            raise RuntimeError("the program did not start")

    def stop_for(self, seconds: float) -> None:
        """Let it stand still for some time."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> list[dict[str, Any]]:
        """Kill it; its messages, of which the last may be cut."""
        self._process.send_signal(signal.SIGKILL)
        ended = self._process.wait()
        self._reader.join()
        if ended != -signal.SIGKILL:
            raise RuntimeError("the program ended by itself")
        return [json.loads(line) for line in self._lines if line.endswith("\n")]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready"):
                self._started.set()
            else:
                self._lines.append(line)


def work_for_ever(root: Path, home: Path, name: str, seed: int) -> int:
    """Take cases, draw and publish at random until somebody kills this."""
    chance = random.Random(f"{name}{seed}")
    opened = open_shared(root, name, home=home, patience=PATIENCE)
    project, shared = opened.project, opened.shared
    threading.Thread(target=beat_for_ever, args=(shared,), daemon=True).start()
    say("ready")
    while True:
        number = chance.randint(1, CASES)
        key = project.case(number).key
        shared.look()
        try:
            state = shared.take(key)
        except TakenError:
            time.sleep(BEAT / 2)
            continue
        view = shared.look()[chain_key(key)]
        if view.mine:
            say_json({"got": key, "turn": view.turn, "by": name})
        if state is not None:
            project.adopt(number, state.status, state.note, state.seconds)
        for _ in range(chance.randint(0, 2)):
            cell = draw(project, number, chance)
            say_json({"drawn": key, "cell": cell})
            project.set_note(number, f"{project.case(number).note} {cell}".strip())
        project.set_status(number, chance.choice([IN_PROGRESS, DONE, FLAGGED]))
        project.wait()
        time.sleep(chance.random() * BEAT)
        facts = facts_of(project.case(number))
        assert facts is not None
        if shared.leave(key, facts) is None:
            # It may have had nothing to keep under a claim that was lost: then nothing is said.
            now = shared.look()[chain_key(key)].state
            if now.by == name and now.note == facts.note:
                say_json({"published": key, "note": facts.note})


def beat_for_ever(shared: SharedQueue) -> None:
    """Show that this program lives."""
    while True:
        shared.beat()
        time.sleep(BEAT)


def draw(project: QueueProject, number: int, chance: random.Random) -> int:
    """Commit an object of one pixel that no other one has; its place."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    with Image.open(project.path(number)) as image:
        identity = identify(np.asarray(image))
    with Case.open(project.journal(number, "objects"), identity, labels) as case:
        cell = int(chance.choice(np.flatnonzero(labels == 0)))
        case.commit(Mask(divmod(cell, SIDE), np.ones((1, 1), bool)), protect=False)
        assert case.wait(60)
    return cell


def compare(root: Path, folder: Path, lines: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Open both programs once more and say what does not hold; and how many copies there are."""
    faults = []
    for name in NAMES:
        opened = open_shared(root, name, home=folder / name)
        opened.project.close()
        faults += list(opened.troubles)
    share = Share.open(root)
    chains = Chains(share.claims)
    reader = SharedQueue(share, make(folder / "reader" / "labels").parent)
    copied: dict[str, set[int]] = {}
    copies = sorted(share.conflicts.glob("*.json"))
    for path in copies:
        told = json.loads(path.read_text(encoding="utf-8"))
        for file in told["labels"].values():
            copied.setdefault(told["case"], set()).update(cells_of(share.conflicts / file))
    with QueueProject.open(root, home=folder / "reader") as project:
        for case in project.cases:
            step, whole = chains.last(chain_key(case.key))
            state = reader.bring(case.key)
            if step.token or not whole:
                faults.append(f"{case.key} is still somebody's")
            if state.status not in STATUSES:
                faults.append(f"{case.key} has the status {state.status!r}")
            cells = set(cells_of(project.journal(case.id, "objects")))
            noted = {int(cell) for cell in state.note.split()}
            if not noted <= cells:
                faults.append(f"{case.key}: note and labels differ by {sorted(noted - cells)}")
            for line in lines:
                if line.get("published") == case.key:
                    gone = {int(cell) for cell in line["note"].split()} - noted
                    if gone:
                        faults.append(f"{case.key}: published and lost: {sorted(gone)}")
                drawn = line["cell"] if line.get("drawn") == case.key else None
                if drawn is not None and drawn not in cells | copied.get(case.key, set()):
                    faults.append(f"{case.key}: drawn and lost: {drawn}")
    makers: dict[tuple[str, int], set[str]] = {}
    for line in lines:
        if "got" in line:
            makers.setdefault((line["got"], line["turn"]), set()).add(line["by"])
    faults += [f"{step} was made by both" for step, by in makers.items() if len(by) > 1]
    return faults, len(copies)


def cells_of(journal: Path) -> list[int]:
    """Return the places of all objects of a journal."""
    stored = read_stored(journal)
    return [] if stored is None else np.flatnonzero(stored.labels).tolist()


def make_tiles(root: Path) -> None:
    """Make the folder of a queue."""
    make(root)
    for number in range(CASES):
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"tile{number}.png")


def make(folder: Path) -> Path:
    """Make a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def say_json(message: dict[str, Any]) -> None:
    """Say something to whoever is to kill this."""
    say(json.dumps(message))


def say(line: str) -> None:
    """Write a line in one piece."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    raise SystemExit(main())

"""Real processes on one shared folder: who gets a case, and what is left of one that was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_coseg.annotation.claims import chain_key
from napari_coseg.annotation.share_files import Share
from tests.annotation.test_shared_queue import A, Person

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "queue_shared.py"
CASES = 40

RACE = """
import sys, time
from pathlib import Path
from napari_coseg.annotation.claims import Chains, Step, chain_key
chains, name, count = Chains(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    if chains.add(chain_key(str(number)), Step(1, name, name, name)):
        print(number, flush=True)
"""
HOLD = """
import sys, time
from pathlib import Path
from napari_coseg.annotation.share_files import Share
from napari_coseg.annotation.shared_queue import SharedQueue
queue = SharedQueue(Share.open(Path(sys.argv[1])), Path(sys.argv[2]), name="Cleo")
queue.take(sys.argv[3])
print("ready", flush=True)
while True:
    queue.beat()
    time.sleep(0.05)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def test_each_case_is_got_by_one_alone(tmp_path: Path) -> None:
    programs = [start(RACE, tmp_path, name, CASES) for name in ("ada", "ben")]
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    got = [sorted(map(int, program.communicate(timeout=120)[0].split())) for program in programs]
    assert all(program.returncode == 0 for program in programs)
    assert sorted(got[0] + got[1]) == list(range(CASES))


def test_a_claim_outlives_no_killed_program(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    Share.begin(root)
    (tmp_path / "cleo").mkdir()
    program = start(HOLD, root, tmp_path / "cleo", A)
    ada = Person(root, tmp_path / "ada", "Ada")
    # It beats: however long Ada's clock says that she looked, it has the case.
    for _ in range(10):
        before = beats(root)
        while beats(root) == before:
            time.sleep(0.01)
        ada.queue.look()
        ada.clock.now += 30
    assert ada.queue.look()[chain_key(A)].holder == "Cleo"
    program.kill()
    assert program.wait() != 0
    ada.watch(20)
    assert not ada.queue.look()[chain_key(A)].expired
    ada.watch(60)
    assert ada.queue.take(A) is not None


def beats(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in (root / "coseg-shared" / "seats").iterdir()]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="SIGSTOP is of POSIX systems")
def test_two_programs_lose_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--kills", "2"],
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 2 kills" in done.stdout
    assert " 0 faults" in done.stdout

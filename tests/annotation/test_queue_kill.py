"""The benchmark that kills programs at a queue, a few times; its own run is 50 kills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "queue_kill.py"


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a signal of POSIX systems")
def test_killed_programs_lose_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--kills", "3"],
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout
    assert "0 losses" in done.stdout

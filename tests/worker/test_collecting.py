"""Garbage is looked for seldom, but it is."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from napari_coseg.worker.collecting import OLDER, YOUNG, collect_seldom


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.own = self


def test_a_ring_goes_after_some_more(thresholds: None) -> None:
    gc.set_threshold(700, 10, 10)
    collect_seldom()
    assert gc.get_threshold() == (YOUNG, OLDER, OLDER)
    ring = weakref.ref(Ring())
    kept = [[] for _ in range(2 * YOUNG)]
    assert ring() is None
    del kept


def test_what_is_set_higher_stays(thresholds: None) -> None:
    gc.set_threshold(10 * YOUNG, 1, 1)
    collect_seldom()
    assert gc.get_threshold() == (10 * YOUNG, 1, 1)


LEAVING = """
import atexit, gc, sys
from napari_coseg.worker.collecting import leave_quickly

class Ring:
    def __init__(self):
        self.own = self
    def __del__(self):
        print("looked through")

sys.modules.update(dict.fromkeys(sys.argv[1:]))
leave_quickly()
atexit.register(lambda: print("done at the end", gc.get_freeze_count()))
ring = Ring()
"""


@pytest.mark.parametrize(("there", "after"), [([], []), (["triton"], ["looked through"])])
def test_a_process_ends_without_looking_through_everything(
    there: list[str], after: list[str]
) -> None:
    command = [sys.executable, "-c", LEAVING, *there]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["done at the end 0", *after]

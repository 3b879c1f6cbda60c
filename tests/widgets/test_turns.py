"""Work in turns of the event loop."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from qtpy.QtCore import QObject, QTimer

from napari_coseg.widgets.turns import Turns


@pytest.fixture
def parent(qapp: Any) -> QObject:
    return QObject()


def work(said: list[str], count: int = 3) -> Generator[None, None, None]:
    try:
        for number in range(count):
            said.append(str(number))
            yield
        said.append("done")
    finally:
        said.append("closed")


def test_what_waits_comes_between_two_turns(parent: QObject, qtbot: Any) -> None:
    said: list[str] = []

    def watched() -> Generator[None, None, None]:
        for step in work(said):
            QTimer.singleShot(0, lambda: said.append("other"))
            yield step

    Turns(watched(), parent).start()
    assert said == []
    qtbot.waitUntil(lambda: said[-1:] == ["closed"])
    assert said == ["0", "other", "1", "other", "2", "other", "done", "closed"]


def test_stopped_it_is_closed_and_goes_no_further(parent: QObject, qtbot: Any) -> None:
    said: list[str] = []
    turns = Turns(work(said, 1_000_000), parent)
    turns.start()
    qtbot.waitUntil(lambda: len(said) > 1)
    turns.stop()
    before = list(said)
    assert before[-1] == "closed"
    qtbot.wait(20)
    assert said == before
    # A Turns that is over goes by itself.
    assert not parent.children()


def test_it_may_be_stopped_in_the_middle_of_a_turn(parent: QObject, qtbot: Any) -> None:
    said: list[str] = []

    def stops() -> Generator[None, None, None]:
        for step in work(said):
            turns.stop()
            said.append("to the end of the turn")
            yield step

    turns = Turns(stops(), parent)
    turns.start()
    qtbot.waitUntil(lambda: said[-1:] == ["closed"])
    qtbot.wait(20)
    assert said == ["0", "to the end of the turn", "closed"]


def test_what_fails_is_said_once(parent: QObject, qtbot: Any) -> None:
    said: list[str] = []

    def fails() -> Generator[None, None, None]:
        yield from work(said, 1)
        raise RuntimeError("no room")

    with qtbot.captureExceptions() as caught:
        Turns(fails(), parent).start()
        qtbot.waitUntil(lambda: bool(caught))
        qtbot.wait(20)
    assert [str(error) for _, error, _ in caught] == ["no room"]
    assert not parent.children()

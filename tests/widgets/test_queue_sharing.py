"""The Queue dock on a shared folder, with somebody else at work there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_coseg.annotation import queue_places
from napari_coseg.annotation.claims import Published
from napari_coseg.annotation.queue_store import DONE, FLAGGED, IN_PROGRESS
from napari_coseg.annotation.share_files import is_shared
from napari_coseg.annotation.shared_opening import OpenedShared, open_shared
from napari_coseg.annotation.shared_queue import SharedQueue, TakenError
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.widgets.queue_dock import QueueDock
from napari_coseg.widgets.session import Session
from tests.annotation.test_claims import Clock
from tests.layers.test_results import result
from tests.widgets import test_queue_dock as parts
from tests.widgets.test_queue_dock import go, paint, settle
from tests.widgets.test_segment_volume import VolumeClient

viewer, root, plain_dock = parts.viewer, parts.root, parts.dock


@pytest.fixture(autouse=True)
def own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_places, "data_folder", lambda: tmp_path / "own" / "journals")


@pytest.fixture
def dock(plain_dock: QueueDock, viewer: Any, qtbot: Any) -> QueueDock:
    """A dock in which case 1 was drawn on, whose queue is shared then."""
    paint(viewer.layers["a0 objects"], 3)
    plain_dock.share("Ada")
    settle(plain_dock, qtbot)
    return plain_dock


@pytest.fixture
def ben(dock: QueueDock, root: Path, tmp_path: Path) -> Any:
    opened = open_shared(root, "Ben", home=tmp_path / "ben")
    yield opened
    opened.project.close()


def look(dock: QueueDock, qtbot: Any, seen: Callable[[], bool]) -> None:
    """Look until something is seen: the first looks may have begun before it was so."""

    def found() -> bool:
        assert dock.desk.sharing is not None
        dock.desk.sharing.look()
        return seen()

    qtbot.waitUntil(found, timeout=20_000)


def taken(ben: OpenedShared, qtbot: Any, number: int) -> Published | None:
    """Take a case once it is free."""
    found: list[Published | None] = []

    def free() -> bool:
        try:
            found.append(ben.shared.take(ben.project.case(number).key))
        except TakenError:
            return False
        return True

    qtbot.waitUntil(free, timeout=20_000)
    return found[0]


def test_work_goes_from_one_to_the_other(
    dock: QueueDock, ben: OpenedShared, viewer: Any, qtbot: Any, root: Path
) -> None:
    assert is_shared(root)
    assert dock.form.share.text() == "Shared: Ada"
    first, second = (ben.project.case(number).key for number in (1, 2))
    with pytest.raises(TakenError, match="Ada"):
        ben.shared.take(first)
    ben.shared.take(second)
    look(dock, qtbot, lambda: dock.holders == {2: "Ben"})
    assert dock.form.model.data(dock.form.model.index(1, 1)) == "⇄ with Ben"
    # What Ada drew before it was shared is there, and what she draws now is published.
    viewer.layers["a0 objects"].paint((2, 2), 5)
    dock.form.note.setPlainText("a note")
    dock.finish()
    settle(dock, qtbot)
    assert dock.desk.number == 3
    state = taken(ben, qtbot, 1)
    assert state is not None
    assert (state.status, state.note) == (DONE, "a note")
    stored = read_stored(ben.project.journal(1, "objects"))
    assert stored is not None
    assert set(np.unique(stored.labels)) == {0, 3, 5}
    ben.shared.leave(first, Published(FLAGGED, "look"))
    ben.shared.leave(second, Published(DONE))
    look(dock, qtbot, lambda: parts.statuses(dock)[:3] == [FLAGGED, DONE, IN_PROGRESS])
    assert dock.holders == {}
    go(dock, qtbot, 1)
    assert dock.form.note.toPlainText() == "look"
    dock.share("Ada L.")
    qtbot.waitUntil(lambda: dock.form.share.text() == "Shared: Ada L.", timeout=20_000)


def test_a_case_that_was_taken_over(
    dock: QueueDock, ben: OpenedShared, viewer: Any, qtbot: Any, root: Path, tmp_path: Path
) -> None:
    key = ben.project.case(1).key
    clock = Clock()
    other = SharedQueue(ben.shared.share, tmp_path / "ben", patience=0.5, clock=clock)
    other.look()
    clock.now += 1
    other.look()
    other.take(key)
    look(dock, qtbot, lambda: "took this case over" in dock.message)
    viewer.layers["a0 objects"].paint((2, 2), 5)
    go(dock, qtbot, 2)
    folder = root / "coseg-shared" / "conflicts"
    qtbot.waitUntil(lambda: len(list(folder.iterdir())) == 2, timeout=20_000)
    look(dock, qtbot, lambda: dock.holders == {1: "Ben"})
    other.leave(key, Published(DONE))


def test_nothing_is_suggested_for_cases_of_others(
    dock: QueueDock, ben: OpenedShared, qtbot: Any
) -> None:
    client, session = VolumeClient(), Session()
    session._client = client  # type: ignore[assignment]
    dock.suggest._session = session
    second, third = (ben.project.case(number).key for number in (2, 3))
    ben.shared.take(second)
    look(dock, qtbot, lambda: dock.holders == {2: "Ben"})
    # The next one is another one now: that is read ahead, and suggested for.
    qtbot.waitUntil(lambda: dock.suggest._last is not None and dock.suggest._last[1] == 3)
    dock.suggest.switch.setChecked(True)
    qtbot.waitUntil(lambda: len(client.asked) == 1, timeout=20_000)
    assert client.asked[0][1].name == "a2"
    # Somebody takes it while the model is at it.
    ben.shared.take(third)
    look(dock, qtbot, lambda: 3 in dock.holders)
    assert client.asked[0][3].future.cancelled()
    assert not dock.suggest.busy
    # They are left with work: not ours to suggest for either.
    for key in (second, third):
        ben.shared.leave(key, Published(DONE))
    look(dock, qtbot, lambda: dock.holders == {} and parts.statuses(dock)[2] == DONE)
    qtbot.waitUntil(lambda: dock.suggest._last is not None and dock.suggest._last[1] == 2)
    qtbot.wait(100)
    assert len(client.asked) == 1
    assert dock.project is not None
    assert not any(dock.project.journal(number, "objects").exists() for number in (2, 3))


def test_a_suggestion_that_comes_too_late(
    dock: QueueDock, ben: OpenedShared, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, session = VolumeClient(), Session()
    session._client = client  # type: ignore[assignment]
    dock.suggest._session = session
    dock.suggest.switch.setChecked(True)
    qtbot.waitUntil(lambda: len(client.asked) == 1, timeout=20_000)
    made = result(40, 50, None)
    made.metadata["model"] = "a-model"
    # Taken in the moment in which it is written.
    monkeypatch.setattr(dock.desk.sharing, "untouched", lambda number: False)
    client.asked[0][3].future.set_result(made)
    qtbot.waitUntil(lambda: not dock.suggest.busy, timeout=20_000)
    assert dock.project is not None
    folder = dock.project.journal(2, "objects").parent
    assert not dock.project.journal(2, "objects").exists()
    assert list(folder.glob("*.tmp*")) == []


def test_a_folder_that_goes_away_and_comes_back(
    dock: QueueDock, ben: OpenedShared, viewer: Any, qtbot: Any, root: Path
) -> None:
    share = root / "coseg-shared"
    away = root / "away"
    share.rename(away)
    viewer.layers["a0 objects"].paint((2, 2), 5)
    dock.open_case(2)
    qtbot.waitUntil(lambda: "cannot be reached" in dock.message, timeout=20_000)
    # What was drawn in the case before may say so first.
    qtbot.waitUntil(lambda: dock.desk.number is None, timeout=20_000)
    away.rename(share)
    look(dock, qtbot, lambda: "is back" in dock.message)
    assert taken(ben, qtbot, 1) is not None
    stored = read_stored(ben.project.journal(1, "objects"))
    assert stored is not None
    assert set(np.unique(stored.labels)) == {0, 3, 5}
    ben.shared.leave(ben.project.case(1).key, None)
    go(dock, qtbot, 2)
    assert dock.desk.number == 2


def test_it_is_shared_when_it_is_opened_again(
    dock: QueueDock, viewer: Any, qtbot: Any, root: Path, make_napari_viewer: Any
) -> None:
    viewer.window.remove_dock_widget(dock)
    second = make_napari_viewer()
    again = QueueDock(second)
    second.window.add_dock_widget(again, name="Queue")
    again.open_folder(root)
    settle(again, qtbot)
    assert again.form.share.text() == "Shared: Ada"
    assert second.layers["a0 objects"].data.max() == 3

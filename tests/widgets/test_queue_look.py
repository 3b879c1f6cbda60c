"""Cases of others are looked at, and copies of lost work too; those can be taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.claims import Published
from napari_coseg.annotation.identity import identify
from napari_coseg.annotation.queue_store import DONE
from napari_coseg.annotation.shared_opening import OpenedShared
from napari_coseg.annotation.shared_queue import SharedQueue
from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.layers.drawing import classes_of
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.widgets.held_layers import held_on
from napari_coseg.widgets.queue_dock import QueueDock
from napari_coseg.widgets.queue_labels import CaseLabels
from tests.annotation.test_claims import Clock
from tests.widgets import test_prompt_dock as prompts
from tests.widgets import test_queue_sharing as parts
from tests.widgets.test_queue_dock import go, names, settle

own_disk, root, viewer = parts.own_disk, parts.root, parts.viewer
plain_dock, dock, ben = parts.plain_dock, parts.dock, parts.ben
client, told, make_prompt_dock = prompts.client, prompts.told, prompts.make_dock


def draw(ben: OpenedShared, viewer: Any, number: int, *box: int) -> None:
    """Draw an object of a class as Ben, on a case that he has."""
    pixels = np.random.default_rng(number - 1).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    labels = np.zeros((40, 50), np.uint16)
    path = ben.project.journal(number, "objects")
    with Case.open(path, identify(pixels), labels) as case:
        case.note("classes", '[["object", [230, 159, 0]], ["gland", [0, 158, 115]]]')
        bits = np.ones((box[2] - box[0], box[3] - box[1]), bool)
        prompt = Prompt(tuple(map(float, box)))  # type: ignore[arg-type]
        case.commit(Mask(box[:2], bits), class_id=2, prompts=[prompt])
        assert case.wait(10)


def test_a_case_of_somebody_else_is_only_looked_at(
    dock: QueueDock, ben: OpenedShared, viewer: Any, qtbot: Any, make_prompt_dock: Any
) -> None:
    second = ben.project.case(2).key
    ben.shared.take(second)
    draw(ben, viewer, 2, 2, 2, 12, 12)
    ben.shared.leave(second, Published(DONE, "mine"))
    ben.shared.take(second)
    draw(ben, viewer, 2, 20, 20, 30, 30)
    parts.look(dock, qtbot, lambda: dock.holders == {2: "Ben"})
    go(dock, qtbot, 2)
    assert names(viewer) == ["a1", "a1 objects (locked)"]
    layer = viewer.layers[1]
    # As Ben left it last, with class and table.
    assert (layer.data > 0).sum() == 100
    assert layer.features["class_name"].tolist() == ["gland"]
    assert classes_of(layer).names == ("object", "gland")
    form = dock.form
    assert form.banner.words.startswith("Only to look at: Ben has this case.")
    assert form.banner.work.isHidden()
    for part in (form.done, form.flag, form.note):
        assert not part.isEnabled()
    assert form.note.toPlainText() == "mine"
    # Nothing can be written: not by the brush, not by a script, not by the Prompt dock.
    assert not layer.editable
    with pytest.raises(ValueError, match="read-only"):
        layer.data[0, 0] = 5
    held = held_on(viewer.layers["a1"])
    assert held is not None
    with pytest.raises(CosegError, match="Ben has this case"):
        held.renew()
    prompt = make_prompt_dock(viewer)
    assert not prompt.desk.with_target(lambda target: True)
    assert "Ben has this case" in prompt.status
    assert names(viewer) == ["a1", "a1 objects (locked)"]
    dock.finish()
    dock.flag()
    assert dock.project is not None
    assert (dock.project.case(2).stands, dock.project.case(2).seconds) == (DONE, 0.0)
    # Ben has it still, and goes on; the one who looked passes it by, and comes back.
    draw(ben, viewer, 2, 32, 32, 34, 34)
    dock.step(True)
    settle(dock, qtbot)
    assert dock.desk.number == 3
    assert not form.banner.isVisibleTo(dock)
    go(dock, qtbot, 2)
    ben.shared.leave(second, Published(DONE))
    parts.look(dock, qtbot, lambda: form.banner.words.startswith("Ben has left this case"))
    assert form.banner.work.text() == "Work on it"
    form.banner.work.click()
    settle(dock, qtbot)
    assert names(viewer) == ["a1", "a1 objects"]
    assert (viewer.layers["a1 objects"].data > 0).sum() == 204
    assert form.done.isEnabled()
    # Something that was never left has no labels yet.
    third = ben.project.case(3).key
    ben.shared.take(third)
    parts.look(dock, qtbot, lambda: dock.holders == {3: "Ben"})
    go(dock, qtbot, 3)
    assert names(viewer) == ["a2"]
    form.banner.leave.click()
    assert names(viewer) == []
    ben.shared.leave(third, None)


@pytest.fixture
def lost(dock: QueueDock, ben: OpenedShared, viewer: Any, qtbot: Any, tmp_path: Path) -> QueueDock:
    """Ben's case 2 was taken over by Cem, and Ben's work is a copy."""
    key = ben.project.case(2).key
    ben.shared.take(key)
    draw(ben, viewer, 2, 2, 2, 12, 12)
    (tmp_path / "cem" / "labels").mkdir(parents=True)
    clock = Clock()
    cem = SharedQueue(ben.shared.share, tmp_path / "cem", name="Cem", patience=0.5, clock=clock)
    cem.look()
    clock.now += 1
    cem.look()
    cem.take(key)
    assert ben.shared.leave(key, Published(DONE)) is not None
    cem.leave(key, Published(DONE, "Cem's"))
    parts.look(dock, qtbot, lambda: dock.form.copies.isVisibleTo(dock))
    return dock


def test_a_copy_is_looked_at_and_taken_over(
    lost: QueueDock, viewer: Any, qtbot: Any, root: Path
) -> None:
    assert lost.form.copies.text() == "Copies of lost work: 1 …"
    (row,) = (lost._copies.list.item(i).text() for i in range(lost._copies.list.count()))
    assert row.startswith("a1: objects that Ben drew, kept ")
    lost._copies._look.click()
    settle(lost, qtbot)
    assert names(viewer) == ["a1", "a1 objects (locked)"]
    assert (viewer.layers[1].data > 0).sum() == 100
    assert "the copy of what Ben drew" in lost.form.banner.words
    assert lost.form.banner.work.text() == "Take it over"
    lost.form.banner.work.click()
    settle(lost, qtbot)
    qtbot.waitUntil(lambda: not lost.form.copies.isVisibleTo(lost), timeout=20_000)
    assert names(viewer) == ["a1", "a1 objects"]
    layer = viewer.layers["a1 objects"]
    assert (layer.data > 0).sum() == 100
    labels = lost.desk.labels
    assert isinstance(labels, CaseLabels)
    case = labels.kept["instances"].case
    assert case.undo_name == "Copy of Ben's objects"
    (record,) = case.objects.values()
    # With all that is known of it.
    assert (record.class_id, record.prompts[0].box) == (2, (2.0, 2.0, 12.0, 12.0))
    labels.kept["instances"].undo()
    assert not layer.data.any()
    labels.kept["instances"].redo()
    go(lost, qtbot, 1)
    assert lost.project is not None
    stored = read_stored(lost.project.journal(2, "objects"))
    assert stored is not None
    assert (stored.labels > 0).sum() == 100
    assert stored.classes.names == ("object", "gland")
    kept = root / "coseg-shared" / "conflicts" / "settled"
    qtbot.waitUntil(lambda: kept.is_dir() and len(list(kept.iterdir())) == 2, timeout=20_000)


def test_a_copy_is_dismissed(lost: QueueDock, qtbot: Any, root: Path) -> None:
    lost._copies._dismiss.click()
    qtbot.waitUntil(lambda: not lost.form.copies.isVisibleTo(lost), timeout=20_000)
    kept = root / "coseg-shared" / "conflicts" / "settled"
    qtbot.waitUntil(lambda: kept.is_dir() and len(list(kept.iterdir())) == 2, timeout=20_000)
    assert lost.desk.number == 1


def test_a_copy_goes_into_no_other_case(lost: QueueDock, viewer: Any, qtbot: Any) -> None:
    """Somebody goes on to another case before the one of the copy is open."""
    assert lost.desk.sharing is not None
    (copy,) = lost.desk.sharing.copies
    lost.take_over(copy)
    lost.open_case(3)
    settle(lost, qtbot)
    qtbot.wait(100)
    assert names(viewer) == ["a2", "a2 objects"]
    assert not viewer.layers["a2 objects"].data.any()
    assert lost.desk.sharing.copies == [copy]

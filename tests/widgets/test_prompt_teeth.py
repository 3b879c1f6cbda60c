"""FDI numbers of a queue's teeth in the Prompt dock and in the Segment dock."""

from __future__ import annotations

from typing import Any

import pytest

from napari_coseg.annotation.stored_labels import read_stored
from napari_coseg.layers.fdi_numbers import set_fdi
from napari_coseg.widgets.held_layers import held_on
from napari_coseg.widgets.prompt_dock import PromptDock
from napari_coseg.widgets.queue_dock import QueueDock
from napari_coseg.worker.pending import Pending
from tests.widgets import test_prompt_dock as prompts
from tests.widgets import test_queue_suggest as parts
from tests.widgets.test_queue_dock import go
from tests.widgets.test_segment_volume import VolumeClient

root, viewer, queue = parts.root, parts.viewer, parts.dock
told, make_prompt_dock = prompts.told, prompts.make_dock


class Client(VolumeClient, prompts.FakeClient):
    """Answers for volumes and for prompts."""

    slow = False
    late: Any = None

    def prompt(self, source: Any, prompts_: Any, **told: Any) -> Any:
        pending = Pending("prompt", {}, source)
        self.late = (pending, [prompts.answer_to(prompt) for prompt in prompts_])
        if not self.slow:
            self.mask()
        return pending

    def mask(self) -> None:
        """Answer the last prompt."""
        pending, masks = self.late
        pending.future.set_result(masks)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def prompt(queue: QueueDock, client: Any, viewer: Any, make_prompt_dock: Any, qtbot: Any) -> Any:
    """The Prompt dock on a case with two suggested teeth."""
    queue.suggest.switch.setChecked(True)
    parts.answer(queue, client, qtbot)
    queue.suggest.switch.setChecked(False)
    go(queue, qtbot, queue.form.model.cases[1].id)
    dock = make_prompt_dock(viewer)
    dock.show()

    def works_on_it() -> bool:
        target = dock.desk.target
        return target is not None and len(target.case.objects) == 2

    qtbot.waitUntil(works_on_it, timeout=20_000)
    return dock


def numbers(prompt: PromptDock) -> dict[int, tuple[int, float]]:
    assert prompt.desk.target is not None
    objects = prompt.desk.target.case.objects
    return {label: (one.fdi, one.fdi_confidence) for label, one in objects.items()}


def choose(prompt: PromptDock, number: int) -> None:
    field = prompt.form.tooth._number
    field.setCurrentIndex(field.findData(number))
    field.activated.emit(field.currentIndex())


def test_a_number_is_seen_and_corrected(
    prompt: PromptDock, queue: QueueDock, viewer: Any, qtbot: Any
) -> None:
    assert numbers(prompt) == {1: (26, 0.93), 2: (0, 0.0)}
    tooth = prompt.form.tooth
    prompt.editing.select([1])
    assert tooth.isVisible()
    assert (tooth._number.currentData(), tooth._sure.text()) == (26, "proposed, 0.93")
    assert prompt.form.selected.text().startswith("Object 1 · FDI 26 (0.93)")
    # Chosen again: a person is sure of it.
    choose(prompt, 26)
    assert numbers(prompt)[1] == (26, 1.0)
    assert tooth._sure.text() == "sure"
    prompt.editing.select([2])
    assert (tooth._number.currentData(), tooth._sure.text()) == (0, "")
    choose(prompt, 26)
    assert tooth._others.text() == "Object 1 has this number too."
    choose(prompt, 36)
    assert not tooth._others.isVisible()
    assert "object 2 is 36" in prompt.form._buttons["undo"].toolTip()
    target = prompt.desk.target
    assert target is not None
    target.hand_over()
    row = target.layer.features.set_index("index").loc[2]
    assert (row["fdi"], row["fdi_confidence"], row["jaw"]) == (36, 1.0, "lower")
    assert "FDI 36" in prompt.form.objects.item(0).text()
    prompt.undo()
    assert numbers(prompt)[2] == (26, 1.0)
    assert tooth._number.currentData() == 26
    prompt.redo()
    # Of several there is no one number.
    prompt.editing.select([1, 2])
    assert not tooth.isVisible()
    go(queue, qtbot, queue.form.model.cases[0].id)
    assert queue.project is not None
    stored = read_stored(queue.project.journal(queue.form.model.cases[1].id, "objects"))
    assert stored is not None
    assert {label: one.fdi for label, one in stored.objects.items()} == {1: 26, 2: 36}


def test_what_the_segment_dock_writes_is_an_edit(prompt: PromptDock) -> None:
    target = prompt.desk.target
    assert target is not None
    set_fdi(target.layer, 2, 36)
    assert numbers(prompt) == {1: (26, 0.93), 2: (36, 1.0)}
    assert target.case.undo_name == "FDI number: object 2 is 36"
    # And the table that was handed over before does not bring the old one back.
    target.delete([1])
    target.hand_over()
    assert target.layer.features["fdi"].tolist() == [36]
    target.undo()
    target.undo()
    target.hand_over()
    assert target.layer.features["fdi"].tolist() == [26, 0]
    assert numbers(prompt) == {1: (26, 0.93), 2: (0, 0.0)}
    # What is no number is not taken.
    features = target.layer.features.copy()
    features.loc[0, "fdi"] = 99
    target.layer.features = features
    assert numbers(prompt)[1] == (26, 0.93)
    target.hand_over()
    assert target.layer.features["fdi"].tolist() == [26, 0]


def boxed(
    queue: QueueDock, client: Any, viewer: Any, make_prompt_dock: Any, qtbot: Any
) -> PromptDock:
    """The Prompt dock with a box on the open case, for which a model is asked."""
    dock: PromptDock = make_prompt_dock(viewer)
    dock.show()
    qtbot.waitUntil(lambda: dock.desk.target is not None, timeout=20_000)
    queue.suggest.switch.setChecked(True)
    parts.asked(client, qtbot, "a")
    dock.take("box")
    dock.canvas.boxed.emit((2, 2, 6, 6))
    return dock


@pytest.mark.parametrize("state", ["shown", "boxed", "committed"])
def test_a_suggestion_for_the_open_case_leaves_what_is_being_drawn(
    state: str, queue: QueueDock, client: Any, viewer: Any, make_prompt_dock: Any, qtbot: Any
) -> None:
    client.slow = state != "shown"
    dock = boxed(queue, client, viewer, make_prompt_dock, qtbot)
    qtbot.waitUntil(lambda: bool(dock.asker.waiting) == client.slow, timeout=20_000)
    if state == "committed":
        dock.drawing.commit()
    parts.answer(queue, client, qtbot, "a")
    assert "You drew before" in queue.message
    assert dock.drawing.idle == (state == "committed")
    if client.slow:
        client.mask()
    if state != "committed":
        dock.drawing.commit()
    qtbot.waitUntil(lambda: bool(dock.desk.target.case.objects), timeout=20_000)
    assert len(dock.desk.target.case.objects) == 1


def test_a_suggestion_goes_in_once_nothing_is_being_drawn(
    queue: QueueDock, client: Any, viewer: Any, make_prompt_dock: Any, qtbot: Any
) -> None:
    dock = boxed(queue, client, viewer, make_prompt_dock, qtbot)
    qtbot.waitUntil(lambda: not dock.asker.waiting, timeout=20_000)
    dock.discard()
    parts.answer(queue, client, qtbot, "a")
    # The Prompt dock follows it to its layer.
    qtbot.waitUntil(
        lambda: dock.desk.target is not None and len(dock.desk.target.case.objects) == 2,
        timeout=20_000,
    )
    assert "Ctrl+Z takes it away" in queue.message
    # A dock that is gone keeps nothing back.
    held = held_on(viewer.layers["a"])
    assert held is not None
    dock.take("box")
    dock.canvas.boxed.emit((2, 2, 6, 6))
    assert held.busy
    dock.let_go()
    assert not held.busy

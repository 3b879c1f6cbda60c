"""Objects followed through a volume by a host in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.key_planes import KeyPlane, PlaneMask
from napari_coseg.inference.prompted import Prompter
from napari_coseg.inference.propagation import propagate
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.worker.client import Client
from napari_coseg.worker.engine import Engine
from napari_coseg.worker.pending import Handlers
from napari_coseg.worker.propagating import (
    key_masks,
    plane_message,
    propagate_body,
    propagate_message,
    read_keys,
    read_plane,
)
from napari_coseg.worker.protocol import Message, ProtocolError, decode, encode
from napari_coseg.worker.requests import LoadRequest
from tests.inference.fake_prompts import FakePromptModel
from tests.inference.test_propagation import Bright, box, pictures, rod
from tests.worker.test_host_client import WAIT, InThread

TRUTH = rod(8, 31, 30, 20, 8) | rod(10, 28, 30, 48, 8)
DISC = Mask.of(TRUTH[20, :, 32:], (0, 32))
KEYS = [KeyPlane(5, 18, box(30, 20, 8)), KeyPlane(2, 20, mask=DISC)]


class Models:
    """Hands out a network that says what is bright."""

    def __init__(self) -> None:
        self.network = Bright()

    def get(self, wanted: LoadRequest, kind: str | None = None) -> Any:
        return SimpleNamespace(prompter=Prompter(FakePromptModel(self.network)))

    def release(self) -> None:
        """There is nothing to give back."""


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def host(models: Models) -> Iterator[InThread]:
    def make() -> Engine:
        engine = Engine()
        engine._models = models  # type: ignore[assignment]
        return engine

    made = InThread()
    made.make = make
    yield made
    made.close()


@pytest.fixture
def client(host: InThread) -> Iterator[Client]:
    made = Client(host)  # type: ignore[arg-type]
    yield made
    made.close()


def over_the_wire(message: Message) -> Message:
    return decode([memoryview(bytes(f)) for f in encode(message)], {message.kind})


def same(one: PlaneMask, other: PlaneMask) -> bool:
    return (
        (one.label, one.plane, one.how, one.fault)
        == (other.label, other.plane, other.how, other.fault)
        and one.mask.origin == other.mask.origin
        and bool((one.mask.bits == other.mask.bits).all())
        and abs(one.stability - other.stability) < 1e-4
    )


def test_key_planes_and_planes_come_out_as_they_went_in() -> None:
    before = Mask((3, 4), np.eye(5, 7, dtype=bool))
    keys = [
        *KEYS,
        KeyPlane(7, 0, Prompt((1.5, 2, 9, 9), ((3.0, 4.5, True), (8.0, 8.0, False)), before)),
    ]
    body = propagate_body(pictures(TRUTH), keys, {5: (3, 30)}, model="m", content="c", hint=12.5)
    wanted, back = read_keys(over_the_wire(propagate_message("id", body, key_masks(keys))))
    assert (wanted.planes, wanted.shape, wanted.hint) == (40, (64, 64), 12.5)
    assert [(one.label, one.first, one.end) for one in wanted.reach] == [(5, 3, 30)]
    for one, other in zip(keys, back, strict=True):
        assert (one.label, one.plane) == (other.label, other.plane)
        assert (one.mask is None) == (other.mask is None)
        assert (one.prompt is None) == (other.prompt is None)
    assert back[0].prompt is not None
    assert back[0].prompt.box == box(30, 20, 8).box
    assert back[1].mask is not None
    assert (back[1].mask.bits == DISC.bits).all()
    assert back[2].prompt is not None
    assert back[2].prompt.points == keys[2].prompt.points  # type: ignore[union-attr]
    assert back[2].prompt.mask is not None
    assert (back[2].prompt.mask.bits == before.bits).all()
    found = PlaneMask(5, 17, before, 0.75, "followed")
    assert same(found, read_plane(over_the_wire(Message("plane", "id", *plane_message(found)))))


def test_a_plane_of_another_size_or_kind_is_refused() -> None:
    body, arrays = plane_message(PlaneMask(5, 17, DISC, 0.75, "followed"))
    with pytest.raises(ProtocolError, match="announced"):
        read_plane(Message("plane", "id", {**body, "shape": [900, 900]}, arrays))
    with pytest.raises(ProtocolError, match="faulty plane"):
        read_plane(Message("plane", "id", {**body, "how": "dreamt"}, arrays))


@pytest.mark.parametrize(
    "key",
    [
        KeyPlane(0, 3, box(30, 20, 8)),
        KeyPlane(1, 1 << 20, box(30, 20, 8)),
        KeyPlane(1, 3, Prompt((0, 0, float("nan"), 3))),
    ],
)
def test_what_makes_no_sense_is_not_sent(client: Client, key: KeyPlane) -> None:
    with pytest.raises(ProtocolError, match="keys"):
        client.propagate(pictures(TRUTH), [key], model="m")


@pytest.mark.parametrize("axis", [0, 2])
def test_the_host_follows_as_one_does_without_it(client: Client, models: Models, axis: int) -> None:
    heard: list[PlaneMask] = []
    volume = pictures(np.moveaxis(TRUTH, 0, axis), axis)
    handlers = Handlers(plane=heard.append)
    asked = client.propagate(volume, KEYS, model="m", content="v", handlers=handlers)
    found = asked.future.result(WAIT)
    alone = list(propagate(Prompter(FakePromptModel(Bright())), volume, KEYS))
    assert len(found) == len(alone) > 40
    assert all(same(one, other) for one, other in zip(found, alone, strict=True))
    assert heard == found


def test_what_is_taken_is_left_to_its_owner(client: Client) -> None:
    def taken(plane: int) -> npt.NDArray[np.bool_]:
        bits = np.zeros((64, 64), bool)
        bits[:, :18] = plane > 20
        return bits

    volume = pictures(TRUTH)
    asked = client.propagate(volume, KEYS, model="m", taken=taken)
    found = asked.future.result(WAIT)
    alone = list(propagate(Prompter(FakePromptModel(Bright())), volume, KEYS, taken=taken))
    assert all(same(one, other) for one, other in zip(found, alone, strict=True))
    followed = [one for one in found if one.label == 5 and one.mask.area]
    assert {one.mask.origin[1] for one in followed if one.plane > 21} == {18}
    assert {one.mask.origin[1] for one in followed if one.plane < 20} == {12}


def test_planes_come_anew_from_the_next_host(client: Client, models: Models, host: Any) -> None:
    heard: list[PlaneMask] = []
    restarts: list[int] = []
    here = threading.Event()

    def plane(found: PlaneMask) -> None:
        heard.append(found)
        if len(heard) == 8:
            here.set()

    def restarted() -> None:
        restarts.append(len(heard))
        heard.clear()

    slow = threading.Event()
    decode = models.network.decode

    def wait(*given: Any) -> Any:
        slow.wait(0.05)
        return decode(*given)

    models.network.decode = wait  # type: ignore[method-assign]
    handlers = Handlers(plane=plane, restarted=restarted)
    asked = client.propagate(pictures(TRUTH), KEYS, model="m", handlers=handlers)
    assert here.wait(WAIT)
    host.die()
    slow.set()
    found = asked.future.result(WAIT)
    assert len(restarts) == 1
    assert restarts[0] >= 8
    assert heard == found
    alone = list(propagate(Prompter(FakePromptModel(Bright())), pictures(TRUTH), KEYS))
    assert all(same(one, other) for one, other in zip(found, alone, strict=True))


def test_what_is_wrong_with_a_key_plane_arrives(client: Client) -> None:
    asked = client.propagate(pictures(TRUTH), [KeyPlane(1, 99, box(30, 20, 8))], model="m")
    with pytest.raises(CosegError, match="planes 0 to 39"):
        asked.future.result(WAIT)


def test_cancel_ends_it_between_planes_and_the_host_goes_on(client: Client, models: Models) -> None:
    begun = threading.Event()
    heard: list[PlaneMask] = []

    def plane(found: PlaneMask) -> None:
        heard.append(found)
        begun.set()

    slow = threading.Event()
    decode = models.network.decode

    def wait(*given: Any) -> Any:
        slow.wait(0.05)
        return decode(*given)

    models.network.decode = wait  # type: ignore[method-assign]
    asked = client.propagate(pictures(TRUTH), KEYS, model="m", handlers=Handlers(plane=plane))
    assert begun.wait(WAIT)
    client.cancel(asked)
    slow.set()
    again = client.propagate(pictures(TRUTH), KEYS[:1], model="m")
    assert len(again.future.result(WAIT)) > 20
    assert asked.future.cancelled()
    assert len(heard) < 40


def test_a_click_does_not_wait_for_the_end(client: Client, models: Models) -> None:
    go_on, begun = threading.Event(), threading.Event()
    decode, calls = models.network.decode, []

    def wait(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            begun.set()
            go_on.wait(WAIT)
        return decode(*given)

    models.network.decode = wait  # type: ignore[method-assign]
    asked = client.propagate(pictures(TRUTH), KEYS, model="m")
    assert begun.wait(WAIT)
    ended: list[str] = []
    asked.future.add_done_callback(lambda _: ended.append("walk"))
    white = ArraySource(np.full((64, 64, 3), 255, np.uint8))
    click = client.prompt(white, [Prompt((10, 10, 30, 30))], model="m")
    click.future.add_done_callback(lambda _: ended.append("click"))
    # It comes to the host before the walk goes on.
    threading.Timer(1.0, go_on.set).start()
    assert asked.future.result(WAIT)
    assert click.future.result(WAIT)[0].mask.area
    assert ended == ["click", "walk"]

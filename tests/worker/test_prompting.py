"""Prompts and masks on their way, with a host in a thread and without torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from napari_coseg.imaging.pyramid import Pyramid
from napari_coseg.imaging.source import ArraySource
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.worker import connection as client_module
from napari_coseg.worker.client import Client
from napari_coseg.worker.prompting import (
    PromptAnswer,
    answer_of,
    prompt_bodies,
    prompt_message,
    read_answers,
    read_prompts,
)
from napari_coseg.worker.protocol import Message, ProtocolError, decode, encode
from napari_coseg.worker.requests import SegmentRequest
from tests.worker.test_host_client import WAIT, InThread, wait_for


@pytest.fixture
def host() -> Iterator[InThread]:
    made = InThread()
    yield made
    made.close()


@pytest.fixture
def client(host: InThread) -> Iterator[Client]:
    made = Client(host)  # type: ignore[arg-type]
    yield made
    made.close()


def source() -> ArraySource:
    return ArraySource(np.zeros((100, 120, 3), np.uint8))


def random_mask(rng: np.random.Generator, rows: int, columns: int) -> Mask:
    return Mask((int(rng.integers(90)), int(rng.integers(90))), rng.random((rows, columns)) < 0.5)


def body(prompts: list[Prompt]) -> dict[str, Any]:
    return {"model": "m", "shape": (100, 120), "prompts": prompt_bodies(prompts)}


def over_the_wire(message: Message) -> Message:
    return decode([memoryview(bytes(f)) for f in encode(message)], {message.kind})


def test_prompts_and_masks_come_out_as_they_went_in() -> None:
    rng = np.random.default_rng(0)
    prompts = [
        Prompt((1.5, 2.0, 30.25, 40.0)),
        Prompt(points=((3.0, 4.0, True), (5.5, 6.0, False)), mask=random_mask(rng, 7, 5)),
        Prompt((0, 0, 9, 9), ((1, 1, True),), random_mask(rng, 1, 9)),
        Prompt(mask=Mask((4, 4), np.zeros((0, 0), bool))),
    ]
    message = over_the_wire(prompt_message("id", body(prompts), [p.mask for p in prompts]))
    _, back = read_prompts(message)
    for one, other in zip(prompts, back, strict=True):
        assert one.box == other.box
        assert one.points == other.points
        assert (one.mask is None) == (other.mask is None)
        if one.mask is not None and other.mask is not None:
            assert one.mask.origin == other.mask.origin
            np.testing.assert_array_equal(one.mask.bits, other.mask.bits)
    answers = [
        PromptAnswer(random_mask(rng, 1 + i, 13 - i), i / 20, (0.5, 1.0, 64.5, 65.0), i % 2 == 0)
        for i in range(12)
    ]
    result = over_the_wire(Message("result", "id", *answer_of(answers, 0.5)))
    for sent, came in zip(answers, read_answers(result), strict=True):
        assert (sent.stability, sent.crop, sent.touches_border) == (
            came.stability,
            came.crop,
            came.touches_border,
        )
        assert sent.mask.origin == came.mask.origin
        np.testing.assert_array_equal(sent.mask.bits, came.mask.bits)


@pytest.mark.parametrize(
    "masks",
    [{}, {"masks": np.zeros(3, np.uint8)}, {"masks": np.zeros(4, np.int32)}],
)
def test_masks_of_another_size_are_refused(masks: dict[str, Any]) -> None:
    wanted = body([Prompt(mask=Mask((0, 0), np.ones((5, 6), bool)))])
    with pytest.raises(ProtocolError, match="announced"):
        read_prompts(Message("prompt", "id", wanted, masks))


def test_a_bomb_of_masks_is_refused_before_memory_is_taken() -> None:
    wanted = body([Prompt((0, 0, 2, 2))])
    wanted["prompts"][0]["mask"] = {"origin": [0, 0], "shape": [1 << 20, 1 << 20]}
    with pytest.raises(ProtocolError, match="announced"):
        read_prompts(Message("prompt", "id", wanted, {"masks": np.zeros(8, np.uint8)}))


@pytest.mark.parametrize(
    "prompt",
    [Prompt((0, 0, float("nan"), 3)), Prompt(points=((float("inf"), 0, True),))],
)
def test_prompts_that_are_no_numbers_are_not_sent(client: Client, prompt: Prompt) -> None:
    with pytest.raises(ProtocolError, match="prompts"):
        client.prompt(source(), [prompt], model="m")


def test_a_box_comes_back_as_a_mask(client: Client, host: InThread) -> None:
    answer = client.prompt(source(), [Prompt((3, 4, 9, 14))], model="m", content="c")
    (found,) = answer.future.result(WAIT)
    assert found.mask.origin == (3, 4)
    assert found.mask.area == 60
    assert host.engine.order == ["c"]
    again = Prompt((3, 4, 9, 14), mask=found.mask)
    (same,) = client.prompt(source(), [again], model="m", crops=[found.crop]).future.result(WAIT)
    assert same.mask.area == 60


def test_levels_of_a_pyramid_can_be_pulled(client: Client) -> None:
    grey = [np.full((100 >> k, 120 >> k, 3), 51 * k, np.uint8) for k in range(3)]
    pyramid = Pyramid([ArraySource(level) for level in grey])
    asked = client.prompt(pyramid, [Prompt((3, 4, 9, 14))], model="m")
    assert asked.body["levels"] == ((50, 60), (25, 30))
    assert asked.future.result(WAIT)[0].stability == 0.4


def test_what_the_host_says_is_wrong_arrives(client: Client) -> None:
    asked = client.prompt(source(), [Prompt((0, 0, 5, 5))], model="bad")
    with pytest.raises(CosegError, match="The model is bad"):
        asked.future.result(WAIT)


def test_a_prompt_does_not_wait_for_a_long_run(client: Client, host: InThread) -> None:
    wanted = SegmentRequest(model="slow", shape=(100, 120), name="long")
    run = client.segment(source(), wanted)
    while "long" not in host.engine.order:
        time.sleep(0.01)
    answer = client.prompt(source(), [Prompt((1, 1, 4, 4))], model="m", content="now")
    assert answer.future.result(WAIT)[0].mask.area == 9
    assert not run.future.done()
    client.cancel(run)


def test_a_lost_host_is_asked_again(client: Client, host: InThread) -> None:
    client.prompt(source(), [Prompt((0, 0, 5, 5))], model="m").future.result(WAIT)
    host.die()
    again = Prompt((0, 0, 5, 5), mask=Mask((2, 3), np.ones((4, 4), bool)))
    (found,) = client.prompt(source(), [again], model="m").future.result(WAIT)
    assert found.mask.origin == (2, 3)
    assert host.starts == 2


def test_a_prompt_that_is_cancelled_while_its_model_is_loaded_costs_no_host(
    client: Client, host: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CANCEL_TIME", 2.0)
    monkeypatch.setattr(client_module, "PING", 0.02)
    pending = client.prompt(source(), [Prompt((0, 0, 5, 5))], model="loading", content="long")
    wait_for(lambda: host.engine.order)
    client.cancel(pending)
    cancelled = time.monotonic()
    after = client.prompt(source(), [Prompt((0, 0, 5, 5))], model="m")
    # Longer than a host may take that does not say what it does.
    wait_for(lambda: time.monotonic() > cancelled + 5)
    assert (host.starts, after.future.done()) == (1, False)
    host.engine.loaded.set()
    assert after.future.result(WAIT)[0].mask.area == 25
    assert host.starts == 1


def test_a_model_that_is_loaded_for_ever_is_a_hang(
    client: Client, host: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CANCEL_TIME", 0.1)
    monkeypatch.setattr(client_module, "LOAD_TIME", 0.3)
    monkeypatch.setattr(client_module, "PING", 0.02)
    pending = client.prompt(source(), [Prompt((0, 0, 5, 5))], model="loading", content="long")
    wait_for(lambda: host.engine.order)
    hanging = host.engine
    client.cancel(pending)
    after = client.prompt(source(), [Prompt((0, 0, 5, 5))], model="m")
    assert after.future.result(WAIT)[0].mask.area == 25
    assert host.starts == 2
    hanging.loaded.set()

"""What the real engine does when a device is too small; the models are pretended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.prompted import Prompter
from napari_coseg.types import CosegError, Prompt
from napari_coseg.weights import catalogue
from napari_coseg.weights.card import ModelCard
from napari_coseg.worker import prompt_model
from napari_coseg.worker.client import Client
from napari_coseg.worker.engine import Engine
from napari_coseg.worker.kept_models import KeptModels
from napari_coseg.worker.pending import Handlers
from napari_coseg.worker.requests import LoadRequest
from tests.inference.fake_prompts import FakePromptModel, FakePromptNetwork
from tests.worker.test_host_client import WAIT, InThread

BOXES = [Prompt((200.0 * i, 0, 200.0 * i + 40, 50)) for i in range(5)]


class Full(FakePromptNetwork):
    """A network on a device that has no room for one crop."""

    def encode(self, images: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")


class Models:
    """Hands out a network that fits nowhere but on the CPU."""

    def __init__(self) -> None:
        self.devices: list[str] = []

    def get(self, wanted: LoadRequest, kind: str | None = None) -> Any:
        self.devices.append(wanted.device)
        network = FakePromptNetwork() if wanted.device == "cpu" else Full()
        return SimpleNamespace(prompter=Prompter(FakePromptModel(network)))

    def release(self) -> None:
        self.devices.append("released")


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def client(models: Models) -> Iterator[Client]:
    def make() -> Engine:
        engine = Engine()
        engine._models = models  # type: ignore[assignment]
        return engine

    host = InThread()
    host.make = make
    made = Client(host)  # type: ignore[arg-type]
    yield made
    made.close()
    host.close()


def ask(client: Client, told: list[str], device: str = "auto") -> Any:
    source = ArraySource(np.zeros((1000, 1000, 3), np.uint8))
    handlers = Handlers(notice=told.append)
    asked = client.prompt(source, BOXES, model="m", device=device, handlers=handlers)
    return asked.future.result(WAIT)


def test_too_little_memory_for_a_prompt_means_the_cpu(client: Client, models: Models) -> None:
    told: list[str] = []
    found = ask(client, told)
    assert all(one.mask.area > 1400 for one in found)
    assert {one.device for one in found} == {"cpu"}
    (sentence,) = told
    assert "too little memory for one prompt" in sentence
    assert sentence.endswith("Going on with the CPU.")
    assert models.devices == ["auto", "released", "cpu"]
    # The next one goes there at once, and without a word.
    ask(client, told)
    assert len(told) == 1
    assert models.devices == ["auto", "released", "cpu", "cpu"]


def test_after_a_rest_the_device_is_tried_again(models: Models) -> None:
    engine = Engine()
    engine._models = models  # type: ignore[assignment]
    engine._too_large.add(("m", "auto"))
    engine.release()
    assert not engine._too_large


def test_a_cpu_that_is_too_small_has_no_way_out(
    client: Client, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(prompter=Prompter(FakePromptModel(Full())))
    monkeypatch.setattr(models, "get", lambda wanted, kind=None: full)
    told: list[str] = []
    with pytest.raises(CosegError, match="too little memory for one prompt"):
        ask(client, told, "cpu")
    assert told == []


def test_a_model_that_does_not_fit_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from napari_coseg.inference.runner import DeviceFull

    def load(path: Any, device: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")

    path = tmp_path / "sam.safetensors"
    path.touch()
    monkeypatch.setattr(catalogue, "find_weights", lambda name: path)
    monkeypatch.setattr(catalogue, "sha256_of", lambda path: "ab")
    monkeypatch.setattr(prompt_model, "load_prompter", load)
    with pytest.raises(DeviceFull, match="too little memory for the model sam"):
        KeptModels().get(LoadRequest(model="sam", device="cpu"), "syncsam")


def test_a_model_is_read_again_only_where_its_file_has_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    path = tmp_path / "sam.safetensors"
    path.write_bytes(b"one")
    hashed: list[bytes] = []

    def sha256_of(file: Any) -> str:
        hashed.append(file.read_bytes())
        return hashed[-1].decode()

    monkeypatch.setattr(catalogue, "find_weights", lambda name: path)
    monkeypatch.setattr(catalogue, "sha256_of", sha256_of)
    monkeypatch.setattr(
        prompt_model,
        "load_prompter",
        lambda file, device: SimpleNamespace(
            card=ModelCard(name="sam", kind="syncsam"), what=file.read_bytes()
        ),
    )
    kept = KeptModels()
    wanted = LoadRequest(model="sam", device="cpu")
    assert kept.get(wanted, "syncsam") is kept.get(wanted, "syncsam")
    assert hashed == [b"one"]
    path.write_bytes(b"two")
    # Some file systems tell the time of a change in steps that are longer than this test.
    os.utime(path, ns=(1, 1))
    assert kept.get(wanted, "syncsam").what == b"two"
    assert hashed == [b"one", b"two"]
    path.unlink()
    with pytest.raises(CosegError, match="Cannot read"):
        kept.get(wanted, "syncsam")

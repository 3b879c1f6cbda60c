"""The real host process with a small network of random weights, and the launcher."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_coseg.imaging.pyramid import Pyramid
from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.panoptic import segment_image
from napari_coseg.inference.prompted import Prompter
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.models.syncsam.config import SyncSamConfig
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.types import CosegError, Prompt
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.loading import load_model, load_prompt_model, save_model
from napari_coseg.worker import connection as client_module
from napari_coseg.worker import launcher
from napari_coseg.worker.client import Client
from napari_coseg.worker.launcher import LocalHost
from napari_coseg.worker.pending import Handlers
from napari_coseg.worker.requests import SegmentRequest
from tests.inference.fake import TINY, card

WAIT = 200


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = CosegNetwork(TINY)
    return save_model(tmp_path_factory.mktemp("weights") / "tiny.safetensors", network, card())


@pytest.fixture(scope="module")
def notices() -> list[str]:
    return []


@pytest.fixture(scope="module")
def client(notices: list[str]) -> Iterator[Client]:
    """One process for the whole module: starting it is what takes time."""
    made = Client(LocalHost(), notices.append)
    yield made
    made.close()


def picture(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def request(weights: Path, image: np.ndarray) -> SegmentRequest:
    return SegmentRequest(model=str(weights), shape=image.shape[:2], device="cpu", mpp=0.25)


def test_the_worker_finds_what_the_library_finds(client: Client, weights: Path) -> None:
    image = picture(90, 140)
    pending = client.segment(ArraySource(image), request(weights, image))
    result = pending.future.result(WAIT)
    expected = segment_image(image, load_model(weights), mpp=0.25)
    assert np.array_equal(result.regions, expected.regions)
    assert np.array_equal(result.instances, expected.instances)
    assert result.objects.equals(expected.objects[result.objects.columns])
    assert result.metadata["model_sha256"] == expected.metadata["model_sha256"]
    assert result.metadata["mpp_origin"] == "given"


def test_the_worker_answers_prompts_as_the_library_does(client: Client, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = SyncSamConfig(
        side=64,
        width=32,
        depth=4,
        heads=2,
        window=2,
        freeze_vit=False,
        cnn="mobilenetv3_small_050",
        embedding=32,
    )
    card = ModelCard(name="tiny-sam", kind="syncsam")
    path = save_model(tmp_path / "tiny-sam.safetensors", SyncSamNetwork(config), card)
    source = ArraySource(picture(200, 300))
    prompts = [Prompt((10, 20, 60, 90)), Prompt(points=((120.0, 150.0, True),))]
    told = {"model": str(path), "device": "cpu", "content": "one", "hint": 40.0}
    found = client.prompt(source, prompts, **told).future.result(WAIT)
    expected = Prompter(load_prompt_model(path)).segment(source, prompts, hint=40.0)
    for one, other in zip(found, expected, strict=True):
        assert one.mask.origin == other.mask.origin
        np.testing.assert_array_equal(one.mask.bits, other.mask.bits)
        assert one.stability == pytest.approx(other.stability, abs=1e-3)
        assert one.crop == pytest.approx(other.crop)
    # A large object of a pyramid is looked at on the same level on both sides.
    halves = [picture(600 >> k, 800 >> k) for k in range(3)]
    pyramid, whole = Pyramid([ArraySource(level) for level in halves]), [Prompt((9, 9, 500, 500))]
    (one,) = client.prompt(pyramid, whole, **told | {"content": "two"}).future.result(WAIT)
    (other,) = Prompter(load_prompt_model(path)).segment(pyramid, whole)
    np.testing.assert_array_equal(one.mask.bits, other.mask.bits)
    # Outside of the image: a sentence, and the host goes on.
    with pytest.raises(CosegError, match="outside"):
        client.prompt(source, [Prompt((500, 500, 600, 600))], **told).future.result(WAIT)
    again = [Prompt((10, 20, 60, 90), ((30.0, 40.0, True),), found[0].mask)]
    client.prompt(source, again, crops=[found[0].crop], **told).future.result(WAIT)
    # A model of the other kind is told apart.
    image = picture(90, 140)
    asked = client.segment(ArraySource(image), request(path, image))
    with pytest.raises(CosegError, match="tiny-sam"):
        asked.future.result(WAIT)


def test_an_unknown_model_and_device(client: Client, weights: Path) -> None:
    with pytest.raises(CosegError, match="no model named nothing"):
        client.load("nothing").result(WAIT)
    if not torch.cuda.is_available():
        with pytest.raises(CosegError, match="no device cuda"):
            client.load(str(weights), "cuda").result(WAIT)
    assert client.describe().result(WAIT)["device"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is Unix's")
def test_a_killed_host_is_replaced_in_the_middle_of_a_run(
    client: Client, weights: Path, notices: list[str]
) -> None:
    image = picture(700, 700)
    first = client.segment(ArraySource(image), request(weights, image)).future.result(WAIT)
    started = threading.Event()
    handlers = Handlers(progress=lambda done, total: started.set())
    pending = client.segment(ArraySource(image), request(weights, image), handlers)
    assert isinstance(client.host, LocalHost)
    pid = client.host.pid
    assert pid is not None
    assert started.wait(WAIT)
    os.kill(pid, signal.SIGKILL)
    again = pending.future.result(WAIT)
    assert np.array_equal(first.instances, again.instances)
    assert client.host.pid != pid
    assert len(notices) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is Unix's")
def test_a_spare_process_takes_over(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "REST", 0.0)
    host, notices = LocalHost(), list[str]()
    client = Client(host, notices.append)
    try:
        image = picture(90, 140)
        before = client.segment(ArraySource(image), request(weights, image)).future.result(WAIT)
        first = host.pid
        end = time.monotonic() + WAIT
        while host.spare_pid is None:
            assert time.monotonic() < end
            time.sleep(0.05)
        spare = host.spare_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        done = client.segment(ArraySource(image), request(weights, image)).future.result(WAIT)
        assert np.array_equal(done.instances, before.instances)
        assert host.pid == spare != first
    finally:
        client.close()
    assert (host.pid, host.spare_pid) == (None, None)
    assert not _runs(spare)


@pytest.mark.parametrize("reported", [False, True])
def test_a_spare_process_that_has_gone_is_no_loss(reported: bool) -> None:
    host = LocalHost()
    host.keep_spare()
    spare = host.spare_pid
    assert spare is not None
    assert host._spare is not None
    if reported:
        # Its report stands in the pipe, unread.
        stdout = host._spare._process.stdout
        assert stdout is not None
        assert select.select([stdout], [], [], WAIT)[0]
    os.kill(spare, signal.SIGTERM)
    host._spare._process.wait(WAIT)
    try:
        assert host.start().address.startswith("tcp://127.0.0.1:")
        assert host.pid not in (None, spare)
    finally:
        host.close()


def test_a_machine_short_of_memory_has_no_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_SPARE_MEMORY", 1 << 60)
    host = LocalHost()
    host.keep_spare()
    assert host.spare_pid is None
    host.close()


def test_a_host_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher.sys, "executable", sys.executable)
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(CosegError, match="does not start"):
        LocalHost().start()


def test_the_host_is_not_a_program_for_people() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "napari_coseg.worker"],
        input="hello\n",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert "starts it itself" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="reads the process table of Unix")
def test_a_host_leaves_when_its_client_is_killed() -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from napari_coseg.worker.launcher import LocalHost
        host = LocalHost()
        host.start()
        assert "torch" not in sys.modules
        print(host.pid, flush=True)
        time.sleep(100)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 20
    while _runs(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for is gone all the same.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"

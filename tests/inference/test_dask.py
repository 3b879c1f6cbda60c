"""Many images by Dask workers: the same files as without, also where a worker is killed."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_coseg.cli.main import main
from napari_coseg.imaging.labels import read_labels
from napari_coseg.inference.batch import PredictionFolder
from napari_coseg.inference.dask_batch import DaskPredictionFolder, connect
from napari_coseg.inference.dask_work import folder_of
from napari_coseg.inference.jobs import find_jobs
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import LoadedModel, load_model, save_model
from tests.inference.fake import TINY, card, picture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills as Unix does")
distributed = pytest.importorskip("distributed")
COUNT = 6
SETTINGS = PredictSettings(overlap=16, halo=24, block=100)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        connect(cluster.scheduler_address) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_model(path, CosegNetwork(TINY), card())


@pytest.fixture
def model(weights: Path) -> LoadedModel:
    return load_model(weights)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(COUNT):
        tile = np.roll(picture(130, 170, 30).image, 8 * number, 0)
        Image.fromarray(tile).save(folder / f"tile-{number}.png")
    return folder


def by_dask(out: Path, model: LoadedModel, client: Any, weights: Path) -> DaskPredictionFolder:
    return DaskPredictionFolder(
        out, model, SETTINGS, 0.25, client=client, name=str(weights), device="cpu", threads=1
    )


def labels(out: Path) -> dict[str, np.ndarray]:
    return {path.name: read_labels(path) for path in sorted(out.glob("*.tif"))}


def test_a_worker_that_is_killed(
    client: Any, images: Path, tmp_path: Path, model: LoadedModel, weights: Path
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = PredictionFolder(tmp_path / "alone", model, SETTINGS, 0.25)
    jobs = find_jobs([images], alone.out)
    assert {one.outcome for one in alone.run(jobs)} == {"done"}
    torch.set_num_threads(threads)

    folder = by_dask(tmp_path / "out", model, client, weights)
    outcomes: dict[str, str] = {}
    for number, result in enumerate(folder.run(jobs)):
        outcomes[result.job.name] = result.outcome
        if number == 0:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert outcomes == {job.name: "done" for job in jobs}
    found, expected = labels(folder.out), labels(alone.out)
    assert found.keys() == expected.keys()
    assert len(expected) == 2 * COUNT
    for name, truth in expected.items():
        np.testing.assert_array_equal(found[name], truth)
    told = json.loads((folder.out / "run.json").read_text("utf-8"))
    assert {image["status"] for image in told["images"].values()} == {"done"}
    # One model for each process that is there now, or none where the new one had no image.
    loads = client.run(_loads)
    assert set(loads.values()) <= {0, 1}
    assert sum(loads.values()) >= 1
    # Without Dask and with it, a second run finds all done.
    assert {one.outcome for one in folder.run(jobs)} == {"skipped"}
    again = PredictionFolder(folder.out, model, SETTINGS, 0.25)
    again.check(jobs)
    assert {one.outcome for one in again.run(jobs)} == {"skipped"}


def _loads() -> int:
    return folder_of.cache_info().misses


def test_the_command_and_an_image_that_fails(
    client: Any, images: Path, tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "tile-1.png").write_bytes(b"")
    out = tmp_path / "out"
    words = ["predict", images, "--out", out, "--model", weights, "--mpp", 0.25]
    words += ["--dask", client.scheduler.address, "--device", "cpu", "--threads", 1]
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == 1
    told = capsys.readouterr()
    assert f"{COUNT - 1} done, 1 failed" in told.out
    assert "tile-1" in told.err
    assert "tile-1.png" in (out / "failures.csv").read_text("utf-8")


def test_other_weights_at_the_workers(
    client: Any, images: Path, tmp_path: Path, model: LoadedModel, weights: Path
) -> None:
    other = LoadedModel(model.network, model.card, "00" * 32, model.path)
    folder = by_dask(tmp_path / "out", other, client, weights)
    with pytest.raises(CosegError, match="other weights"):
        list(folder.run(find_jobs([images], folder.out)))


def test_an_image_that_kills_its_workers(
    client: Any,
    images: Path,
    tmp_path: Path,
    model: LoadedModel,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = by_dask(tmp_path / "out", model, client, weights)
    error = distributed.KilledWorker("key", SimpleNamespace(address="tcp://gone"), 3)
    monkeypatch.setattr(folder, "_submit", lambda job: client.submit(_raise, error, pure=False))
    jobs = find_jobs([images], folder.out)[:1]
    (result,) = folder.run(jobs)
    assert result.outcome == "failed"
    assert "workers died" in result.error
    assert "workers died" in (folder.out / "failures.csv").read_text("utf-8")


def _raise(error: Exception) -> None:
    raise error


def test_no_scheduler_at_an_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(CosegError, match=f"No Dask scheduler answers at tcp://127.0.0.1:{port}"):
        connect(f"tcp://127.0.0.1:{port}", patience=1.0)
    with pytest.raises(CosegError, match="No Dask scheduler answers at nonsense"):
        connect("nonsense://x", patience=1.0)
    assert time.monotonic() - begun < 8


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CosegError, match=r"napari-coseg\[dask\]"):
        connect("tcp://127.0.0.1:1")

"""Whole volumes segmented by a host in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS, VolumeResult
from napari_coseg.imaging.volume_turning import Turning
from napari_coseg.imaging.volumes import Volume
from napari_coseg.inference.volumes import segment_volume
from napari_coseg.types import CosegError
from napari_coseg.worker import pulled_voxels, volume_answer
from napari_coseg.worker.client import Client
from napari_coseg.worker.engine import Engine
from napari_coseg.worker.pending import Handlers
from napari_coseg.worker.protocol import MAX_ARRAY, Message, ProtocolError
from napari_coseg.worker.pulled_voxels import PulledVoxels
from napari_coseg.worker.requests import LoadRequest, check_body
from napari_coseg.worker.volume_answer import VolumeAssembly, send_result, slabs
from napari_coseg.worker.volume_request import StoredVoxels, VolumeRequest
from tests.inference.fake_volumes import SETTINGS, jaws, volume_model
from tests.worker.test_host_client import WAIT, InThread

VOLUME, _, _ = jaws()


class Models:
    """Hands out a network that reads grey values."""

    def __init__(self) -> None:
        self.model: Any = volume_model()

    def get(self, wanted: LoadRequest, kind: str | None = None, *, volume: bool = False) -> Any:
        self.model.card.expect_input(volume=volume)
        return self.model

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


def request(voxels: StoredVoxels, grid: VolumeGrid, **more: Any) -> VolumeRequest:
    facts = {k: v for k, v in grid.as_dict().items() if k != "shape"}
    body = {"model": "fake", "shape": voxels.shape, "dtype": voxels.dtype.str, **facts, **more}
    return check_body(VolumeRequest, body)


def run(client: Client, voxels: Any, grid: VolumeGrid, **more: Any) -> VolumeResult:
    stored = StoredVoxels(voxels)
    asked = request(stored, grid, **{"window": (0, 255), **more})
    result = client.segment_volume(stored, asked).future.result(WAIT)
    assert isinstance(result, VolumeResult)
    return result


def compare(found: VolumeResult, expected: VolumeResult) -> None:
    np.testing.assert_array_equal(found.regions, expected.regions)
    np.testing.assert_array_equal(found.instances, expected.instances)
    # Of words, pandas has types of its own.
    pd.testing.assert_frame_equal(found.objects, expected.objects, check_dtype=False)
    assert found.grid == expected.grid


@pytest.mark.parametrize(("orientation", "lazy"), [("IPL", False), ("SPL", False), ("LIP", True)])
def test_the_host_finds_what_the_library_finds(
    client: Client, orientation: str, lazy: bool
) -> None:
    turning = Turning.to(VOLUME.grid, orientation)
    grid, voxels = turning.grid(VOLUME.grid), np.ascontiguousarray(turning.seen(VOLUME.voxels))
    settings = replace(SETTINGS, overlap=None, window=None)
    expected = segment_volume(Volume(voxels, grid), volume_model(), settings=settings)
    assert expected.regions is not None
    assert len(expected.objects) == 6
    found = run(client, da.from_array(voxels, 16) if lazy else voxels, grid, window=None)
    compare(found, expected)
    assert found.instances is not None
    assert found.instances.dtype == np.uint16
    assert found.metadata["window"] == expected.metadata["window"]
    assert found.metadata["seen"] == "IPL"
    counts = np.bincount(expected.regions.ravel(), minlength=3)
    assert found.metadata["region_voxels"] == counts.tolist()


def test_without_an_orientation_a_volume_is_taken_as_it_lies(client: Client) -> None:
    expected = segment_volume(VOLUME, volume_model(), settings=replace(SETTINGS, overlap=None))
    plain = VolumeGrid(VOLUME.grid.shape, VOLUME.grid.spacing)
    found = run(client, VOLUME.voxels, plain, oriented=False, name="head")
    np.testing.assert_array_equal(found.regions, expected.regions)
    np.testing.assert_array_equal(found.instances, expected.instances)
    (note,) = found.metadata["notes"]
    assert "head does not say how it lies" in note
    # With one, this volume would be turned upside down.
    assert expected.metadata["seen"] == found.metadata["seen"] == "IPL"
    assert Turning.to(plain, "IPL").reversed == (True, False, False)


def test_an_assumed_size_gives_no_volumes(client: Client) -> None:
    found = run(client, VOLUME.voxels, VOLUME.grid, spacing_origin="assumed", name="head")
    assert found.objects["volume_mm3"].isna().all()
    assert (found.objects["volume_vx"] > 0).all()
    assert "0.8 x 0.4 x 0.4 mm was assumed" in found.metadata["notes"][0]


def test_what_is_no_number_is_dark(client: Client) -> None:
    voxels = VOLUME.voxels.astype(np.float32)
    expected = run(client, voxels, VOLUME.grid)
    voxels[:, :4] = np.nan
    voxels[0, 5, 5] = np.inf
    found = run(client, voxels, VOLUME.grid)
    np.testing.assert_array_equal(found.instances, expected.instances)
    assert "are no numbers" in found.metadata["notes"][0]


def test_progress_is_told_in_planes(client: Client) -> None:
    heard: list[tuple[int, int]] = []
    handlers = Handlers(progress=lambda done, total: heard.append((done, total)))
    stored = StoredVoxels(VOLUME.voxels)
    pending = client.segment_volume(stored, request(stored, VOLUME.grid), handlers)
    pending.future.result(WAIT)
    assert heard[0] == (0, 25)
    assert heard[-1] == (25, 25)


def test_a_model_of_pictures_is_refused(client: Client, models: Models) -> None:
    models.model = volume_model(planes=None)
    with pytest.raises(CosegError, match="segments pictures"):
        run(client, VOLUME.voxels, VOLUME.grid)


class Slow(StoredVoxels):
    """Holds its planes back from the tenth on, until it is let go."""

    def __init__(self, voxels: Any) -> None:
        super().__init__(voxels)
        self.reached, self.go = threading.Event(), threading.Event()

    def read(self, axis: int, plane: int, step: int = 1) -> Any:
        """Wait."""
        if plane >= 10:
            self.reached.set()
            self.go.wait(WAIT)
        return super().read(axis, plane, step)


def test_cancel_ends_it_and_the_host_goes_on(client: Client, host: InThread) -> None:
    slow = Slow(VOLUME.voxels)
    pending = client.segment_volume(slow, request(slow, VOLUME.grid))
    assert slow.reached.wait(WAIT)
    client.cancel(pending)
    with pytest.raises(CancelledError):
        pending.future.result(0)
    slow.go.set()
    assert len(run(client, VOLUME.voxels, VOLUME.grid).objects) == 6
    assert host.starts == 1


def test_a_lost_host_is_asked_again(client: Client, host: InThread) -> None:
    slow = Slow(VOLUME.voxels)
    pending = client.segment_volume(slow, request(slow, VOLUME.grid, window=(0, 255)))
    assert slow.reached.wait(WAIT)
    host.die()
    slow.go.set()
    assert len(pending.future.result(WAIT).objects) == 6
    assert host.starts == 2


def test_a_volume_that_can_no_longer_be_read(client: Client) -> None:
    class Gone(StoredVoxels):
        def read(self, axis: int, plane: int, step: int = 1) -> Any:
            raise OSError("no such file")

    gone = Gone(VOLUME.voxels)
    with pytest.raises(CosegError, match="can no longer be read"):
        client.segment_volume(gone, request(gone, VOLUME.grid)).future.result(WAIT)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"spacing": (0, 1, 1)}, "spacing"),
        ({"direction": ((0, 0, 1), (0, 0, 1), (1, 0, 0))}, "right angles"),
        ({"window": (5, 5)}, "window"),
        ({"shape": (8, 1 << 15, 1 << 15)}, "too many voxels"),
        ({"dtype": "|O"}, "dtype"),
        ({"min_score": float("nan")}, "min_score"),
    ],
)
def test_what_makes_no_sense_is_not_sent(changed: dict[str, Any], said: str) -> None:
    stored = StoredVoxels(VOLUME.voxels)
    with pytest.raises(ProtocolError, match=said):
        request(stored, VOLUME.grid, **changed)


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [(bool, "u1"), (">i2", "<i2"), (np.float16, "<f4"), (np.uint64, "<f8"), (np.int64, "<i8")],
)
def test_voxels_of_any_type_are_sent(dtype: Any, sent: str) -> None:
    stored = StoredVoxels(np.ones((2, 3, 4), dtype))
    assert stored.dtype == np.dtype(sent)
    plane = stored.read(1, 2, 2)
    assert (plane.shape, plane.dtype) == ((1, 2), stored.dtype)


def test_other_things_are_no_volume() -> None:
    for array in (np.zeros((4, 4)), np.zeros((0, 4, 4)), np.zeros((2, 2, 2), complex)):
        with pytest.raises(CosegError):
            StoredVoxels(array)
    with pytest.raises(CosegError, match="does not have"):
        StoredVoxels(np.zeros((2, 3, 4))).read(0, 2)


def test_planes_are_read_once_while_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulled_voxels, "_KEPT", 0)
    monkeypatch.setattr(pulled_voxels, "_LEAST", 4)
    array = np.random.default_rng(0).integers(-999, 999, (9, 5, 7)).astype(np.int16)
    stored, asked = StoredVoxels(array), []

    def pull(axis: int, plane: int, step: int, shape: Any, dtype: Any) -> Any:
        asked.append(plane)
        found = stored.read(axis, plane, step)
        assert (found.shape, found.dtype) == (shape, dtype)
        return found

    voxels = PulledVoxels(pull, (9, 5, 7), stored.dtype)
    grid = VolumeGrid((9, 5, 7), (1, 1, 1))
    for orientation in ("SPL", "IPL", "LIP", "ARS"):
        turning = Turning.to(grid, orientation)
        seen = turning.seen(voxels)  # type: ignore[arg-type]
        planes = [seen[number] for number in range(seen.shape[0])]
        np.testing.assert_array_equal(np.stack(planes), turning.seen(array))
    np.testing.assert_array_equal(voxels[::2, ::2, ::2], array[::2, ::2, ::2])
    np.testing.assert_array_equal(voxels[::1, ::1, ::1], array)
    asked.clear()
    for plane in (0, 1, 2, 1, 0, 3, 2, 4, 5, 0):
        voxels[plane]
    assert asked.count(1) == 1
    assert asked.count(0) == 2


def test_results_travel_in_slabs_of_the_smallest_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_answer, "_SLAB", 2 * 20)
    labels = np.zeros((7, 4, 5), np.int32)
    labels[1, 1, 1], labels[6, 0, 0] = 3, 200
    found = list(slabs(labels))
    assert [(plane, slab.shape[0], slab.dtype) for plane, slab in found] == [
        (0, 2, np.uint8),
        (6, 1, np.uint8),
    ]
    labels[6, 0, 0] = 70_000
    assert {slab.dtype for _, slab in slabs(labels)} == {np.dtype(np.int32)}


def test_faulty_answers_are_refused() -> None:
    sent: list[Message] = []

    def send(kind: str, body: Any, arrays: Any, *, pack: bool) -> None:
        sent.append(Message(kind, "", body, arrays))

    settings = replace(SETTINGS, overlap=None)
    result = segment_volume(VOLUME, volume_model(), settings=settings)
    send_result(result, send)
    *blocks, end = sent
    whole = VolumeAssembly(VOLUME.grid)
    for block in blocks:
        assert sum(array.nbytes for array in block.arrays.values()) < MAX_ARRAY
        whole.put(block)
    compare(whole.result(end), result)
    assert tuple(whole.result(end).objects.columns) == VOLUME_COLUMNS
    with pytest.raises(ProtocolError, match="lost some planes"):
        VolumeAssembly(VOLUME.grid).result(end)
    for body in ({"place": [-1]}, {"place": [20]}, {"task": "other"}):
        with pytest.raises(ValueError):  # noqa: PT011 (the client makes a sentence of it)
            VolumeAssembly(VOLUME.grid).put(replace(blocks[0], body={**blocks[0].body, **body}))

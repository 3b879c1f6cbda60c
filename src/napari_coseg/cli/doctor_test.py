"""A small test of the model worker, timed: it starts, segments, and answers a box."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.synthetic_histology import SyntheticTile, generate_tile
from napari_coseg.imaging.source import ArraySource
from napari_coseg.metrics.semantic import dice_counts
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.weights.catalogue import default_model
from napari_coseg.weights.listing import default_prompt_model

if TYPE_CHECKING:
    from napari_coseg.worker.client import Client

#: Seconds that each step may take: a model is read from a slow disk.
PATIENCE = 300.0
#: Dice below which a result is no result, whatever the model: half of what bundled ones reach here.
LEAST = 0.4
_SIDE, _MPP = 256, 0.25
_T = TypeVar("_T")


@dataclass(frozen=True)
class Tested:
    """How a step of the test went.

    Attributes
    ----------
    name : str
    passed : bool
    told : str
        Seconds and what was found, or FAILED and why.
    """

    name: str
    passed: bool
    told: str


def run_tests(device: str = "auto") -> Iterator[Tested]:
    """Start a worker of this machine and let it segment a generated tile whose truth is known.

    Parameters
    ----------
    device : str
        As in `napari_coseg.worker.requests.LoadRequest`.

    Yields
    ------
    Tested
        One a step, as soon as it is done. Where the worker does not start, no more follow.
    """
    from napari_coseg.worker.client import Client
    from napari_coseg.worker.launcher import LocalHost

    notices: list[str] = []
    client = Client(LocalHost(), notices.append)
    try:
        started = _step("worker", lambda: _described(client))
        yield started
        if started.passed:
            tile = generate_tile(0, (_SIDE, _SIDE), _MPP)
            yield _step("regions and objects", lambda: _segmented(client, tile, device))
            yield _step("box", lambda: _prompted(client, tile, device))
    finally:
        client.close()
    for notice in notices:
        yield Tested("notice", True, notice)


def _step(name: str, work: Callable[[], str]) -> Tested:
    try:
        return Tested(name, True, work())
    except CosegError as error:
        return Tested(name, False, f"FAILED: {error}")
    except TimeoutError:
        return Tested(name, False, f"FAILED: no answer within {PATIENCE:.0f} s")
    except Exception as error:
        # Whatever it is, the report is what the person needs now.
        return Tested(name, False, f"FAILED: {type(error).__name__}: {error}")


def _described(client: Client) -> str:
    seconds, told = _timed(client.describe)
    return (
        f"started in {seconds:.1f} s: {told['device_name']} ({told['device']}), "
        f"PyTorch {told['torch']}, {told['threads']} threads"
    )


def _segmented(client: Client, tile: SyntheticTile, device: str) -> str:
    from napari_coseg.worker.requests import SegmentRequest

    model = default_model(volumes=False)
    loading, _ = _timed(lambda: client.load(model, device))
    wanted = SegmentRequest(
        model=model, device=device, shape=tile.instances.shape, name="the test", mpp=tile.mpp
    )
    seconds, result = _timed(lambda: client.segment(ArraySource(tile.image), wanted).future)
    if result.instances is None:
        raise CosegError(f"{model} finds no objects: it has no such task.")
    dice = _dice(result.instances > 0, tile.instances > 0)
    _check(dice, "objects")
    return (
        f"{model}: loaded in {loading:.1f} s, {_SIDE}² in {seconds:.2f} s, "
        f"{len(result.objects)} objects, Dice {dice:.2f}"
    )


def _prompted(client: Client, tile: SyntheticTile, device: str) -> str:
    model = default_prompt_model()
    sizes = np.bincount(tile.instances.ravel())
    sizes[0] = 0
    inside = tile.instances == sizes.argmax()
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    box = (float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1))
    loading, _ = _timed(lambda: client.load(model, device))

    def ask() -> Future[Any]:
        source = ArraySource(tile.image)
        return client.prompt(source, [Prompt(box)], model=model, device=device).future

    seconds, (answer,) = _timed(ask)
    dice = _dice(_whole(answer.mask, inside.shape), inside)
    _check(dice, "the object in a box")
    return f"{model}: loaded in {loading:.1f} s, a box in {1000 * seconds:.0f} ms, Dice {dice:.2f}"


def _timed(ask: Callable[[], Future[_T]]) -> tuple[float, _T]:
    begun = time.perf_counter()
    answer = ask().result(PATIENCE)
    return time.perf_counter() - begun, answer


def _dice(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    return dice_counts(truth.astype(np.uint8), found.astype(np.uint8), [1])[1].dice


def _check(dice: float, what: str) -> None:
    if dice < LEAST:
        raise CosegError(
            f"Dice of {what} is {dice:.2f} on a generated tile, below {LEAST}: the device computes "
            "wrong, or the model is not one of H&E."
        )


def _whole(mask: Mask, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    bits = np.zeros(shape, bool)
    bits[mask.window] = mask.bits
    return bits

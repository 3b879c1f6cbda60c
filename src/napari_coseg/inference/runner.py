"""A network run on batches of tiles: normalisation, flips, probabilities, too little memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_coseg.inference.precision import choose_precision, computing_in
from napari_coseg.types import CosegError

Task = Literal["regions", "instances"]
Outputs = npt.NDArray[np.float16]

#: Channels of the instances' maps: foreground, horizontal, vertical, then the classes.
FOREGROUND = 0
HV = slice(1, 3)
CLASSES = slice(3, None)

#: Axes of (B, 3, T, T) that are flipped: none, columns, rows, both.
_FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))


class Card(Protocol):
    """What a runner needs of a model card."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean of red, green and blue, for images scaled to 0..1."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Standard deviation of the same."""


class DeviceFull(CosegError):
    """The device has too little memory."""


class TilesRunner:
    """One or both tasks of a network, from uint8 tiles to probabilities.

    Parameters
    ----------
    network : torch.nn.Module
        A `napari_coseg.models.coseg.network.CosegNetwork`, or what answers like one.
    card : ModelCard
        Its normalisation.
    tasks : tuple of {"regions", "instances"}
        What to compute from one encoding; another task's second forward is left out.
    batch : int or None
        Tiles that run together at most; None means 1 on a CPU and 16 elsewhere.
    precision : {"auto", "float32", "bfloat16"}
        In which numbers, see `napari_coseg.inference.precision`.
    tta : bool
        Average over the four flips.

    Attributes
    ----------
    tile : int
        Side of a tile in pixels.
    strides, widths : dict
        By task: pixels per output, and number of maps, see `run_all`.
    device : torch.device
        Where the network is.
    dtype : torch.dtype
        In which numbers it computes.
    largest_batch : int
        Tiles that run together at most; smaller than asked for after a lack of memory.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        card: Card,
        tasks: tuple[Task, ...],
        *,
        batch: int | None = None,
        precision: str = "auto",
        tta: bool = False,
    ) -> None:
        self._network = network
        self.tasks = tasks
        config = _config(network)
        self.tile = int(config.tile)
        strides: dict[Task, int] = {"regions": 4, "instances": int(config.instance_stride)}
        widths: dict[Task, int] = {
            "regions": int(config.region_classes) + 1,
            "instances": 4 + int(config.instance_classes),
        }
        self.strides = {task: strides[task] for task in tasks}
        self.widths = {task: widths[task] for task in tasks}
        self.device = device_of(network)
        if self.on_cpu:
            # The images come this way (see `_forward`); with weights to match, convolutions take
            # a quarter less time. Values stay as they are.
            network.to(memory_format=torch.channels_last)
        self.dtype = choose_precision(self.device, precision)
        self.largest_batch = batch or default_batch(self.device)
        self._flips = _FLIPS if tta else _FLIPS[:1]
        # In the scale of uint8 pixels, so that a tile is touched twice and not three times.
        self._mean = 255 * torch.tensor(card.mean, device=self.device).view(1, 3, 1, 1)
        self._deviation = 255 * torch.tensor(card.std, device=self.device).view(1, 3, 1, 1)

    @property
    def on_cpu(self) -> bool:
        """Whether the network runs on the CPU, where `run` may be called from several threads."""
        return self.device.type == "cpu"

    def run_all(
        self, tiles: Sequence[npt.NDArray[np.uint8]], tasks: tuple[Task, ...] | None = None
    ) -> dict[Task, Outputs]:
        """Compute the maps of some tiles; on a CPU with one thread, see `pool`.

        Parameters
        ----------
        tiles : sequence of ndarray of uint8, (T, T, 3)
            Of one size, T a multiple of 32.
        tasks : tuple of {"regions", "instances"}, optional
            Some of the runner's; all of them by default.

        Returns
        -------
        dict of ndarray of float16, (tiles, channels, T/s, T/s)
            By task. Regions: class probabilities, background first. Instances: foreground
            probability, horizontal and vertical map, class probabilities with background first.

        Raises
        ------
        DeviceFull
            If the device has too little memory for a single tile.
        """
        tasks = self.tasks if tasks is None else tasks
        done: list[dict[Task, Outputs]] = []
        start = 0
        while start < len(tiles):
            part = tiles[start : start + self.largest_batch]
            try:
                done.append(self._forward(np.stack(part), tasks))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise DeviceFull(
                        f"The {self.device.type} device has too little memory for one tile: "
                        "free some of it, or use --device cpu."
                    ) from error
                self.largest_batch = len(part) // 2
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            start += len(part)
        return {task: np.concatenate([part[task] for part in done]) for task in tasks}

    def _forward(
        self, tiles: npt.NDArray[np.uint8], tasks: tuple[Task, ...]
    ) -> dict[Task, Outputs]:
        threads = torch.get_num_threads()
        if not self.on_cpu or threads == 1:
            return self._computed(tiles, tasks)
        torch.set_num_threads(1)
        try:
            return self._computed(tiles, tasks)
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def _computed(
        self, tiles: npt.NDArray[np.uint8], tasks: tuple[Task, ...]
    ) -> dict[Task, Outputs]:
        pixels = torch.from_numpy(tiles).to(self.device)
        # Seen as (B, 3, T, T), the bytes lie as convolutions like them: channels last.
        images = (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._deviation
        total: dict[Task, Tensor] = {}
        for axes in self._flips:
            seen = torch.flip(images, axes) if axes else images
            with computing_in(self.device, self.dtype):
                output = self._network(seen, tasks=tasks)
            for task in tasks:
                maps = _probabilities(output, task)
                if axes:
                    maps = _flipped_back(maps, axes, task)
                total[task] = total[task] + maps if task in total else maps
        return {
            task: (maps / len(self._flips) if len(self._flips) > 1 else maps).half().cpu().numpy()
            for task, maps in total.items()
        }


class TaskRunner(TilesRunner):
    """One task of a network, from uint8 tiles to probabilities.

    Parameters
    ----------
    network, card, batch, precision, tta
        As in `TilesRunner`.
    task : {"regions", "instances"}
        What to compute.

    Attributes
    ----------
    stride, channels : int
        Pixels per output; maps.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        card: Card,
        task: Task,
        *,
        batch: int | None = None,
        precision: str = "auto",
        tta: bool = False,
    ) -> None:
        super().__init__(network, card, (task,), batch=batch, precision=precision, tta=tta)
        self.task: Task = task
        self.stride, self.channels = self.strides[task], self.widths[task]

    def run(self, tiles: Sequence[npt.NDArray[np.uint8]]) -> Outputs:
        """Compute the maps of some tiles, as `run_all` does of all tasks."""
        return self.run_all(tiles)[self.task]


def _flipped_back(maps: Tensor, axes: tuple[int, ...], task: Task) -> Tensor:
    maps = torch.flip(maps, axes)
    if task == "instances":
        # A mirrored object has its left edge on the right.
        if 3 in axes:
            maps[:, 1].neg_()
        if 2 in axes:
            maps[:, 2].neg_()
    return maps


def _probabilities(output: Any, task: Task) -> Tensor:
    if task == "regions":
        return torch.softmax(output.regions.float(), 1)
    return torch.cat(
        [
            torch.sigmoid(output.foreground.float()),
            output.hv.float().clamp(-1, 1),
            torch.softmax(output.classes.float(), 1),
        ],
        1,
    )


def default_batch(device: torch.device) -> int:
    """Tiles that run together where nobody says otherwise."""
    return 1 if device.type == "cpu" else 16


def device_of(network: torch.nn.Module) -> torch.device:
    """Return the device that a network's parameters lie on; CPU for one without parameters."""
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device's memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    # Metal raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def _config(network: torch.nn.Module) -> Any:
    return network.config

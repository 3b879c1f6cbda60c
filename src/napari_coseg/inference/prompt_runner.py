"""A network for prompts run on batches: crops to encodings, encodings and prompts to logits."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_coseg.inference.precision import choose_precision, computing_in
from napari_coseg.inference.runner import Card, DeviceFull, device_of, is_out_of_memory
from napari_coseg.inference.zoom import Box
from napari_coseg.models.syncsam.encoder import Encoding
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.models.syncsam.prompts import NEGATIVE, POSITIVE, PromptBatch, mask_logits

#: Crops that are encoded and objects that are decoded together: on a CPU, where more objects would
#: not stay in its caches, and elsewhere.
_CROPS, _OBJECTS = (4, 8), (16, 128)
#: Most memory for encodings that are kept.
CACHE_BYTES = 256 << 20

T = TypeVar("T")
R = TypeVar("R")


class PromptModel(Protocol):
    """What prompting needs of a `napari_coseg.weights.loading.LoadedPromptModel`."""

    @property
    def network(self) -> SyncSamNetwork:
        """The network, in evaluation mode."""

    @property
    def card(self) -> Card:
        """Its normalisation."""


@dataclass(frozen=True)
class CropPrompt:
    """One object's prompt, in pixels of the network's square.

    Attributes
    ----------
    crop : int
        Number of the crop that the object lies in.
    box : tuple of float, or None
    points : tuple of (float, float, bool)
        As in `napari_coseg.types.Prompt`.
    coverage : ndarray of float32, (S/4, S/4), or None
        The mask before: share of each cell that it covers.
    """

    crop: int
    box: Box | None
    points: tuple[tuple[float, float, bool], ...]
    coverage: npt.NDArray[np.float32] | None


class PromptRunner:
    """Encodes crops and decodes prompts, in batches that fit the device.

    Parameters
    ----------
    model : PromptModel
        Network and card. The network is made ready for prediction, and cannot be trained or saved
        afterwards.
    precision : {"auto", "float32", "bfloat16"}
        In which numbers, see `napari_coseg.inference.precision`.

    Attributes
    ----------
    side, cells : int
        Side of the network's square in pixels, of its logits in cells.
    fill : tuple of int
        Colour that becomes 0 by normalisation: what is outside of an image.
    crops, objects : int
        Crops that are encoded and objects that are decoded together; fewer after a lack of memory.
    device : torch.device
    dtype : torch.dtype
        In which numbers the network computes.
    """

    def __init__(self, model: PromptModel, precision: str = "auto") -> None:
        self._network = model.network
        self.side = int(model.network.config.side)
        self.cells = int(model.network.config.cells)
        red, green, blue = (round(255 * value) for value in model.card.mean)
        self.fill = (red, green, blue)
        self.device = device_of(model.network)
        self.dtype = choose_precision(self.device, precision)
        on_cpu = self.device.type == "cpu"
        if on_cpu:
            model.network.fold_norms()
            # Crops come this way (see `_encoded`), and convolutions like it. Values stay.
            model.network.to(memory_format=torch.channels_last)
        self.crops, self.objects = (sizes[not on_cpu] for sizes in (_CROPS, _OBJECTS))
        self._mean = 255 * torch.tensor(model.card.mean, device=self.device).view(1, 3, 1, 1)
        self._deviation = 255 * torch.tensor(model.card.std, device=self.device).view(1, 3, 1, 1)

    def encode(self, crops: Sequence[npt.NDArray[np.uint8]]) -> list[Encoding]:
        """Encode crops.

        Parameters
        ----------
        crops : sequence of ndarray of uint8, (side, side, 3)

        Returns
        -------
        list of Encoding
            Of one image each.

        Raises
        ------
        DeviceFull
            If the device has too little memory for a single crop.
        """
        done, self.crops = self._in_batches(crops, self.crops, self._encoded)
        return done

    def decode(
        self, encodings: Sequence[Encoding], prompts: Sequence[CropPrompt]
    ) -> list[npt.NDArray[np.float32]]:
        """Segment objects on encoded crops.

        Objects are decoded together with those whose prompts have as many parts, so that none is
        padded: what a network makes of an object does not depend on its neighbours.

        Returns
        -------
        list of ndarray of float32, (cells, cells)
            Logits of each object.

        Raises
        ------
        DeviceFull
            If the device has too little memory for a single object.
        """
        alike: defaultdict[tuple[bool, int], list[int]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            alike[prompt.box is not None, len(prompt.points)].append(index)
        out: dict[int, npt.NDArray[np.float32]] = {}
        for group in alike.values():
            done, self.objects = self._in_batches(
                [prompts[index] for index in group],
                self.objects,
                lambda part: self._decoded(encodings, part),
            )
            out.update(zip(group, done, strict=True))
        return [out[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def _encoded(self, crops: Sequence[npt.NDArray[np.uint8]]) -> list[Encoding]:
        pixels = torch.from_numpy(np.stack(crops)).to(self.device)
        images = (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._deviation
        with computing_in(self.device, self.dtype):
            together = self._network.prepare(self._network.encode(images))
        if len(crops) == 1:
            return [together]
        return [_one_of(together, number) for number in range(len(crops))]

    @torch.inference_mode()
    def _decoded(
        self, encodings: Sequence[Encoding], prompts: Sequence[CropPrompt]
    ) -> list[npt.NDArray[np.float32]]:
        used = sorted({prompt.crop for prompt in prompts})
        together = _joined([encodings[number] for number in used])
        images = torch.tensor([used.index(prompt.crop) for prompt in prompts], device=self.device)
        with computing_in(self.device, self.dtype):
            logits = self._network.decode(together, images, self._batch(prompts))
        return list(logits.float().cpu().numpy())

    def _batch(self, prompts: Sequence[CropPrompt]) -> PromptBatch:
        boxes, points, labels, masks = None, None, None, None
        first = prompts[0]
        if first.box is not None:
            boxes = torch.tensor([prompt.box for prompt in prompts], device=self.device)
        if first.points:
            places = [[point[:2] for point in prompt.points] for prompt in prompts]
            kinds = [
                [POSITIVE if point[2] else NEGATIVE for point in prompt.points]
                for prompt in prompts
            ]
            points = torch.tensor(places, dtype=torch.float32, device=self.device)
            labels = torch.tensor(kinds, device=self.device)
        if any(prompt.coverage is not None for prompt in prompts) or (boxes is points is None):
            none = np.full((self.cells, self.cells), np.nan, np.float32)
            planes = [none if p.coverage is None else p.coverage for p in prompts]
            masks = mask_logits(torch.from_numpy(np.stack(planes)).to(self.device))
        return PromptBatch(boxes, points, labels, masks)

    def _in_batches(
        self, items: Sequence[T], size: int, compute: Callable[[Sequence[T]], list[R]]
    ) -> tuple[list[R], int]:
        """Compute some at a time, fewer where memory does not suffice; the size that did."""
        done: list[R] = []
        while len(done) < len(items):
            part = items[len(done) : len(done) + size]
            try:
                done += compute(part)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise DeviceFull(
                        f"The {self.device.type} device has too little memory for one prompt: "
                        "free some of it, or use --device cpu."
                    ) from error
                size = len(part) // 2
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        return done, size


class EncodingCache:
    """Encodings that were used last, as many as fit.

    Parameters
    ----------
    most : int
        Bytes.
    """

    def __init__(self, most: int = CACHE_BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, Box], Encoding] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """Memory of what is kept."""
        return self._bytes

    def get(self, key: str, crop: Box) -> Encoding | None:
        """Return the encoding of a crop of the image called `key`, if it is there."""
        found = self._kept.get((key, crop))
        if found is not None:
            self._kept.move_to_end((key, crop))
        return found

    def put(self, key: str, crop: Box, encoding: Encoding) -> None:
        """Keep an encoding, and let go of those that were not used for longest."""
        self.drop(key, crop)
        self._kept[key, crop] = encoding
        self._bytes += _bytes_of(encoding)
        while self._bytes > self._most and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= _bytes_of(old)

    def drop(self, key: str, crop: Box) -> None:
        """Let go of one encoding, if it is there."""
        old = self._kept.pop((key, crop), None)
        if old is not None:
            self._bytes -= _bytes_of(old)

    def clear(self) -> None:
        """Let go of all."""
        self._kept.clear()
        self._bytes = 0


def _tensors(encoding: Encoding) -> list[Tensor]:
    fused = [] if encoding.fused is None else [encoding.fused]
    return [encoding.embedding, *encoding.stages, *encoding.details, *fused]


def _bytes_of(encoding: Encoding) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(encoding))


def _one_of(encoding: Encoding, number: int) -> Encoding:
    # Copies: a view would keep the whole batch in memory.
    return _mapped([encoding], lambda tensors: tensors[0][number : number + 1].clone())


def _joined(encodings: Sequence[Encoding]) -> Encoding:
    if len(encodings) == 1:
        return encodings[0]
    return _mapped(encodings, torch.cat)


def _mapped(encodings: Sequence[Encoding], change: Callable[[list[Tensor]], Tensor]) -> Encoding:
    first = encodings[0]
    return Encoding(
        change([e.embedding for e in encodings]),
        tuple(change([e.stages[i] for e in encodings]) for i in range(len(first.stages))),
        tuple(change([e.details[i] for e in encodings]) for i in range(len(first.details))),
        None
        if first.fused is None
        else change([e.fused for e in encodings if e.fused is not None]),
    )

"""Boxes, points and masks of a person to masks at full resolution, with auto-zoom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.crops import Readable, read_crop
from napari_coseg.inference.precision import name_of
from napari_coseg.inference.prompt_looks import Look, first_looks, next_look, object_length
from napari_coseg.inference.prompt_masks import (
    cleaned,
    clip_box,
    coverage,
    full_resolution,
    mask_box,
    meets_edge,
    stability,
)
from napari_coseg.inference.prompt_runner import (
    CACHE_BYTES,
    CropPrompt,
    EncodingCache,
    PromptModel,
    PromptRunner,
)
from napari_coseg.inference.prompt_shapes import checked
from napari_coseg.inference.stream import Cancel, Cancelled
from napari_coseg.inference.zoom import LEAST_FILL, Box, contains
from napari_coseg.models.syncsam.encoder import Encoding
from napari_coseg.types import Mask, Prompt

#: Times that an object is looked at again in another crop.
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class PromptedMask:
    """What the network takes an object for.

    Attributes
    ----------
    mask : Mask
        In the image's pixels; of area 0 where nothing was found.
    stability : float
        How sure the outline is, 0 to 1: see `napari_coseg.inference.prompt_masks.stability`.
    crop : tuple of float
        The square in which it was seen; given back with the next prompt of the same object, it
        is used again.
    touches_border : bool
        Whether the mask still meets an edge of the crop beyond which the image goes on, so that
        the object may be larger.
    logits : ndarray of float32, (cells, cells)
        The network's own answer in the crop, with nothing left out.
    """

    mask: Mask
    stability: float
    crop: Box
    touches_border: bool
    logits: npt.NDArray[np.float32]


class Prompter:
    """A network for prompts, and what it remembers of images.

    Parameters
    ----------
    model : LoadedPromptModel
        See `napari_coseg.weights.loading.load_prompt_model`.
    cache_bytes : int
        Most memory for encodings of crops.
    precision : {"auto", "float32", "bfloat16"}
        In which numbers the network computes, see `napari_coseg.inference.precision`.

    Attributes
    ----------
    device : torch.device
        Where the network is.
    cache : EncodingCache
        Encodings of crops of images that have a name.
    encoded, decoded : int
        Crops and prompts computed so far.
    """

    def __init__(
        self,
        model: PromptModel,
        *,
        cache_bytes: int = CACHE_BYTES,
        precision: str = "auto",
    ) -> None:
        self._runner = PromptRunner(model, precision)
        self.device = self._runner.device
        self.cache = EncodingCache(cache_bytes)
        self.encoded = 0
        self.decoded = 0

    @property
    def precision(self) -> str:
        """In which numbers the network computes."""
        return name_of(self._runner.dtype)

    @property
    def batch(self) -> dict[str, int]:
        """Crops and objects that are computed together; fewer after a lack of memory."""
        return {"crops": self._runner.crops, "objects": self._runner.objects}

    def segment(
        self,
        source: Readable,
        prompts: Sequence[Prompt],
        *,
        key: str = "",
        crops: Sequence[Box | None] = (),
        hint: float | None = None,
        share: float = LEAST_FILL,
        cancel: Cancel | None = None,
    ) -> list[PromptedMask]:
        """Segment the objects that prompts are on.

        Each object is seen in a square in which it fills a good part; objects near each other
        and of similar size share one. An answer depends on the prompts of the call and on
        nothing that was asked before.

        Parameters
        ----------
        source : ImageSource
            The image, or what has its `shape` and `read`.
        prompts : sequence of Prompt
            One an object, in pixels of the image.
        key : str
            Names the content of the image: crops of the same content are encoded once, as long
            as there is room. Nothing is kept of an image without a name.
        crops : sequence of tuple of float or None, optional
            For each prompt the `PromptedMask.crop` of the answer that it refines. As long as the
            object still fits, it is used again: the next click then costs one decoding.
        hint : float, optional
            Length in pixels that an object has which is clicked on without a box: that of the
            one before, for example.
        share : float
            Part of a shared crop's side that each object takes at least. The default is the
            fastest; with 0.25, crops are about three times as many and small objects seen better.
        cancel : callable, optional
            Asked between batches; True ends the work.

        Returns
        -------
        list of PromptedMask
            One for each prompt.

        Raises
        ------
        CosegError
            If a prompt does not say where its object is, or lies outside of the image; or pixels
            cannot be read.
        napari_coseg.inference.stream.Cancelled
            If `cancel` said so.
        """
        shape = source.shape
        several = len(prompts) > 1
        usable = [
            checked(prompt, shape, f"Prompt {number}" if several else "The prompt")
            for number, prompt in enumerate(prompts, 1)
        ]
        looks = first_looks(usable, shape, crops, object_length(hint), share)
        found: dict[int, PromptedMask] = {}
        for left in range(ROUNDS, -1, -1):
            again = []
            for look, logits in self._answers(source, usable, looks, key, cancel):
                result, further = _judge(usable[look.index], look, logits, shape)
                if result.mask.area or look.index not in found:
                    found[look.index] = result
                if left and further is not None:
                    again.append(further)
            looks = again
            if not looks:
                break
        return [found[index] for index in range(len(prompts))]

    def _answers(
        self,
        source: Readable,
        prompts: Sequence[Prompt],
        looks: Sequence[Look],
        key: str,
        cancel: Cancel | None,
    ) -> Iterator[tuple[Look, npt.NDArray[np.float32]]]:
        """Yield the logits of objects, crop by crop."""
        waiting: dict[Box, list[Look]] = {}
        # Row by row, so that tiles of a large file are decoded once.
        for look in sorted(looks, key=lambda look: look.crop):
            waiting.setdefault(look.crop, []).append(look)
        places = list(waiting)
        while places:
            part, places = places[: self._runner.crops], places[self._runner.crops :]
            if cancel is not None and cancel():
                raise Cancelled
            encodings = self._encodings(source, part, key)
            batch = [(number, look) for number, crop in enumerate(part) for look in waiting[crop]]
            logits = self._runner.decode(
                encodings,
                [self._in_crop(number, prompts[look.index], look.crop) for number, look in batch],
            )
            self.decoded += len(batch)
            yield from ((look, plane) for (_, look), plane in zip(batch, logits, strict=True))

    def _encodings(self, source: Readable, crops: Sequence[Box], key: str) -> list[Encoding]:
        known = {crop: self.cache.get(key, crop) if key else None for crop in crops}
        missing = [crop for crop, encoding in known.items() if encoding is None]
        if missing:
            side, fill = self._runner.side, self._runner.fill
            pixels = [read_crop(source, crop, side, fill) for crop in missing]
            for crop, encoding in zip(missing, self._runner.encode(pixels), strict=True):
                known[crop] = encoding
                if key:
                    self.cache.put(key, crop, encoding)
            self.encoded += len(missing)
        return [encoding for encoding in known.values() if encoding is not None]

    def _in_crop(self, number: int, prompt: Prompt, crop: Box) -> CropPrompt:
        """Bring a prompt to the network's pixels."""
        scale = self._runner.side / (crop[2] - crop[0])
        row, column = crop[:2]
        box = None
        if prompt.box is not None:
            row0, column0, row1, column1 = prompt.box
            box = (
                (row0 - row) * scale,
                (column0 - column) * scale,
                (row1 - row) * scale,
                (column1 - column) * scale,
            )
        points = tuple(
            ((r + 0.5 - row) * scale - 0.5, (c + 0.5 - column) * scale - 0.5, positive)
            for r, c, positive in prompt.points
            # A negative point may lie where the network does not look.
            if positive or contains(crop, (r, c, r + 1, c + 1))
        )
        before = None
        if prompt.mask is not None:
            before = coverage(prompt.mask, crop, self._runner.cells)
        return CropPrompt(number, box, points, before)


def _judge(
    prompt: Prompt, look: Look, logits: npt.NDArray[np.float32], shape: tuple[int, int]
) -> tuple[PromptedMask, Look | None]:
    """Return the object as it was seen, and in which crop it should be looked at again, if so."""
    clip = clip_box(prompt)
    clean = cleaned(logits, prompt, look.crop)
    mask = full_resolution(clean, look.crop, shape, clip)
    if mask.area == 0:
        return PromptedMask(mask, 0.0, look.crop, False, logits), None
    # What a box allows lies inside of the crop anyway.
    cut = clip is None and meets_edge(clean, look.crop, shape)
    score = stability(clean, clip, look.crop)
    result = PromptedMask(mask, score, look.crop, cut, logits)
    return result, next_look(prompt, look, mask_box(mask), cut, shape)

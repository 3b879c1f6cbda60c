"""Draws crops with masks for SyncSAM, the same ones for the same seed and number."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from napari_coseg.training.augment import augment
from napari_coseg.training.drawing import Kept, Wheel
from napari_coseg.training.mask_items import MaskItem, MaskSet, mask_item
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.pseudo_masks import pseudo_masks
from napari_coseg.training.shape_masks import paste_shapes
from napari_coseg.training.warp import Warp
from napari_coseg.types import CosegError

_log = logging.getLogger(__name__)

Bits = npt.NDArray[np.bool_]

#: Pixels of the network's square that one pixel of the truth stands for, along each side.
TRUTH_STRIDE = 2
#: Where a mask is from.
REAL, PSEUDO, SHAPE = range(3)
#: Longest side of a further object of a crop, as a part of the crop's, at least.
_SMALL = 0.1
#: Side in image pixels of the smallest crop, and of those for textures and pseudo-masks.
_LEAST, _TEXTURES = 24.0, (64.0, 768.0)
#: Further items that are tried where one cannot be read and may be skipped.
_TRIES = 20
#: Grey outside of an image: as prediction fills it.
OUTSIDE = (128, 128, 128)


class PromptSamples(Dataset[dict[str, Tensor]]):
    """Sample number i of a run, drawn by (seed, i) alone.

    Parameters
    ----------
    sets : sequence of MaskSet
    config : PromptTrainingConfig
    count : int
        Samples of the whole run.

    Raises
    ------
    CosegError
        If no image is left.
    """

    def __init__(self, sets: Sequence[MaskSet], config: PromptTrainingConfig, count: int) -> None:
        self._wheel = Wheel(sets, config.run.seed)
        self.sets = self._wheel.sets
        self.config = config
        self.count = count
        self.side = config.model.network.side
        self._items: Kept[tuple[int, int], MaskItem] = Kept()
        self._skipped: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.config.run.seed, index])
        first = self._item(self._wheel.of_sample(index), rng)
        mix, drawn = self.config.mix, rng.random()
        masks: list[Bits] = []
        source = REAL
        if drawn < mix.pseudo:
            source = PSEUDO
            picture = self._anywhere(first, rng)
            masks = pseudo_masks(picture, self.config.interaction.masks, rng)
        elif drawn >= mix.pseudo + mix.shapes and len(first.ids):
            picture, masks = self._real(first, rng)
        if not masks:
            # Shapes can always be drawn, also where a picture has nothing to show.
            source = SHAPE
            picture, masks = self._shapes(first, rng)
        picture = self._look(picture, rng)
        return self._packed(picture, masks, source)

    def _item(self, chosen: int, rng: np.random.Generator) -> MaskItem:
        one = self.sets[chosen]
        for _ in range(_TRIES if one.skip else 0):
            number = int(rng.integers(len(one.items)))
            try:
                return self._kept(chosen, number)
            except CosegError as error:
                if (chosen, number) not in self._skipped:
                    self._skipped.add((chosen, number))
                    _log.warning("Skipped an image of %s: %s", one.dataset.name, error)
        return self._kept(chosen, int(rng.integers(len(one.items))))

    def _kept(self, chosen: int, number: int) -> MaskItem:
        one = self.sets[chosen]
        return self._items.get((chosen, number), lambda: mask_item(one, one.items[number]))

    def _real(
        self, item: MaskItem, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.uint8], list[Bits]]:
        chosen = int(rng.integers(len(item.ids)))
        whole = self.config.augment.whole
        warp = whole_image(item.shape, self.side)
        if not whole:
            warp = self._round(item, chosen, self._fill(rng), rng)
        picture = pixels_of(item, warp, self.side)
        labels = warp.apply(
            item.labels[item.kinds[chosen]], self.side, TRUTH_STRIDE, Image.Resampling.NEAREST, 0
        )
        ids = np.asarray(labels)
        most = self.config.interaction.masks
        return picture, objects_of(ids, int(item.ids[chosen]), most, rng, whole=whole)

    def _fill(self, rng: np.random.Generator) -> float:
        low, high = self.config.augment.fill
        # The larger of two: prediction cuts its crops so that objects are rather large in them.
        return math.exp(rng.uniform(math.log(low), math.log(high), 2).max())

    def _round(self, item: MaskItem, chosen: int, fill: float, rng: np.random.Generator) -> Warp:
        """Choose a crop round an object, which it fills by a part."""
        row0, column0, row1, column1 = (float(v) for v in item.boxes[chosen])
        longest = max(row1 - row0, column1 - column0)
        # Little is learnt from a crop that is mostly outside of the image.
        whole = max(longest / self.config.augment.fill[1], 1.2 * max(item.shape))
        side = max(min(longest / fill, whole), _LEAST)
        room = 0.45 * (side - longest) * rng.uniform(-1, 1, 2)
        centre = ((row0 + row1) / 2 + room[0], (column0 + column1) / 2 + room[1])
        return self._warp(item, _within(centre, side, item.shape), side, rng)

    def _warp(
        self, item: MaskItem, centre: tuple[float, float], side: float, rng: np.random.Generator
    ) -> Warp:
        turned = self.config.augment.rotate and rng.random() < 0.5
        angle = rng.uniform(-math.pi / 4, math.pi / 4) if turned else 0.0
        quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
        return Warp(centre, side / self.side, angle + quarter * math.pi / 2, mirror)

    def _anywhere(self, item: MaskItem, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        low, high = _TEXTURES
        high = max(low, min(high, float(min(item.shape))))
        side = math.exp(rng.uniform(math.log(low), math.log(high)))
        rows, columns = item.shape
        centre = (rng.uniform(0, rows), rng.uniform(0, columns))
        warp = self._warp(item, _within(centre, side, item.shape), side, rng)
        return pixels_of(item, warp, self.side)

    def _shapes(
        self, item: MaskItem, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.uint8], list[Bits]]:
        base = self._anywhere(item, rng)
        other = item
        if rng.random() < 0.5:
            other = self._item(self._wheel.at(rng.random()), rng)
        texture = self._anywhere(other, rng)
        fills = np.array([self._fill(rng) for _ in range(self.config.interaction.masks)])
        return paste_shapes(base, texture, fills, rng)

    def _look(
        self, picture: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        settings = self.config.augment
        picture = augment(picture, settings, rng)
        if rng.random() < settings.colour:
            picture = _recoloured(picture, rng)
        return picture

    def _packed(
        self, picture: npt.NDArray[np.uint8], masks: list[Bits], source: int
    ) -> dict[str, Tensor]:
        most = self.config.interaction.masks
        side = self.side // TRUTH_STRIDE
        truth = np.zeros((most, side, side), np.uint8)
        for number, bits in enumerate(masks[:most]):
            step = len(bits) // side
            truth[number] = bits[step // 2 :: step, step // 2 :: step] if step > 1 else bits
        valid = truth.reshape(most, -1).any(1)
        return {
            "image": torch.from_numpy(np.array(picture)),
            "masks": torch.from_numpy(truth),
            "valid": torch.from_numpy(valid),
            "source": torch.tensor(source),
        }


def whole_image(shape: tuple[int, int], side: int) -> Warp:
    """Return the square that a whole image is seen in: its upper left corner is the image's."""
    longest = max(shape)
    return Warp((longest / 2, longest / 2), longest / side, 0.0, False)


def objects_of(
    ids: npt.NDArray[np.int32],
    first: int,
    most: int,
    rng: np.random.Generator,
    *,
    whole: bool = False,
) -> list[Bits]:
    """Choose objects of a crop: the one that it was made for, and others that lie in it whole.

    Parameters
    ----------
    ids : ndarray of int32, (rows, columns)
    first : int
        Id of the object that the crop was made for.
    most : int
    rng : Generator
    whole : bool
        The crop is the image: objects at its edge are whole, and small ones are taken too.

    Returns
    -------
    list of ndarray of bool, (rows, columns)
        The first one of them is `first`, unless it is not seen.
    """
    edge = np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]])
    cut = set() if whole else set(np.unique(edge).tolist())
    others = [int(i) for i in np.unique(ids) if i > 0 and i != first and int(i) not in cut]
    rng.shuffle(others)
    masks = [ids == first] if (ids == first).any() else []
    for number in others:
        if len(masks) >= most:
            break
        bits = ids == number
        longest = max(int(bits.any(1).sum()), int(bits.any(0).sum()))
        if whole or longest >= _SMALL * len(ids):
            masks.append(bits)
    return masks


def _within(
    centre: tuple[float, float], side: float, shape: tuple[int, int]
) -> tuple[float, float]:
    """Move a crop into the image where it fits, as prediction does."""
    row, column = (
        float(np.clip(place, min(side, length) / 2, length - min(side, length) / 2))
        for place, length in zip(centre, shape, strict=True)
    )
    return row, column


def pixels_of(item: MaskItem, warp: Warp, side: int) -> npt.NDArray[np.uint8]:
    """Sample an item's picture from the level at which hardly anything is skipped."""
    level = 0
    while level + 1 < len(item.levels) and warp.factor / 2 ** (level + 1) >= 0.75:
        level += 1
    at = warp.shrunk(2**level)
    picture = at.apply(item.levels[level], side, 1, Image.Resampling.BILINEAR, OUTSIDE)
    return np.asarray(picture)


def _recoloured(picture: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    kind = rng.integers(4)
    if kind == 0:
        return picture[..., rng.permutation(3)]
    if kind == 1:
        return 255 - picture
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    return np.repeat((grey if kind == 2 else 255 - grey)[..., None], 3, axis=2)

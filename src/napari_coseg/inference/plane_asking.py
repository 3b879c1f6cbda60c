"""Planes of a volume, asked for many objects at once, and which pixels of them are whose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.array_source import ArraySource
from napari_coseg.inference.interpolation import bits_within, overlap, shared_box
from napari_coseg.inference.prompt_masks import logits_within
from napari_coseg.inference.prompted import PromptedMask, Prompter
from napari_coseg.inference.stream import Cancel
from napari_coseg.inference.zoom import Box
from napari_coseg.types import Mask, Prompt

#: Given a plane, returns the pixels that no object may have, (rows, columns), or None.
Taken = Callable[[int], npt.NDArray[np.bool_] | None]
# What the owner on the plane before has ahead of others, in logits: more than any network says.
_HAD = np.float32(1e4)


class Pictures(Protocol):
    """What is needed of a `napari_coseg.imaging.volume_pictures.VolumePictures`."""

    @property
    def count(self) -> int:
        """How many pictures there are."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of each."""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distances in mm of pictures, rows, columns."""

    @property
    def axis(self) -> int:
        """The volume's axis along which they follow each other."""

    def picture(self, plane: int) -> ArraySource:
        """Return one of them."""


class PlaneAsker:
    """Asks the network, and gives each pixel of a plane to one object.

    Parameters
    ----------
    prompter : Prompter
    pictures : Pictures
    share : float
        See `Prompter.segment`.
    name : str
        Names the content of the volume; "" where nothing is to be kept of it.
    taken : callable, optional
        See `Taken`.
    cancel : callable, optional
        Asked between batches.
    """

    def __init__(
        self,
        prompter: Prompter,
        pictures: Pictures,
        share: float,
        name: str = "",
        taken: Taken | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self._prompter = prompter
        self._pictures = pictures
        self._share = share
        self._name = name
        self._taken = taken
        self._cancel = cancel
        self._last: tuple[int, ArraySource, npt.NDArray[np.uint8]] | None = None
        self._found: defaultdict[int, list[Mask]] = defaultdict(list)

    def grey(self, plane: int) -> npt.NDArray[np.uint8]:
        """Return a plane's grey values, (rows, columns)."""
        return self._opened(plane)[2]

    def ask(
        self,
        plane: int,
        asked: Sequence[tuple[int, Prompt]],
        crops: Sequence[Box | None],
        hint: float | None = None,
    ) -> dict[int, PromptedMask]:
        """Segment objects on a plane.

        Parameters
        ----------
        plane : int
        asked : sequence of (int, Prompt)
            Labels and their prompts.
        crops : sequence of tuple of float or None
            Where each was seen on the plane before.
        hint : float, optional
            Length in pixels of objects that are prompted by points alone.

        Returns
        -------
        dict of PromptedMask
            By label.
        """
        if not asked:
            return {}
        answers = self._prompter.segment(
            self._opened(plane)[1],
            [prompt for _, prompt in asked],
            key=f"{self._name} {self._pictures.axis} {plane}" if self._name else "",
            crops=crops,
            hint=hint,
            share=self._share,
            cancel=self._cancel,
        )
        return {label: answer for (label, _), answer in zip(asked, answers, strict=True)}

    def share_out(
        self,
        plane: int,
        masks: dict[int, Mask],
        answers: Mapping[int, PromptedMask],
        before: Mapping[int, Mask],
    ) -> None:
        """Give each pixel to one object.

        What is kept stays. Of two that claim a pixel, the one has it that had it on the plane
        before, so that neighbours do not eat one another plane by plane; if both or none had it,
        the one with the higher logit.

        Parameters
        ----------
        plane : int
        masks : dict of Mask
            By label; changed in place.
        answers : mapping of PromptedMask
            By label: where the masks come from.
        before : mapping of Mask
            By label, on the plane before; empty where there is none.
        """
        for label in masks:
            masks[label] = self.free(plane, masks[label])
        labels = list(masks)
        for number, one in enumerate(labels):
            for other in labels[number + 1 :]:
                if overlap(masks[one], masks[other]):
                    frame = _shared_frame(masks[one], masks[other])
                    mine = _claim(answers[one], frame, before.get(one))
                    theirs = _claim(answers[other], frame, before.get(other))
                    both = bits_within(masks[one], frame) & bits_within(masks[other], frame)
                    masks[one] = _without(masks[one], frame, both & (mine < theirs))
                    masks[other] = _without(masks[other], frame, both & (mine >= theirs))

    def free(self, plane: int, mask: Mask) -> Mask:
        """Return what of a mask nobody has on its plane."""
        bits = mask.bits
        if self._taken is not None and mask.area:
            there = self._taken(plane)
            if there is not None:
                bits = bits & ~there[mask.window]
        for other in self._found[plane]:
            if overlap(other, mask):
                bits = bits & ~bits_within(other, mask)
        return mask if bits is mask.bits else Mask.of(bits, mask.origin)

    def keep(self, plane: int, mask: Mask) -> None:
        """Give a mask's pixels to it, once and for all."""
        if mask.area:
            self._found[plane].append(mask)

    def _opened(self, plane: int) -> tuple[int, ArraySource, npt.NDArray[np.uint8]]:
        """Return a plane; the last one is kept, since each object looks at it."""
        if self._last is None or self._last[0] != plane:
            picture = self._pictures.picture(plane)
            self._last = plane, picture, picture.read(0, 0, *self._pictures.shape)[..., 0]
        return self._last


def _shared_frame(one: Mask, other: Mask) -> Mask:
    rows, columns = shared_box(one, other)
    sides = (rows.stop - rows.start, columns.stop - columns.start)
    return Mask((rows.start, columns.start), np.ones(sides, bool))


def _claim(answer: PromptedMask, frame: Mask, before: Mask | None) -> npt.NDArray[np.float32]:
    """Return how much an object has to say on each pixel of a frame."""
    rows, columns = frame.window
    claim = logits_within(answer.logits, answer.crop, (rows, columns))
    if before is not None:
        # Above every logit.
        claim = np.where(bits_within(before, frame), claim + _HAD, claim)
    return claim


def _without(mask: Mask, frame: Mask, lost: npt.NDArray[np.bool_]) -> Mask:
    bits = mask.bits & ~bits_within(Mask(frame.origin, lost), mask)
    return Mask.of(bits, mask.origin)

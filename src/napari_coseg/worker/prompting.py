"""Prompts and masks as messages: boxes and clicks there, bounding boxes with bits back. Torch-free.

Masks travel together in one array, bit by bit; where each begins follows from the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from napari_coseg.types import Mask, Prompt
from napari_coseg.worker.protocol import Message, ProtocolError
from napari_coseg.worker.requests import Length, LoadRequest, RequestBody, check_body

#: Most objects of one request, most points of one object, most coarser levels of an image.
MOST_PROMPTS, MOST_POINTS, MOST_LEVELS = 4096, 256, 32

Crop = tuple[float, float, float, float]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Place = Annotated[int, Field(ge=-(1 << 20), le=1 << 21)]
_Side = Annotated[int, Field(ge=0, le=1 << 20)]
_Levels = Annotated[tuple[tuple[Length, Length], ...], Field(max_length=MOST_LEVELS)]


class MaskPlace(RequestBody):
    """Where the bits of a mask belong: first row and column, rows and columns."""

    origin: tuple[_Place, _Place]
    shape: tuple[_Side, _Side]


class PromptBody(RequestBody):
    """One object's prompts; its mask, if it has one, is in the message's array ``masks``."""

    box: tuple[_Finite, _Finite, _Finite, _Finite] | None = None
    points: Annotated[tuple[tuple[_Finite, _Finite, bool], ...], Field(max_length=MOST_POINTS)] = ()
    mask: MaskPlace | None = None
    crop: tuple[_Finite, _Finite, _Finite, _Finite] | None = None


class PromptRequest(LoadRequest):
    """Segment objects by prompts in an image whose pixels the host pulls.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    levels : tuple of tuple of int
        Rows and columns of coarser levels of the image; the host may pull their pixels.
    name : str
        The image in messages.
    content : str
        Names the pixels: what the host has computed of the same content it may use again. Empty:
        nothing is kept.
    prompts : tuple of PromptBody
        One an object.
    hint : float or None
        Length in pixels of an object that is clicked on.
    """

    shape: tuple[Length, Length]
    levels: _Levels = ()
    name: Annotated[str, Field(max_length=4096)] = "the image"
    content: Annotated[str, Field(max_length=128)] = ""
    prompts: Annotated[tuple[PromptBody, ...], Field(min_length=1, max_length=MOST_PROMPTS)]
    hint: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @field_validator("content")
    @classmethod
    def _printable(cls, content: str) -> str:
        if not content.isprintable():
            raise ValueError("a name of printable characters")
        return content


@dataclass(frozen=True, eq=False)
class PromptAnswer:
    """What the model took an object for.

    Attributes
    ----------
    mask : Mask
        In pixels of the image; of area 0 where nothing was found.
    stability : float
        0 to 1.
    crop : tuple of float
        The square that was looked at; given back with the next prompt of the same object.
    touches_border : bool
        Whether the object may go on beyond what was looked at.
    device : str
        Where it was computed; "" where that is unknown.
    """

    mask: Mask
    stability: float
    crop: Crop
    touches_border: bool
    device: str = ""


def prompt_message(request: str, body: Mapping[str, Any], masks: Sequence[Mask | None]) -> Message:
    """Return a request with the masks of its prompts."""
    given = [mask for mask in masks if mask is not None]
    return Message("prompt", request, body, {"masks": pack_masks(given)} if given else {})


def prompt_bodies(
    prompts: Sequence[Prompt], crops: Sequence[Crop | None] = ()
) -> list[dict[str, Any]]:
    """Return prompts as a `PromptRequest` holds them."""
    kept = [*crops, *[None] * (len(prompts) - len(crops))]
    return [
        {
            "box": prompt.box,
            "points": [(float(r), float(c), bool(on)) for r, c, on in prompt.points],
            "mask": None if prompt.mask is None else place_of(prompt.mask),
            "crop": crop,
        }
        for prompt, crop in zip(prompts, kept, strict=True)
    ]


def read_prompts(message: Message) -> tuple[PromptRequest, list[Prompt]]:
    """Read a request on the host's side.

    Raises
    ------
    ProtocolError
        If it is not as it should be.
    """
    wanted = check_body(PromptRequest, dict(message.body))
    places = [body.mask for body in wanted.prompts if body.mask is not None]
    masks = iter(unpack_masks(places, message.arrays.get("masks")))
    prompts = [
        Prompt(body.box, body.points, None if body.mask is None else next(masks))
        for body in wanted.prompts
    ]
    return wanted, prompts


def answer_of(
    answers: Iterable[Any], seconds: float, **facts: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return body and arrays of a result.

    Parameters
    ----------
    answers : iterable of PromptAnswer
        Or anything with its attributes.
    seconds : float
        That it took.
    **facts
        What else is told: ``device``, where they were computed, and ``batch``.
    """
    listed = list(answers)
    body = {
        **facts,
        "seconds": round(seconds, 4),
        "masks": [
            {
                **place_of(one.mask),
                "stability": round(float(one.stability), 4),
                "crop": [float(v) for v in one.crop],
                "touches_border": bool(one.touches_border),
            }
            for one in listed
        ],
    }
    return body, {"masks": pack_masks([one.mask for one in listed])}


def read_answers(message: Message) -> list[PromptAnswer]:
    """Read a result on the client's side.

    Raises
    ------
    ProtocolError
        If it is not as it should be.
    """
    try:
        rows, device = list(message.body["masks"]), str(message.body.get("device", ""))
        places = [MaskPlace(origin=row["origin"], shape=row["shape"]) for row in rows]
        masks = unpack_masks(places, message.arrays.get("masks"))
        return [
            PromptAnswer(
                mask,
                float(row["stability"]),
                tuple(float(v) for v in row["crop"]),  # type: ignore[arg-type]
                bool(row["touches_border"]),
                device,
            )
            for row, mask in zip(rows, masks, strict=True)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"The model worker sent a faulty mask: {error}.") from error


def place_of(mask: Mask) -> dict[str, Any]:
    """Return where a mask's bits belong, as `MaskPlace` holds it."""
    return {"origin": [int(v) for v in mask.origin], "shape": list(mask.bits.shape)}


def pack_masks(masks: Sequence[Mask]) -> npt.NDArray[np.uint8]:
    """Return the bits of masks one after the other, each in whole bytes."""
    parts = [np.packbits(mask.bits) for mask in masks]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def unpack_masks(places: Sequence[MaskPlace], packed: npt.NDArray[Any] | None) -> list[Mask]:
    """Return masks from their bits.

    Raises
    ------
    ProtocolError
        If there are more or fewer bits than the places say.
    """
    lengths = [math.prod(place.shape) for place in places]
    sizes = [-(-length // 8) for length in lengths]
    given = 0 if packed is None else packed.size
    if given != sum(sizes) or (packed is not None and packed.dtype != np.uint8):
        raise ProtocolError(f"Masks of {sum(sizes)} bytes were announced, {given} came.")
    if packed is None:
        return []
    masks, first = [], 0
    for place, length, size in zip(places, lengths, sizes, strict=True):
        bits = np.unpackbits(packed[first : first + size], count=length).astype(bool)
        masks.append(Mask(tuple(place.origin), bits.reshape(place.shape)))
        first += size
    return masks

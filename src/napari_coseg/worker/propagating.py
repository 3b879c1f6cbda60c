"""Objects followed through a volume as messages: key planes there, plane by plane back. Torch-free.

The host pulls planes as it pulls the levels of a picture: the number of the level is the plane's.
Those after the last plane are of what nobody may have on it, white where that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Protocol, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.key_planes import How, KeyPlane, PlaneMask
from napari_coseg.types import Mask, Prompt
from napari_coseg.worker.prompting import MaskPlace, PromptBody, pack_masks, place_of, unpack_masks
from napari_coseg.worker.protocol import MAX_ARRAY, Message, ProtocolError
from napari_coseg.worker.requests import Length, LoadRequest, RequestBody, check_body

#: Most planes of a volume, most key planes of one request.
MOST_PLANES, MOST_KEYS = 1 << 16, 4096

#: Given a plane, returns the pixels that no object may have, (rows, columns). Called in any thread.
Taken = Callable[[int], npt.NDArray[np.bool_]]

_Label = Annotated[int, Field(ge=1, lt=1 << 31)]
_Plane = Annotated[int, Field(ge=0, lt=MOST_PLANES)]
_Distance = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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

    def picture(self, plane: int) -> ImageSource:
        """Return one of them, to be read in any thread."""


class KeyBody(PromptBody):
    """What is said of an object on a plane; see `napari_coseg.inference.key_planes.KeyPlane`.

    Attributes
    ----------
    label, plane : int
    confirmed : bool
        Whether its mask is what the object is, and not a prompt.
    """

    label: _Label
    plane: _Plane
    confirmed: bool = False


class ReachBody(RequestBody):
    """The planes that are asked for of one object: the first, and the one after the last."""

    label: _Label
    first: _Plane
    end: Annotated[int, Field(ge=0, le=MOST_PLANES)]


class PropagateRequest(LoadRequest):
    """Follow objects through a volume whose planes the host pulls.

    Attributes
    ----------
    planes : int
        How many there are.
    shape : tuple of int
        Rows and columns of each.
    spacing : tuple of float
        Distances in mm of planes, rows, columns.
    axis : int
        The volume's axis along which planes follow each other: with `content`, it names planes.
    content : str
        Names the voxels and their window: what was computed of the same content may be used again.
        Empty: nothing is kept.
    keys : tuple of KeyBody
    reach : tuple of ReachBody
        Objects that are not named go as far as they reach.
    hint : float or None
        Length in pixels of an object that is clicked on.
    guarded : bool
        Whether there are pixels that no object may have: picture `planes` shows those of the first
        plane, and so on.
    """

    planes: Annotated[int, Field(ge=1, le=MOST_PLANES)]
    shape: tuple[Length, Length]
    spacing: tuple[_Distance, _Distance, _Distance]
    axis: Annotated[int, Field(ge=0, le=2)] = 0
    content: Annotated[str, Field(max_length=128)] = ""
    keys: Annotated[tuple[KeyBody, ...], Field(min_length=1, max_length=MOST_KEYS)]
    reach: Annotated[tuple[ReachBody, ...], Field(max_length=MOST_KEYS)] = ()
    hint: _Distance | None = None
    guarded: bool = False

    @model_validator(mode="after")
    def _sendable(self) -> PropagateRequest:
        if self.shape[0] * self.shape[1] * 3 > MAX_ARRAY:
            raise ValueError("planes have too many pixels to be sent")
        if not self.content.isprintable():
            raise ValueError("a name of printable characters")
        return self


class StackSource(ImageSource):
    """The planes of a volume where the client reads what the host pulls.

    Parameters
    ----------
    pictures : Pictures
    plane : int
        Which one this is; the others are its `levels`.
    taken : callable, optional
        See `Taken`; those pictures follow on the planes.
    """

    def __init__(self, pictures: Pictures, plane: int = 0, taken: Taken | None = None) -> None:
        self._pictures = pictures
        self._plane = plane
        self._taken = taken
        self.name = f"plane {plane}"
        self.mpp = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._pictures.shape

    @cached_property
    def _planes(self) -> tuple[ImageSource, ...]:
        planes = range(self._pictures.count)
        shown = tuple(StackSource(self._pictures, plane) for plane in planes)
        if self._taken is None:
            return shown
        return (*shown, *(_TakenSource(self._taken, self.shape, plane) for plane in planes))

    @property
    def levels(self) -> tuple[ImageSource, ...]:
        """All planes, and what is taken on each."""
        return self._planes

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        return self._pictures.picture(self._plane).read(row0, column0, row1, column1)


class _TakenSource(ImageSource):
    """What nobody may have on a plane, in white."""

    def __init__(self, taken: Taken, shape: tuple[int, int], plane: int) -> None:
        self._taken = taken
        self._shape = shape
        self._plane = plane
        self.name = f"what is taken on plane {plane}"
        self.mpp = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        bits = self._taken(self._plane)[row0:row1, column0:column1]
        return np.repeat(np.where(bits, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)


def propagate_body(
    pictures: Pictures,
    keys: Sequence[KeyPlane],
    reach: Mapping[int, tuple[int, int]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return what a `PropagateRequest` holds of a volume and its key planes.

    Raises
    ------
    ProtocolError
        If a number is not finite, or there are too many key planes.
    """
    body = {
        **more,
        "planes": pictures.count,
        "shape": pictures.shape,
        "spacing": pictures.spacing,
        "axis": pictures.axis,
        "keys": [_key_body(key) for key in keys],
        "reach": [
            {"label": label, "first": first, "end": end}
            for label, (first, end) in (reach or {}).items()
        ],
    }
    return check_body(PropagateRequest, body).model_dump()


def key_masks(keys: Sequence[KeyPlane]) -> list[Mask | None]:
    """Return the mask that travels with each key plane."""
    return [_mask_of(key) for key in keys]


def propagate_message(
    request: str, body: Mapping[str, Any], masks: Sequence[Mask | None]
) -> Message:
    """Return a request with the masks of its key planes."""
    given = [mask for mask in masks if mask is not None]
    return Message("propagate", request, body, {"masks": pack_masks(given)} if given else {})


def read_keys(message: Message) -> tuple[PropagateRequest, list[KeyPlane]]:
    """Read a request on the host's side.

    Raises
    ------
    ProtocolError
        If it is not as it should be.
    """
    wanted = check_body(PropagateRequest, dict(message.body))
    places = [body.mask for body in wanted.keys if body.mask is not None]
    masks = iter(unpack_masks(places, message.arrays.get("masks")))
    keys = []
    for body in wanted.keys:
        mask = None if body.mask is None else next(masks)
        if body.confirmed:
            if mask is None:
                raise ProtocolError("A mask was confirmed and not sent.")
            keys.append(KeyPlane(body.label, body.plane, mask=mask))
        else:
            keys.append(KeyPlane(body.label, body.plane, Prompt(body.box, body.points, mask)))
    return wanted, keys


def plane_message(found: PlaneMask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return body and arrays of one plane of one object."""
    body = {
        "label": int(found.label),
        "plane": int(found.plane),
        "stability": round(float(found.stability), 4),
        "how": found.how,
        "fault": found.fault,
        **place_of(found.mask),
    }
    return body, {"masks": pack_masks([found.mask])}


def read_plane(message: Message) -> PlaneMask:
    """Read one plane of one object on the client's side.

    Raises
    ------
    ProtocolError
        If it is not as it should be.
    """
    try:
        body = message.body
        place = MaskPlace(origin=body["origin"], shape=body["shape"])
        (mask,) = unpack_masks([place], message.arrays.get("masks"))
        if body["how"] not in get_args(How):
            raise ValueError(body["how"])
        return PlaneMask(
            int(body["label"]),
            int(body["plane"]),
            mask,
            float(body["stability"]),
            body["how"],
            body["fault"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"The model worker sent a faulty plane: {error}.") from error


def _mask_of(key: KeyPlane) -> Mask | None:
    if key.mask is not None:
        return key.mask
    return None if key.prompt is None else key.prompt.mask


def _key_body(key: KeyPlane) -> dict[str, Any]:
    mask = _mask_of(key)
    prompt = key.prompt if key.mask is None and key.prompt is not None else Prompt()
    return {
        "label": key.label,
        "plane": key.plane,
        "confirmed": key.mask is not None,
        "box": prompt.box,
        "points": [(float(r), float(c), bool(on)) for r, c, on in prompt.points],
        "mask": None if mask is None else place_of(mask),
    }

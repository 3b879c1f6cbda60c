"""What a request holds, checked on both sides. Torch-free."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_coseg.worker.protocol import ProtocolError

# 2^20 pixels a side, and together no more than the largest slides have.
Length = Annotated[int, Field(ge=1, le=1 << 20)]
_PIXELS = 1 << 36
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(gt=0, lt=1)]


class RequestBody(BaseModel):
    """What a request holds; fields that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoadRequest(RequestBody):
    """Bring a model into memory.

    Attributes
    ----------
    model : str
        Name in the host's catalogue, or a file on the host's machine.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    """

    model: Annotated[str, Field(min_length=1, max_length=4096)]
    device: Annotated[str, Field(max_length=32)] = "auto"


class SegmentRequest(LoadRequest):
    """Segment an image whose pixels the host pulls.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    name : str
        The image in messages.
    mpp : float or None
        µm per pixel, None where it is unknown: the model's is assumed then.
    mpp_origin : {"given", "image", "assumed"}
        Who says so.
    tta : bool
        Average over four flips.
    min_region_um2 : float
        Smallest part of a region.
    overlap : int or None
        Pixels between neighbouring tiles.
    foreground_threshold : float or None
        Of the objects' foreground probability; None takes the model's own.
    min_area : int or None
        Smallest object, in pixels of the model's scale; None takes the model's own.
    min_score : float or None
        Least mean foreground probability of an object; None takes the model's own.
    """

    shape: tuple[Length, Length]
    name: Annotated[str, Field(max_length=4096)] = "the image"
    mpp: _Positive | None = None
    mpp_origin: Literal["given", "image", "assumed"] = "given"
    tta: bool = False
    min_region_um2: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    overlap: Annotated[int, Field(ge=0, le=4096)] | None = None
    foreground_threshold: _Share | None = None
    min_area: Annotated[int, Field(ge=1, le=1 << 30)] | None = None
    min_score: Annotated[float, Field(ge=0, lt=1)] | None = None

    @field_validator("shape")
    @classmethod
    def _bounded(cls, shape: tuple[int, int]) -> tuple[int, int]:
        if shape[0] * shape[1] > _PIXELS:
            raise ValueError("the image has too many pixels")
        return shape


_B = TypeVar("_B", bound=RequestBody)


def check_body(kind: type[_B], body: Any) -> _B:
    """Check the body of a request.

    Raises
    ------
    ProtocolError
        Naming the first field that is not as it should be.
    """
    try:
        return kind.model_validate(body, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(f"A request has a wrong field {where}: {first['msg']}.") from error

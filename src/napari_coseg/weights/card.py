"""The model card: what a weights file says about itself. Torch-free.

A weights file is one safetensors file whose metadata holds, under `METADATA_KEY`, the card as
JSON. The safetensors format (huggingface/safetensors, "Format"): eight bytes with the length N
of the header, unsigned, little-endian; N bytes of JSON that name each tensor's dtype, shape and
place; the tensors' bytes.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from napari_coseg.types import RGB, ClassTable, CosegError

#: Version of the card that this program writes, and the newest that it reads.
FORMAT_VERSION = 1
#: Key of the safetensors metadata under which the card stands.
METADATA_KEY = "coseg"
#: Names under which models are kept: they become file names.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
#: Families of networks: Co-Seg++ segments whole images, SyncSAM what a person points at.
Kind = Literal["coseg", "syncsam"]

_PURPOSE: dict[Kind, str] = {
    "coseg": (
        "segments whole images by itself: use it with `napari-coseg predict` or in the Segment dock"
    ),
    "syncsam": (
        "segments from boxes and points: use it with `napari-coseg prompt` or in the Prompt dock"
    ),
}

_OTHER = "choose another model"

_LARGEST_HEADER = 100 << 20  # the safetensors library's own limit, in bytes


class ClassEntry(BaseModel):
    """One class of a card.

    Attributes
    ----------
    name : str
        The field's name of it.
    colour : tuple of int
        Red, green, blue, each 0 to 255.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    colour: RGB


class ModelCard(BaseModel):
    """What a weights file says about itself.

    Attributes
    ----------
    format : int
        Version of the card, see `FORMAT_VERSION`.
    name : str
        Name of the model: letters, digits, dots, dashes and underscores.
    kind : {"coseg", "syncsam"}
        Family of networks that the file holds.
    config : dict
        Every size and switch of the network, see `napari_coseg.models.coseg.config` and
        `napari_coseg.models.syncsam.config`.
    region_classes, instance_classes : tuple of ClassEntry
        Classes in the order of their ids, from 1; none for ``"syncsam"``.
    region_mpp, instance_mpp : float or None
        Size of a pixel in µm at which each task runs; None where the model lacks the task, as a
        ``"syncsam"`` does.
    planes : tuple of float, or None
        For a model of volumes: where its three channels are taken, in mm along the axis of the
        planes from the plane that it segments. None for a model of pictures.
    mean, std : tuple of float
        Normalisation of red, green and blue, for images scaled to 0..1.
    licence : str
        Licence of the weights, an SPDX name where there is one.
    licence_note : str
        What that means for a user, in a sentence.
    data : tuple of str
        What the model was trained on.
    post_processing : dict
        How this model's maps become objects, where that differs from the defaults: fields of
        `napari_coseg.inference.instances.InstanceSettings`.
    scores : dict
        Figures and how they were taken.
    description : str
        What the model is for.
    software : str
        Version of the program that wrote the file.
    parameters, trained_parameters : int or None
        Numbers of parameters, and of those that training changed; filled in on saving.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT_VERSION
    name: str = Field(pattern=NAME_PATTERN)
    kind: Kind = "coseg"
    config: dict[str, Any] = Field(default_factory=dict)
    region_classes: tuple[ClassEntry, ...] = ()
    instance_classes: tuple[ClassEntry, ...] = ()
    region_mpp: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    instance_mpp: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    planes: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    licence: str = ""
    licence_note: str = ""
    data: tuple[str, ...] = ()
    post_processing: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)
    description: str = ""
    software: str = ""
    parameters: int | None = Field(default=None, ge=0)
    trained_parameters: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        panoptic = ("region_classes", "instance_classes", "region_mpp", "instance_mpp")
        if self.kind == "syncsam" and any(getattr(self, name) for name in panoptic):
            raise ValueError("a syncsam has neither classes nor a pixel size")
        return self

    @property
    def region_table(self) -> ClassTable:
        """Classes of the regions."""
        return _table(self.region_classes)

    @property
    def instance_table(self) -> ClassTable:
        """Classes of the instances."""
        return _table(self.instance_classes)

    def expect(self, kind: Kind) -> None:
        """Refuse a model of another kind than the work at hand needs.

        Raises
        ------
        CosegError
            If it is; the message says where the model is of use.
        """
        if self.kind != kind:
            raise CosegError(f"{self.name} {_PURPOSE[self.kind]}.")

    def expect_input(self, *, volume: bool) -> None:
        """Refuse a model of pictures for a volume, and one of volumes for a picture.

        Raises
        ------
        CosegError
            If it is.
        """
        if volume and self.planes is None:
            raise CosegError(f"{self.name} segments pictures, and this is a volume: {_OTHER}.")
        if not volume and self.planes is not None:
            raise CosegError(f"{self.name} segments volumes, and this is a picture: {_OTHER}.")

    def to_json(self) -> str:
        """Return the card as it stands in a file."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str, origin: str) -> ModelCard:
        """Read a card, and say in a sentence what is wrong with one that does not fit.

        Parameters
        ----------
        text : str
            JSON as written by `to_json`.
        origin : str
            Where it comes from, for messages.

        Raises
        ------
        CosegError
            If the text is no card, or was written by a newer program.
        """
        try:
            value = json.loads(text)
        except ValueError as error:
            raise CosegError(f"{origin} has a model card that is not JSON: {error}.") from error
        version = value.get("format") if isinstance(value, dict) else None
        if not isinstance(version, int):
            raise CosegError(f"{origin} has a model card without a format version.")
        if version > FORMAT_VERSION:
            raise CosegError(
                f"{origin} was written by a newer napari-coseg (weights format {version}, this "
                f"one reads up to {FORMAT_VERSION}): update napari-coseg to use it."
            )
        try:
            card = cls.model_validate(value)
            # The tables refuse a class that stands twice.
            _ = card.region_table, card.instance_table
        except ValidationError as error:
            raise CosegError(f"{origin} has a faulty model card: {summarise(error)}.") from error
        return card


@dataclass(frozen=True)
class Header:
    """Beginning of a safetensors file.

    Attributes
    ----------
    metadata : dict of str
        Free text under its keys.
    tensors : dict
        For each name its dtype as safetensors spells it (``"F16"``) and its shape.
    """

    metadata: dict[str, str]
    tensors: dict[str, tuple[str, tuple[int, ...]]]

    @property
    def values(self) -> int:
        """Number of values in all tensors, buffers included."""
        return sum(math.prod(shape) for _, shape in self.tensors.values())


def classes_of(table: ClassTable) -> tuple[ClassEntry, ...]:
    """Return a class table as a card holds it."""
    return tuple(ClassEntry(name=info.name, colour=info.colour) for info in table)


def read_header(path: Path | str) -> Header:
    """Read the header of a safetensors file and check that the file is whole.

    Raises
    ------
    CosegError
        If the file cannot be read, is no safetensors file, or is cut off.
    """
    path = Path(path)
    stranger = f"{path} is not a safetensors file."
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8:
                raise CosegError(f"{path} is empty or cut off: copy or fetch it again.")
            (length,) = struct.unpack("<Q", start)
            if length > _LARGEST_HEADER:
                raise CosegError(stranger)
            text = file.read(length)
    except OSError as error:
        raise CosegError(f"Cannot read {path}: {error.strerror or error}.") from error
    # The header is JSON from its first byte, so a cut inside it can be told from another format.
    if not text.startswith(b"{"):
        raise CosegError(stranger)
    if len(text) < length:
        raise CosegError(f"{path} is cut off: copy or fetch it again.")
    try:
        value: dict[str, Any] = json.loads(text)
        metadata = {str(k): str(v) for k, v in value.pop("__metadata__", {}).items()}
        tensors = {
            name: (str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))
            for name, entry in value.items()
        }
        end = max((int(entry["data_offsets"][1]) for entry in value.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CosegError(stranger) from error
    if size < 8 + length + end:
        raise CosegError(
            f"{path} is cut off ({size:,} of {8 + length + end:,} bytes): copy or fetch it again."
        )
    return Header(metadata, tensors)


def card_of(header: Header, path: Path | str) -> ModelCard:
    """Return the card in a header.

    Raises
    ------
    CosegError
        If there is none, or it does not fit.
    """
    text = header.metadata.get(METADATA_KEY)
    if text is None:
        raise CosegError(
            f"{path} was not written by napari-coseg (it holds no model card); a checkpoint of "
            "another program can only serve as starting weights of a training."
        )
    return ModelCard.from_json(text, str(path))


def read_card(path: Path | str) -> ModelCard:
    """Read the card of a weights file, from its header alone.

    Raises
    ------
    CosegError
        If the file is missing, cut off, not one of ours, or of a newer format.
    """
    return card_of(read_header(path), path)


def summarise(error: ValidationError) -> str:
    """Return what pydantic found, key by key, in one line."""
    found = []
    for item in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in item["loc"]) or "the whole"
        found.append(f"{key}: {item['msg']}")
    return "; ".join(found)


def _table(classes: tuple[ClassEntry, ...]) -> ClassTable:
    return ClassTable.from_names(
        [entry.name for entry in classes], {entry.name: entry.colour for entry in classes}
    )

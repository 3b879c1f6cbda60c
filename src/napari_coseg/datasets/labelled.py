"""What every reader of labelled data gives: items, and their pixels and labels on demand.

A reader knows one format. It lists its items when it is made, which is cheap, and reads an item's
pixels when it is asked, so that nothing is loaded whole. What cannot be used is named in `faults`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from napari_coseg.types import ClassTable

#: Kinds of labels that an item may have.
LABEL_KINDS = ("regions", "region_instances", "instances", "classes")
#: Parts that a published set may be divided in.
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class LabelledImage:
    """One item as arrays; None where a label does not exist.

    Attributes
    ----------
    image : ndarray of uint8, (rows, columns, 3)
    mpp : float
        µm per pixel, of columns. NaN where nobody knows it.
    regions : ndarray of uint8, (rows, columns), or None
        Region class ids, 255 for "do not look".
    region_instances : ndarray of int32, (rows, columns), or None
    instances : ndarray of int32, (rows, columns), or None
    classes : ndarray of uint8, (rows, columns), or None
        Class of the instance at each pixel, 255 for "do not look".
    overlap : int
        Pixels that several objects claim in a format where they can; here they belong to one.
    overlapping : tuple of ndarray of int32, (rows, columns)
        In formats of masks that may lie on each other: label images of the objects that found no
        place in `instances`, with ids that it has not.
    crowds : ndarray of bool, (rows, columns), or None
        Where objects lie that nobody told apart: neither an object nor background, so that it takes
        no part in training or scores of objects. `instances` and `classes` are 0 there.
    """

    image: npt.NDArray[np.uint8]
    mpp: float
    regions: npt.NDArray[np.uint8] | None = None
    region_instances: npt.NDArray[np.int32] | None = None
    instances: npt.NDArray[np.int32] | None = None
    classes: npt.NDArray[np.uint8] | None = None
    overlap: int = 0
    overlapping: tuple[npt.NDArray[np.int32], ...] = ()
    crowds: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Item:
    """Where one item's files lie, and the patient or slide it belongs to.

    Attributes
    ----------
    name : str
        Different from every other item's of the set; fit for a file's name.
    image : Path
        The file with its pixels; several items may lie in one.
    labels : mapping
        The file with each kind of its labels (`LABEL_KINDS`); without those that it lacks.
    group : str
        Patient or slide: what must not be parted by a split.
    plane : int or None
        Index of a volume's plane; None for an image.
    part : str or None
        One of `PARTS`, as the set's makers divided it; None where they did not.
    """

    name: str
    image: Path
    labels: Mapping[str, Path]
    group: str
    plane: int | None = None
    part: str | None = None


@dataclass(frozen=True)
class ItemFault:
    """Something that cannot be used.

    Attributes
    ----------
    name : str
        The item, or the file where it is no item yet.
    sentence : str
        What is wrong with it and what to do.
    """

    name: str
    sentence: str


@dataclass(frozen=True)
class Format:
    """What a reader reads.

    Attributes
    ----------
    key : str
        Name in configs and on the command line, for example ``"glas"``.
    title : str
        Name for people.
    source : str
        Where the details of the layout are published.
    unconfirmed : tuple of str
        Details that no public source settles, and what the reader takes them for.
    """

    key: str
    title: str
    source: str
    unconfirmed: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenOptions:
    """What a person may say about a set that its files do not.

    Attributes
    ----------
    mpp : float or None
        µm per pixel, instead of what the set is known or said to have.
    mapping : Path or None
        A TOML file with names that differ from the published ones; each reader says which keys
        it takes.
    """

    mpp: float | None = None
    mapping: Path | None = None


class LabelledDataset(ABC):
    """Labelled images of one place.

    Attributes
    ----------
    root : Path
    name, license : str
    mpp : float
        µm per pixel of the images, NaN where nobody knows it; `LabelledImage.mpp` is an item's own.
    spacing : tuple of float, or None
        Of volumes: mm between planes, rows and columns.
    window : (float, float) or None
        Of volumes: grey values that are shown black and white.
    region_classes, instance_classes : ClassTable
        What the ids in the labels mean.
    items : sequence of Item
        In an order that is the same each time.
    faults : tuple of ItemFault
        What was found and is no item, since something is wrong with it.
    """

    format: ClassVar[Format]

    root: Path
    name: str
    license: str
    mpp: float
    spacing: tuple[float, ...] | None = None
    window: tuple[float, float] | None = None
    region_classes: ClassTable = ClassTable()
    instance_classes: ClassTable = ClassTable()
    items: Sequence[Item]
    faults: tuple[ItemFault, ...] = ()

    @abstractmethod
    def __init__(self, root: Path, options: OpenOptions | None = None) -> None:
        """List the items."""

    @classmethod
    @abstractmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder or file looks like this format; reads names and little else."""

    @classmethod
    def name_of(cls, root: Path) -> str:
        """Return a set's name without a look at its items."""
        return cls.format.title

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of labels that at least one item has."""
        return frozenset(kind for item in self.items for kind in item.labels)

    @abstractmethod
    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels.

        Parameters
        ----------
        item : Item
        planes : sequence of three floats, optional
            For a network that sees planes of a volume beside one another: where red, green and
            blue are taken, in mm from the item's plane. The window is the volume's automatic one
            then, as in prediction.

        Raises
        ------
        CosegError
            If a file cannot be read, a label's size is not its image's, a class is not known, or
            planes are asked of a picture.
        """

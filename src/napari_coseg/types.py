"""Values that cross rooms: errors, class tables, results.

Nothing here imports torch, napari or another room of the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.floating[Any]]
RGB = tuple[int, int, int]

#: Label value of pixels that training and scoring must not look at.
IGNORE = 255

#: Okabe and Ito's colours (2008), told apart with any colour vision. Black is left out, since
#: it is what the eye takes for background.
OKABE_ITO: tuple[RGB, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (153, 153, 153),
)

#: Numbers that a tooth may have, in the order of a chart: FDI two-digit notation (ISO 3950). The
#: first digit is the quadrant, upper right, upper left, lower left, lower right of the patient: of
#: the permanent teeth 1 to 4, of the deciduous ones 5 to 8.
FDI_NUMBERS: tuple[int, ...] = tuple(
    10 * quadrant + tooth
    for quadrant in range(1, 9)
    for tooth in range(1, 9 if quadrant <= 4 else 6)
)

#: Jaws of a tooth; "" where it is unknown.
JAWS = ("", "upper", "lower")


def jaw_of(fdi: int) -> str:
    """Return the jaw of a tooth by its FDI number: "upper" or "lower", "" for no number."""
    if fdi not in FDI_NUMBERS:
        return ""
    return "upper" if fdi // 10 in (1, 2, 5, 6) else "lower"


class CosegError(Exception):
    """What went wrong and what to do, in one sentence that a person can act on."""


@dataclass(frozen=True)
class ClassInfo:
    """One class.

    Attributes
    ----------
    id : int
        Value in label images, 1 for the first class; 0 is background.
    name : str
        The field's name of it, for example ``"epithelial"``.
    colour : tuple of int
        Red, green, blue, each 0 to 255.
    """

    id: int
    name: str
    colour: RGB


@dataclass(frozen=True)
class ClassTable:
    """The classes of one task in the order of their ids (1, 2, ...)."""

    classes: tuple[ClassInfo, ...] = ()

    @classmethod
    def from_names(
        cls, names: Iterable[str], colours: Mapping[str, Sequence[int]] | None = None
    ) -> ClassTable:
        """Make a table of `names`, numbered from 1, in `colours` or else the Okabe-Ito set.

        Raises
        ------
        CosegError
            If a name is empty or stands twice, or there are more than 254 of them.
        """
        listed = list(names)
        if len(set(listed)) != len(listed) or not all(listed):
            raise CosegError(f"Class names must be different and not empty: {listed}.")
        if len(listed) > IGNORE - 1:
            raise CosegError(f"At most {IGNORE - 1} classes fit a label image: {len(listed)}.")
        given = colours or {}
        table = []
        for index, name in enumerate(listed):
            red, green, blue = given.get(name, OKABE_ITO[index % len(OKABE_ITO)])
            table.append(ClassInfo(index + 1, name, (int(red), int(green), int(blue))))
        return cls(tuple(table))

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of their ids."""
        return tuple(info.name for info in self.classes)

    def name_of(self, class_id: int) -> str:
        """Name of a class id; ``"background"`` for 0, ``"class N"`` for an unknown one."""
        if class_id == 0:
            return "background"
        if 1 <= class_id <= len(self.classes):
            return self.classes[class_id - 1].name
        return f"class {class_id}"

    def colour_of(self, class_id: int) -> RGB:
        """Colour of a class id; grey for background and unknown ones."""
        if 1 <= class_id <= len(self.classes):
            return self.classes[class_id - 1].colour
        return (128, 128, 128)


#: Columns of an object table in files, in their order. ``label`` is the id in the instance
#: image; ``class`` the class id (0: none); ``score`` in 0..1; ``area_um2`` is empty where the
#: pixel size is unknown; ``row``, ``column`` the centroid in pixel centres; the box is inclusive
#: of its first and exclusive of its last edge; ``region`` the region id that holds most of it.
OBJECT_COLUMNS: tuple[str, ...] = (
    "label",
    "class",
    "class_name",
    "score",
    "area_px",
    "area_um2",
    "row",
    "column",
    "row0",
    "column0",
    "row1",
    "column1",
    "region",
    "region_name",
)


def empty_objects() -> pd.DataFrame:
    """Object table without a row, with the dtypes that a filled one has."""
    # Here, since `napari-coseg --help` should not wait for it.
    import pandas as pd

    kinds: dict[str, Any] = dict.fromkeys(OBJECT_COLUMNS, np.int64)
    kinds |= dict.fromkeys(("score", "area_um2", "row", "column"), np.float64)
    kinds |= dict.fromkeys(("class_name", "region_name"), object)
    return pd.DataFrame({name: pd.Series(dtype=kinds[name]) for name in OBJECT_COLUMNS})


@dataclass
class PanopticResult:
    """Regions and instances of one image, in the image's own pixels.

    Attributes
    ----------
    regions : ndarray of uint8, (rows, columns), or None
        Region class ids, 0 background; None where the model has no region classes.
    instances : ndarray of int32, (rows, columns), or None
        Object ids, 0 background.
    objects : DataFrame
        One row an object, columns `OBJECT_COLUMNS`.
    region_classes, instance_classes : ClassTable
        What the ids mean.
    mpp : float or None
        Size of a pixel in µm, None where it is unknown.
    metadata : dict
        Model, settings and times, as in ``run.json``.
    """

    regions: npt.NDArray[np.uint8] | None
    instances: npt.NDArray[np.int32] | None
    objects: pd.DataFrame
    region_classes: ClassTable
    instance_classes: ClassTable
    mpp: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Mask:
    """Pixels of one object: a bounding box and its bits, at full resolution.

    Attributes
    ----------
    origin : tuple of int
        First index of the box along each axis: (row, column) or (plane, row, column).
    bits : ndarray of bool
        What of the box belongs to the object; one axis for each number of `origin`.
    """

    origin: tuple[int, ...]
    bits: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.bits.ndim != len(self.origin):
            raise ValueError(f"bits of {self.bits.ndim} axes at an origin of {len(self.origin)}")

    @classmethod
    def of(cls, bits: npt.NDArray[np.bool_], origin: Sequence[int] | None = None) -> Mask:
        """Cut `bits`, which lie at `origin` (0 by default), to the box of what is set."""
        first = tuple(int(v) for v in (origin if origin is not None else (0,) * bits.ndim))
        slices = []
        for axis in range(bits.ndim):
            others = tuple(a for a in range(bits.ndim) if a != axis)
            found = np.flatnonzero(bits.any(axis=others))
            slices.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0))
        moved = tuple(f + s.start for f, s in zip(first, slices, strict=True))
        return cls(moved, np.ascontiguousarray(bits[tuple(slices)]))

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.bits))

    @property
    def window(self) -> tuple[slice, ...]:
        """Where the bits lie in the image."""
        sides = zip(self.origin, self.bits.shape, strict=True)
        return tuple(slice(first, first + length) for first, length in sides)


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a person drew of one object in one plane, in pixels of the image.

    Attributes
    ----------
    box : tuple of float, or None
        First row and column, inclusive, last row and column, exclusive.
    points : tuple of (float, float, bool)
        Row and column in pixel centres, and whether the point is on the object.
    mask : Mask or None
        What the object is taken for so far; (row, column).
    """

    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float, bool], ...] = ()
    mask: Mask | None = None

"""Annotations of a COCO file, read once and kept as arrays.

A file is streamed; what stays in memory are its numbers (8 bytes a coordinate), which processes
that read the set get, too. Format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ijson
import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.rasterise import Outline
from napari_coseg.types import CosegError

_POLYGONS, _COUNTS, _TEXT, _FAULTY = range(4)
_BITS, _MORE, _SIGN = 0x1F, 0x20, 0x10


@dataclass(frozen=True)
class CocoImage:
    """An image of the file; `number` is its place among them."""

    number: int
    id: int
    file_name: str
    shape: tuple[int, int] | None


class CocoIndex:
    """Images, categories and annotations of one file.

    Attributes
    ----------
    path : Path
    images : list of CocoImage
    categories : dict of int to str
        In the order of their ids.
    astray : list of int
        Ids of annotations whose image the file does not list.
    annotated : bool
        Whether there is any annotation.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CosegError
        If it cannot be read, or is no file of COCO instances.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: list[CocoImage] = []
        known: dict[int, int] = {}
        for number, one in enumerate(_items(path, "images.item")):
            image = _image(path, number, one)
            if image.id in known:
                raise CosegError(f"{path} has two images of the id {image.id}.")
            known[image.id] = number
            self.images.append(image)
        if not self.images:
            raise CosegError(f"{path} is no file of COCO instances: it lists no images.")
        self.categories = _categories(path)
        self.astray: list[int] = []
        owner, category, crowd, ids, kinds = (array("q") for _ in range(5))
        numbers, text = array("d"), bytearray()
        rings, first_ring, first_text = array("q", [0]), array("q", [0]), array("q", [0])
        for one in _items(path, "annotations.item"):
            try:
                place = known.get(int(one["image_id"]))
                about = (int(one.get("id", len(ids))), int(one["category_id"]))
            except (KeyError, TypeError, ValueError) as error:
                raise CosegError(
                    f"{path} has an annotation without an image_id or category_id."
                ) from error
            if place is None:
                self.astray.append(about[0])
                continue
            owner.append(place)
            ids.append(about[0])
            category.append(about[1])
            crowd.append(int(bool(one.get("iscrowd", 0))))
            kinds.append(_gather(one.get("segmentation"), numbers, rings, text))
            first_ring.append(len(rings) - 1)
            first_text.append(len(text))
        self.annotated = bool(len(owner)) or bool(self.astray)
        self._order = np.argsort(np.array(owner, np.int64), kind="stable")
        counts = np.bincount(np.array(owner, np.int64), minlength=len(self.images))
        self._bounds = np.append(0, np.cumsum(counts))
        self._about = np.array([ids, category, crowd, kinds], np.int64).reshape(4, -1)
        self._numbers = np.array(numbers, np.float64)
        self._rings = np.array(rings, np.int64)
        self._first_ring = np.array(first_ring, np.int64)
        self._first_text = np.array(first_text, np.int64)
        self._text = bytes(text)

    def annotations(
        self, number: int, shape: tuple[int, int]
    ) -> Iterator[tuple[Outline, int, bool]]:
        """Give an image's annotations: outline, id of the category, whether it is a crowd.

        Raises
        ------
        CosegError
            If a run-length encoding does not fit the image, or a segmentation is none.
        """
        for index in self._order[self._bounds[number] : self._bounds[number + 1]]:
            own, category, crowd, kind = (int(v) for v in self._about[:, index])
            where = f"annotation {own}"
            begin, end = (int(v) for v in self._first_ring[index : index + 2])
            rings = [
                self._numbers[self._rings[ring] : self._rings[ring + 1]]
                for ring in range(begin, end)
            ]
            if kind == _FAULTY:
                raise CosegError(f"{self.path}, {where} has a segmentation that cannot be read.")
            if kind == _POLYGONS:
                # Each polygon is a part; COCO has no holes.
                parts = tuple((ring.reshape(-1, 2),) for ring in rings)
                outline = Outline(where, parts)
            else:
                said = f"{self.path}, {where}"
                counts = rings[0][2:].astype(np.int64)
                if kind == _TEXT:
                    first, last = (int(v) for v in self._first_text[index : index + 2])
                    counts = _decoded(self._text[first:last], said)
                size = (int(rings[0][0]), int(rings[0][1]))
                outline = Outline(where, runs=_runs(counts, size, shape, said))
            yield outline, category, bool(crowd)


def _items(path: Path, prefix: str) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for one in ijson.items(file, prefix, use_float=True):
                if not isinstance(one, dict):
                    raise CosegError(f"{path} is no file of COCO instances ({prefix}).")
                yield one
    except (ijson.JSONError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())[:120]
        raise CosegError(f"{path} is no JSON, or was cut off: {words}.") from error
    except OSError as error:
        raise CosegError(f"{path} cannot be read: {error.strerror or error}.") from error


def _image(path: Path, number: int, one: dict[str, Any]) -> CocoImage:
    try:
        shape = None
        if "height" in one and "width" in one:
            shape = (int(one["height"]), int(one["width"]))
        return CocoImage(number, int(one["id"]), str(one["file_name"]), shape)
    except (KeyError, TypeError, ValueError) as error:
        raise CosegError(f"{path} has an image without id or file_name.") from error


def _categories(path: Path) -> dict[int, str]:
    try:
        found = {int(one["id"]): str(one["name"]) for one in _items(path, "categories.item")}
    except (KeyError, TypeError, ValueError) as error:
        raise CosegError(f"{path} has a category without id or name.") from error
    return dict(sorted(found.items()))


def _gather(said: Any, numbers: array[float], rings: array[int], text: bytearray) -> int:
    """Keep a segmentation; return its kind."""
    try:
        if isinstance(said, list):
            gathered = [[float(value) for value in polygon] for polygon in said]
            if any(len(polygon) % 2 for polygon in gathered):
                return _FAULTY
            for polygon in gathered:
                numbers.extend(polygon)
                rings.append(len(numbers))
            return _POLYGONS
        if not isinstance(said, dict):
            return _FAULTY
        rows, columns = (float(value) for value in said["size"])
        counts = said["counts"]
        packed = counts.encode("ascii") if isinstance(counts, str) else b""
        plain = [] if isinstance(counts, str) else [float(value) for value in counts]
    except (KeyError, TypeError, ValueError):
        return _FAULTY
    numbers.extend([rows, columns, *plain])
    rings.append(len(numbers))
    text += packed
    return _TEXT if isinstance(counts, str) else _COUNTS


def _decoded(packed: bytes, where: str) -> npt.NDArray[np.int64]:
    """Undo COCO's compression of run lengths.

    A number is written five bits a character, lowest first, from the character "0" on; a sixth bit
    says that more follow, the fifth of the last one is the sign. From the fourth number on it is
    the difference to the one before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for character in packed:
        code = character - 48
        if not 0 <= code < 64 or shift > 60:
            raise CosegError(f"{where} has run lengths that cannot be read.")
        value |= (code & _BITS) << shift
        shift += 5
        if code & _MORE:
            continue
        if code & _SIGN:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise CosegError(f"{where} has run lengths that were cut off.")
    return np.array(counts, np.int64)


def _runs(
    counts: npt.NDArray[np.int64], size: tuple[int, int], shape: tuple[int, int], where: str
) -> npt.NDArray[np.int64]:
    """Return runs along rows from lengths down the columns, background first."""
    if size != shape:
        raise CosegError(
            f"{where} is of {size[0]} x {size[1]} pixels, but its image has {shape[0]} x "
            f"{shape[1]}."
        )
    if (counts < 0).any() or counts.sum() != shape[0] * shape[1]:
        raise CosegError(f"{where} has run lengths that do not fill its image.")
    inside = np.arange(len(counts)) % 2 == 1
    mask = np.repeat(inside, counts).reshape(shape[::-1]).T
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, first = np.nonzero(edges == 1)
    last = np.nonzero(edges == -1)[1]
    return np.stack([row, first, last], axis=1).astype(np.int64)

"""SA-Med2D-20M: pictures of many modalities with binary masks, one file a mask.

Ye et al. 2023, "SA-Med2D-20M dataset: segment anything in 2D medical imaging with 20 million
masks", arXiv:2311.11969. As unpacked::

    SAMed2Dv1/SAMed2D_v1.json                    {"images/NAME.png": ["masks/MASK.png", ...], ...}
    SAMed2Dv1/SAMed2D_v1_class_mapping_id.json   {"DATASET": {"class": id, ...}, ...}
    SAMed2Dv1/images/NAME.png                    MODALITY--DATASET--CASE--AXIS_SLICE
    SAMed2Dv1/masks/MASK.png                     NAME--CLASS_INSTANCE, such as ...--0003_000
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ijson
import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.indexed_set import (
    INDEX,
    IndexedDataset,
    index_folder,
    is_inside,
    unreadable,
)
from napari_coseg.datasets.item_index import Entry, IndexSource, state_of
from napari_coseg.datasets.labelled import Format, Item, ItemFault, OpenOptions
from napari_coseg.datasets.mapping import group_of, read_mapping
from napari_coseg.imaging.labels import read_labels
from napari_coseg.types import CosegError

_LIST, _CLASSES = "SAMed2D_v1.json", "SAMed2D_v1_class_mapping_id.json"
_FOLDER = "SAMed2Dv1"
_TAIL = re.compile(r"--(\d+)_\d+\.png")


@dataclass(frozen=True)
class MaskedItem(Item):
    """An image with a file for each of its masks.

    Attributes
    ----------
    masks : tuple of Path
    """

    masks: tuple[Path, ...] = ()


class SaMed2dDataset(IndexedDataset):
    """Pictures and masks of SA-Med2D-20M. Masks overlap, and none has a class here.

    A mapping may have ``index`` (folder of the index, where the set's own cannot be written to),
    ``group`` (pattern that finds the patient in an image's name), ``left_out`` (pattern of names
    of images that take no part) and ``inverted`` (names of datasets in whose masks the object is
    0).

    Parameters
    ----------
    root : Path or str
        ``SAMed2Dv1``, or the folder with it.
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If the list is not there or cannot be read, or the index not be written.
    """

    format = Format(
        "sa-med2d",
        "SA-Med2D-20M",
        "arXiv:2311.11969; huggingface.co/datasets/OpenGVLab/SA-Med2D-20M",
        (
            "Values of masks are not published: what is above 0 is taken for the object, but in "
            "datasets that the key inverted of a mapping names.",
            "Who the patient of a case is, is not published: DATASET--CASE is taken for one.",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = _set_folder(Path(root))
        self._describe(options)
        where = None if options is None else options.mapping
        mapping = read_mapping(where, (INDEX, "group", "left_out", "inverted"))
        self._inverted = _names(mapping, "inverted")
        decides = {key: mapping.get(key) for key in ("group", "left_out")}
        files = [self.root / _LIST, self.root / _CLASSES]
        source = IndexSource(
            self.name, state_of(files, decides), lambda: _entries(self.root, mapping)
        )
        self._open(source, _Items(self.root), index_folder(mapping, where))

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder, or its folder ``SAMed2Dv1``, has the list of images and masks."""
        return any((folder / _LIST).is_file() for folder in (root, root / _FOLDER))

    def _masks(self, item: Item, shape: tuple[int, int]) -> Iterable[npt.NDArray[np.bool_]]:
        assert isinstance(item, MaskedItem)
        inverted = item.image.stem.split("--")[1] in self._inverted
        for path in item.masks:
            mask = (read_labels(path, expected_shape=shape) > 0) != inverted
            if not mask.any():
                raise CosegError(f"{path} is an empty mask: take it out of {_LIST}.")
            yield mask


@dataclass(frozen=True)
class _Items:
    """Turns entries into items."""

    root: Path

    def __call__(self, entry: Entry) -> MaskedItem:
        image = self.root / entry.image
        tails = entry.labels.split("\n")
        masks = tuple(self.root / "masks" / f"{image.stem}{tail}" for tail in tails)
        labels = {"instances": masks[0]}
        return MaskedItem(image.stem, image, labels, entry.group, part=entry.part, masks=masks)


def _set_folder(root: Path) -> Path:
    for folder in (root, root / _FOLDER):
        if (folder / _LIST).is_file():
            return folder
    raise CosegError(f"{root} has no {_LIST}: unpack SA-Med2D-20M there.")


def _names(mapping: Mapping[str, Any], key: str) -> frozenset[str]:
    names = mapping.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CosegError(f"{key} in a mapping must be a list of names.")
    return frozenset(names)


def _entries(root: Path, mapping: Mapping[str, Any]) -> Iterator[Entry | ItemFault]:
    """Read the list of images and their masks, image by image."""
    path = root / _LIST
    found = _class_ids(root / _CLASSES)
    if isinstance(found, ItemFault):
        yield found
    classes = None if isinstance(found, ItemFault) else found
    left_out = mapping.get("left_out")
    try:
        without = re.compile(left_out) if left_out is not None else None
    except (TypeError, re.error) as error:
        raise CosegError(f"left_out in a mapping is no regular expression: {error}.") from error
    try:
        with path.open("rb") as file:
            for image, masks in ijson.kvitems(file, ""):
                if without is None or not without.search(image):
                    yield _entry(image, masks, classes, mapping)
    except (OSError, ijson.JSONError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def _class_ids(path: Path) -> dict[str, frozenset[int]] | ItemFault:
    """Return the ids of each dataset's classes."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: frozenset(map(int, table.values())) for name, table in found.items()}
    except FileNotFoundError:
        return ItemFault(path.name, f"{path} is missing: unpack the set again.")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise unreadable(path, error) from error


def _entry(
    image: str,
    masks: object,
    classes: Mapping[str, frozenset[int]] | None,
    mapping: Mapping[str, Any],
) -> Entry | ItemFault:
    """Return an image's entry, or what is wrong with it."""
    stem = image.removeprefix("images/").removesuffix(".png")
    words = stem.split("--")
    if image != f"images/{stem}.png" or not is_inside(image) or "/" in stem or len(words) < 4:
        return ItemFault(
            image,
            f"{_LIST} lists {image!r}, which is no images/MODALITY--DATASET--CASE--SLICE.png.",
        )
    if not isinstance(masks, list) or not masks:
        return ItemFault(stem, f"{_LIST} lists no mask for {image}: take it out.")
    known = None if classes is None else classes.get(words[1])
    if classes is not None and known is None:
        return ItemFault(stem, f"{image} is of {words[1]}, which {_CLASSES} does not know.")
    begin = f"masks/{stem}"
    tails = []
    for mask in masks:
        tail = mask[len(begin) :] if isinstance(mask, str) and mask.startswith(begin) else ""
        match = _TAIL.fullmatch(tail)
        if match is None:
            return ItemFault(stem, f"{_LIST} lists {mask!r} for {image}, which is no mask of it.")
        if known is not None and int(match[1]) not in known:
            return ItemFault(
                stem, f"{mask} is of the class {match[1]}, which {_CLASSES} has not for {words[1]}."
            )
        tails.append(tail)
    case = f"{words[1]}--{'--'.join(words[2:-1])}"
    group = case if "group" not in mapping else group_of(mapping, stem)
    return Entry(image, "\n".join(tails), group)

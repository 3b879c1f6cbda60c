"""IMed-361M: pictures of many data sets, each with masks of its classes and interactive masks.

Cheng et al. 2025, "Interactive medical image segmentation: a benchmark dataset and baseline",
CVPR; arXiv:2411.12814. One folder for each data set::

    SET/dataset.json                        {"labels": {"1": "spleen", ...}, "training": [...], ...}
    SET/image/NAME.png
    SET/label/x___NAME.(13, 512, 512, 1).npz    SciPy's sparse matrix: classes, rows, columns, 1
    SET/imask/x___NAME.npy                  an id for each pixel: rows, columns, 1

``training`` and ``test`` list ``{"image": ..., "label": ..., "imask": ...}``, below the folder.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ijson
import numpy as np
import numpy.typing as npt
from scipy import sparse

from napari_coseg.datasets.indexed_set import (
    INDEX,
    IndexedDataset,
    index_folder,
    is_inside,
    unreadable,
)
from napari_coseg.datasets.item_index import Entry, IndexSource, state_of
from napari_coseg.datasets.labelled import Format, Item, ItemFault, OpenOptions
from napari_coseg.datasets.mapping import choice_of, group_of, read_mapping
from napari_coseg.types import CosegError

_LIST = "dataset.json"
_PARTS = {"training": "train", "validation": "validation", "test": "test"}
#: A slice's number at the end of a name that has another number before it: the volume's.
_SLICE = re.compile(r"(.*\d.*)[_-]\d+")
_BACKGROUND = "imask_background"


@dataclass(frozen=True)
class ImedItem(Item):
    """An image with masks of its classes, and perhaps interactive ones.

    Attributes
    ----------
    imask : Path or None
    """

    imask: Path | None = None


class ImedDataset(IndexedDataset):
    """Pictures and masks of IMed-361M. Masks overlap, and none has a class here.

    A mapping may have ``masks`` (``"both"``, or the classes' ``"label"`` or the interactive
    ``"imask"`` alone), ``imask_background`` (ids that are no mask), ``index`` (folder of the
    index, where the set's own cannot be written to) and ``group`` (pattern that finds the patient
    in an image's name).

    Parameters
    ----------
    root : Path or str
        The folder of one of the data sets, or the folder with those.
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If no list is there or one cannot be read, or the index not be written.
    """

    format = Format(
        "imed",
        "IMed-361M",
        "arXiv:2411.12814; huggingface.co/datasets/General-Medical-AI/IMed-361M; the makers' "
        "loader and sample of BTCV, github.com/uni-medical/IMIS-Bench, as kept by the fork "
        "github.com/tuhlnaa/IMIS-Bench-Extended",
        (
            "Ids of interactive masks that are no mask: -1 alone is taken for that, as the makers' "
            "loader does after cleansing; the key imask_background of a mapping says others.",
            "Whether 0 is a mask in files of interactive masks: it is taken for one.",
            "Whether each archive has the layout of the sample of BTCV.",
            "Whose an image is: its data set and name, without a slice's number at the end, are "
            "taken for a patient's.",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self._describe(options)
        where = None if options is None else options.mapping
        mapping = read_mapping(where, (INDEX, "group", "masks", _BACKGROUND))
        self._kinds = choice_of(mapping, "masks", ("both", "label", "imask"), "both")
        self._background = _whole_numbers(mapping.get(_BACKGROUND, [-1]))
        folders = _set_folders(self.root)
        if not folders:
            raise CosegError(f"{self.root} has no SET/{_LIST} of IMed-361M: unpack it there.")
        lists = [folder / _LIST for folder in folders]
        decides = [mapping.get("group"), [str(path.relative_to(self.root)) for path in lists]]
        source = IndexSource(
            self.name, state_of(lists, decides), lambda: _entries(self.root, folders, mapping)
        )
        self._open(source, _Items(self.root), index_folder(mapping, where))

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder is one of the data sets, or has one of them in it."""
        return bool(_set_folders(root))

    def _masks(self, item: Item, shape: tuple[int, int]) -> Iterable[npt.NDArray[np.bool_]]:
        assert isinstance(item, ImedItem)
        if self._kinds != "imask":
            yield from class_masks(item.labels["instances"], shape)
        if self._kinds != "label":
            if item.imask is None:
                raise CosegError(
                    f'{item.image} has no interactive masks: set masks = "label" in a mapping.'
                )
            yield from interactive_masks(item.imask, shape, self._background)


def class_masks(path: Path, shape: tuple[int, int]) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the mask of each class that an image has.

    Raises
    ------
    CosegError
        If the file cannot be read, its name does not tell its shape, or that is not the image's.
    """
    stated = _stated_shape(path)
    if stated is None or len(stated) != 4 or stated[1:] != (*shape, 1):
        raise CosegError(
            f"{path} must say the shape (classes, {shape[0]}, {shape[1]}, 1) in its name, as its "
            "image has these rows and columns."
        )
    try:
        matrix = sparse.load_npz(path).tocoo()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CosegError(f"{path} cannot be read as a sparse matrix: {error}.") from error
    if int(np.prod(matrix.shape, dtype=object)) != int(np.prod(stated, dtype=object)):
        raise CosegError(f"{path} has {matrix.shape} values, and its name says {stated}.")
    set_ = matrix.data != 0
    places = matrix.row[set_].astype(np.int64) * matrix.shape[1] + matrix.col[set_]
    pixels = shape[0] * shape[1]
    classes = places // pixels
    for one in np.unique(classes):
        mask = np.zeros(pixels, bool)
        mask[places[classes == one] % pixels] = True
        yield mask.reshape(shape)


def interactive_masks(
    path: Path, shape: tuple[int, int], background: frozenset[int]
) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the interactive masks of an image.

    Raises
    ------
    CosegError
        If the file cannot be read or has not the image's rows and columns.
    """
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CosegError(f"{path} cannot be read as an array: {error}.") from error
    if ids.shape not in ((*shape, 1), shape) or ids.dtype.kind not in "iuf":
        raise CosegError(
            f"{path} has {ids.shape} of {ids.dtype}, but its image has {shape[0]} x {shape[1]} "
            "pixels: there must be a number for each."
        )
    values = np.asarray(ids).reshape(shape)
    for one in np.unique(values):
        if float(one) not in background:
            yield values == one


@dataclass(frozen=True)
class _Items:
    """Turns entries into items."""

    root: Path

    def __call__(self, entry: Entry) -> ImedItem:
        image = self.root / entry.image
        folder = entry.image.rpartition("/image/")[0] or self.root.name
        label, imask = json.loads(entry.labels)
        return ImedItem(
            f"{folder.replace('/', '-')}-{image.stem}",
            image,
            {"instances": self.root / label},
            entry.group,
            part=entry.part,
            imask=None if imask is None else self.root / imask,
        )


def _set_folders(root: Path) -> list[Path]:
    """Return the folders with a list, an image folder and a label folder."""

    def is_one(folder: Path) -> bool:
        return all((folder / name).exists() for name in (_LIST, "image", "label"))

    if is_one(root):
        return [root]
    try:
        return sorted(folder for folder in root.iterdir() if is_one(folder))
    except OSError:
        return []


def _entries(
    root: Path, folders: list[Path], mapping: Mapping[str, Any]
) -> Iterator[Entry | ItemFault]:
    """Read the lists of images one after another, image by image."""
    for folder in folders:
        path = folder / _LIST
        below = folder.relative_to(root).as_posix()
        for part, ours in _PARTS.items():
            try:
                with path.open("rb") as file:
                    for listed in ijson.items(file, f"{part}.item"):
                        yield _entry(
                            path, "" if below == "." else f"{below}/", listed, ours, mapping
                        )
            except (OSError, ijson.JSONError, UnicodeDecodeError) as error:
                raise unreadable(path, error) from error


def _entry(
    path: Path, below: str, listed: object, part: str, mapping: Mapping[str, Any]
) -> Entry | ItemFault:
    """Return the entry of one image of a list, or what is wrong with it."""
    if not isinstance(listed, dict) or not isinstance(listed.get("image"), str):
        return ItemFault(f"{below}{_LIST}", f"{path} lists {listed!r}, which names no image.")
    image = listed["image"]
    files = [image, listed.get("label")]
    if "imask" in listed:
        files.append(listed["imask"])
    name = Path(image).stem
    if not all(isinstance(one, str) and is_inside(one) for one in files):
        return ItemFault(name, f"{path} lists files of {image} that do not lie in its folder.")
    match = _SLICE.fullmatch(name)
    case = f"{below or path.parent.name + '/'}{match[1] if match else name}"
    group = case if "group" not in mapping else group_of(mapping, name)
    label, imask = (None if one is None else below + one for one in (*files[1:], None)[:2])
    return Entry(below + image, json.dumps([label, imask]), group, part)


def _stated_shape(path: Path) -> tuple[int, ...] | None:
    """Return the shape that the name of a sparse matrix says."""
    match = re.search(r"(\([\d, ]+\))\.npz$", path.name)
    if match is None:
        return None
    found = ast.literal_eval(match[1])
    return found if isinstance(found, tuple) else None


def _whole_numbers(values: object) -> frozenset[int]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise CosegError(f"{_BACKGROUND} in a mapping must be a list of whole numbers.")
    return frozenset(values)

"""Nuclei of colon tissue in the ``.mat`` files of Lizard, which belong to images of other sets too.

Lizard (Graham et al. 2021, arXiv:2108.11195) annotates nuclei of images of GlaS, CRAG and others
under names of its own; its ``info.csv`` says which. Its script ``read_label.py`` documents the
files: ``inst_map`` (rows, columns), 0 background; ``id`` and ``class`` (nuclei, 1), in the same
order, which need not be that of the ids; boxes and centroids, which are not looked at. Cerberus
(Graham et al. 2022, ``extract_patches.py``) reads its labels by the same names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import ItemFault
from napari_coseg.datasets.matlab import read_mat
from napari_coseg.datasets.pixels import check_size, compact, whole_ids, without_background
from napari_coseg.datasets.published_classes import PublishedClasses
from napari_coseg.datasets.published_tables import read_rows
from napari_coseg.datasets.tree import files_below
from napari_coseg.types import CosegError

#: Published classes, by the dataset's README; ``Class 5: Neutrophil`` there is a slip: the paper,
#: and whoever reads the set, has eosinophils.
LIZARD_CLASSES = {
    1: "neutrophil",
    2: "epithelial",
    3: "lymphocyte",
    4: "plasma",
    5: "eosinophil",
    6: "connective",
}
#: What Co-Seg++ takes them for on GlaS and CRAG.
MERGED_CLASSES = {
    "neutrophil": "lympho-reticular",
    "epithelial": "epithelial",
    "lymphocyte": "lympho-reticular",
    "plasma": "lympho-reticular",
    "eosinophil": "lympho-reticular",
    "connective": "connective",
}

_PREFIXES = ("consep", "crag", "dpath", "glas", "pannuke", "tcga")


@dataclass(frozen=True)
class InfoRow:
    """A line of ``info.csv``.

    Attributes
    ----------
    source : str
        Name in the set that the image is from; ``"None"`` where nobody said.
    fold : int
    """

    source: str
    fold: int


def read_info(path: Path) -> dict[str, InfoRow]:
    """Read ``info.csv``, by the images' names.

    Raises
    ------
    CosegError
        If it cannot be read, lacks a column, or a fold is no number.
    """
    rows = read_rows(path, ("Filename", "Source", "Split"))
    wrong = [row for row in rows if not row["Split"].isdecimal()]
    if wrong:
        raise CosegError(
            f"{path} has the fold {wrong[0]['Split']!r} of {wrong[0]['Filename']}, and folds are "
            "numbers."
        )
    return {row["Filename"]: InfoRow(row["Source"], int(row["Split"])) for row in rows}


def read_nuclei(
    path: Path, image: npt.NDArray[Any], published: PublishedClasses
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Read nuclei and the class of each pixel's nucleus.

    Parameters
    ----------
    path : Path
    image : ndarray
        What they belong to.
    published : PublishedClasses

    Returns
    -------
    tuple of ndarray of int32, ndarray of uint8, both (rows, columns)

    Raises
    ------
    CosegError
        If the file cannot be read or is of another size, or a nucleus has no class, two of them
        or an unknown one. Classes of ids that no pixel has are not looked at.
    """
    found = read_mat(path, ("inst_map", "id", "class"))
    check_size(path, found["inst_map"], image)
    instances = whole_ids(path, found["inst_map"], "inst_map")
    ids = whole_ids(path, found["id"], "id").ravel()
    classes = whole_ids(path, found["class"], "class").ravel()
    if ids.size != classes.size:
        raise CosegError(f"{path} has {ids.size} nuclei and {classes.size} classes of nuclei.")
    pairs = np.unique(np.stack([ids, classes], 1), axis=0)
    listed = pairs[:, 0]
    twice = listed[1:][listed[1:] == listed[:-1]]
    if twice.size:
        raise CosegError(f"{path} has two classes for the nucleus {twice[0]}.")
    drawn, places = compact(instances)
    without = np.setdiff1d(drawn[drawn > 0], listed)
    if without.size:
        raise CosegError(f"{path} has no class for the nucleus {without[0]}.")
    own = np.zeros(drawn.size, np.int32)
    own[drawn > 0] = pairs[np.searchsorted(listed, drawn[drawn > 0]), 1]
    unclassed = drawn[(drawn > 0) & (own == 0)]
    if unclassed.size:
        raise CosegError(f"{path} has the class 0 for the nucleus {unclassed[0]}.")
    classes_drawn = published.apply(own, path)[places]
    return without_background(instances, classes_drawn), classes_drawn


def find_nuclei(
    root: Path, named: Path | None, prefix: str, names: Collection[str]
) -> tuple[dict[str, Path], list[ItemFault]]:
    """Find the nuclei published for a set's images.

    They lie in a folder that a mapping file names, or else in ``ROOT/nuclei``: Lizard's labels
    (``crag_1.mat``) with their ``info.csv``, or files of the images' own names (``train_1.mat``),
    or both.

    Parameters
    ----------
    root : Path
        The set's folder.
    named : Path or None
        The folder that a mapping file names.
    prefix : str
        What Lizard calls the set.
    names : collection of str
        Its images.

    Returns
    -------
    tuple of dict of str to Path, list of ItemFault
        File of each image that has one; files that belong to no image.

    Raises
    ------
    CosegError
        If an ``info.csv`` cannot be read.
    """
    folder = root / "nuclei" if named is None else named
    if not folder.is_dir():
        return {}, []
    files, faults = files_below(folder, (".mat",))
    sources = _sources(folder)
    found: dict[str, Path] = {}
    for path in files:
        stem = path.stem
        of_lizard = stem.partition("_")[0] in _PREFIXES
        if of_lizard and not stem.startswith(f"{prefix}_"):
            # Another set's, which Lizard has in the same folder.
            continue
        name = sources.get(stem) if of_lizard else stem
        if name is None:
            sentence = (
                f"{path} does not say whose nuclei it has: put Lizard's info.csv beside the labels,"
                " where this file is a line."
            )
            faults.append(ItemFault(path.name, sentence))
        elif name not in names:
            faults.append(ItemFault(path.name, f"{path} has nuclei of {name}, which is no image."))
        elif name in found:
            faults.append(
                ItemFault(path.name, f"{path} and {found[name]} both have the nuclei of {name}.")
            )
        else:
            found[name] = path
    return found, faults


def nuclei_folder(mapping: Mapping[str, Any], where: Path | None) -> Path | None:
    """Return the folder of a mapping's key ``nuclei``, beside the file where it is relative.

    Raises
    ------
    CosegError
        If there is no such folder.
    """
    named = mapping.get("nuclei")
    if named is None or where is None:
        return None
    folder = where.parent / named if isinstance(named, str) else None
    if folder is None or not folder.is_dir():
        raise CosegError(f"nuclei in {where} must be a folder, and {named!r} is none.")
    return folder


def _sources(folder: Path) -> dict[str, str]:
    """Image of each of Lizard's names, of the ``info.csv`` in a folder, below it or beside it."""
    tables = [path for path in _tables(folder) if path.name.lower() == "info.csv"]
    return {name: row.source for path in tables for name, row in read_info(path).items()}


def _tables(folder: Path) -> Sequence[Path]:
    below = files_below(folder, (".csv",))[0]
    # Lizard has it beside the folder of its labels.
    return below or [path for path in (folder.parent / "info.csv",) if path.is_file()]

"""Sets with a folder for each part, and in it one of images and one of labels of the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.datasets.labelled import ItemFault
from napari_coseg.datasets.tree import files_in, in_order


@dataclass(frozen=True)
class Pair:
    """An image with its label.

    Attributes
    ----------
    name : str
        What both files are called, without the ending.
    image, label : Path
    part : str
    """

    name: str
    image: Path
    label: Path
    part: str


def named_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first folder of `names` inside a folder, None where there is none."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def find_pairs(
    root: Path, parts: Mapping[str, str], labels: Sequence[str], ending: str
) -> tuple[list[Pair], list[ItemFault]]:
    """Find the images ``ROOT/PART/Images/NAME.png`` and their labels.

    Parameters
    ----------
    root : Path
    parts : mapping of str to str
        Part of each folder that may be there.
    labels : sequence of str
        Names that the folder of labels may have.
    ending : str
        Of the labels' files, with the point.

    Returns
    -------
    tuple of list of Pair, list of ItemFault
        In the order of parts and names; images and labels without a counterpart.
    """
    pairs: dict[str, Pair] = {}
    faults: list[ItemFault] = []
    for name, part in parts.items():
        folder = root / name
        if not folder.is_dir():
            continue
        beside = named_folder(folder, labels)
        pictures, wrong = files_in(folder / "Images", (".png",))
        faults += wrong
        drawn, wrong = ([], []) if beside is None else files_in(beside, (ending,))
        faults += wrong
        images = {path.stem: path for path in pictures}
        found = {path.stem: path for path in drawn}
        for stem in sorted(images.keys() | found.keys(), key=in_order):
            if stem not in images:
                sentence = f"{found[stem]} is the label of no image in {folder / 'Images'}."
            elif stem not in found:
                where = beside or folder / labels[0]
                sentence = f"{images[stem]} has no label: {where / (stem + ending)} is missing."
            elif stem in pairs:
                sentence = f"{images[stem]} and {pairs[stem].image} have one name."
            else:
                pairs[stem] = Pair(stem, images[stem], found[stem], part)
                continue
            faults.append(ItemFault(stem, sentence))
    return list(pairs.values()), faults

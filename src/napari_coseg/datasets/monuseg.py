"""MoNuSeg 2018: nuclei of several organs (Kumar et al., IEEE TMI 2017 and 2019)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_coseg.datasets.file_names import DEPTH, GLANCE, by_stem
from napari_coseg.datasets.labelled import Format, Item, ItemFault, OpenOptions
from napari_coseg.datasets.mapping import choice_of
from napari_coseg.datasets.outlined import Drawn, OutlineDataset
from napari_coseg.datasets.rasterise import Outline
from napari_coseg.datasets.tree import files_below
from napari_coseg.imaging.opening import check_file
from napari_coseg.types import ClassTable, CosegError

#: µm per pixel at 40x, where the XML does not say it.
MPP = 0.25
#: What is added to a corner, so that the first pixel is the square from (0, 0) to (1, 1).
_ORIGINS = {"corner": 0.0, "centre": 0.5, "poly2mask": -0.5}
_PATIENT = re.compile(r"^TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}", re.IGNORECASE)
_ORGANS = {
    "breast": "A7-A13E A7-A13F AR-A1AK AR-A1AS E2-A1B5 E2-A14V AC-A2FO AO-A0J2",
    "kidney": "B0-5711 HE-7128 HE-7129 HE-7130 B0-5710 B0-5698 2Z-A9J9 GL-6846 IZ-8196",
    "liver": "18-5592 38-6178 49-4488 50-5931 21-5784 21-5786",
    "prostate": "G9-6336 G9-6348 G9-6356 G9-6363 CH-5767 G9-6362 EJ-A46H HC-7209",
    "bladder": "DK-A2I6 G2-A2EK CU-A0YN ZF-A9R5",
    "colon": "AY-A8YK NH-A8F7 A6-6782",
    "stomach": "KB-A93J RD-A8N9",
    "lung": "44-2665 69-7764",
    "brain": "FG-A4MU HT-8564",
}
_ORGAN_OF = {f"TCGA-{p}": organ for organ, listed in _ORGANS.items() for p in listed.split()}


class MoNuSegDataset(OutlineDataset):
    """MoNuSeg's training and test set: TIF images with Aperio ImageScope's XML.

    Images below a folder whose name has "test" in it are the test part, all others the training
    part. A mapping may say ``origin``: what a corner's coordinates count from. ``"corner"`` (the
    default) is the top left corner of the first pixel, ``"centre"`` its centre, ``"poly2mask"``
    what the makers' MATLAB script does with the same numbers: half a pixel further up and left.

    Parameters
    ----------
    root : Path or str
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If there is no image with an XML, or the mapping is wrong.
    """

    format = Format(
        "monuseg",
        "MoNuSeg",
        "https://monuseg.grand-challenge.org/Data/",
        (
            "coordinates count from the first pixel's top left corner, as ImageScope's do; the "
            "makers' own script draws half a pixel further up and left (mapping: origin)",
            "where nuclei overlap, the smaller one is on top",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        mapping = self._prepare(Path(root), options, ("origin",))
        self._shift = _ORIGINS[choice_of(mapping, "origin", _ORIGINS, "corner")]
        self.license = "CC-BY-NC-SA-4.0"
        self.mpp = self._mpp or MPP
        self.instance_classes = ClassTable.from_names(["nucleus"])
        files, faults = files_below(self.root, (".tif", ".tiff", ".xml"), DEPTH)
        images, more = by_stem(path for path in files if path.suffix.lower() != ".xml")
        labels, others = by_stem(path for path in files if path.suffix.lower() == ".xml")
        faults += more + others
        broken = {fault.name for fault in faults}
        items = []
        for name, image in sorted(images.items()):
            if name in labels:
                items.append(_item(self.root, name, image, labels[name]))
            elif name not in broken:
                faults.append(ItemFault(name, f"{image} has no {name}.xml with its nuclei."))
        faults += [
            ItemFault(path.name, f"{path} has no image {name}.tif.")
            for name, path in labels.items()
            if name not in images and name not in broken
        ]
        if not items:
            raise CosegError(f"{self.root} holds no TIF with an XML of the same name.")
        self.items, self.faults = tuple(items), tuple(faults)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether TIF images with XML of the same names lie below a folder."""
        if (root / "dataset.toml").exists() or (root / "dataset.json").exists():
            return False
        files, _ = files_below(root, (".tif", ".xml"), DEPTH, GLANCE)
        names = [{p.stem for p in files if p.suffix.lower() == s} for s in (".tif", ".xml")]
        return bool(names[0] & names[1])

    def _draw(self, item: Item, kind: str, shape: tuple[int, int]) -> Sequence[Drawn]:
        path = check_file(item.labels[kind])
        drawn = []
        root = _parse(path)
        for number, region in enumerate(root.iter("Region"), 1):
            where = f"region {number} (Id {region.get('Id', '?')})"
            if region.get("NegativeROA", "0") not in ("0", ""):
                raise CosegError(f"{path} cuts {where} out of others, which nuclei are not.")
            try:
                corners = [
                    (float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iter("Vertex")
                ]
            except (KeyError, ValueError) as error:
                raise CosegError(f"{path}, {where} has a corner that is no point.") from error
            ring = np.array(corners, float).reshape(-1, 2) + self._shift
            if not np.isfinite(ring).all():
                raise CosegError(f"{path}, {where} has a corner that is no point.")
            drawn.append(Drawn(Outline(where, ((ring,),)), 1))
        return drawn

    def _item_mpp(self, item: Item) -> float | None:
        said = _parse(item.labels["instances"]).get("MicronsPerPixel", "")
        try:
            mpp = float(said)
        except ValueError:
            return None
        # Some say 0 for "unknown".
        return mpp if 0.01 < mpp < 10 else None


def organ_of(item: Item) -> str | None:
    """Return the organ of one of the published images, None for another.

    Source: the challenge's list of organs (https://monuseg.grand-challenge.org/Data/).
    """
    return _ORGAN_OF.get(item.group.upper())


def _item(root: Path, name: str, image: Path, labels: Path) -> Item:
    match = _PATIENT.search(name)
    folders = image.relative_to(root).parts[:-1]
    held = any("test" in folder.lower() for folder in folders)
    # The root may lie in a folder of any name; only the published one says something.
    part = "test" if held or root.name.lower().startswith("monusegtest") else "train"
    group = match.group(0).upper() if match else name
    return Item(name, image, {"instances": labels}, group, part=part)


def _parse(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, LookupError, ValueError) as error:
        raise CosegError(f"{path} cannot be read as XML: {error}.") from error
    if root.tag != "Annotations":
        raise CosegError(f"{path} is no XML of ImageScope: it begins with {root.tag!r}.")
    return root

"""PUMA: melanoma, nuclei and tissue (Schuiveling et al., GigaScience 2025)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from napari_coseg.datasets.file_names import by_stem
from napari_coseg.datasets.geojson_outlines import feature_outlines
from napari_coseg.datasets.labelled import Format, Item, ItemFault, OpenOptions
from napari_coseg.datasets.mapping import choice_of, classes_of
from napari_coseg.datasets.outlined import Drawn, OutlineDataset
from napari_coseg.datasets.tree import files_below
from napari_coseg.types import CosegError

IMAGES = "01_training_dataset_tif_ROIs"
NUCLEI = "01_training_dataset_geojson_nuclei"
TISSUE = "01_training_dataset_geojson_tissue"
#: µm per pixel where a TIF does not say it: scanned at 40x.
MPP = 0.23
_NAME = re.compile(r"(primary|metastatic)", re.IGNORECASE)
_OTHER = (
    "stroma",
    "endothelium",
    "histiocyte",
    "melanophage",
    "neutrophil",
    "epithelium",
    "apoptosis",
)
#: Track 1 of the challenge: tumour cells, tumour-infiltrating lymphocytes (lymphocytes and plasma
#: cells), others.
TRACK_1 = {
    "nuclei_tumor": "tumor",
    "nuclei_lymphocyte": "lymphocyte",
    "nuclei_plasma_cell": "lymphocyte",
    **{f"nuclei_{name}": "other" for name in _OTHER},
}
#: Track 2: ten classes.
TRACK_2 = {name: name.removeprefix("nuclei_") for name in TRACK_1}
#: The two tissues of the Co-Seg++ paper.
PAPER = {
    "tissue_tumor": "tumor",
    "tissue_stroma": "stroma",
    "tissue_blood_vessel": "background",
    "tissue_epidermis": "background",
    "tissue_necrosis": "background",
    "tissue_white_background": "background",
}
#: The five tissues of the challenge, in its order.
CHALLENGE = {
    "tissue_stroma": "stroma",
    "tissue_blood_vessel": "blood_vessel",
    "tissue_tumor": "tumor",
    "tissue_epidermis": "epidermis",
    "tissue_necrosis": "necrosis",
    "tissue_white_background": "background",
}
_NUCLEI = {"track-1": TRACK_1, "track-2": TRACK_2}
_TISSUES = {"paper": PAPER, "challenge": CHALLENGE}


class PumaDataset(OutlineDataset):
    """PUMA's training set as published on Zenodo.

    A mapping may say ``nuclei = "track-1"`` (3 classes, the default) or ``"track-2"`` (10),
    ``tissues = "paper"`` (tumor and stroma, the default) or ``"challenge"`` (5), or name the
    classes itself in ``[instances]`` and ``[regions]``. Groups are ``primary/NAME`` and
    ``metastatic/NAME``: patients are not published.

    Parameters
    ----------
    root : Path or str
        The folder with `IMAGES`, `NUCLEI` and `TISSUE`.
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If the folder of images is missing or empty, or the mapping is wrong.
    """

    format = Format(
        "puma",
        "PUMA",
        "https://zenodo.org/records/15050523, https://puma.grand-challenge.org/dataset",
        (
            "the paper's lymphocytes are taken for Track 1's: lymphocytes and plasma cells",
            "tissues that the paper does not name are background",
            "where outlines overlap, the smaller one is on top",
            "patients are not published: each image is a group of its own",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        mapping = self._prepare(Path(root), options, ("nuclei", "tissues", "instances", "regions"))
        self.license = "CC0-1.0"
        self.mpp = self._mpp or MPP
        nuclei = _NUCLEI[choice_of(mapping, "nuclei", _NUCLEI, "track-1")]
        tissues = _TISSUES[choice_of(mapping, "tissues", _TISSUES, "paper")]
        self._nuclei = classes_of(mapping, "instances", nuclei, self._where)
        self._tissues = classes_of(mapping, "regions", tissues, self._where)
        self.instance_classes, self.region_classes = self._nuclei.table, self._tissues.table
        self.items, self.faults = _find(self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder has the folders of images and nuclei or tissue."""
        return (root / IMAGES).is_dir() and ((root / NUCLEI).is_dir() or (root / TISSUE).is_dir())

    def _draw(self, item: Item, kind: str, shape: tuple[int, int]) -> Sequence[Drawn]:
        classes = self._nuclei if kind == "instances" else self._tissues
        path = item.labels[kind]
        return [
            Drawn(outline, classes.id_of(feature.name, f"{path}, {feature.where}", kind))
            for feature, outline in feature_outlines(path)
        ]


def _find(root: Path) -> tuple[tuple[Item, ...], tuple[ItemFault, ...]]:
    # An archive unpacked into a folder of its name has another one in it.
    files, faults = files_below(root / IMAGES, (".tif", ".tiff"), 1)
    images, more = by_stem(files)
    faults += more
    if not images:
        raise CosegError(f"{root / IMAGES} holds no TIF: unpack {IMAGES}.zip there.")
    labels: dict[str, dict[str, Path]] = {name: {} for name in images}
    for kind, folder, ending in (
        ("instances", NUCLEI, "_nuclei"),
        ("regions", TISSUE, "_tissue"),
    ):
        if not (root / folder).is_dir():
            continue
        files, more = files_below(root / folder, (".geojson",), 1)
        faults += more
        found, more = by_stem(files, ending)
        faults += more
        for name, path in found.items():
            if name in images:
                labels[name][kind] = path
            else:
                faults.append(ItemFault(path.name, f"{path} has no image {name}.tif in {IMAGES}."))
        faults += [
            ItemFault(name, f"{name} has no outlines {name}{ending}.geojson in {folder}.")
            for name in images
            if name not in found
        ]
    broken = {fault.name for fault in faults}
    items = [
        Item(name, path, labels[name], _group(name))
        for name, path in sorted(images.items())
        if name not in broken
    ]
    return tuple(items), tuple(faults)


def _group(name: str) -> str:
    match = _NAME.search(name)
    return f"{match.group(1).lower()}/{name}" if match else name

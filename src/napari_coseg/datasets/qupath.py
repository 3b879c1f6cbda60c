"""Folders of images with outlines that QuPath exported beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_coseg.datasets.file_names import GLANCE, by_stem
from napari_coseg.datasets.folder import IMAGE_SUFFIXES
from napari_coseg.datasets.geojson_outlines import feature_outlines
from napari_coseg.datasets.labelled import Format, Item, ItemFault, OpenOptions
from napari_coseg.datasets.mapping import ClassMapping, group_of
from napari_coseg.datasets.outlined import Drawn, OutlineDataset
from napari_coseg.datasets.tree import files_below
from napari_coseg.imaging.geojson_features import Feature, read_features
from napari_coseg.imaging.geojson_reading import UNCLASSIFIED
from napari_coseg.types import IGNORE, CosegError

_TABLES = ("regions", "instances")
_DEPTH = 2


class QuPathDataset(OutlineDataset):
    """Images with ``NAME.geojson`` for each, beside them or in another folder.

    Without a mapping, annotations are regions and all other objects instances, of the classes that
    the files name, in alphabetic order; objects without a class are of an unknown one. A mapping's
    tables ``[regions]`` and ``[instances]`` say which classification is which class; a
    classification that stands in one table alone goes there whatever QuPath calls the object, and
    ``unclassified`` is the name of none. ``group`` is a pattern that finds the patient in a name.
    Every file is read through once when the set is opened.

    Parameters
    ----------
    root : Path or str
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If there is no image with outlines, or the mapping is wrong.
    """

    format = Format(
        "qupath",
        "folder of QuPath GeoJSON",
        "https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html",
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        mapping = self._prepare(Path(root), options, (*_TABLES, "group"))
        self._classes = {
            key: _classes(mapping.get(key, {}), key, self._where)
            for key in _TABLES
            if mapping.keys() & set(_TABLES)
        }
        pairs, faults = _find(self.root)
        names: dict[str, set[str]] = {key: set() for key in _TABLES}
        items = []
        for name, (image, path) in pairs.items():
            try:
                found = self._survey(path)
            except CosegError as error:
                faults.append(ItemFault(name, str(error)))
                continue
            if not found:
                faults.append(ItemFault(name, f"{path} holds no object."))
                continue
            for kind, listed in found.items():
                names[kind] |= listed
            items.append(Item(name, image, dict.fromkeys(found, path), group_of(mapping, name)))
        if not items:
            more = f" {faults[0].sentence}" if faults else ""
            raise CosegError(f"{self.root} holds no image with a GeoJSON of its name.{more}")
        if not self._classes:
            # Objects that nobody classified are objects all the same, of an unknown class.
            names["instances"].discard(UNCLASSIFIED)
            self._classes = {
                key: ClassMapping.of({name: name for name in sorted(names[key])}) for key in _TABLES
            }
        self.region_classes = self._classes["regions"].table
        self.instance_classes = self._classes["instances"].table
        self.items, self.faults = tuple(items), tuple(faults)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether images and GeoJSON of the same names lie in a folder."""
        if not root.is_dir() or any((root / f"dataset.{s}").exists() for s in ("toml", "json")):
            return False
        return bool(_find(root, GLANCE)[0])

    def _survey(self, path: Path) -> dict[str, set[str]]:
        """Classifications of a file by kind of label."""
        found: dict[str, set[str]] = {}
        for feature in read_features(path):
            found.setdefault(self._kind(feature), set()).add(feature.name or UNCLASSIFIED)
        if not found:
            feature_outlines(path)
        return found

    def _kind(self, feature: Feature) -> str:
        name = feature.name or UNCLASSIFIED
        tables = [key for key, classes in self._classes.items() if name in classes.ids]
        if len(tables) == 1:
            return tables[0]
        return "regions" if feature.annotation else "instances"

    def _draw(self, item: Item, kind: str, shape: tuple[int, int]) -> Sequence[Drawn]:
        path = item.labels[kind]
        drawn = []
        for feature, outline in feature_outlines(path):
            if self._kind(feature) != kind:
                continue
            name = feature.name or UNCLASSIFIED
            classes = self._classes[kind]
            if kind == "instances" and name == UNCLASSIFIED and name not in classes.ids:
                class_id = IGNORE
            else:
                class_id = classes.id_of(name, f"{path}, {feature.where}", kind)
            label = feature.measured.get("Label")
            own = int(label) if label is not None and label.is_integer() and label > 0 else None
            drawn.append(Drawn(outline, class_id, own))
        return drawn


def _classes(names: object, key: str, where: Path | None) -> ClassMapping:
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and name for name in names.values()
    ):
        raise CosegError(f"[{key}] in {where} must give each classification a class.")
    return ClassMapping.of(names)


def _find(
    root: Path, most: int | None = None
) -> tuple[dict[str, tuple[Path, Path]], list[ItemFault]]:
    """Images and outlines of the same name."""
    files, faults = files_below(root, (*IMAGE_SUFFIXES, ".geojson"), _DEPTH, most)
    outlines, more = by_stem(path for path in files if path.suffix.lower() == ".geojson")
    images, others = by_stem(path for path in files if path.suffix.lower() != ".geojson")
    faults += more + others
    broken = {fault.name for fault in faults}
    pairs = {name: (images[name], outlines[name]) for name in sorted(images.keys() & outlines)}
    for name in sorted(images.keys() ^ outlines.keys()):
        if name in broken:
            continue
        path = images.get(name) or outlines[name]
        lack = f"no {name}.geojson" if name in images else f"no image {name}"
        faults.append(ItemFault(name, f"{path} has {lack}."))
    return pairs, faults

"""COCO instances: one JSON file for many images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_coseg.datasets.coco_index import CocoImage, CocoIndex
from napari_coseg.datasets.file_names import climbs_out
from napari_coseg.datasets.labelled import Format, Item, ItemFault, OpenOptions
from napari_coseg.datasets.mapping import ClassMapping, classes_of, group_of
from napari_coseg.datasets.outlined import Drawn, OutlineDataset
from napari_coseg.types import IGNORE, CosegError

# How much of a JSON file is looked at to see what it is.
_LOOK = 1 << 16
_PARTS = {"train": "train", "val": "validation", "test": "test"}


class CocoDataset(OutlineDataset):
    """Images with COCO's polygons and run-length encodings.

    Of several JSON files in a folder or in its ``annotations``, each is a part: by "train", "val"
    or "test" in its name. Images are looked for below the folder: by their ``file_name``, then in
    its folders. A crowd (``iscrowd``) is no object, but `LabelledImage.crowds`. All categories
    are instance classes; a mapping's tables ``[instances]`` and ``[regions]`` choose them,
    ``images`` lists the folders of the images, ``group`` is a pattern that finds the patient in a
    name.

    Parameters
    ----------
    root : Path or str
        The JSON file, or a folder with it.
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If no file can be read, it has no image that is there, or the mapping is wrong.
    """

    format = Format("coco", "COCO instances", "https://cocodataset.org/#format-data")

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        mapping = self._prepare(Path(root), options, ("instances", "regions", "images", "group"))
        files = _json_files(self.root)
        if not files:
            raise CosegError(f"{self.root} holds no JSON file of COCO instances.")
        base = self.root.parent if self.root.is_file() else self.root
        folders = _folders(base, mapping)
        self._indices = [CocoIndex(path) for path in files]
        names = dict.fromkeys(name for index in self._indices for name in index.categories.values())
        everything = {} if "regions" in mapping else {name: name for name in names}
        self._classes: dict[str, ClassMapping] = {
            "instances": classes_of(mapping, "instances", everything, self._where),
            "regions": classes_of(mapping, "regions", {}, self._where),
        }
        self.instance_classes = self._classes["instances"].table
        self.region_classes = self._classes["regions"].table
        faults: list[ItemFault] = []
        items: list[Item] = []
        self._place: dict[str, tuple[int, CocoImage]] = {}
        for place, index in enumerate(self._indices):
            if index.astray:
                more = f" ({len(index.astray)} of them)" if len(index.astray) > 1 else ""
                faults.append(
                    ItemFault(
                        f"annotation {index.astray[0]}",
                        f"{index.path} has annotations of images that it does not list{more}.",
                    )
                )
            for image in index.images:
                name = _item_name(image.file_name)
                found = _look_up(image.file_name, base, folders)
                if isinstance(found, str):
                    faults.append(ItemFault(image.file_name, f"{index.path}: {found}"))
                elif name in self._place:
                    faults.append(
                        ItemFault(name, f"{index.path}: {image.file_name} is there twice.")
                    )
                else:
                    self._place[name] = (place, image)
                    items.append(self._item(name, found, index, mapping))
        if not items:
            raise CosegError(f"{files[0]} names no image that is there. {faults[0].sentence}")
        self.items, self.faults = tuple(items), tuple(faults)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether it is a JSON file that begins like COCO's, or a folder with one."""
        return not (root / "dataset.toml").exists() and bool(_json_files(root))

    def _item(self, name: str, image: Path, index: CocoIndex, mapping: Mapping[str, Any]) -> Item:
        labels = {}
        if index.annotated:
            labels = {kind: index.path for kind, one in self._classes.items() if one.ids}
        word = index.path.stem.lower()
        part = None
        if len(self._indices) > 1:
            part = next((part for key, part in _PARTS.items() if key in word), None)
        return Item(name, image, labels, group_of(mapping, name), part=part)

    def _draw(self, item: Item, kind: str, shape: tuple[int, int]) -> Sequence[Drawn]:
        place, image = self._place[item.name]
        index = self._indices[place]
        if image.shape is not None and image.shape != shape:
            raise CosegError(
                f"{item.image} has {shape[0]} x {shape[1]} pixels, but {index.path} says "
                f"{image.shape[0]} x {image.shape[1]}."
            )
        drawn = []
        for outline, category, crowd in index.annotations(image.number, shape):
            where = f"{index.path}, {outline.where}"
            if category not in index.categories:
                raise CosegError(f"{where} has the category {category}, which the file lacks.")
            name = index.categories[category]
            other = self._classes["regions" if kind == "instances" else "instances"]
            if name not in self._classes[kind].ids and name in other.ids:
                continue
            class_id = self._classes[kind].id_of(name, where, kind)
            # Regions have a value for what is not looked at, which objects have not.
            hidden = crowd and class_id and kind == "regions"
            drawn.append(Drawn(outline, IGNORE if hidden else class_id, crowd=crowd))
        return drawn


def _json_files(root: Path) -> list[Path]:
    """JSON files that begin like COCO's."""
    if root.is_file():
        listed = [root]
    else:
        listed = sorted([*root.glob("*.json"), *root.glob("annotations/*.json")])
    return [path for path in listed if path.suffix.lower() == ".json" and _is_coco(path)]


def _is_coco(path: Path) -> bool:
    if path.name == "dataset.json" and (path.parent / "imagesTr").is_dir():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_LOOK)
    except OSError:
        return False
    return b'"file_name"' in start or b'"image_id"' in start


def _folders(base: Path, mapping: Mapping[str, Any]) -> list[Path]:
    said = mapping.get("images")
    if said is None:
        # A file that lies in a folder "annotations" has its images beside that.
        places = [base, base.parent] if base.name == "annotations" else [base]
        below = [path for place in places for path in (place, *sorted(place.glob("*")))]
        deeper = [path for place in places for path in sorted(place.glob("images/*"))]
        return [path for path in (*below, *deeper) if path.is_dir()]
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise CosegError("images in a mapping must be a folder or a list of folders.")
    return [base / one for one in listed]


def _look_up(file_name: str, base: Path, folders: Sequence[Path]) -> Path | str:
    """Return an image's file, or what is wrong with it."""
    if not file_name or climbs_out(file_name):
        return f"the file_name {file_name!r} leads out of the data set: write it relative to it."
    found = {path.resolve(): path for folder in folders if (path := folder / file_name).is_file()}
    if not found:
        return f"{file_name} lies in none of the folders of {base}."
    if len(found) > 1:
        first, second = list(found.values())[:2]
        return (
            f"{file_name} could be {first} or {second}: name the folder of images in a mapping "
            '(images = "...").'
        )
    return next(iter(found.values()))


def _item_name(file_name: str) -> str:
    stem = file_name.rsplit(".", 1)[0]
    return stem.replace("\\", "/").strip("/").replace("/", "_")

"""A data set looked through item by item: what it holds, and what is wrong with it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_coseg.datasets.fingerprints import equal_pairs, near_pairs
from napari_coseg.datasets.item_facts import TINY, ItemFacts
from napari_coseg.datasets.labelled import Item, ItemFault, LabelledDataset, LabelledImage
from napari_coseg.datasets.volume_facts import VolumeCount, VolumeFacts
from napari_coseg.datasets.volume_planes import forget_volumes
from napari_coseg.types import IGNORE, CosegError

#: Called with what was read of an item.
Seen = Callable[[Item, LabelledImage], None]
#: Names that a finding lists.
_LISTED = 5


@dataclass(frozen=True)
class Finding:
    """Something that a person should know of a set.

    Attributes
    ----------
    kind : {"fault", "note"}
        A fault spoils training or scores; a note may be as it should be.
    what : str
        In a few words.
    names : tuple of str
        Items that it is about.
    """

    kind: str
    what: str
    names: tuple[str, ...] = ()


@dataclass
class DatasetCheck:
    """What a set holds.

    Attributes
    ----------
    dataset : LabelledDataset
    facts : list of ItemFacts
        Of the items that could be read.
    volumes : list of VolumeFacts
        Volumes that could be read, of which `facts` has the planes.
    faults : list of ItemFault
        What could not be used, by name.
    """

    dataset: LabelledDataset
    facts: list[ItemFacts] = field(default_factory=list)
    volumes: list[VolumeFacts] = field(default_factory=list)
    faults: list[ItemFault] = field(default_factory=list)

    def regions(self) -> dict[str, tuple[int, int]]:
        """Pixels of each region class, and items that have some; background and ignored last."""
        pixels, items = Counter[int](), Counter[int]()
        for facts in self.facts:
            pixels.update(facts.region_pixels)
            items.update(n for n, count in facts.region_pixels.items() if count)
        names = {info.id: info.name for info in self.dataset.region_classes}
        names |= {number: f"unnamed {number}" for number in pixels if 0 < number < IGNORE} | names
        names[0] = "background"
        if pixels[IGNORE]:
            names[IGNORE] = "ignored"
        shown = names if pixels else {}
        return {name: (pixels[number], items[number]) for number, name in shown.items()}

    def objects(self) -> dict[str, tuple[int, int]]:
        """Objects of each class, and items that have some; of volumes, each object once."""
        count, items = Counter[int](), Counter[int]()
        volumes: defaultdict[Path, dict[int, int]] = defaultdict(dict)
        for facts in self.facts:
            items.update(set(facts.objects.values()))
            if facts.item.plane is None:
                count.update(facts.objects.values())
            else:
                volumes[facts.item.image].update(facts.objects)
        for found in volumes.values():
            count.update(found.values())
        names = {info.id: info.name for info in self.dataset.instance_classes}
        names |= {number: f"unnamed {number}" for number in count if 0 < number < IGNORE} | names
        if count[0]:
            names[0] = "no class"
        if count[IGNORE]:
            names[IGNORE] = "ignored"
        return {name: (count[number], items[number]) for number, name in names.items()}

    def findings(self) -> Iterator[Finding]:
        """Yield what a person should know, faults first."""
        yield from (Finding("fault", one.sentence, (one.name,)) for one in self.faults)
        yield from self._across_parts()
        yield from self._of_items()
        yield from self._of_volumes()
        yield from self._of_classes()
        yield from (
            Finding("note", f"Unconfirmed: {one}") for one in self.dataset.format.unconfirmed
        )

    def _across_parts(self) -> Iterator[Finding]:
        """Patients and pictures that stand in several parts of the set, or twice in one."""
        parts: defaultdict[str, set[str]] = defaultdict(set)
        for facts in self.facts:
            if facts.item.part is not None:
                parts[facts.item.group].add(facts.item.part)
        torn = tuple(sorted(group for group, found in parts.items() if len(found) > 1))
        if torn:
            yield Finding("fault", f"{len(torn)} patients or slides are in several parts", torn)
        # Planes of one volume are alike.
        pictures = [facts for facts in self.facts if facts.item.plane is None and not facts.uniform]
        prints = [facts.fingerprint for facts in pictures]
        for what, pairs in (
            ("the same picture", equal_pairs(prints)),
            ("nearly the same picture", near_pairs(prints)),
        ):
            found: defaultdict[str, list[str]] = defaultdict(list)
            for first, second in pairs:
                one, two = pictures[first].item, pictures[second].item
                apart = one.part != two.part or one.group != two.group
                where = "across parts" if one.part != two.part else "across patients or slides"
                found[where if apart else "of one patient or slide"].append(
                    f"{one.name} and {two.name}"
                )
            for where, names in found.items():
                kind = "fault" if where == "across parts" else "note"
                yield Finding(kind, f"{len(names)} times {what} {where}", tuple(names))

    def _of_items(self) -> Iterator[Finding]:
        plane = any(facts.item.plane is not None for facts in self.facts)
        if not plane:
            yield from self._named("note", "items have labels with nothing drawn in them", "empty")
            yield from self._named("fault", "pictures are of one colour", "uniform")
        unlabelled = tuple(facts.item.name for facts in self.facts if not facts.kinds)
        if unlabelled and not plane:
            yield Finding("note", f"{len(unlabelled)} items have no labels", unlabelled)
        if not plane:
            yield from self._named("note", f"objects have fewer than {TINY} pixels", "tiny")
            yield from self._named("note", "objects are several pieces", "parted")
            yield from self._named("note", "ids are left out between others", "gaps")
        yield from self._named("note", "pixels are claimed by several objects", "overlap")
        yield from self._named("note", "pixels are crowds, which nobody looks at", "crowd")
        unknown = tuple(facts.item.name for facts in self.facts if not facts.mpp > 0)
        if unknown:
            yield Finding("note", f"the pixel size of {len(unknown)} items is not known", unknown)

    def _of_volumes(self) -> Iterator[Finding]:
        """Yield what is odd about whole volumes."""
        for kind, what, names in (
            ("fault", "volumes are of one grey value", [v.name for v in self.volumes if v.uniform]),
            (
                "note",
                "volumes have labels with nothing drawn in them",
                [v.name for v in self.volumes if v.empty],
            ),
            ("note", "volumes have no labels", [v.name for v in self.volumes if not v.labelled]),
            (
                "note",
                "volumes do not say where they lie and how large a voxel is",
                [v.name for v in self.volumes if v.grid is None],
            ),
            (
                "note",
                "objects are several pieces",
                [f"{n} of {v.name}" for v in self.volumes for n in v.parted],
            ),
            (
                "note",
                f"objects have fewer than {TINY} voxels",
                [f"{n} of {v.name}" for v in self.volumes for n in v.tiny],
            ),
        ):
            if names:
                yield Finding(kind, f"{len(names)} {what}", tuple(names))
        for what, many in (
            ("orientations", Counter(v.grid.orientation for v in self.volumes if v.grid)),
            ("sizes of voxels", Counter(spacing_text(v) for v in self.volumes if v.grid)),
        ):
            if len(many) > 1:
                names = [f"{name} ({count})" for name, count in many.most_common()]
                yield Finding("note", f"volumes have {len(many)} {what}", tuple(names))

    def _named(self, kind: str, what: str, attribute: str) -> Iterator[Finding]:
        """Yield one finding for all items in which something is there."""
        found = {facts.item.name: int(getattr(facts, attribute)) for facts in self.facts}
        names = tuple(sorted((n for n, c in found.items() if c), key=lambda name: -found[name]))
        if names:
            yield Finding(kind, f"{sum(found.values()):,} {what}", names)

    def _of_classes(self) -> Iterator[Finding]:
        for table, counted in (
            (self.dataset.region_classes, self.regions()),
            (self.dataset.instance_classes, self.objects()),
        ):
            unused = tuple(
                info.name for info in table if counted and not counted.get(info.name, (0, 0))[0]
            )
            if unused:
                yield Finding("note", f"{len(unused)} classes are never used", unused)

    def as_json(self) -> dict[str, Any]:
        """Everything, for a program."""
        return {
            "name": self.dataset.name,
            "format": self.dataset.format.key,
            "licence": self.dataset.license,
            "mpp": None if math.isnan(self.dataset.mpp) else self.dataset.mpp,
            "items": len(self.facts),
            "parts": dict(Counter(facts.item.part or "none" for facts in self.facts)),
            "groups": len({facts.item.group for facts in self.facts}),
            "sizes": {f"{r} x {c}": n for (r, c), n in self.sizes().items()},
            "volumes": [one.as_json() for one in self.volumes],
            "regions": {n: {"pixels": p, "items": i} for n, (p, i) in self.regions().items()},
            "objects": {n: {"count": c, "items": i} for n, (c, i) in self.objects().items()},
            "findings": [
                {"kind": one.kind, "what": one.what, "names": list(one.names)}
                for one in self.findings()
            ],
        }

    def sizes(self) -> dict[tuple[int, int], int]:
        """Rows and columns, the most frequent first."""
        return dict(Counter(facts.shape for facts in self.facts).most_common())


def listed(names: Iterable[str], most: int = _LISTED) -> str:
    """Write some names, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def check_dataset(
    dataset: LabelledDataset,
    seen: Seen | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DatasetCheck:
    """Read each item of a set once.

    Parameters
    ----------
    dataset : LabelledDataset
    seen : callable, optional
        Called with each item that could be read and its arrays, which are not kept.
    progress : callable, optional
        Called with the items done and all items.
    """
    found = DatasetCheck(dataset, faults=list(dataset.faults))
    broken: set[Path] = set()
    count: VolumeCount | None = None
    items = dataset.items
    for number, item in enumerate(items, 1):
        if item.image not in broken:
            try:
                read = dataset.read(item)
                if item.plane is not None:
                    count = count or VolumeCount(dataset, item)
                    count.add(read)
            except CosegError as error:
                found.faults.append(ItemFault(item.name, str(error)))
                if item.plane is not None:
                    # One sentence a volume, and not one a plane.
                    broken.add(item.image)
            else:
                found.facts.append(ItemFacts.of(item, read))
                if seen is not None:
                    seen(item, read)
        last = number == len(items) or items[number].image != item.image
        if item.plane is not None and last:
            if count is not None and item.image not in broken:
                found.volumes.append(count.facts())
            count = None
            forget_volumes()
        if progress is not None:
            progress(number, len(items))
    return found


def spacing_text(volume: VolumeFacts) -> str:
    """Write how large a volume's voxels are."""
    if volume.grid is None:
        return "not known"
    return " x ".join(f"{mm:.4g}" for mm in volume.grid.spacing) + " mm"


def content_text(volume: VolumeFacts) -> str:
    """Write what a volume holds: mm³ of each class, objects, and pieces where they are others."""
    found = []
    for name, one in (*volume.regions.items(), *volume.objects.items()):
        size = f"{one.voxels:,} voxels" if one.mm3 is None else f"{one.mm3:,.4g} mm³"
        if one.mm3 is not None and one.mm3 >= 1000:
            size = f"{one.mm3:,.0f} mm³"
        more = [] if not one.objects else [f"{one.objects:,} objects"]
        if one.pieces > (one.objects or 1):
            more.append(f"{one.pieces:,} pieces")
        found.append(f"{name} {size}{' in ' + ', '.join(more) if more else ''}")
    return "; ".join(found) or "no labels"

"""What is decided of an export before its first file: cases, names, classes, sizes of pixels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.queue_images import CaseFacts, read_case_facts
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE
from napari_coseg.annotation.stored_labels import StoredLabels, read_stored
from napari_coseg.types import IGNORE, CosegError

Progress = Callable[[int, int], None]

#: Sizes of voxels that differ by less than this part are the same.
_SAME = 0.01
#: What objects are called where nobody named a class.
_PLAIN = "object"


class NoPixelSizeError(CosegError):
    """A picture does not say how large its pixels are, and neither did the caller."""


@dataclass(frozen=True)
class ExportCase:
    """A case to be written: its name in the data set, and its files."""

    name: str
    image: Path
    objects: Path
    regions: Path


@dataclass
class ClassNumbers:
    """Classes of several cases under one numbering, by their names in the order they came.

    Attributes
    ----------
    colours : dict
        Red, green and blue of each class; the first has the id 1.
    """

    colours: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def add(self, stored: StoredLabels) -> None:
        """Take the classes of a case in."""
        for info in stored.classes:
            self.colours.setdefault(info.name, info.colour)

    def table(self, stored: StoredLabels) -> npt.NDArray[np.uint8]:
        """Return the common id of each id of a case, (256,); those of no name are ignored."""
        ids = np.full(256, IGNORE, np.uint8)
        ids[0] = 0
        order = [*self.colours]
        for info in stored.classes:
            ids[info.id] = order.index(info.name) + 1
        return ids


@dataclass
class ExportPlan:
    """What is to be written.

    Attributes
    ----------
    cases : list of ExportCase
    regions, kinds : ClassNumbers
        Of areas and of objects; complete.
    volumes : bool
        Whether the cases are volumes, and not pictures.
    size : list of float, or float
        Spacing in mm, or µm per pixel.
    notes : list of str
        What a person should know, a sentence each.
    """

    cases: list[ExportCase] = field(default_factory=list)
    regions: ClassNumbers = field(default_factory=ClassNumbers)
    kinds: ClassNumbers = field(default_factory=ClassNumbers)
    volumes: bool = False
    size: Any = None
    notes: list[str] = field(default_factory=list)


def finished_cases(project: QueueProject) -> list[ExportCase]:
    """Return the finished cases, under names that files can have and that are there once.

    Where names are hidden, they are those that the queue shows.
    """
    names = project.names()
    found = [case for case in project.cases if case.status == DONE]
    taken: set[str] = set()
    # The name alone for who has it alone; the others get their cases' numbers, which are there
    # once. With a number it may still be what another file is called.
    plain = {case.id: _file_name(names[case.id]) for case in found}
    counts = [name.casefold() for name in plain.values()]
    chosen = {number: name for number, name in plain.items() if counts.count(name.casefold()) == 1}
    taken.update(name.casefold() for name in chosen.values())
    for number, name in plain.items():
        if number not in chosen:
            other = f"{name}-{number}"
            while other.casefold() in taken:
                other += f"-{number}"
            chosen[number] = other
            taken.add(other.casefold())
    return [
        ExportCase(
            chosen[case.id],
            project.path(case.id),
            project.journal(case.id, "objects"),
            project.journal(case.id, "regions"),
        )
        for case in found
    ]


def plan_export(
    cases: Iterable[ExportCase], mpp: float | None = None, progress: Progress | None = None
) -> ExportPlan:
    """Look at all cases and decide what is written of them, without writing anything.

    A case on which nothing was ever drawn is left out, and named. One on which something was
    drawn and taken away again was looked at: it is written as background, and named too.

    Raises
    ------
    NoPixelSizeError
        If a picture has no pixel size and `mpp` is not given.
    CosegError
        If there is nothing to write, cases do not fit together, or one cannot be read.
    """
    plan = ExportPlan()
    cases = list(cases)
    if not cases:
        raise CosegError("No case is done: mark finished cases with Done first.")
    first, any_objects = "", False
    for number, case in enumerate(cases):
        if progress is not None:
            progress(number, len(cases))
        objects, regions = drawn(case.objects), drawn(case.regions)
        if objects is None and regions is None:
            plan.notes.append(
                f"{case.name} has no labels and is left out (if it is empty, draw something on it "
                "and take it back)."
            )
            continue
        if not any(one is not None and one.labels.any() for one in (objects, regions)):
            plan.notes.append(
                f"{case.name} is written as background: what was drawn on it was taken away."
            )
        facts = read_case_facts(case.image)
        for one in (objects, regions):
            check_shape(case.name, one, facts.shape)
        first = _check_size(plan, first, case.name, facts, mpp)
        if regions is not None:
            plan.regions.add(regions)
        if objects is not None:
            plan.kinds.add(objects)
            any_objects = True
        plan.cases.append(case)
    if not plan.cases:
        raise CosegError("The finished cases have no labels: there is nothing to write.")
    if any_objects and not plan.kinds.colours:
        plan.kinds.colours[_PLAIN] = (230, 159, 0)
    for numbers, of in ((plan.regions, "regions"), (plan.kinds, "objects")):
        if len(numbers.colours) >= IGNORE:
            raise CosegError(
                f"The finished cases have {len(numbers.colours)} classes of {of}, and a data set "
                f"holds {IGNORE - 1}: give classes that are the same one name."
            )
    return plan


def drawn(path: Path) -> StoredLabels | None:
    """Return the labels of a journal, None where nothing was ever drawn or put on them.

    Raises
    ------
    CosegError
        As `read_stored`.
    """
    stored = read_stored(path)
    if stored is None or not (stored.edits or stored.labels.any()):
        return None
    return stored


def check_shape(name: str, stored: StoredLabels | None, shape: tuple[int, ...]) -> None:
    """Make sure that labels have the size of their image.

    Raises
    ------
    CosegError
        If they have not.
    """
    if stored is not None and stored.labels.shape != shape:
        raise CosegError(
            f"The labels of {name} do not have the size of its image any more: put the image back "
            "for which they were drawn, or mark the case as not done."
        )


def _check_size(
    plan: ExportPlan, first: str, name: str, facts: CaseFacts, mpp: float | None
) -> str:
    """Hold a case's size of pixels against that of the first one, whose name is returned."""
    volume = facts.spacing is not None
    # NIfTI keeps sizes in 32 bits: 0.4 mm is read as 0.4000000059.
    spacing = [round(side, 6) for side in facts.spacing or ()]
    size = spacing or facts.mpp or mpp
    if size is None:
        raise NoPixelSizeError(f"{name} does not say how large its pixels are: give their size.")
    if not first:
        plan.volumes, plan.size = volume, size
        return name
    if plan.volumes != volume:
        raise CosegError(
            f"{first} and {name} are a volume and a picture, which are no one data set: make a "
            "queue of each."
        )
    if not np.allclose(plan.size, size, rtol=_SAME):
        raise CosegError(
            f"{first} and {name} have pixels of different sizes ({plan.size} and {size}), and a "
            "data set has one size: make a queue of each, or resample them."
        )
    return first


def _file_name(name: str) -> str:
    """Return a name that every system takes for a file, and every reader for one that is shown."""
    plain = re.sub(r"[^\w.+-]+", "_", unicodedata.normalize("NFC", name))
    return plain.lstrip(".") or "_"

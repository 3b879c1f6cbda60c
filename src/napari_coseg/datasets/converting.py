"""A data set of any readable format written in another layout, item by item.

What is done stands in a folder of its own in the new set, so that a second run goes on where the
first one stopped, and a run with another source or other settings is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_coseg.datasets.labelled import Item, ItemFault, LabelledDataset, OpenOptions
from napari_coseg.datasets.nnunet_writer import NnunetWriter
from napari_coseg.datasets.outline_writers import CocoWriter, GeoJsonWriter
from napari_coseg.datasets.whole_volumes import read_labels_of, volumes_of
from napari_coseg.datasets.writers import DatasetWriter, FolderWriter
from napari_coseg.imaging.files import atomic_path
from napari_coseg.types import CosegError

#: Where a run keeps what it has done.
RECORDS = ".convert"
_SETTINGS, _ITEMS = "settings.json", "items"
#: Every layout, by its name on the command line.
WRITERS: dict[str, type[DatasetWriter]] = {
    writer.key: writer for writer in (FolderWriter, NnunetWriter, CocoWriter, GeoJsonWriter)
}


@dataclass
class Conversion:
    """How a run went.

    Attributes
    ----------
    written, skipped : int
        Pictures or volumes written now, and by a run before.
    faults : list of ItemFault
        What was left out, by name.
    """

    written: int = 0
    skipped: int = 0
    faults: list[ItemFault] = field(default_factory=list)


def settings_of(
    dataset: LabelledDataset, options: OpenOptions, layout: str
) -> Mapping[str, str | float | None]:
    """Return what a run is made of: equal for runs that may go on with one another."""
    mapping = None
    if options.mapping is not None:
        try:
            mapping = hashlib.sha256(options.mapping.read_bytes()).hexdigest()
        except OSError as error:
            raise CosegError(f"{options.mapping} cannot be read: {error.strerror}.") from error
    return {
        "source": str(dataset.root.resolve()),
        "format": dataset.format.key,
        "mpp": options.mpp,
        "mapping": mapping,
        "layout": layout,
    }


def convert(
    dataset: LabelledDataset,
    out: Path,
    layout: str,
    settings: Mapping[str, Any],
    *,
    skip_faults: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write a data set in another layout.

    Parameters
    ----------
    dataset : LabelledDataset
    out : Path
        Folder of the new set: a new or empty one, or that of a run with the same settings.
    layout : str
        One of `WRITERS`.
    settings : mapping
        As `settings_of` returns them.
    skip_faults : bool
        Leave out what cannot be used, instead of stopping at it.
    progress : callable, optional
        Called with the pictures or volumes done, and how many there are.

    Raises
    ------
    CosegError
        If the layout cannot hold the set, the folder holds something else, or something cannot be
        used and is not to be left out. What was written until then stays, for the next run.
    """
    volumes = volumes_of(dataset.items)
    pictures = [item for item in dataset.items if item.plane is None]
    if volumes and pictures:
        raise CosegError(
            f"{dataset.root} holds volumes and pictures: put them into two data sets first."
        )
    if volumes and not WRITERS[layout].volumes:
        can = " or ".join(writer.key for writer in WRITERS.values() if writer.volumes)
        raise CosegError(
            f"{dataset.root} holds volumes, which {layout} cannot hold: choose --to {can}."
        )
    found = Conversion(faults=list(dataset.faults))
    if found.faults and not skip_faults:
        raise _stopped(found.faults[0])
    writer = WRITERS[layout](out, dataset)
    records = _begin(out, settings)
    known: dict[str, Mapping[str, Any]] = {}
    cases: list[tuple[Item, list[Item]]] = volumes or [(item, []) for item in pictures]
    for number, (item, planes) in enumerate(cases, 1):
        record = records / f"{item.name}.json"
        if record.is_file():
            known[item.name] = json.loads(record.read_text(encoding="utf-8"))
            found.skipped += 1
        else:
            try:
                if planes:
                    known[item.name] = writer.write_volume(item, read_labels_of(dataset, planes))
                else:
                    known[item.name] = writer.write(item, dataset.read(item))
            except CosegError as error:
                fault = ItemFault(item.name, str(error))
                if not skip_faults:
                    raise _stopped(fault) from error
                found.faults.append(fault)
            else:
                # The record comes last: what has one is whole.
                _write(record, known[item.name])
                found.written += 1
        if progress is not None:
            progress(number, len(cases))
    writer.finish([item for item, _ in cases if item.name in known], known)
    return found


def _begin(out: Path, settings: Mapping[str, Any]) -> Path:
    """Make the folders, or check that they are of a run with the same settings."""
    told = out / RECORDS / _SETTINGS
    # Apart from the settings: an item may have their name.
    records = told.parent / _ITEMS
    try:
        if told.is_file():
            before = json.loads(told.read_text(encoding="utf-8"))
            if before != settings:
                raise CosegError(
                    f"{out} was converted from {before.get('source')} with other settings: choose "
                    "a new folder."
                )
        elif out.exists() and any(out.iterdir()):
            raise CosegError(f"{out} is not empty: choose a new folder for the data set.")
        else:
            records.mkdir(parents=True, exist_ok=True)
            _write(told, settings)
    except (OSError, ValueError) as error:
        raise CosegError(f"{out} cannot be used: {error}.") from error
    return records


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path) as part:
        part.write_text(json.dumps(content), encoding="utf-8")


def _stopped(fault: ItemFault) -> CosegError:
    return CosegError(
        f"{fault.name}: {fault.sentence} Mend it, or leave out what is faulty with --faults skip."
    )

"""nnU-Net v2's folders, read as a folder data set.

Format: ``documentation/dataset_format.md`` of nnU-Net v2: ``dataset.json``, ``imagesTr/NAME_0000``,
``labelsTr/NAME``. Its labels are classes of pixels. Where this program wrote the folder, regions,
objects and their classes lie beside them (``regionsTr``, ``instancesTr``, ``classesTr``), which
nnU-Net does not look at, and the key ``coseg`` of ``dataset.json`` names them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_coseg.datasets.labelled import LABEL_KINDS
from napari_coseg.datasets.nnunet_layout import FOLDERS
from napari_coseg.imaging.volume_headers import is_volume
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.types import CosegError

#: Our part of ``dataset.json``.
KEY = "coseg"
#: What nnU-Net calls pixels that training leaves out.
IGNORED = "ignore"
CHANNEL = "_0000"


def is_nnunet(root: Path) -> bool:
    """Whether a folder is nnU-Net's: it has its description and its images, and not ours."""
    return (
        not (root / "dataset.toml").exists()
        and (root / "dataset.json").is_file()
        and (root / "imagesTr").is_dir()
    )


def describe(root: Path) -> dict[str, Any]:
    """Return what ``dataset.toml`` would say.

    Raises
    ------
    CosegError
        If ``dataset.json`` cannot be read, has regions of several labels, several channels, or
        nothing says how large a pixel is.
    """
    about = _read(root)
    # A colour picture is one file, and three channels to nnU-Net.
    if any((root / "imagesTr").glob("*_0001.*")):
        raise CosegError(
            f"{root} has several files an image, a channel each: data sets of one can be read."
        )
    known: dict[str, Any] = {"name": str(about.get("name", root.name))}
    known["license"] = str(about.get("licence", about.get("license", "unknown")))
    if not is_own(root):
        known["region_classes"] = _classes(root, about)[0]
    own = about.get(KEY)
    known |= own if isinstance(own, dict) else {}
    if "mpp" in known or "spacing" in known:
        return known
    first = next(iter(sorted((root / "imagesTr").glob(f"*{CHANNEL}.*"))), None)
    grid = read_grid(first) if first is not None and is_volume(first) else None
    if grid is None:
        raise CosegError(
            f"{root / 'dataset.json'} does not say how large a pixel is: add "
            f'"{KEY}": {{"mpp": 0.5}}, with the µm of a pixel.'
        )
    return {**known, "spacing": list(grid.spacing)}


def spacing_of_files(root: Path) -> bool:
    """Whether ``dataset.json`` leaves it to each volume to say how large its voxels are."""
    own = _read(root).get(KEY)
    return not (isinstance(own, dict) and ("mpp" in own or "spacing" in own))


def label_folders(root: Path) -> Mapping[str, str]:
    """Return the folder of each kind of labels."""
    if is_own(root):
        return {kind: FOLDERS[kind] for kind in LABEL_KINDS}
    return {"regions": FOLDERS["labels"]}


def ignored_id(root: Path) -> int | None:
    """Return the id of pixels that training leaves out, None where there is none."""
    return None if is_own(root) else _classes(root, _read(root))[1]


def nnunet_description(
    name: str,
    regions: Sequence[str],
    instances: Sequence[str],
    *,
    count: int,
    ending: str,
    channels: Sequence[str],
    ignored: bool,
    own: Mapping[str, Any],
) -> str:
    """Return the text of ``dataset.json``.

    Parameters
    ----------
    name : str
        Of the data set.
    regions, instances : sequence of str
        Names of the classes of areas and of objects: their pixels' ids are 1, 2, ... in this order.
    count : int
        Number of cases.
    ending : str
        Of the files.
    channels : sequence of str
        Their names, by which nnU-Net chooses how it normalises them: ``"CT"`` with figures of the
        whole data set, what it does not know (``"CBCT"``, ``"R"``) case by case
        (``documentation/explanation_normalization.md``).
    ignored : bool
        Whether there are pixels that training leaves out: they have the last id.
    own : mapping
        What our own reader is to know, as in ``dataset.toml``.
    """
    labels = {"background": 0}
    for number, named in enumerate([*regions, *instances], 1):
        # A jaw may have the name of an object.
        labels[named if named not in labels else f"{named} (object)"] = number
    if ignored:
        labels[IGNORED] = len(regions) + len(instances) + 1
    about = {
        "name": name,
        # nnU-Net's reader of pictures takes one colour file as three channels.
        "channel_names": {str(number): channel for number, channel in enumerate(channels)},
        "labels": labels,
        "numTraining": count,
        "file_ending": ending,
        KEY: dict(own),
    }
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"


def is_own(root: Path) -> bool:
    """Whether this program wrote a folder of nnU-Net's."""
    labelled = (root / "regionsTr").is_dir() or (root / "instancesTr").is_dir()
    return labelled and is_nnunet(root)


def _read(root: Path) -> dict[str, Any]:
    path = root / "dataset.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CosegError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(about, dict):
        raise CosegError(f"{path} is no description of a data set of nnU-Net.")
    return about


def _classes(root: Path, about: Mapping[str, Any]) -> tuple[list[str], int | None]:
    """Return the names of labels 1, 2, ..., and the id of what is left out."""
    labels = about.get("labels")
    where = root / "dataset.json"
    if not isinstance(labels, dict) or not labels:
        raise CosegError(f"{where} names no labels.")
    if any(isinstance(number, list) for number in labels.values()):
        raise CosegError(
            f"{where} has regions that are made of several labels: give each label a name of its "
            "own."
        )
    try:
        pairs = [(str(name), int(number)) for name, number in labels.items()]
    except (TypeError, ValueError) as error:
        raise CosegError(f"{where} has labels that are no numbers.") from error
    ignored = next((number for name, number in pairs if name == IGNORED), None)
    kept = sorted((number, name) for name, number in pairs if number and name != IGNORED)
    if [number for number, _ in kept] != [*range(1, len(kept) + 1)]:
        raise CosegError(f"{where} must number its labels 1, 2, 3 and so on.")
    return [name for _, name in kept], ignored

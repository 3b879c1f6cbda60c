"""Generated CBCT volumes written as a folder data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_coseg.datasets.synthetic_cbct import (
    CBCT_INSTANCES,
    CBCT_REGIONS,
    CbctSettings,
    SyntheticCbct,
    check_memory,
    generate_cbct,
)
from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.volume_writing import write_labels, write_volume
from napari_coseg.types import CosegError

#: Grey values that become black and white where planes are read as pictures.
WINDOW = (-1000.0, 3000.0)


def write_cbct_folder(
    folder: Path | str,
    seeds: Sequence[int],
    settings: CbctSettings | None = None,
    *,
    name: str = "synthetic-cbct",
) -> list[str]:
    """Write generated volumes as a folder data set.

    Each is ``images/NAME.nii.gz`` with ``regions``, ``instances`` and ``classes`` (1 at every
    tooth) beside it, and ``teeth/NAME.csv``, the table of its teeth. Volumes of equal names in
    the folder are replaced. Files appear whole, and ``dataset.toml``, which makes the folder a
    data set, is removed first and comes last.

    Parameters
    ----------
    folder : path
        Made if needed.
    seeds : sequence of int
        One a volume, none twice.
    settings : CbctSettings, optional
        As for `generate_cbct`.
    name : str
        Of the data set.

    Returns
    -------
    list of str
        Names of the volumes, in the order of the seeds.

    Raises
    ------
    CosegError
        If there is no seed, one is given twice or is negative, a volume cannot be generated, or
        a file cannot be written.
    """
    if not seeds:
        raise CosegError("A generated data set needs at least one seed.")
    if len(set(seeds)) != len(seeds):
        raise CosegError("A seed of a generated data set is given twice: the volumes were equal.")
    if min(seeds) < 0:
        raise CosegError(f"Seeds of generated volumes must not be negative: {min(seeds)}.")
    settings = settings or CbctSettings()
    # Before the data set that is there is touched.
    check_memory(settings)
    root = Path(folder)
    names = [f"cbct_{seed:04d}" for seed in seeds]
    try:
        for part in ("images", "regions", "instances", "classes", "teeth"):
            (root / part).mkdir(parents=True, exist_ok=True)
        # Written last: a folder without it is no data set yet, or none any more.
        (root / "dataset.toml").unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(root, error) from error
    for volume, seed in zip(names, seeds, strict=True):
        _write(root, volume, generate_cbct(seed, settings))
    _write_text(root / "dataset.toml", _description(name, list(seeds), settings))
    return names


def _write(root: Path, name: str, volume: SyntheticCbct) -> None:
    small = np.uint8 if volume.instances.max() < 256 else np.int32
    write_volume(root / "images" / f"{name}.nii.gz", volume.image, volume.grid)
    for part, labels in (
        ("regions", volume.regions),
        ("instances", volume.instances.astype(small)),
        ("classes", volume.instances > 0),
    ):
        write_labels(root / part / f"{name}.nii.gz", labels, volume.grid)
    _write_text(root / "teeth" / f"{name}.csv", volume.teeth.to_csv(index=False))


def _write_text(path: Path, text: str) -> None:
    try:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> CosegError:
    return CosegError(
        f"{path} cannot be written ({error.strerror or error}): choose a folder that may be "
        "written to."
    )


def _description(name: str, seeds: list[int], settings: CbctSettings) -> str:
    """Text of ``dataset.toml``. JSON's strings and lists are TOML's too."""
    colours = {
        info.name: list(info.colour) for table in (CBCT_REGIONS, CBCT_INSTANCES) for info in table
    }
    about = f"{len(seeds)} generated dental CBCT volumes with exact truth, seeds {seeds}"
    lines = [
        f"name = {json.dumps(name)}",
        f"description = {json.dumps(about)}",
        f"spacing = {json.dumps([settings.spacing] * 3)}",
        f"window = {json.dumps(list(WINDOW))}",
        'license = "CC0-1.0"',
        f"region_classes = {json.dumps(CBCT_REGIONS.names)}",
        f"instance_classes = {json.dumps(CBCT_INSTANCES.names)}",
        "",
        "[colours]",
        *(f"{json.dumps(name)} = {json.dumps(colour)}" for name, colour in colours.items()),
        "",
    ]
    return "\n".join(lines)

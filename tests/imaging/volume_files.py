"""Generated volumes and DICOM series, written with SimpleITK alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

#: What stands in the patient's fields of every generated file, and must be found nowhere else.
SECRETS = ("DOE^JANE", "PID-4711", "19700131", "SECRET HOSPITAL", "SCAN OF JANE DOE")
ORIGIN = (-10.5, 20.25, 3.125)
SPACING = (0.4, 0.5, 2.0)

_A, _B = 0.3, 0.2
#: Direction matrices as ITK has them: plain, flipped, permuted, and turned about two axes.
DIRECTIONS: dict[str, tuple[float, ...]] = {
    "plain": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "flipped": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, 1, 0, -1, 0),
    "oblique": tuple(
        (
            np.array([[math.cos(_A), -math.sin(_A), 0], [math.sin(_A), math.cos(_A), 0], [0, 0, 1]])
            @ np.array(
                [[1, 0, 0], [0, math.cos(_B), -math.sin(_B)], [0, math.sin(_B), math.cos(_B)]]
            )
        )
        .ravel()
        .tolist()
    ),
}


def image(
    voxels: npt.NDArray[Any],
    direction: Sequence[float] = DIRECTIONS["plain"],
    spacing: Sequence[float] = SPACING,
) -> SimpleITK.Image:
    made = SimpleITK.GetImageFromArray(voxels, isVector=False)
    if voxels.ndim == 3:
        made.SetSpacing(spacing)
        made.SetOrigin(ORIGIN)
        made.SetDirection(direction)
    return made


def write(path: Path, voxels: npt.NDArray[Any], **geometry: Any) -> SimpleITK.Image:
    made = image(voxels, **geometry)
    SimpleITK.WriteImage(made, str(path))
    return made


def head(planes: int = 6, rows: int = 12, columns: int = 16) -> npt.NDArray[np.int16]:
    """Hounsfield units: plane z holds 100 z, more to the right, and air at the top."""
    voxels = np.zeros((planes, rows, columns), np.int16)
    voxels += 100 * np.arange(planes, dtype=np.int16)[:, None, None]
    voxels += np.arange(columns, dtype=np.int16)
    voxels[:, :2] = -1000
    return voxels


def write_dicom(
    folder: Path,
    voxels: npt.NDArray[Any],
    *,
    places: Iterable[float] | None = None,
    orientation: str = "1\\0\\0\\0\\1\\0",
    normal: Sequence[float] = (0, 0, 1),
    series: int = 7,
    tags: dict[str, str] | None = None,
    names: str = "{series}-{index:03d}.dcm",
    compressor: str = "",
) -> list[Path]:
    """Write a series, 2 mm between its planes, its files named against their order."""
    folder.mkdir(parents=True, exist_ok=True)
    where = [2.0 * z for z in range(len(voxels))] if places is None else list(places)
    paths = []
    for index, (plane, place) in enumerate(zip(voxels, where, strict=True)):
        position = np.array((-10.0, -20.0, 5.0)) + place * np.array(normal)
        fields = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.826.0.1.{series}.{index + 1}",
            "0008|0060": "CT",
            "0008|0080": SECRETS[3],
            "0008|103e": SECRETS[4],
            "0010|0010": SECRETS[0],
            "0010|0020": SECRETS[1],
            "0010|0030": SECRETS[2],
            "0020|000d": "1.2.826.0.1",
            "0020|000e": f"1.2.826.0.1.{series}",
            "0020|0011": str(series),
            "0020|0013": str(len(voxels) - index),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": orientation,
            "0028|0030": "0.5\\0.4",
            "0028|1052": "-1024",
            "0028|1053": "1",
            "0028|1054": "HU",
            **(tags or {}),
        }
        made = SimpleITK.GetImageFromArray(plane[np.newaxis], isVector=False)
        made.SetSpacing((0.4, 0.5, 2.0))
        for tag, value in fields.items():
            made.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        if compressor:
            writer.UseCompressionOn()
            writer.SetCompressor(compressor)
        path = folder / names.format(series=series, index=len(voxels) - index)
        writer.SetFileName(str(path))
        writer.Execute(made)
        paths.append(path)
    return paths

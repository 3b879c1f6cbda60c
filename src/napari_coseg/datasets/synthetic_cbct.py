"""Generated dental CBCT volumes with exact truth: jaws, pharynx, and every tooth by its FDI number.

For tests, for the sample in napari and for training where no labelled volume may be had. A
schematic of anatomy with the measures of text books, not a simulation of people; nothing of it
was taken from a patient's scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil

from napari_coseg.datasets.synthetic_grid import PIVOT, Grid
from napari_coseg.datasets.synthetic_head import build_head
from napari_coseg.datasets.synthetic_intensities import random_intensities, scanner_intensities
from napari_coseg.datasets.synthetic_scanner import OUTSIDE, draw_scanner, field_of_view, scan
from napari_coseg.datasets.synthetic_sites import Mouth, ToothSite, plan_mouth
from napari_coseg.imaging.volume_grid import VolumeGrid, sides
from napari_coseg.types import ClassTable, CosegError

#: In the order of their ids.
CBCT_REGIONS = ClassTable.from_names(["upper jaw", "lower jaw", "pharynx"])
CBCT_INSTANCES = ClassTable.from_names(["tooth"])

#: Columns of the table of teeth.
TOOTH_COLUMNS = ("label", "fdi", "kind", "jaw", "impacted", "restoration")

_SERIES = 7
#: mm from head to foot and from front to back in which there is room for a mouth.
_MOUTH = (80.0, 100.0)
_SMALLEST, _LARGEST = 32, 1024
# Bytes at the peak, measured: a voxel while the head is drawn; then a voxel while it is scanned, a
# voxel of planes filled up to squares, in which streaks are made; and what any volume takes.
_DRAWN, _SCANNED, _SQUARE, _ALWAYS = 32, 20, 12, 200e6


@dataclass(frozen=True)
class CbctSettings:
    """What is generated.

    Attributes
    ----------
    shape : tuple of int
        Planes, rows and columns, each 32 to 1,024.
    spacing : float
        Size of a voxel in mm, 0.2 to 0.6, the same along each axis.
    missing : float
        Probability of a lost tooth, 0 to 1; of third molars more are missing.
    impacted : float
        Probability that a third molar is impacted, 0 to 1; a canine in a tenth of that.
    metal : float
        Probability of a mouth with metal in it, 0 to 1.
    clean : bool
        Leave out the scanner's faults: no blur, noise, streaks or field of view.
    randomised : bool
        Draw grey values and the scanner from the wide ranges that training wants.
    whole_head : bool
        As on a CT: skull, brain, what the head lies on and is covered with, where the volume is
        large enough to hold any of them; the mouth is anywhere in it, and there is no cylinder.

    Raises
    ------
    CosegError
        If a value is out of its range.
    """

    shape: tuple[int, int, int] = (200, 256, 256)
    spacing: float = 0.4
    missing: float = 0.06
    impacted: float = 0.25
    metal: float = 0.35
    clean: bool = False
    randomised: bool = False
    whole_head: bool = False

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or not all(_SMALLEST <= n <= _LARGEST for n in self.shape):
            raise CosegError(
                f"A generated CBCT needs {_SMALLEST} to {_LARGEST:,} planes, rows and columns: "
                f"{self.shape}."
            )
        if not 0.2 <= self.spacing <= 0.6:
            raise CosegError(f"A generated CBCT needs voxels of 0.2 to 0.6 mm: {self.spacing}.")
        for name in ("missing", "impacted", "metal"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise CosegError(f"{name} of a generated CBCT is a probability, 0 to 1: {value}.")


@dataclass(frozen=True)
class SyntheticCbct:
    """A generated volume with its truth.

    Plane 0 is the uppermost (superior), row 0 the foremost (anterior), column 0 lies at the
    patient's right.

    Attributes
    ----------
    image : ndarray of int16, (planes, rows, columns)
        Hounsfield-like: air -1000, soft tissue about 50, dentine about 1,800.
    regions : ndarray of uint8
        1 upper jaw (maxilla with palate, zygomatic processes and pterygoid plates), 2 lower jaw,
        3 air of the pharynx. Teeth and the gaps round their roots belong to no region.
    instances : ndarray of int32
        One id a tooth, from 1 without gaps, in the order of FDI numbers. A tooth is one
        6-connected piece: of what the field of view cuts apart, the largest is kept and drawn.
    teeth : DataFrame
        One row a tooth in `instances`, columns `TOOTH_COLUMNS`.
    missing : tuple of int
        FDI numbers of sites without a tooth.
    grid : VolumeGrid
        Size of the voxels and where the axes go; the patient's origin is the middle of
        the volume.
    """

    image: npt.NDArray[np.int16]
    regions: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]
    teeth: pd.DataFrame
    missing: tuple[int, ...]
    grid: VolumeGrid


def generate_cbct(seed: int = 0, settings: CbctSettings | None = None) -> SyntheticCbct:
    """Generate one volume.

    Parameters
    ----------
    seed : int
        Decides everything, with the settings: equal arguments give equal arrays.
    settings : CbctSettings, optional
        None for the defaults, which take about 17 s of one core. At the peak a volume takes
        about 33 bytes a voxel: the defaults 0.5 GB.

    Raises
    ------
    CosegError
        If the seed is negative, or the volume needs more memory than is free.
    """
    if seed < 0:
        raise CosegError(f"Seeds of generated volumes must not be negative: {seed}.")
    settings = settings or CbctSettings()
    check_memory(settings)
    # A stream of its own for each step: a change in one leaves the others' draws as they are.
    plan, pose, tint, optics, noise = (
        np.random.default_rng([seed, step, _SERIES]) for step in range(5)
    )
    mouth = plan_mouth(
        plan, missing=settings.missing, impacted=settings.impacted, metal=settings.metal
    )
    tints = random_intensities(tint) if settings.randomised else scanner_intensities(tint)
    grid = _grid(pose, settings)
    view = None
    if not (settings.clean or settings.whole_head):
        view = field_of_view(settings.shape[1:], settings.spacing)
    seen = None if view is None else view > 0
    head = build_head([seed, 5, _SERIES], mouth, grid, tints, seen, whole=settings.whole_head)
    regions, instances, sites = head.regions, head.instances.astype(np.int32), head.sites
    image = head.image
    del head
    if not settings.clean:
        scanner = draw_scanner(optics, randomised=settings.randomised)
        image = scan(noise, image, settings.spacing, scanner)
    whole = np.empty(image.shape, np.int16)
    for plane, stored in zip(image, whole, strict=True):
        if view is not None:
            plane = np.float32(OUTSIDE) + view * (plane - np.float32(OUTSIDE))
        stored[...] = np.clip(np.rint(plane), np.iinfo(np.int16).min, np.iinfo(np.int16).max)
    return SyntheticCbct(
        image=whole,
        regions=regions,
        instances=instances,
        teeth=_table(sites),
        missing=_missing(mouth),
        grid=volume_grid(settings),
    )


def check_memory(settings: CbctSettings) -> None:
    """Refuse what does not fit into the memory that is free.

    Raises
    ------
    CosegError
        If it does not.
    """
    voxels = math.prod(settings.shape)
    squares = settings.shape[0] * max(settings.shape[1:]) ** 2
    needed = _ALWAYS + max(_DRAWN * voxels, _SCANNED * voxels + _SQUARE * squares)
    free = psutil.virtual_memory().available
    if needed > free:
        raise CosegError(
            f"A generated CBCT of {sides(settings.shape)} voxels needs {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free: close other programs, or choose fewer "
            "voxels."
        )


def volume_grid(settings: CbctSettings) -> VolumeGrid:
    """Return the grid of the volumes that the settings make."""
    half = [settings.spacing * (length - 1) / 2 for length in settings.shape]
    return VolumeGrid(
        settings.shape,
        (settings.spacing,) * 3,
        (-half[2], -half[1], half[0]),
        # Planes go downwards, rows backwards, columns to the patient's left.
        ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )


def _grid(rng: np.random.Generator, settings: CbctSettings) -> Grid:
    """Where the scanner's middle is, and how the head is held."""
    centre = [-4.0 + rng.uniform(-5, 5), PIVOT - 4.0 + rng.uniform(-5, 5), rng.uniform(-3, 3)]
    yaw, pitch, roll = np.deg2rad(np.clip(rng.normal(0, (3.0, 5.0, 2.0)), -9, 9))
    if settings.whole_head:
        height, depth, _ = (settings.spacing * length for length in settings.shape)
        # The rest of the head is above and behind the mouth; so is most of the room.
        centre[0] += max(height - _MOUTH[0], 0.0) / 2 * rng.uniform(-0.3, 1.0)
        centre[1] += max(depth - _MOUTH[1], 0.0) / 2 * rng.uniform(0.0, 1.0)
    return Grid(
        (int(settings.shape[0]), int(settings.shape[1]), int(settings.shape[2])),
        float(settings.spacing),
        (float(centre[0]), float(centre[1]), float(centre[2])),
        float(yaw),
        float(pitch),
        float(roll),
    )


def _missing(mouth: Mouth) -> tuple[int, ...]:
    return tuple(site.fdi for site in mouth.sites if not site.present)


def _table(sites: dict[int, ToothSite]) -> pd.DataFrame:
    rows = [
        (
            label,
            site.fdi,
            site.kind,
            "upper" if site.upper else "lower",
            site.impacted,
            site.restoration,
        )
        for label, site in sorted(sites.items())
    ]
    return pd.DataFrame(rows, columns=list(TOOTH_COLUMNS))

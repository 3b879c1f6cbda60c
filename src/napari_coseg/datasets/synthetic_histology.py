"""Generated H&E-like colon tiles with exact truth: glands, and nuclei of three classes.

For tests, for the demo and for the ablation, which needs regions and instances on one image: no
public set at hand has both. A schematic of colon, not a simulation of it: glands with wall and
lumen, stroma with fibres, vessels, clouds of lymphocytes; every slide has its own stain.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.measure import label as connected

from napari_coseg.datasets.synthetic_nuclei import NUCLEUS_CLASSES, NucleusMap, place_nuclei
from napari_coseg.datasets.synthetic_stain import Stain, render
from napari_coseg.datasets.synthetic_tissue import Tissue, make_tissue
from napari_coseg.types import ClassTable, CosegError

REGION_CLASSES = ClassTable.from_names(["gland"], {"gland": (204, 121, 167)})
INSTANCE_CLASSES = ClassTable.from_names(NUCLEUS_CLASSES)

#: Tiles of a generated data set that share one stain, as tiles of one slide do.
TILES_A_SLIDE = 4

#: What is left of a nucleus at the tile's edge or beside another one is labelled from here on.
SMALLEST_NUCLEUS_UM2 = 1.0

#: Chosen so that seed 0, which sample data show, has a bit of everything in it.
_SERIES = 3


@dataclass(frozen=True)
class SyntheticTile:
    """One generated tile with its truth.

    Attributes
    ----------
    image : ndarray of uint8, (rows, columns, 3)
    regions : ndarray of uint8, (rows, columns)
        1 in glands (wall and lumen), 0 elsewhere.
    region_instances : ndarray of int32
        One id a gland, from 1 without gaps.
    instances : ndarray of int32
        One id a nucleus, from 1 without gaps.
    classes : ndarray of uint8
        Class id of the nucleus at each pixel, 0 where there is none.
    region_classes, instance_classes : ClassTable
    mpp : float
        Size of a pixel in µm.
    """

    image: npt.NDArray[np.uint8]
    regions: npt.NDArray[np.uint8]
    region_instances: npt.NDArray[np.int32]
    instances: npt.NDArray[np.int32]
    classes: npt.NDArray[np.uint8]
    region_classes: ClassTable
    instance_classes: ClassTable
    mpp: float


def generate_tile(
    seed: int = 0,
    shape: tuple[int, int] = (512, 512),
    mpp: float = 0.5,
    *,
    stain_seed: int | None = None,
) -> SyntheticTile:
    """Generate one tile.

    Parameters
    ----------
    seed : int
        Decides everything; equal arguments give equal arrays.
    shape : tuple of int
        Rows and columns, each at least 16.
    mpp : float
        µm per pixel, 0.1 to 2. Structures keep their size in µm. One seed at another `mpp` is
        another tile, not the same one magnified.
    stain_seed : int, optional
        Decides the stain and the camera instead of `seed`: tiles of one slide share it.

    Raises
    ------
    CosegError
        If an argument is out of its range.
    """
    if min(seed, 0 if stain_seed is None else stain_seed) < 0:
        raise CosegError(f"Seeds of generated tiles must not be negative: {seed}, {stain_seed}.")
    if len(shape) != 2 or min(shape) < 16:
        raise CosegError(f"A generated tile needs at least 16 rows and 16 columns: {shape}.")
    if not 0.1 <= mpp <= 2.0:
        raise CosegError(f"Generated tiles need a pixel size of 0.1 to 2 µm: {mpp}.")
    # A stream of its own for each step: a change in one leaves the others' draws as they are.
    layout, cells, optics = (np.random.default_rng([seed, step, _SERIES]) for step in range(3))
    slide = np.random.default_rng([seed if stain_seed is None else stain_seed, 3, _SERIES])
    tissue = make_tissue(layout, (int(shape[0]), int(shape[1])), mpp)
    nuclei = place_nuclei(cells, tissue)
    image = render(optics, tissue, nuclei, Stain.drawn(slide))
    instances, classes = _nucleus_truth(tissue, nuclei)
    glands = _numbered(_cropped(tissue.glands, tissue.margin))[0]
    return SyntheticTile(
        image=image,
        regions=(glands > 0).astype(np.uint8),
        region_instances=glands,
        instances=instances,
        classes=classes,
        region_classes=REGION_CLASSES,
        instance_classes=INSTANCE_CLASSES,
        mpp=float(mpp),
    )


def _cropped(canvas: npt.NDArray[np.int32], margin: int) -> npt.NDArray[np.int32]:
    return canvas[margin : canvas.shape[0] - margin, margin : canvas.shape[1] - margin]


def _numbered(labels: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Renumber labels from 1 without gaps; return the old label of each new one too."""
    present = np.zeros(int(labels.max()) + 1, bool)
    present[labels.ravel()] = True
    present[0] = False
    new = np.zeros(present.size, np.int32)
    new[present] = np.arange(1, int(present.sum()) + 1)
    return new[labels], np.concatenate([[0], np.flatnonzero(present)])


def _nucleus_truth(
    tissue: Tissue, nuclei: NucleusMap
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Instances and classes of the tile: each nucleus one piece, none of them a stray pixel."""
    owner = _cropped(nuclei.owner, tissue.margin).copy()
    _keep_largest_pieces(owner, SMALLEST_NUCLEUS_UM2 / tissue.mpp**2)
    instances, old = _numbered(owner)
    kinds = np.asarray(nuclei.kinds, np.uint8)[old]
    return instances, kinds[instances]


def _keep_largest_pieces(labels: npt.NDArray[np.int32], smallest: float) -> None:
    """Clear, in place, all but the largest 8-connected piece of each label, and small ones."""
    pieces = connected(labels, connectivity=2)
    sizes = np.bincount(pieces.ravel())
    belongs = np.zeros(sizes.size, np.int32)
    belongs[pieces.ravel()] = labels.ravel()
    order = np.lexsort((np.arange(sizes.size), -sizes, belongs))
    first = np.ones(order.size, bool)
    first[1:] = belongs[order][1:] != belongs[order][:-1]
    keep = np.zeros(sizes.size, bool)
    keep[order[first]] = True
    keep &= sizes >= smallest
    labels[~keep[pieces]] = 0


def write_dataset(
    root: Path | str,
    count: int,
    seed: int = 0,
    shape: tuple[int, int] = (512, 512),
    mpp: float = 0.5,
) -> list[str]:
    """Write generated tiles as a folder data set.

    Parameters
    ----------
    root : path
        Folder of the data set; made if needed. Tiles of equal names in it are replaced.
    count : int
        Number of tiles, at least 1. Tile ``i`` is made with ``seed + i``.
    seed, shape, mpp
        As for `generate_tile`. Tiles are grouped in slides of `TILES_A_SLIDE` with one stain.

    Returns
    -------
    list of str
        Names of the tiles, in their order.

    Raises
    ------
    CosegError
        If an argument is out of its range, or a tile has more than 65,535 nuclei.
    """
    if count < 1:
        raise CosegError(f"A generated data set needs at least one tile: {count}.")
    folder = Path(root)
    for part in ("images", "regions", "region_instances", "instances", "classes"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    groups: dict[str, str] = {}
    for index in range(count):
        slide = index // TILES_A_SLIDE
        tile = generate_tile(seed + index, shape, mpp, stain_seed=seed + slide * TILES_A_SLIDE)
        if tile.instances.max() > np.iinfo(np.uint16).max:
            raise CosegError("More than 65,535 nuclei in a tile: choose a smaller shape.")
        name = f"tile_{index:04d}"
        groups[name] = f"slide_{slide:03d}"
        for part, array in (
            ("images", tile.image),
            ("regions", tile.regions),
            ("region_instances", tile.region_instances.astype(np.uint16)),
            ("instances", tile.instances.astype(np.uint16)),
            ("classes", tile.classes),
        ):
            Image.fromarray(array).save(folder / part / f"{name}.png")
    (folder / "dataset.toml").write_text(_description(count, seed, mpp, groups), encoding="utf-8")
    return list(groups)


def _description(count: int, seed: int, mpp: float, groups: dict[str, str]) -> str:
    """Text of ``dataset.toml``. JSON's strings and lists are TOML's too."""
    colours = {
        info.name: list(info.colour)
        for table in (REGION_CLASSES, INSTANCE_CLASSES)
        for info in table
    }
    lines = [
        'name = "synthetic-histology"',
        f'description = "{count} generated H&E-like colon tiles with exact truth, seed {seed}"',
        f"mpp = {float(mpp)}",
        'license = "CC0-1.0"',
        f"region_classes = {json.dumps(REGION_CLASSES.names)}",
        f"instance_classes = {json.dumps(INSTANCE_CLASSES.names)}",
        "",
        "[colours]",
        *(f"{name} = {json.dumps(colour)}" for name, colour in colours.items()),
        "",
        "[group]",
        *(f"{name} = {json.dumps(slide)}" for name, slide in groups.items()),
        "",
    ]
    return "\n".join(lines)

"""A generated head put together: which structure each voxel is, and how bright, before scanning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.synthetic_airways import draw_airways
from napari_coseg.datasets.synthetic_cloth import draw_cloths
from napari_coseg.datasets.synthetic_dentition import draw_teeth
from napari_coseg.datasets.synthetic_fields import smooth_volume
from napari_coseg.datasets.synthetic_grid import Field, Grid
from napari_coseg.datasets.synthetic_intensities import Intensities
from napari_coseg.datasets.synthetic_jaws import LowerJaw, UpperJaw
from napari_coseg.datasets.synthetic_neck import draw_skin, draw_spine
from napari_coseg.datasets.synthetic_sites import Mouth, ToothSite
from napari_coseg.datasets.synthetic_skull import MAXILLA_END, NOSE_END, Skull, draw_table

#: Region ids.
UPPER_JAW, LOWER_JAW, PHARYNX = 1, 2, 3

#: Width in mm of the gap between root and bone.
_LIGAMENT = 0.25


@dataclass(frozen=True)
class Head:
    """What is scanned.

    Attributes
    ----------
    image : ndarray of float32, (planes, rows, columns)
        Grey values without any fault of a scanner; edges are soft by partial volume.
    regions, instances : ndarray of uint8
        0 outside of the field of view.
    sites : dict of int to ToothSite
        By instance.
    """

    image: Field
    regions: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.uint8]
    sites: dict[int, ToothSite]


def build_head(
    seed: list[int],
    mouth: Mouth,
    grid: Grid,
    tints: Intensities,
    seen: npt.NDArray[np.bool_] | None = None,
    *,
    whole: bool = False,
) -> Head:
    """Draw everything round the teeth of a mouth.

    Parameters
    ----------
    seed : list of int
        Of the random streams, one for each part.
    mouth : Mouth
    grid : Grid
    tints : Intensities
    seen : ndarray of bool, (rows, columns), optional
        The field of view, outside of which nothing has a label. Everything without it.
    whole : bool
        Whether there is a skull above the jaws, and what the head lies on and is covered with.
    """
    teeth, shapes, texture, above, around = (
        np.random.default_rng([*seed, part]) for part in range(5)
    )
    dentition = draw_teeth(teeth, mouth, grid, tints, seen)
    y, x = grid.maps()
    end, _ = mouth.upper.at(mouth.upper_end)
    airways = draw_airways(shapes, float(end[0]), float(end[1]))
    upper = UpperJaw(shapes, mouth, airways, y, x)
    lower = LowerJaw(shapes, mouth, y, x)
    low = float(lower.bottom.min())
    spine = draw_spine(shapes, airways.choana)
    skin = draw_skin(shapes, airways.floor, low)
    skull = Skull(above, y, x) if whole else None
    table = draw_table(above) if whole else None
    cloths = draw_cloths(around) if whole else ()
    step = grid.spacing
    warp = smooth_volume(texture, grid.shape, 7.0 / step)
    warp *= np.float32(0.55)
    lumps = smooth_volume(texture, grid.shape, 4.5 / step)
    fibres = smooth_volume(texture, grid.shape, max(0.75 / step, 1.0))
    thickness = float(texture.uniform(0.8, 1.25))
    pocket = float(texture.uniform(-1.0, 1.5))
    coarse = float(texture.uniform(0.5, 1.1))
    image = np.empty(grid.shape, np.float32)
    regions = np.zeros(grid.shape, np.uint8)
    half = np.float32(0.5)

    def cover(distance: Field) -> Field:
        """Part of a voxel that lies inside."""
        return np.asarray(np.clip(half - distance / np.float32(step), 0, 1), np.float32)

    def lay(base: Field, value: Field | float, part: Field) -> Field:
        """Put a structure over what is there."""
        return base + part * (np.asarray(value, np.float32) - base)

    for plane in range(grid.shape[0]):
        z = grid.heights(plane, y, x)
        push, clumps, grain = warp[plane], lumps[plane], fibres[plane]
        root, tooth = dentition.roots[plane], dentition.surface[plane]
        top, cavity, conchae = upper.distance(z, push)
        bottom = lower.distance(z, push)
        # Bone lines every socket, where the jaw itself is too thin for the root.
        lining = root - np.float32(0.9)
        middle = np.float32(-0.5 * mouth.gap)
        top = np.where(z > middle, np.minimum(top, lining), top)
        bottom = np.where(z <= middle, np.minimum(bottom, lining), bottom)
        vertebrae = spine.distance(z, y, x) + push
        outline = skin.distance(z, y, x) + np.float32(1.2) * push
        parts = None
        if skull is not None:
            parts = skull.plane(z, push, clumps)
            top = np.maximum(top, np.maximum(z - MAXILLA_END, -parts.orbit))
            cavity = np.maximum(cavity, z - NOSE_END)
            conchae = np.maximum(conchae, z - NOSE_END)
            vertebrae = np.maximum(vertebrae, parts.base + 3.0)
            outline = np.minimum(np.maximum(outline, z - 62.0), parts.head)
        outline = np.minimum(outline, np.minimum(bottom, top) - np.float32(5.0))
        # Folds and tonsils make it wider or narrower from place to place.
        throat = airways.pharynx(z, y, x) + push + np.float32(0.6) * clumps
        throat = np.maximum(throat, np.float32(2.0) - np.minimum(bottom, vertebrae))
        if parts is not None:
            throat = np.maximum(throat, np.float32(2.0) - np.minimum(parts.bone, parts.air))
        soft = _soft_tissue(outline, bottom, lower.s, lower.d, clumps, grain, tints)
        mouth_air = np.minimum(
            airways.oral(z, y, x, upper.d + clumps, upper.roof) + push,
            _pockets(z, upper.d, upper.s, mouth, clumps, pocket),
        )
        mouth_air = np.maximum(mouth_air, outline + np.float32(6.0))
        mouth_air = np.maximum(mouth_air, np.float32(1.6) - np.minimum(top, bottom))
        picture = np.full(z.shape, tints.air, np.float32)
        if table is not None:
            sheet, foam = table.distance(y, x)
            picture = lay(lay(picture, table.foam, cover(foam)), table.sheet, cover(sheet))
        for cloth in cloths:
            picture = lay(picture, cloth.grey, cover(cloth.distance(outline, z, y, x)))
        picture = lay(picture, soft, cover(outline))
        open_air = np.minimum(np.minimum(throat, mouth_air), cavity)
        if parts is not None:
            picture = lay(picture, tints.fat, cover(parts.orbit))
            picture = lay(picture, tints.muscle, cover(parts.eye))
            picture = lay(picture, tints.muscle + np.float32(4.0) * grain, cover(parts.brain))
            open_air = np.minimum(open_air, parts.air)
        picture = lay(picture, tints.air, cover(open_air))
        marrow = tints.trabecular + (tints.cortical - tints.trabecular) * np.float32(coarse) * (
            np.float32(0.2) * grain + np.float32(0.14) * clumps + np.float32(0.1) * push
        )
        marrow = np.maximum(marrow, np.float32(tints.fat))
        picture = lay(picture, tints.trabecular, cover(conchae))
        bones: list[tuple[Field, Field | float]] = [(vertebrae, 1.0)]
        if parts is not None:
            # The lower jaw hangs in a joint.
            bones.append((np.maximum(parts.bone, np.float32(2.0) - bottom), 1.6))
        for bone, shell in (
            *bones,
            (top, _shell(upper.s, z, mouth, thickness, 1.0, 1.0)),
            (bottom, _shell(lower.s, z, mouth, thickness, 1.3, 2.7)),
        ):
            depth = np.asarray(-bone - shell + np.float32(0.25) * clumps, np.float32)
            hard = np.clip(half - depth / np.float32(max(step, 0.7)), 0, 1)
            # Lamina dura: a thin bright line round every root.
            hard = np.maximum(hard, 0.8 * np.clip(1 - np.abs(root - 0.55) / 0.55, 0, 1))
            tone = lay(np.asarray(marrow, np.float32), tints.cortical, hard)
            picture = lay(picture, tone, cover(bone))
        tube = lower.canal(z)
        inside = cover(bottom + np.float32(1.0))
        wall = np.clip(1 - np.abs(tube - 0.4) / 0.8, 0, 1) * np.float32(0.6) * inside
        picture = lay(picture, tints.cortical, wall)
        picture = lay(picture, tints.muscle, cover(tube) * inside)
        picture = lay(picture, tints.muscle, cover(root - np.float32(_LIGAMENT)))
        image[plane] = lay(picture, dentition.values[plane], cover(tooth))
        free = dentition.instances[plane] == 0
        regions[plane][(throat < 0) & (top > 0) & free] = PHARYNX
        regions[plane][(top < 0) & free] = UPPER_JAW
        regions[plane][(bottom < 0) & (bottom < top) & free] = LOWER_JAW
    if seen is not None:
        regions *= seen
    # Only what is scanned and told goes out: surfaces and textures are freed here.
    return Head(image, regions, dentition.instances, dentition.sites)


def _shell(s: Field, z: Field, mouth: Mouth, thickness: float, ridge: float, base: float) -> Field:
    """Thickness of cortical bone in mm: thin on the ridge, thick away from the teeth."""
    away = np.clip((np.abs(z + np.float32(0.5 * mouth.gap)) - 10.0) / 18.0, 0, 1)
    behind = np.clip((np.abs(s) - mouth.lower_end) / 20.0, 0, 1)
    grown = ridge + (base - ridge) * np.maximum(away, 0.5 * behind)
    return np.asarray(grown * np.float32(thickness), np.float32)


def _soft_tissue(
    outline: Field,
    mandible: Field,
    s: Field,
    d: Field,
    clumps: Field,
    grain: Field,
    tints: Intensities,
) -> Field:
    """Skin, fat under it, muscles at the rami and tongue, fat between them."""
    depth = -outline
    fatty = np.clip((depth - 1.5) / 1.0, 0, 1) * np.clip((7.0 + 2.5 * clumps - depth) / 1.5, 0, 1)
    between = np.clip(1.2 * clumps - 0.5, 0, 1)
    ramus = np.clip((14.0 + 2.0 * clumps - mandible) / 2.0, 0, 1) * (np.abs(s) > 45.0)
    tongue = np.clip((-d - 6.0) / 3.0, 0, 1)
    fat = np.maximum(fatty, between) * (1 - 0.95 * np.maximum(ramus, 0.9 * tongue))
    tone = np.float32(tints.muscle) + np.float32(9.0) * clumps + np.float32(6.0) * grain
    return np.asarray(tone + fat * np.float32(tints.fat - tints.muscle), np.float32)


def _pockets(z: Field, d: Field, s: Field, mouth: Mouth, clumps: Field, amount: float) -> Field:
    """Air round the crowns and between the rows, where cheeks, lips and tongue leave some."""
    height = np.abs(z + np.float32(0.5 * mouth.gap)) - np.float32(0.5 * mouth.gap + 6.0)
    across = np.abs(d + np.float32(1.0)) - np.float32(6.0)
    ends = np.abs(s) - np.float32(mouth.upper_end)
    return np.asarray(
        np.maximum(np.maximum(height, across), ends)
        + np.float32(3.0 - 2.0 * amount)
        + 2.2 * clumps,
        np.float32,
    )

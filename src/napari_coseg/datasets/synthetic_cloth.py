"""Cloth round a generated head: covers, pillows and caps, and the air between their folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_coseg.datasets.synthetic_grid import Field

#: mm between two crests of a fold.
_FOLDS = (12.0, 70.0)


@dataclass(frozen=True)
class Cloth:
    """A sheet that follows the skin at a distance, in folds.

    Attributes
    ----------
    away, thickness : float
        mm.
    waves : tuple of tuple of float
        Of each wave its height in mm, turns for each mm along z, y and x, and phase in turns.
    front : float
        y in mm before which there is none: faces are free.
    grey : float
        Hounsfield-like.
    """

    away: float
    thickness: float
    waves: tuple[tuple[float, float, float, float, float], ...]
    front: float
    grey: float

    def distance(self, outline: Field, z: Field, y: Field, x: Field) -> Field:
        """Distance from the sheet in mm, negative inside.

        Parameters
        ----------
        outline : ndarray of float32, (rows, columns)
            Distance from the skin.
        z, y, x : ndarray of float32, (rows, columns)
            Millimetres of the head.
        """
        middle = outline - np.float32(self.away)
        for height, *turns, phase in self.waves:
            along = sum(
                (np.float32(turn) * axis for turn, axis in zip(turns, (z, y, x), strict=True)),
                np.float32(phase),
            )
            middle = middle - np.float32(height) * np.sin(np.float32(2 * np.pi) * along)
        sheet = np.abs(middle) - np.float32(self.thickness / 2)
        return np.asarray(np.maximum(sheet, np.float32(self.front) - y), np.float32)


def draw_cloths(rng: np.random.Generator) -> tuple[Cloth, ...]:
    """Draw what lies round the head; four scans of ten have nothing."""
    if rng.random() < 0.4:
        return ()
    # Of one bed: all end at about the same place of the face.
    front = rng.uniform(-40, 100)
    cloths = []
    for _ in range(int(rng.integers(1, 6))):
        waves = []
        for _ in range(3):
            way = rng.normal(size=3)
            way /= np.linalg.norm(way) * rng.uniform(*_FOLDS)
            waves.append((rng.uniform(0.5, 5.0), *way.tolist(), rng.random()))
        cloths.append(
            Cloth(
                away=float(rng.uniform(2, 35)),
                thickness=float(rng.uniform(0.6, 3.5)),
                waves=tuple(waves),
                front=float(front + rng.uniform(-15, 15)),
                grey=float(rng.uniform(-880, -150)),
            )
        )
    return tuple(cloths)

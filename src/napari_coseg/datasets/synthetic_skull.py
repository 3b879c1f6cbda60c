"""Skull, orbits, brain and table of a generated head: what a scan of the whole head shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.synthetic_grid import Field
from napari_coseg.datasets.synthetic_jaws import profile

_Any = npt.NDArray[np.floating[Any]]

#: z in mm of the upper end of the maxilla, and of the air of the nose.
MAXILLA_END, NOSE_END = 57.0, 61.0


@dataclass(frozen=True)
class SkullPlane:
    """Signed distances of one plane in mm, negative inside.

    Attributes
    ----------
    bone : ndarray of float32, (rows, columns)
        Vault, base, orbits' walls, zygomatic arches, mastoid processes.
    air : ndarray of float32
        Sphenoidal and frontal sinuses, ethmoidal and mastoid cells.
    brain, orbit, eye : ndarray of float32
        What fills the vault, the orbits, and the eyes in them.
    head : ndarray of float32
        Skin over the vault.
    base : ndarray of float32
        How far above the skull's base.
    """

    bone: Field
    air: Field
    brain: Field
    orbit: Field
    eye: Field
    head: Field
    base: Field


class Skull:
    """Bone above and behind the jaws.

    Parameters
    ----------
    rng : numpy.random.Generator
    y, x : ndarray of float32, (rows, columns)
        Millimetres of the head at each pixel, as in `synthetic_arches`.
    """

    def __init__(self, rng: np.random.Generator, y: Field, x: Field) -> None:
        self.y, self.x, self.side = y, x, np.abs(x)
        self.middle = (float(rng.uniform(78, 86)), float(rng.uniform(82, 90)))
        self.half = (
            float(rng.uniform(62, 72)),
            float(rng.uniform(84, 94)),
            float(rng.uniform(66, 74)),
        )
        self.thick = float(rng.uniform(4.0, 8.0))
        self.scalp = float(rng.uniform(4.0, 8.0))
        self.orbits = (
            float(rng.uniform(66, 71)),
            float(rng.uniform(16, 22)),
            float(rng.uniform(30, 34)),
        )
        self.cells = float(rng.uniform(0.2, 0.9))
        self.sphenoid = float(rng.uniform(5.0, 9.0))
        self.frontal = float(rng.uniform(-2.0, 7.0))
        self.base = self._base()

    def _base(self) -> Field:
        """Height of the floor of the vault: lower at the sides, and lower behind."""
        middle = profile(
            self.y,
            (-20.0, 20.0, 45.0, 58.0, 68.0, 82.0, 100.0, 125.0, 155.0),
            (80.0, 74.0, 70.0, 60.0, 53.0, 37.0, 31.0, 24.0, 38.0),
        )
        lateral = profile(
            self.y,
            (-20.0, 20.0, 38.0, 48.0, 62.0, 78.0, 90.0, 105.0, 125.0, 155.0),
            (86.0, 86.0, 78.0, 54.0, 47.0, 46.0, 42.0, 32.0, 26.0, 40.0),
        )
        share = np.clip((self.side - 12.0) / 16.0, 0, 1)
        return np.asarray(middle + share * (lateral - middle), np.float32)

    def plane(self, z: Field, warp: Field, clumps: Field) -> SkullPlane:
        """Return all of a plane.

        Parameters
        ----------
        z, warp, clumps : ndarray of float32, (rows, columns)
            Height in mm; mm by which surfaces are pushed out of their smooth shape; a texture of
            about 4 mm, of unit variance.
        """
        vault = self._ellipsoid(z) + warp
        up = np.asarray((z - self.base) * np.float32(0.8) + np.float32(1.5) * clumps, np.float32)
        brain = np.maximum(vault + np.float32(self.thick), np.float32(4.5) - up)
        # The spinal cord leaves through the great foramen.
        hole = np.hypot(self.x / 15.0, (self.y - 101.0) / 17.0) - 1
        hole = np.asarray(np.maximum(hole * np.float32(15.0), up - np.float32(8.0)), np.float32)
        shell = np.maximum(np.maximum(vault, -up), np.maximum(-brain, -hole))
        orbit, eye = self._orbit(z)
        # Open in front.
        front = np.float32(self.orbits[1] - 12.0) - self.y
        walls = np.maximum(np.maximum(orbit - 2.6, -orbit), np.maximum(self.y - 62.0, front))
        air, body = self._sinuses(z)
        mastoid = _ball((z - 20.0) / 19.0, (self.y - 98.0) / 13.0, (self.side - 53.0) / 9.5) * 9.5
        petrous = self._bar(z, (27.0, 99.0, 56.0), (40.0, 74.0, 12.0), 8.0)
        arch = self._bar(z, (38.0, 52.0, 60.0), (36.0, 86.0, 66.0), 3.4)
        bone = np.minimum(np.minimum(shell, walls), body)
        bone = np.minimum(np.minimum(bone, np.minimum(mastoid, petrous)), arch)
        bone = np.maximum(bone + np.float32(0.4) * warp, -orbit)
        honeycomb = np.maximum(mastoid + 2.5, np.float32(1.0 - self.cells) - clumps)
        air = np.minimum(air, honeycomb)
        return SkullPlane(
            bone=np.asarray(np.maximum(bone, -air), np.float32),
            air=np.asarray(air, np.float32),
            brain=np.asarray(brain, np.float32),
            orbit=orbit,
            eye=eye,
            head=np.asarray(vault - np.float32(self.scalp), np.float32),
            base=up,
        )

    def _ellipsoid(self, z: Field) -> Field:
        half_z, half_y, half_x = self.half
        norm = _ball(
            (z - self.middle[0]) / half_z, (self.y - self.middle[1]) / half_y, self.x / half_x
        )
        return np.asarray(norm * np.float32(min(self.half)), np.float32)

    def _orbit(self, z: Field) -> tuple[Field, Field]:
        """Distance from an orbit, which narrows backwards, and from its eye."""
        middle_z, middle_y, middle_x = self.orbits
        back = self.y - np.float32(middle_y)
        narrow = np.clip(1 - back / 46.0, 0.2, 1.1)
        across = self.side - (np.float32(middle_x) - np.float32(0.38) * np.clip(back, 0, 46))
        cone = np.hypot((z - np.float32(middle_z)) / (17.0 * narrow), across / (18.5 * narrow)) - 1
        orbit = np.maximum(cone * np.float32(12.0), np.maximum(back - 44.0, -14.0 - back))
        eye = _ball(
            (z - np.float32(middle_z)) / 12.0,
            (self.y - np.float32(middle_y - 3.0)) / 12.0,
            (self.side - np.float32(middle_x)) / 12.0,
        )
        return np.asarray(orbit, np.float32), np.asarray(eye * np.float32(12.0), np.float32)

    def _sinuses(self, z: Field) -> tuple[Field, Field]:
        """Distance from the air of sphenoid, ethmoid and frontal bone; and from their bone."""
        size = np.float32(self.sphenoid)
        sphenoid = _ball((z - 55.0) / size, (self.y - 62.0) / (size + 4), self.x / (size + 3)) * (
            size
        )
        ethmoid = np.maximum(np.abs(z - 63.0) - 9.0, np.abs(self.y - 32.0) - 19.0)
        ethmoid = np.maximum(ethmoid, self.side - 12.0 - 0.05 * self.y)
        lattice = np.minimum(
            np.abs(np.mod(self.y, 8.5) - 4.2), np.abs(np.mod(self.side + 3.0, 7.0) - 3.5)
        )
        cells = np.maximum(ethmoid + 0.8, np.float32(0.9) - lattice)
        frontal = _ball((z - 88.0) / 14.0, (self.y - 1.0) / 6.0, (self.side - 11.0) / 10.0) * 6.0
        frontal = frontal + np.float32(6.0 - self.frontal)
        bone = np.minimum(np.minimum(sphenoid - 2.5, ethmoid), frontal - 2.5)
        # The septum between both halves.
        split = np.float32(0.7) - self.side
        air = np.maximum(np.minimum(np.minimum(sphenoid, frontal), cells), split)
        return np.asarray(air, np.float32), np.asarray(bone, np.float32)

    def _bar(
        self,
        z: Field,
        first: tuple[float, float, float],
        last: tuple[float, float, float],
        radius: float,
    ) -> Field:
        """Distance from a bar on either side between two points (z, y, x)."""
        start, span = np.array(first), np.array(last) - np.array(first)
        parts = (z - start[0], self.y - start[1], self.side - start[2])
        along = sum(part * np.float32(n) for part, n in zip(parts, span, strict=True))
        t = np.clip(np.asarray(along) / np.float32(span @ span), 0, 1)
        away = [part - t * np.float32(n) for part, n in zip(parts, span, strict=True)]
        return np.asarray(
            np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) - np.float32(radius), np.float32
        )


@dataclass(frozen=True)
class Table:
    """What the head lies on: a bent sheet with foam in it.

    Attributes
    ----------
    back : float
        y of its lowest point in mm.
    radius, thickness, width : float
        mm; `width` is half of it.
    sheet, foam : float
        Grey values in Hounsfield-like units.
    """

    back: float
    radius: float
    thickness: float
    width: float
    sheet: float
    foam: float

    def distance(self, y: Field, x: Field) -> tuple[Field, Field]:
        """Distance from its sheets, and from the foam between them."""
        away = np.hypot(y - np.float32(self.back - self.radius), x) - np.float32(self.radius)
        away = np.where(y < self.back - self.radius, np.float32(self.radius), away)
        ends = np.abs(x) - np.float32(self.width)
        whole = np.maximum(np.abs(away - self.thickness / 2) - self.thickness / 2, ends)
        foam = np.maximum(whole + np.float32(1.6), ends)
        return (
            np.asarray(np.maximum(whole, -foam), np.float32),
            np.asarray(foam, np.float32),
        )


def draw_table(rng: np.random.Generator) -> Table | None:
    """Draw a table behind the head; half of the scans have none."""
    there = rng.random() < 0.5
    table = Table(
        back=float(rng.uniform(150, 175)),
        radius=float(rng.uniform(90, 160)),
        thickness=float(rng.uniform(5, 30)),
        width=float(rng.uniform(60, 140)),
        sheet=float(rng.uniform(-400, 900)),
        foam=float(rng.uniform(-980, -800)),
    )
    return table if there else None


def _ball(z: _Any, y: _Any, x: _Any) -> Field:
    return np.asarray(np.sqrt(z * z + y * y + x * x) - np.float32(1), np.float32)

"""Air of a generated head: nose, sinuses, mouth and pharynx, as signed distances by plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from napari_coseg.datasets.synthetic_grid import Field


@dataclass(frozen=True)
class Airways:
    """Measures of the cavities in mm; z from the occlusal plane.

    Attributes
    ----------
    floor : float
        z of the floor of the nose.
    choana : float
        y of the end of the hard palate.
    nose : float
        Half width of the nasal cavity.
    sinus : tuple of float
        Half height, half depth and half width of a maxillary sinus.
    sinus_middle : tuple of float
        z, y and x of its middle (of the left one).
    mucosa : tuple of float
        mm of swollen lining in the right and in the left sinus.
    deviation : float
        mm by which the septum leaves the middle.
    heights, middles, depths, widths : tuple of float
        Pharynx: y of its middle, half depth and half width at some z.
    tongue : float
        mm between the roof of the mouth and the tongue.
    """

    floor: float
    choana: float
    nose: float
    sinus: tuple[float, float, float]
    sinus_middle: tuple[float, float, float]
    mucosa: tuple[float, float]
    deviation: float
    heights: tuple[float, ...]
    middles: tuple[float, ...]
    depths: tuple[float, ...]
    widths: tuple[float, ...]
    tongue: float

    def nasal(self, z: Field, y: Field, x: Field) -> Field:
        """Distance from the bony nasal cavity."""
        up = np.clip((z - np.float32(self.floor)) / np.float32(38.0), 0, 1)
        half = np.float32(self.nose) * (1 - np.float32(0.62) * up * up)
        # Narrow at the nostrils and at the choanae, wide between.
        half = half * (1 - np.float32(0.3) * (np.clip(np.abs(y - 26.0), 6, 40) - 6.0) / 24.0)
        front = np.float32(3.0) + np.float32(5.0) * up - y
        sides = np.maximum(np.abs(x) - half, front)
        sides = np.maximum(sides, y - np.float32(self.choana + 1.0))
        return np.asarray(
            np.maximum(sides, np.float32(self.floor) - z + np.float32(0.04) * x * x), np.float32
        )

    def nasal_air(self, nasal: Field, z: Field, y: Field, x: Field) -> tuple[Field, Field]:
        """Distance from the air of the nose, nostrils included; and from the bone in it."""
        up = z - np.float32(self.floor)
        bent = np.float32(self.deviation) * np.sin(y * 0.09) * np.sin(np.clip(up, 0, 40) * 0.08)
        septum = np.abs(x - bent) - np.float32(1.9)
        side = np.abs(x)
        half = np.float32(self.nose)
        # Two conchae hang from each side wall, thicker towards their lower edges.
        fade = np.clip((y - 11.0) / 6.0, 0.1, 1) * np.clip((self.choana - 2 - y) / 6.0, 0.1, 1)
        lower = np.hypot((side - (half - 4.2)) / 3.6, (up - 8.5) / 6.2)
        upper = np.hypot((side - 0.48 * half) / 2.7, (up - 23.0) / 6.5)
        conchae = (np.minimum(lower, upper) - fade) * np.float32(3.0)
        air = np.maximum(nasal + np.float32(1.3), -np.minimum(septum, conchae))
        nostril = np.hypot((side - 6.0) / 3.6, (up - 3.0 + 0.25 * (y + 6.0)) / 5.0) - 1
        nostril = np.maximum(nostril * np.float32(3.6), np.maximum(y - 8.0, -16.0 - y))
        bone = np.maximum(np.minimum(np.abs(x - bent) - 0.45, (lower - 0.16) * 3.6), nasal + 1.5)
        return np.minimum(air, nostril).astype(np.float32), np.asarray(bone, np.float32)

    def sinuses(self, z: Field, y: Field, x: Field) -> tuple[Field, Field]:
        """Distance from the bony wall of the maxillary sinuses, and from the air in them."""
        half_z, half_y, half_x = (np.float32(v) for v in self.sinus)
        middle_z, middle_y, middle_x = self.sinus_middle
        up = (z - np.float32(middle_z)) / half_z
        # A pyramid with rounded edges: narrow in front, wide behind.
        back = (y - np.float32(middle_y)) / half_y
        across = (np.abs(x) - np.float32(middle_x) - np.float32(1.6) * back) / (
            half_x * (1 + np.float32(0.18) * back)
        )
        norm = (np.abs(up) ** 3 + np.abs(back) ** 2.6 + np.abs(across) ** 2.6) ** np.float32(0.36)
        bony = (norm - 1) * np.float32(min(self.sinus))
        swollen = np.where(x < 0, np.float32(self.mucosa[0]), np.float32(self.mucosa[1]))
        level = np.float32(middle_z) - half_z + swollen - z
        return bony, np.maximum(bony + np.float32(0.5) + np.float32(0.1) * swollen, level)

    def pharynx(self, z: Field, y: Field, x: Field) -> Field:
        """Distance from the air behind nose and tongue."""
        fine = np.linspace(self.heights[0], self.heights[-1], 128)
        middle, depth, width = (
            np.interp(z, fine, PchipInterpolator(self.heights, values)(fine))
            for values in (self.middles, self.depths, self.widths)
        )
        # Hollow in front of the spine, which pushes into the middle of the back wall.
        bulge = np.float32(0.22) * depth * np.exp(-((x / (0.6 * width)) ** 2))
        norm = ((np.abs(y + bulge - middle) / depth) ** 2.4 + (np.abs(x) / width) ** 2.4) ** (
            1 / 2.4
        )
        air = (norm - 1) * np.minimum(depth, width)
        ends = np.maximum(z - np.float32(self.heights[-1]), np.float32(self.heights[0]) - z)
        return np.asarray(np.maximum(air, np.maximum(ends, self.choana + 1.0 - y)), np.float32)

    def oral(self, z: Field, y: Field, x: Field, across: Field, roof: Field) -> Field:
        """Distance from the air between tongue and palate.

        Parameters
        ----------
        z, y, x, across : ndarray of float32
            mm; `across` is the distance outwards from the upper arch.
        roof : ndarray of float32
            z of the bony roof of the mouth.
        """
        gap = np.float32(self.tongue)
        top = roof - np.float32(2.2)
        # The tongue is a dome: highest in the middle, and touching the palate behind.
        reach = np.clip((y - 2.0) / 10.0, 0, 1) * np.clip((self.choana + 8 - y) / 14, 0, 1)
        bottom = np.float32(self.floor - 5.5) - gap * reach
        bottom = bottom - np.float32(0.012) * (x * x + np.float32(0.6) * (y - 28.0) ** 2)
        inside = np.maximum(across + np.float32(6.5), y - np.float32(self.choana + 6.0))
        return np.asarray(np.maximum(np.maximum(z - top, bottom - z), inside), np.float32)


def draw_airways(rng: np.random.Generator, arch_depth: float, half_width: float) -> Airways:
    """Draw cavities that fit an upper arch.

    Parameters
    ----------
    rng : numpy.random.Generator
    arch_depth : float
        y of the end of the second molars in mm.
    half_width : float
        x of their ends in mm.
    """
    floor = float(rng.uniform(22.5, 27.0))
    choana = arch_depth + float(rng.uniform(3.0, 8.0))
    nose = float(rng.uniform(11.5, 14.5))
    high = float(rng.uniform(13.0, 18.0))
    wide = float(rng.uniform(8.5, 11.5))
    swollen = [0.0 if rng.random() < 0.5 else float(rng.exponential(4.0)) for _ in range(2)]
    behind = choana + float(rng.uniform(11.0, 15.0))
    heights = (
        -70.0,
        -42.0,
        -26.0,
        -10.0,
        4.0,
        floor - 4.0,
        floor + 6.0,
        floor + 17.0,
        floor + 24.0,
    )
    base = np.array(
        [
            behind + 1,
            behind + 1,
            behind,
            behind,
            behind + 1,
            behind + 1,
            behind - 1,
            behind - 2,
            behind - 2,
        ]
    )
    depths = np.array([5.0, 5.5, 4.5, 5.0, 4.5, 5.0, 8.5, 8.0, 3.0]) * rng.uniform(0.65, 1.3, 9)
    widths = np.array([9.0, 17.0, 16.0, 15.0, 13.0, 13.0, 12.0, 11.0, 7.0]) * rng.uniform(
        0.75, 1.2, 9
    )
    return Airways(
        floor=floor,
        choana=choana,
        nose=nose,
        sinus=(high, float(rng.uniform(13.5, 17.0)), wide),
        sinus_middle=(
            floor + high - float(rng.uniform(0.0, 5.0)),
            arch_depth - float(rng.uniform(6.0, 11.0)),
            max(nose + wide + 0.5, half_width - 5.0 + float(rng.uniform(-1.0, 1.5))),
        ),
        mucosa=(swollen[0], swollen[1]),
        deviation=float(rng.normal(0.0, 2.5)),
        heights=heights,
        middles=tuple(float(v) for v in base + rng.normal(0, 0.8, 9)),
        depths=tuple(float(v) for v in depths),
        widths=tuple(float(v) for v in widths),
        tongue=float(rng.choice([rng.uniform(-3.0, 2.0), rng.uniform(2.0, 10.0)])),
    )

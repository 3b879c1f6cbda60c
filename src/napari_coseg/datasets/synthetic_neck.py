"""Cervical spine and skin of a generated head: what lies round the jaws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_coseg.datasets.synthetic_grid import Field
from napari_coseg.datasets.synthetic_jaws import profile


@dataclass(frozen=True)
class Spine:
    """A row of vertebrae behind the pharynx.

    Attributes
    ----------
    front : float
        y in mm of the middle of the bodies at the occlusal plane.
    lean : float
        mm backwards for each mm upwards.
    period : float
        Height of a vertebra with its disc in mm.
    phase : float
        Where the row begins, in periods.
    size : float
        1 for an average adult.
    """

    front: float
    lean: float
    period: float
    phase: float
    size: float

    def distance(self, z: Field, y: Field, x: Field) -> Field:
        """Distance from bone; 30 mm stand for what is far in front of it."""
        reached = np.flatnonzero((y > self.front - 25.0).any(axis=1))
        bone = np.full(y.shape, 30.0, np.float32)
        if reached.size:
            rows = slice(int(reached[0]), None)
            bone[rows] = self._near(z[rows], y[rows], x[rows])
        return bone

    def _near(self, z: Field, y: Field, x: Field) -> Field:
        back = (y - np.float32(self.front) - np.float32(self.lean) * z) / np.float32(self.size)
        side = np.abs(x) / np.float32(self.size)
        level = np.mod(z / np.float32(self.period) + np.float32(self.phase), 1.0)
        # 0 in the middle of a vertebra, 0.5 in the disc.
        off = np.abs(level - np.float32(0.5))
        body = np.hypot(side / 10.0, back / 7.2) ** 1.15 - 1
        body = np.maximum(body * 7.5, (off - 0.4) * np.float32(self.period))
        canal = np.hypot(side / 10.5, (back - 15.0) / 7.2)
        lamina = np.maximum(canal / 1.32 - 1, 1 - canal) * 8.0
        lamina = np.maximum(lamina, (np.abs(level - 0.38) - 0.3) * np.float32(self.period))
        mass = np.hypot((side - 13.5) / 6.2, (back - 6.5) / 6.0) - 1
        mass = np.maximum(mass * 6.0, 2.6 - np.hypot(side - 13.0, back - 1.5))
        mass = np.maximum(mass, (off - 0.44) * np.float32(self.period))
        spine = np.maximum(side - 2.2, np.maximum(24.0 - back, back - 36.0))
        spine = np.maximum(spine, (np.abs(level - 0.3) - 0.22) * np.float32(self.period))
        bone = np.minimum(np.minimum(body, lamina), np.minimum(mass, spine))
        return np.asarray(
            np.maximum(bone, 1 - canal).astype(np.float32) * np.float32(self.size), np.float32
        )


@dataclass(frozen=True)
class Skin:
    """Outline of face and neck.

    Attributes
    ----------
    lips, cheeks, chin, nose : float
        mm of soft tissue in front of the teeth, width of the head, and how far chin and nose
        stand out.
    floor : float
        z of the nose's lower edge.
    jaw : float
        z of the chin's lower edge.
    """

    lips: float
    cheeks: float
    chin: float
    nose: float
    floor: float
    jaw: float

    def distance(self, z: Field, y: Field, x: Field) -> Field:
        """Distance from the skin, negative inside."""
        heights = (
            self.jaw - 24,
            self.jaw - 6,
            self.jaw + 4,
            -12.0,
            0.0,
            14.0,
            self.floor + 8,
            60.0,
        )
        front = profile(
            z,
            heights,
            (40.0, 26.0, -2.0, -self.lips + 3, -self.lips, -self.lips + 1, -self.lips + 2, -6.0),
        )
        wide = profile(
            z,
            heights,
            tuple(self.cheeks * k for k in (0.84, 0.9, 0.95, 1.0, 1.0, 1.02, 1.05, 1.08)),
        )
        depth = np.float32(78.0) - front
        back = (y - 78.0) / np.where(y < 78.0, depth, np.float32(70.0))
        norm = (np.abs(back) ** 2.25 + (np.abs(x) / wide) ** 2.25) ** np.float32(1 / 2.25)
        skin = (norm - 1) * np.float32(0.8 * self.cheeks)
        up = (z - np.float32(self.floor + 8)) / 17.0
        reach = np.clip(1 - up, 0, 1) * np.float32(self.nose)
        nose = np.hypot(x / (9.0 + 0.25 * reach), (y + 2.0) / (10.0 + reach)) - 1
        nose = np.maximum(nose * 9.0, np.maximum(np.float32(self.floor - 5) - z, y - 12.0))
        chin = np.sqrt(
            (x / 16.0) ** 2 + ((y - 8.0) / 13.0) ** 2 + ((z - self.jaw - 10.0) / 12.0) ** 2
        )
        chin = (chin - 1) * 12.0 - np.float32(self.chin)
        return np.asarray(np.minimum(skin, np.minimum(nose, chin)), np.float32)


def draw_spine(rng: np.random.Generator, choana: float) -> Spine:
    """Draw a spine that leaves room for the pharynx behind a hard palate of that end."""
    size = float(rng.uniform(0.9, 1.1))
    return Spine(
        front=choana + 24.0 + 7.0 * size + float(rng.uniform(0.0, 3.0)),
        lean=float(rng.uniform(-0.05, 0.22)),
        period=float(rng.uniform(16.0, 19.5)),
        phase=float(rng.random()),
        size=size,
    )


def draw_skin(rng: np.random.Generator, floor: float, chin: float) -> Skin:
    """Draw a face for a nasal floor and a lower edge of the mandible at these z."""
    return Skin(
        lips=float(rng.uniform(13.0, 18.0)),
        cheeks=float(rng.uniform(60.0, 73.0)),
        chin=float(rng.uniform(0.0, 3.0)),
        nose=float(rng.uniform(10.0, 17.0)),
        floor=floor,
        jaw=chin - 7.0,
    )

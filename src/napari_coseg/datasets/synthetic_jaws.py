"""Upper and lower jaw of a generated head as signed distances, plane by plane."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from napari_coseg.datasets.synthetic_airways import Airways
from napari_coseg.datasets.synthetic_arches import Arch
from napari_coseg.datasets.synthetic_dentition import CREST, FAR
from napari_coseg.datasets.synthetic_grid import Field
from napari_coseg.datasets.synthetic_sites import Mouth, ToothSite


def profile(s: Field, places: tuple[float, ...], values: tuple[float, ...]) -> Field:
    """Values along an arch, smooth between places and constant outside of them."""
    fine = np.linspace(places[0], places[-1], 256)
    return np.asarray(np.interp(s, fine, PchipInterpolator(places, values)(fine)), np.float32)


def rounded_box(across: Field, along: Field, radius: float) -> Field:
    """Distance from a box with rounded edges, from the distances across and along."""
    r = np.float32(radius)
    a, b = np.asarray(across + r), np.asarray(along + r)
    outside = np.hypot(np.maximum(a, 0), np.maximum(b, 0))
    return np.asarray(outside + np.minimum(np.maximum(a, b), 0) - r, np.float32)


def _ridge(arch: Arch, sites: list[ToothSite]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along an arch: place, z of the bone's edge, and how far a gap has narrowed it (0 to 1)."""
    places = arch.along[::4]
    upright = sorted((site for site in sites if not site.impacted), key=lambda one: one.s)
    s = [site.s for site in upright]
    up = 1.0 if upright[0].upper else -1.0
    edge = [site.neck[0] + up * (CREST + (0.0 if site.present else 1.5)) for site in upright]
    lost = [0.0 if site.present else 1.0 for site in upright]
    return (
        places,
        gaussian_filter1d(np.interp(places, s, edge), 2.0),
        gaussian_filter1d(np.interp(places, s, lost), 2.0),
    )


def _steepness(height: Field, s: Field) -> Field:
    """How much longer an upright distance is than the shortest one to a slope."""
    slope = np.hypot(*np.gradient(height)) / np.maximum(np.hypot(*np.gradient(s)), 1e-3)
    return np.asarray(np.sqrt(1 + np.clip(slope, 0, 4) ** 2), np.float32)


class UpperJaw:
    """Maxilla with palate, nasal and sinus walls, zygomatic processes and pterygoid plates.

    Parameters
    ----------
    rng : numpy.random.Generator
    mouth : Mouth
    airways : Airways
    y, x : ndarray of float32, (rows, columns)
        Millimetres of the head at each pixel.
    """

    def __init__(
        self, rng: np.random.Generator, mouth: Mouth, airways: Airways, y: Field, x: Field
    ) -> None:
        self.airways, self.y, self.x = airways, y, x
        self.s, self.d = mouth.upper.coordinates(y, x)
        places, edge, lost = _ridge(mouth.upper, [t for t in mouth.sites if t.upper])
        end = mouth.upper_end
        self.end = end + float(rng.uniform(6.0, 11.0))
        self.crest = np.interp(self.s, places, edge).astype(np.float32)
        far = np.abs(self.s)
        narrow = np.interp(self.s, places, lost).astype(np.float32)
        self.lowest = float(self.crest.min()) - 6.0
        self.half = profile(far, (0.0, 18.0, 32.0, end), (3.7, 4.3, 5.4, 6.8)) - 0.8 * narrow
        self.lean = profile(far, (0.0, 12.0, 22.0, 35.0, end), (0.3, 0.27, 0.14, 0.04, 0.02))
        self.inset = profile(far, (0.0, 20.0, end), (1.0, 0.4, 0.2))
        vault = airways.floor - float(rng.uniform(2.0, 4.5))
        inwards = np.clip((-self.d - np.float32(3.0)) / float(rng.uniform(9.0, 14.0)), 0, 1)
        low = np.minimum(self.crest, np.float32(vault))
        self.roof = low + (np.float32(vault) - low) * (inwards * inwards * (3 - 2 * inwards))
        self.palate_end = np.float32(airways.choana - 1.5) - np.float32(0.012) * x * x
        self.cheekbone = float(rng.uniform(22.0, 30.0))

    def distance(self, z: Field, warp: Field) -> tuple[Field, Field, Field]:
        """Distance from bone, from the air in nose and sinuses, and from the bone of the conchae.

        Parameters
        ----------
        z, warp : ndarray of float32, (rows, columns)
            Height in mm, and mm by which surfaces are pushed out of their smooth shape.
        """
        y, x, air = self.y, self.x, self.airways
        if z.max() < self.lowest:
            far = np.full(z.shape, FAR, np.float32)
            return far, far, far
        nasal = air.nasal(z, y, x) + np.float32(0.5) * warp
        sinus, lined = air.sinuses(z, y, x)
        sinus, lined = sinus + warp, lined + warp
        height = z - self.crest
        # The face of the bone recedes above the roots (canine fossa).
        hollow = np.float32(0.22) * np.clip(height - 8, 0, 14)
        middle = -self.inset - self.lean * np.clip(height, 0, 16) - hollow
        half = self.half + np.float32(0.1) * np.clip(height, 0, 12) - hollow
        side = np.abs(self.d - middle) - half + np.float32(0.5) * warp
        plan = rounded_box(side, np.abs(self.s) - np.float32(self.end), 5.5)
        bone = rounded_box(plan, np.maximum(-height, z - np.float32(air.floor + 3.0)), 2.6)
        palate = np.maximum(self.roof - z, z - np.float32(air.floor + 1.5))
        palate = np.maximum(np.maximum(palate, self.d + 1.0), y - self.palate_end)
        bone = np.minimum(bone, palate)
        for wall in (
            np.maximum(sinus - np.float32(1.0), np.float32(air.floor - 9.0) - z),
            np.maximum(nasal - np.float32(0.9), np.maximum(4.0 - y, y - self.palate_end)),
            self._pillar(z) + 0.6 * warp,
            self._cheek(z) + warp,
            self._plates(z) + warp,
        ):
            bone = np.minimum(bone, wall)
        open_air = np.minimum(nasal, sinus)
        nose, conchae = air.nasal_air(nasal, z, y, x)
        lined = np.maximum(lined, sinus + np.float32(0.3))
        return np.maximum(bone, -open_air), np.minimum(nose, lined), conchae

    def _pillar(self, z: Field) -> Field:
        """Frontal process beside the nose."""
        up = np.clip((z - np.float32(self.airways.floor)) / 35.0, -0.2, 1.2)
        middle = np.float32(self.airways.nose + 2.5) - np.float32(7.0) * up
        oval = np.hypot((np.abs(self.x) - middle) / 3.2, (self.y - 8.0 - 6.0 * up) / 6.5) - 1
        return np.asarray(
            np.maximum(oval * np.float32(3.2), np.float32(self.airways.floor) - z), np.float32
        )

    def _cheek(self, z: Field) -> Field:
        """Zygomatic process: out from above the first molar, backwards and up, then the body."""
        first = np.array([self.cheekbone, 30.0, 27.0])
        last = np.array([self.cheekbone + 9.0, 42.0, 50.0])
        span = last - first
        z0, y0, x0 = z - first[0], self.y - first[1], np.abs(self.x) - first[2]
        t = np.clip((z0 * span[0] + y0 * span[1] + x0 * span[2]) / (span @ span), 0, 1)
        t = t.astype(np.float32)
        dz, dy, dx = (p - t * np.float32(n) for p, n in zip((z0, y0, x0), span, strict=True))
        # Flat: taller than it is thick.
        return np.asarray(np.sqrt((0.6 * dz) ** 2 + dy**2 + dx**2) - (5.2 - 1.2 * t), np.float32)

    def _plates(self, z: Field) -> Field:
        """Pterygoid plates: two sheets behind each tuberosity, parting backwards."""
        back = self.y - np.float32(self.airways.choana - 2.0)
        side = np.abs(self.x)
        low = np.float32(self.airways.floor - 10.0)
        length = np.float32(6.0) + np.float32(0.25) * np.clip(z - low, 0, 20)
        outer = np.abs(side - 15.5 - 0.75 * back + 0.03 * back * back) - 0.9
        inner = np.abs(side - 14.0 + 0.12 * back - 0.012 * back * back) - 0.8
        sheet = np.maximum(np.minimum(outer, inner), np.maximum(-1.0 - back, back - length))
        return np.asarray(np.maximum(sheet, low - z), np.float32)


class LowerJaw:
    """Mandible: alveolar process, body, chin, rami with both processes, and the canal.

    Parameters are those of `UpperJaw`.
    """

    def __init__(self, rng: np.random.Generator, mouth: Mouth, y: Field, x: Field) -> None:
        self.y, self.x = y, x
        self.s, self.d = mouth.lower.coordinates(y, x)
        places, edge, lost = _ridge(mouth.lower, [t for t in mouth.sites if not t.upper])
        far = np.abs(self.s)
        end = mouth.lower_end
        ramus = end + float(rng.uniform(9.0, 13.0))
        crest = np.interp(self.s, places, edge).astype(np.float32)
        narrow = np.interp(self.s, places, lost).astype(np.float32)
        low = float(np.interp(0.0, places, edge)) - float(rng.uniform(27.0, 33.0))
        coronoid = -mouth.gap + float(rng.uniform(24.0, 32.0))
        rise = profile(
            far,
            (0.0, ramus - 4, ramus, ramus + 5, ramus + 12, ramus + 20, ramus + 29, ramus + 40),
            (0.0, 0.0, 0.1, 0.55, 1.0, 0.72, 1.05, 1.05),
        )
        self.top = crest + rise * (np.float32(coronoid) - crest)
        self.bottom = np.float32(low) + profile(
            far,
            (0.0, 12.0, 26.0, ramus - 4, ramus + 14, ramus + 26, ramus + 40),
            (0.0, 0.6, 3.0, 8.0, 12.0, 25.0, 48.0),
        )
        self.climb = _steepness(self.top, self.s)
        self.end = ramus + float(rng.uniform(32.0, 37.0))
        self.upper_half = (
            profile(far, (0.0, 15.0, 30.0, end, ramus + 6), (3.3, 3.9, 5.2, 6.6, 3.4))
            - 0.7 * narrow
        )
        self.lower_half = profile(far, (0.0, 12.0, 30.0, end, ramus + 6), (6.6, 6.0, 5.6, 6.2, 3.4))
        self.condyle = np.exp(-(((far - (ramus + 30.0)) / 6.0) ** 2)).astype(np.float32)
        self.out_low = profile(
            far, (0.0, 10.0, 20.0, 30.0, end, ramus + 10), (2.6, 2.6, 2.2, 3.0, 5.6, 2.5)
        )
        self.out_high = profile(far, (0.0, 20.0, end, ramus + 8), (-1.2, -0.4, 0.3, 1.2))
        self.waist = profile(far, (0.0, 10.0, 20.0), (1.6, 1.0, 0.0))
        self.foramen, self.mental = ramus + 14.0, 27.0
        canal = profile(
            far,
            (0.0, self.mental, 38.0, end, ramus + 4, self.foramen),
            (11.0, 11.0, 8.0, 8.5, 13.0, 26.0),
        )
        self.canal_z = np.float32(low + 1.5) + canal
        self.canal_d = profile(far, (self.mental, 36.0, end, self.foramen), (3.8, 1.8, 1.2, 1.0))
        self.steep = _steepness(canal, self.s)

    def distance(self, z: Field, warp: Field) -> Field:
        """Distance from bone; arguments as for `UpperJaw.distance`."""
        t = np.clip((self.top - z) / np.maximum(self.top - self.bottom, 1.0), 0, 1)
        share = t * t * (3 - 2 * t)
        half = self.upper_half + share * (self.lower_half - self.upper_half)
        half = half + 3.6 * self.condyle * np.clip(1 - 4 * t, 0, 1)
        middle = self.out_high + share * (self.out_low - self.out_high)
        middle = middle - self.waist * np.sin(np.pi * t)
        side = np.abs(self.d - middle) - half + np.float32(0.5) * warp
        back = np.abs(self.s) - np.float32(self.end)
        ends = np.maximum(np.maximum((z - self.top) / self.climb, self.bottom - z), back)
        return rounded_box(side, ends + np.float32(0.4) * warp, 3.3)

    def canal(self, z: Field) -> Field:
        """Distance from the mandibular canal."""
        up = (z - self.canal_z) / self.steep
        tube = np.hypot(up, self.d - self.canal_d) - np.float32(1.25)
        far = np.abs(self.s)
        return np.asarray(
            np.maximum(tube, np.maximum(self.mental - far, far - self.foramen)), np.float32
        )

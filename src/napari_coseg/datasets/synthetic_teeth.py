"""Shape of a single tooth as signed distances in its own millimetres.

Coordinates of a tooth: u away from the midline along the arch, v outwards, w from root to crown,
0 at the middle of the cemento-enamel junction. Distances are near enough to true ones close to
a surface; far from it they only have the right sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from napari_coseg.datasets.synthetic_sites import Measures, ToothSite

Box = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Root:
    """One root: where it begins and ends in u and v, its half widths, length and bend in mm."""

    start: tuple[float, float]
    end: tuple[float, float]
    half: tuple[float, float]
    length: float
    bend: float


@dataclass(frozen=True)
class ToothShape:
    """What the voxels of a tooth's box are asked.

    Attributes
    ----------
    kind : str
    size : Measures
    roots : tuple of Root
    trunk : float
        mm below the neck at which roots part; 0 for a single root.
    cusps : ndarray of float, (n, 2)
        Places of the cusps in u and v.
    relief : float
        mm between cusps and fissures.
    pulp : float
        Width of pulp and canals, 1 for a young adult.
    enamel : float
        Its largest thickness in mm.
    """

    kind: str
    size: Measures
    roots: tuple[Root, ...]
    trunk: float
    cusps: npt.NDArray[np.float64]
    relief: float
    pulp: float
    enamel: float

    @property
    def reach(self) -> tuple[float, float, float]:
        """Half sides, in u and v, and length of the root, of a box that holds the tooth."""
        ends = np.array([np.abs(r.end) + r.half + abs(r.bend) for r in self.roots]).max(0)
        return (
            max(self.size.width / 2, float(ends[0])) + 1.0,
            max(self.size.depth / 2, float(ends[1])) + 1.0,
            max(r.length for r in self.roots) + 1.0,
        )

    def distances(self, u: Box, v: Box, w: Box) -> tuple[Box, Box, Box]:
        """Signed distances, negative inside.

        Parameters
        ----------
        u, v, w : ndarray of float32
            mm, of one shape.

        Returns
        -------
        surface, pulp, depth_of_enamel : ndarray of float32
            Distance from the tooth's surface; from its pulp; and mm of enamel that lie under the
            surface here (0 on the root).
        """
        top = self._occlusal(u, v)
        side = self._crown_side(u, v, w)
        surface = _smooth_max(side, (w - top) * np.float32(0.85), 0.7)
        below = -w - np.float32(self.trunk)
        surface = _smooth_max(surface, below, 0.8 if self.trunk else 0.1)
        pulp = self._chamber(u, v, w)
        for root in self.roots:
            tube, canal = _tube(root, u, v, w, self.pulp)
            surface = _smooth_min(surface, tube, 1.2 if len(self.roots) > 1 else 0.5)
            np.minimum(pulp, canal, out=pulp)
        height = np.clip(w / self.size.crown, 0.0, 1.0)
        # The junction dips towards the root in front and behind: enamel ends on a wave.
        wave = np.float32(0.9) * (np.abs(v) / (0.5 * self.size.depth) - np.float32(0.5))
        enamel = np.float32(self.enamel) * np.sqrt(np.clip((w + wave) / self.size.crown, 0, 1))
        return surface, pulp, enamel * (height > 0)

    def _crown_side(self, u: Box, v: Box, w: Box) -> Box:
        s = self.size
        wide, edge = _CROWNS[self.kind]
        heights = np.array([-s.crown, 0.0, 0.3, 0.6, 1.0]) * np.array(
            [1, 1, s.crown, s.crown, s.crown]
        )
        heights[0] = -6.0
        half_u = (
            np.array([0.9 * s.neck_width, s.neck_width, 0.93 * s.width, s.width, wide * s.width])
            / 2
        )
        half_v = (
            np.array([0.9 * s.neck_depth, s.neck_depth, s.depth, 0.86 * s.depth, edge * s.depth])
            / 2
        )
        if self.kind in ("incisor", "canine"):
            half_v[2:] = np.array([0.98 * s.depth, 0.62 * s.depth, edge * s.depth]) / 2
        fine = np.linspace(-6.0, s.crown, 60)
        a = np.interp(w, fine, PchipInterpolator(heights, half_u)(fine)).astype(np.float32)
        b = np.interp(w, fine, PchipInterpolator(heights, half_v)(fine)).astype(np.float32)
        # The front of an incisor is steep: its hollow lies on the tongue's side.
        shift = np.float32(0.0)
        if self.kind in ("incisor", "canine"):
            shift = np.float32(0.22 * s.depth) * np.clip(w / s.crown, 0, 1) ** 2
        power = 2.3 if self.kind in ("incisor", "canine") else 3.0
        return _oval(u / a, (v - shift) / b, np.minimum(a, b), power)

    def _occlusal(self, u: Box, v: Box) -> Box:
        """Height of the crown's upper surface above the neck."""
        s = self.size
        if self.kind == "incisor":
            return np.float32(s.crown) - np.float32(0.06) * u * u / np.float32(0.5 * s.width)
        spread = 0.2 * (s.width + s.depth) / 2
        peak = np.zeros(u.shape, np.float32)
        for cusp in self.cusps:
            square = (u - cusp[0]) ** 2 + (v - cusp[1]) ** 2
            np.maximum(peak, np.exp(square * (-0.5 / spread**2)), out=peak)
        return np.float32(s.crown) - np.float32(self.relief) * (1 - peak)

    def _chamber(self, u: Box, v: Box, w: Box) -> Box:
        s = self.size
        if self.kind != "molar":
            share = 0.14 if self.kind == "incisor" else 0.17
            length = (0.55 if self.kind == "premolar" else 0.6) * s.crown
            narrow = np.clip(1.0 - w / length, 0.05, 1.0)
            a, b = share * s.neck_width * narrow, share * s.neck_depth * narrow
            body = _oval(u / a, v / b, np.minimum(a, b), 2.0)
            return np.asarray(
                np.maximum(body, np.maximum(w - length, -w - np.float32(1.0))) / self.pulp,
                np.float32,
            )
        a, b = 0.21 * s.neck_width * self.pulp, 0.22 * s.neck_depth * self.pulp
        body = _oval(u / a, v / b, np.float32(min(a, b)), 2.6)
        # Horns reach towards the cusps.
        roof = 0.22 * s.crown + 0.12 * s.crown * np.clip(np.hypot(u / a, v / b), 0, 1) ** 2
        return np.asarray(
            np.maximum(body, np.maximum(w - roof, -w - np.float32(self.trunk))), np.float32
        )


#: Width at the biting edge, along and across the arch, as fractions of the widest place.
_CROWNS = {
    "incisor": (0.96, 0.2),
    "canine": (0.5, 0.3),
    "premolar": (0.82, 0.72),
    "molar": (0.88, 0.78),
}


def make_tooth(rng: np.random.Generator, site: ToothSite, pulp: float) -> ToothShape:
    """Draw the shape of the tooth at a site; `pulp` is the mouth's width of pulps (age)."""
    s, number, kind = site.size, site.fdi % 10, site.kind
    a, b = s.neck_width / 2, s.neck_depth / 2
    bend = float(rng.normal(0.8, 0.7))
    roots: list[Root]
    trunk = 0.0
    if kind == "molar":
        trunk = float(rng.uniform(2.8, 4.2))
        together = float(rng.uniform(0.0, 0.5)) if number == 8 else float(rng.uniform(0.75, 1.15))
        if site.upper:
            roots = [
                Root(
                    (-0.5 * a, 0.45 * b),
                    (-0.75 * a * together, 0.62 * b),
                    (0.42 * a, 0.42 * b),
                    s.root,
                    1.0,
                ),
                Root(
                    (0.5 * a, 0.45 * b),
                    (0.75 * a * together, 0.55 * b),
                    (0.4 * a, 0.36 * b),
                    0.96 * s.root,
                    -0.3,
                ),
                Root(
                    (0.0, -0.48 * b),
                    (0.05 * a, -0.95 * b * max(together, 0.4)),
                    (0.48 * a, 0.4 * b),
                    1.05 * s.root,
                    0.3,
                ),
            ]
        else:
            roots = [
                Root(
                    (-0.52 * a, 0.0), (-0.66 * a * together, 0.0), (0.42 * a, 0.7 * b), s.root, 1.2
                ),
                Root(
                    (0.52 * a, 0.0),
                    (0.66 * a * together, 0.0),
                    (0.4 * a, 0.6 * b),
                    0.95 * s.root,
                    0.6,
                ),
            ]
    elif kind == "premolar" and site.upper and number == 4 and rng.random() < 0.6:
        trunk = 0.4 * s.root
        roots = [
            Root((0.0, sign * 0.42 * b), (0.0, sign * 0.72 * b), (0.72 * a, 0.46 * b), s.root, bend)
            for sign in (1.0, -1.0)
        ]
    else:
        roots = [Root((0.0, 0.0), (0.0, -0.1 * b), (a, b), s.root, bend)]
    return ToothShape(
        kind,
        s,
        tuple(roots),
        trunk,
        _cusps(site),
        {"incisor": 0.0, "canine": 2.6, "premolar": 2.4, "molar": 2.2}[kind],
        pulp,
        float(rng.uniform(1.0, 1.3))
        if kind in ("incisor", "canine")
        else float(rng.uniform(1.3, 1.9)),
    )


def _cusps(site: ToothSite) -> npt.NDArray[np.float64]:
    a, b = 0.28 * site.size.width, 0.3 * site.size.depth
    if site.kind == "canine":
        return np.array([[0.0, 0.12 * site.size.depth]])
    if site.kind == "premolar":
        return np.array([[0.0, b], [-0.1 * a, -b]])
    if site.upper:
        return np.array([[-a, b], [0.9 * a, b], [-0.8 * a, -b], [a, -0.8 * b]])
    return np.array([[-a, b], [0.3 * a, b], [-a, -b], [a, -b], [1.2 * a, 0.5 * b]])


def _tube(root: Root, u: Box, v: Box, w: Box, pulp: float) -> tuple[Box, Box]:
    """Signed distances from a root's surface and from its canal."""
    t = np.clip(-w / np.float32(root.length), 0.0, 1.0)
    middle_u = root.start[0] + (root.end[0] - root.start[0]) * t + root.bend * t * t * t
    middle_v = root.start[1] + (root.end[1] - root.start[1]) * t
    taper = np.maximum((1.0 - t**2.2) ** 0.75 * (1.0 - 0.25 * t), 0.12).astype(np.float32)
    a, b = np.float32(root.half[0]) * taper, np.float32(root.half[1]) * taper
    least = np.minimum(a, b)
    norm = np.sqrt(((u - middle_u) / a) ** 2 + ((v - middle_v) / b) ** 2)
    ends = np.maximum(-w - np.float32(root.length), w - np.float32(1.0))
    tube = np.maximum((norm - 1) * least, ends)
    # Canals are narrower across than the root is flat, and end short of its tip.
    width_u, width_v = 0.18 * pulp * a + 0.08, 0.22 * pulp * b + 0.08
    inner = np.sqrt(((u - middle_u) / width_u) ** 2 + ((v - middle_v) / width_v) ** 2)
    short = np.maximum(-w - np.float32(root.length - 0.8), w)
    return tube, np.maximum((inner - 1) * np.minimum(width_u, width_v), short).astype(np.float32)


def _oval(u: Box, v: Box, least: Box | np.float32, power: float) -> Box:
    norm = (np.abs(u) ** power + np.abs(v) ** power) ** np.float32(1 / power)
    return np.asarray((norm - 1) * least, np.float32)


def _smooth_min(first: Box, second: Box, k: float) -> Box:
    """Minimum whose edge is rounded over `k` mm (quadratic polynomial)."""
    h = np.maximum(np.float32(k) - np.abs(first - second), 0) / np.float32(k)
    return np.asarray(np.minimum(first, second) - h * h * np.float32(k / 4), np.float32)


def _smooth_max(first: Box, second: Box, k: float) -> Box:
    return -_smooth_min(-first, -second, k)

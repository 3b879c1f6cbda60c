"""Where the teeth of a generated mouth stand: kinds, sizes, places, tilts, gaps, impactions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.synthetic_arches import Arch, make_arch

Vector = npt.NDArray[np.float64]

#: Kind by the second digit of the FDI number.
KINDS = {
    1: "incisor",
    2: "incisor",
    3: "canine",
    4: "premolar",
    5: "premolar",
    6: "molar",
    7: "molar",
    8: "molar",
}


@dataclass(frozen=True)
class Measures:
    """Size of a tooth in mm: lengths of crown and root; widths along the arch and across it."""

    crown: float
    root: float
    width: float
    neck_width: float
    depth: float
    neck_depth: float


# Averages as printed in text books of dental anatomy: Nelson and Ash, "Wheeler's Dental Anatomy,
# Physiology and Occlusion", tables of measurements of each tooth. By second digit of FDI.
_UPPER = {
    1: Measures(10.5, 13.0, 8.5, 7.0, 7.0, 6.0),
    2: Measures(9.0, 13.0, 6.5, 5.0, 6.0, 5.0),
    3: Measures(10.0, 17.0, 7.5, 5.5, 8.0, 7.0),
    4: Measures(8.5, 14.0, 7.0, 5.0, 9.0, 8.0),
    5: Measures(8.5, 14.0, 7.0, 5.0, 9.0, 8.0),
    6: Measures(7.5, 12.5, 10.0, 8.0, 11.0, 10.0),
    7: Measures(7.0, 11.5, 9.0, 7.0, 11.0, 10.0),
    8: Measures(6.5, 11.0, 8.5, 6.5, 10.0, 9.5),
}
_LOWER = {
    1: Measures(9.0, 12.5, 5.0, 3.5, 6.0, 5.3),
    2: Measures(9.5, 14.0, 5.5, 4.0, 6.5, 5.8),
    3: Measures(11.0, 16.0, 7.0, 5.5, 7.5, 7.0),
    4: Measures(8.5, 14.0, 7.0, 5.0, 7.5, 6.5),
    5: Measures(8.0, 14.5, 7.0, 5.0, 8.0, 7.0),
    6: Measures(7.5, 14.0, 11.0, 9.0, 10.5, 9.0),
    7: Measures(7.0, 13.0, 10.5, 8.0, 10.0, 9.0),
    8: Measures(7.0, 11.0, 10.0, 7.5, 9.5, 9.0),
}

# Degrees by which a crown leans outwards, and by which its root follows the arch backwards.
_UPPER_LEAN = {1: 20, 2: 18, 3: 8, 4: 2, 5: 2, 6: 4, 7: 6, 8: 12}
_LOWER_LEAN = {1: 6, 2: 6, 3: 4, 4: -1, 5: -3, 6: -6, 7: -8, 8: -10}


@dataclass(frozen=True)
class ToothSite:
    """One tooth, or the gap that it left.

    Attributes
    ----------
    fdi : int
        FDI number (ISO 3950), 11 to 48.
    s : float
        mm along the arch, negative on the patient's right.
    neck : ndarray of float, (3,)
        Middle of the cemento-enamel junction, (z, y, x) in mm.
    axes : ndarray of float, (3, 3)
        Rows: unit vectors away from the midline, outwards, and from root to crown.
    size : Measures
    present, impacted : bool
    restoration : str
        ``""``, ``"composite"``, ``"amalgam"``, ``"crown"`` (metal) or ``"root canal"``.
    """

    fdi: int
    s: float
    neck: Vector
    axes: Vector
    size: Measures
    present: bool = True
    impacted: bool = False
    restoration: str = ""

    @property
    def upper(self) -> bool:
        """Whether the tooth belongs to the upper jaw."""
        return self.fdi < 30

    @property
    def kind(self) -> str:
        """Incisor, canine, premolar or molar."""
        return KINDS[self.fdi % 10]


@dataclass(frozen=True)
class Mouth:
    """Both arches and all 32 sites.

    Attributes
    ----------
    upper, lower : Arch
    sites : tuple of ToothSite
        In the order of their FDI numbers.
    upper_end, lower_end : float
        mm along each arch to the end of the second molars.
    gap : float
        mm between the teeth of both jaws.
    """

    upper: Arch
    lower: Arch
    sites: tuple[ToothSite, ...]
    upper_end: float
    lower_end: float
    gap: float


def plan_mouth(rng: np.random.Generator, *, missing: float, impacted: float, metal: float) -> Mouth:
    """Draw arches and teeth.

    Parameters
    ----------
    rng : numpy.random.Generator
    missing : float
        Probability that a tooth was lost; some mouths have lost none, some many.
    impacted : float
        Probability that a third molar is impacted; a canine is so in a tenth of that.
    metal : float
        Probability that a mouth has metal in it.
    """
    scale = float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12))
    sizes = {
        upper: {n: _varied(rng, m, scale) for n, m in table.items()}
        for upper, table in ((True, _UPPER), (False, _LOWER))
    }
    room = float(np.clip(rng.normal(0.995, 0.035), 0.9, 1.07))
    width = float(rng.normal(57.0, 2.5)) * scale
    form = float(rng.uniform(0.48, 0.76))
    ends, arches = [], []
    for upper in (True, False):
        length = room * sum(sizes[upper][n].width for n in range(1, 8)) + 0.5
        ends.append(length)
        arches.append(
            make_arch(
                length,
                width if upper else width - float(rng.uniform(2.5, 5.0)),
                form,
                front=0.0 if upper else float(rng.uniform(2.0, 4.0)),
                splay=0.05 if upper else float(rng.uniform(0.3, 0.55)),
                skew=float(rng.normal(0.0, 0.01)),
            )
        )
    gap = float(rng.choice([rng.uniform(0.0, 0.8), rng.uniform(0.8, 6.0)]))
    lost = missing * float(rng.choice([0.0, 0.6, 3.0], p=[0.35, 0.45, 0.2]))
    with_metal = bool(rng.random() < metal)
    sites = []
    for quadrant in (1, 2, 3, 4):
        upper = quadrant < 3
        arch = arches[0 if upper else 1]
        side = -1.0 if quadrant in (1, 4) else 1.0
        sites += [
            _restored(rng, _impacted(rng, _lost(rng, site, lost), impacted), with_metal)
            for site in _quadrant(rng, quadrant, arch, side, sizes[upper], room, gap)
        ]
    return Mouth(arches[0], arches[1], tuple(sites), ends[0], ends[1], gap)


def _varied(rng: np.random.Generator, size: Measures, scale: float) -> Measures:
    own = scale * np.clip(rng.normal(1.0, 0.035, 3), 0.9, 1.1)
    return Measures(
        size.crown * own[0],
        size.root * own[1],
        size.width * own[2],
        size.neck_width * own[2],
        size.depth * own[2],
        size.neck_depth * own[2],
    )


def _quadrant(
    rng: np.random.Generator,
    quadrant: int,
    arch: Arch,
    side: float,
    sizes: dict[int, Measures],
    room: float,
    gap: float,
) -> list[ToothSite]:
    """Teeth of one quadrant in their row, upright first, then with tilt and crowding."""
    upper = quadrant < 3
    crowding = max(0.0, 1.0 - room)
    sites, s = [], 0.2
    for number in range(1, 9):
        size = sizes[number]
        middle = s + room * size.width / 2
        s += room * size.width
        point, heading = arch.at(side * middle)
        outward = np.array([0.0, -heading[1], heading[0]])  # (z, y, x)
        away = side * np.array([0.0, *heading])
        # Crowded teeth turn and step out of the row, every other one.
        step = (1.0 if number % 2 else -1.0) * crowding * float(rng.uniform(4.0, 22.0))
        outwards = float(np.clip(step, -1.8, 1.8)) * (number < 6) + float(rng.normal(0, 0.25))
        turn = np.deg2rad(rng.normal(0, 4.0) + rng.choice([-1, 1]) * crowding * 180 * (number < 6))
        lean = np.deg2rad((_UPPER_LEAN if upper else _LOWER_LEAN)[number] + rng.normal(0, 4.0))
        tip = np.deg2rad((4.0 if number < 6 else 2.0) + rng.normal(0, 3.0))
        up = np.array([-1.0 if upper else 1.0, 0.0, 0.0])  # from root to crown
        crown = up * np.cos(lean) * np.cos(tip) + outward * np.sin(lean) - away * np.sin(tip)
        crown /= np.linalg.norm(crown)
        axes = _frame(crown, np.cos(turn) * outward + np.sin(turn) * away, away)
        edge = _edge(number, upper, gap) + float(rng.normal(0, 0.3))
        # Curve of Spee: the row of the lower teeth is hollow, the upper one follows.
        edge -= 0.0012 * (middle - 28.0) ** 2 * -1.0 - 0.5 if not upper else 0.0
        tip_of_crown = np.array([edge, *point]) + outwards * outward
        sites.append(
            ToothSite(
                10 * quadrant + number, side * middle, tip_of_crown - size.crown * crown, axes, size
            )
        )
    return sites


def _edge(number: int, upper: bool, gap: float) -> float:
    """Height (z) of a crown's highest point; front teeth overlap."""
    overbite = {1: 1.6, 2: 1.2, 3: 1.2}.get(number, 0.4)
    return -overbite if upper else 0.3 * overbite - gap


def _frame(crown: Vector, outward: Vector, away: Vector) -> Vector:
    """Return unit vectors away, outwards, crown; left and right are mirror images."""
    v = outward - crown * (outward @ crown)
    v /= np.linalg.norm(v)
    u = np.cross(v, crown)
    return np.stack([u if u @ away > 0 else -u, v, crown])


def _lost(rng: np.random.Generator, site: ToothSite, probability: float) -> ToothSite:
    number = site.fdi % 10
    chance = probability * {6: 2.0, 7: 1.4, 3: 0.4}.get(number, 1.0)
    if number == 8:
        chance = 0.35 + probability  # many people have lost, or never had, third molars
    return replace(site, present=bool(rng.random() >= min(chance, 0.9)))


def _impacted(rng: np.random.Generator, site: ToothSite, probability: float) -> ToothSite:
    """Third molars lie in the bone, tipped forwards; canines high in the palate."""
    number = site.fdi % 10
    chance = {8: probability, 3: 0.1 * probability if site.upper else 0.0}.get(number, 0.0)
    draw, angle, deep = rng.random(), rng.uniform(20.0, 85.0), rng.uniform(0.0, 3.0)
    if not site.present or draw >= chance:
        return site
    u, v, w = site.axes
    turn = np.deg2rad(angle if number == 8 else 0.6 * angle)
    crown = w * np.cos(turn) - u * np.sin(turn)
    apical = 1.0 if site.upper else -1.0
    if number == 8:
        # Tipped forwards, a crown needs room behind the second molar.
        place = site.neck + u * (3.0 + 4.5 * np.sin(turn)) + np.array([apical * (5 + deep), 0, 0])
    else:
        place = site.neck - v * 3.5 + u * 3.0 + np.array([apical * (9.0 + deep), 0.0, 0.0])
    return replace(site, neck=place, axes=_frame(crown, v, u), impacted=True)


def _restored(rng: np.random.Generator, site: ToothSite, metal: bool) -> ToothSite:
    number = site.fdi % 10
    draw = rng.random()
    if not site.present or site.impacted or number == 8:
        return site
    behind = number >= 4
    if metal and draw < (0.1 if behind else 0.03):
        return replace(site, restoration="crown")
    if metal and behind and draw < 0.28:
        return replace(site, restoration="amalgam")
    if 0.28 < draw < 0.36:
        return replace(site, restoration="composite")
    if 0.36 < draw < 0.4:
        return replace(site, restoration="root canal")
    return site


def tooth_widths(upper: bool) -> dict[int, tuple[float, float]]:
    """Return mm along and across the arch of an average crown, by second digit of FDI."""
    return {n: (m.width, m.depth) for n, m in (_UPPER if upper else _LOWER).items()}

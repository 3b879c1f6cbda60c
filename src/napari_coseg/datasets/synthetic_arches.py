"""Dental arches of the CBCT generator: curves, and coordinates along and across them.

The generator's millimetres are (z, y, x): z upwards from the occlusal plane, y backwards from the
front of the upper arch, x to the patient's left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

Curve = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]

#: mm between points of a curve.
_STEP = 0.25


@dataclass(frozen=True)
class Arch:
    """A dental arch, drawn on behind the last molars as jaws go on.

    Attributes
    ----------
    points : ndarray of float, (n, 2)
        y and x in mm, from the patient's right to the left.
    along : ndarray of float, (n,)
        Length of the curve from the midline in mm, negative on the right.
    tangents : ndarray of float, (n, 2)
        Direction of the curve, towards the left end.
    """

    points: Curve
    along: Curve
    tangents: Curve

    def at(self, s: float) -> tuple[Curve, Curve]:
        """Place `s` mm from the midline: the point and the curve's direction there (y, x)."""
        point = np.array([np.interp(s, self.along, self.points[:, i]) for i in range(2)])
        heading = np.array([np.interp(s, self.along, self.tangents[:, i]) for i in range(2)])
        return point, heading / np.hypot(*heading)

    def coordinates(self, y: Map, x: Map) -> tuple[Map, Map]:
        """Where points lie along and across the curve.

        Parameters
        ----------
        y, x : ndarray of float32
            mm, of one shape.

        Returns
        -------
        s, d : ndarray of float32
            mm along the curve from the midline, and from the curve outwards (cheek positive).
        """
        # Distances change slowly: half of the points are enough, the rest is interpolated here.
        places = np.stack([y.ravel(), x.ravel()], axis=1)
        _, nearest = KDTree(self.points).query(places, workers=1)
        off = places - self.points[nearest]
        heading = self.tangents[nearest]
        s = self.along[nearest] + (off * heading).sum(1)
        side = off[:, 1] * heading[:, 0] - off[:, 0] * heading[:, 1]
        d = np.where(side > 0, 1.0, -1.0) * np.hypot(off[:, 0], off[:, 1])
        return (
            s.reshape(y.shape).astype(np.float32),
            d.reshape(y.shape).astype(np.float32),
        )


def make_arch(
    half_length: float,
    width: float,
    form: float,
    *,
    front: float = 0.0,
    splay: float = 0.0,
    skew: float = 0.0,
    tail: float = 70.0,
) -> Arch:
    """Curve of an arch that holds teeth of a given length.

    Parameters
    ----------
    half_length : float
        mm along the curve from the midline to the end of the second molar.
    width : float
        mm between the ends.
    form : float
        Exponent of the curve: 0.8 is Braun's mean; less is squarer, more is narrower in front.
    front : float
        y of the foremost point in mm.
    splay : float
        Slope outwards of what follows the last molar (mandible: towards the rami).
    skew : float
        Difference between the sides, as a fraction of the width.
    tail : float
        mm that the curve goes on behind the second molar.

    Notes
    -----
    The beta function of S. Braun et al., "The form of the human dental arch", Angle
    Orthodontist 68, 1998: depth is proportional to ``((1/2 + x/w) (1/2 - x/w)) ** 0.8``. The
    paper's depth is a measurement; here it follows from the length that the teeth need.
    """
    x = width / 2 * np.sin(np.linspace(-np.pi / 2, np.pi / 2, 801))
    shape = 1.0 - (4 * np.clip(0.25 - (x / width) ** 2, 0.0, None)) ** form
    low, high = 0.4 * width, 1.6 * width
    for _ in range(40):
        depth = (low + high) / 2
        length = np.hypot(np.diff(x), np.diff(depth * shape)).sum() / 2
        low, high = (depth, high) if length < half_length else (low, depth)
    y = depth * shape
    x = x * (1.0 + skew * np.sign(x) * shape)
    back = np.arange(_STEP, tail, _STEP)
    # The slope sets in softly: a kink would be seen in the rami.
    out = splay * (back - 12.0 * (1.0 - np.exp(-back / 12.0)))
    points = np.stack(
        [
            np.concatenate([(y[0] + back)[::-1], y, y[-1] + back]) + front,
            np.concatenate([(x[0] - out)[::-1], x, x[-1] + out]),
        ],
        axis=1,
    )
    lengths = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    even = np.arange(0.0, lengths[-1], _STEP)
    points = np.stack([np.interp(even, lengths, points[:, i]) for i in range(2)], axis=1)
    middle = even[np.argmin(points[:, 0] + 1e-3 * np.abs(points[:, 1]))]
    tangents = np.gradient(points, axis=0)
    tangents /= np.hypot(tangents[:, 0], tangents[:, 1])[:, None]
    return Arch(points, even - middle, tangents)

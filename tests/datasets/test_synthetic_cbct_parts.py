"""Parts of the CBCT generator: arches, the shape of a tooth, the grid, the scanner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_coseg.datasets.synthetic_arches import make_arch
from napari_coseg.datasets.synthetic_fields import smooth_volume
from napari_coseg.datasets.synthetic_grid import Grid
from napari_coseg.datasets.synthetic_intensities import random_intensities, scanner_intensities
from napari_coseg.datasets.synthetic_metal import metal_streaks
from napari_coseg.datasets.synthetic_scanner import Scanner, scan
from napari_coseg.datasets.synthetic_sites import plan_mouth
from napari_coseg.datasets.synthetic_teeth import make_tooth

QUIET = Scanner(blur=0.05, noise=0.0, grain=0.4, cupping=0.0, shading=0.0, rings=0.0)


def test_an_arch_has_the_length_that_teeth_need() -> None:
    arch = make_arch(55.0, 57.0, 0.7, tail=30.0)
    point, heading = arch.at(55.0)
    assert point[1] == pytest.approx(57.0 / 2, abs=0.3)
    assert heading[0] > 0.9  # backwards at the ends
    front, across = arch.at(0.0)
    assert front == pytest.approx((0.0, 0.0), abs=0.3)
    assert abs(across[1]) > 0.99
    # Along and across of points beside the curve.
    for s, off in ((-40.0, 4.0), (-10.0, -3.0), (0.0, 5.0), (30.0, -2.0)):
        point, heading = arch.at(s)
        y = np.array([point[0] - off * heading[1]], np.float32)
        x = np.array([point[1] + off * heading[0]], np.float32)
        found_s, found_d = arch.coordinates(y, x)
        assert found_s[0] == pytest.approx(s, abs=0.5)
        assert found_d[0] == pytest.approx(off, abs=0.2)


def test_a_grid_finds_its_points_again() -> None:
    grid = Grid((40, 50, 60), 0.5, (2.0, 44.0, -1.0), yaw=0.1, pitch=-0.08, roll=0.05)
    y, x = grid.maps()
    for voxel in ((3, 7, 50), (20, 25, 30), (39, 0, 0)):
        z = grid.heights(voxel[0], y, x)[voxel[1:]]
        place = np.array([[z, y[voxel[1:]], x[voxel[1:]]]], float)
        window = grid.window(place)
        assert window is not None
        assert all(part.start <= n < part.stop for part, n in zip(window, voxel, strict=True))
        z_box = grid.place(window)[0]
        at = tuple(n - part.start for n, part in zip(voxel, window, strict=True))
        assert z_box[at] == pytest.approx(z, abs=1e-4)
    assert grid.window(np.array([[500.0, 0.0, 0.0]])) is None


def test_a_mouth_has_all_sites() -> None:
    for seed in range(5):
        mouth = plan_mouth(np.random.default_rng(seed), missing=0.1, impacted=1.0, metal=1.0)
        assert len({site.fdi for site in mouth.sites}) == len(mouth.sites) == 32
        for site in mouth.sites:
            np.testing.assert_allclose(site.axes @ site.axes.T, np.eye(3), atol=1e-9)
            if not site.impacted:
                assert (site.axes[2][0] < 0) == site.upper  # crowns of the upper point down
        thirds = [s for s in mouth.sites if s.fdi % 10 == 8 and s.present]
        assert all(site.impacted for site in thirds)


@pytest.mark.parametrize(
    ("fdi", "least"), [(11, 1), (13, 1), (15, 1), (16, 3), (31, 1), (36, 2), (47, 2)]
)
def test_a_tooth_has_crown_and_roots(fdi: int, least: int) -> None:
    rng = np.random.default_rng(0)
    mouth = plan_mouth(rng, missing=0.0, impacted=0.0, metal=0.0)
    site = next(one for one in mouth.sites if one.fdi == fdi)
    shape = make_tooth(rng, site, 1.0)
    assert len(shape.roots) >= least
    step = 0.25
    u, v, w = np.meshgrid(
        np.arange(-8, 8, step, dtype=np.float32),
        np.arange(-8, 8, step, dtype=np.float32),
        np.arange(-24, 14, step, dtype=np.float32),
        indexing="ij",
    )
    surface, pulp, enamel = shape.distances(u, v, w)
    inside = surface < 0
    high, low = w[inside].max(), w[inside].min()
    assert high == pytest.approx(site.size.crown, abs=0.6)
    assert -low == pytest.approx(max(root.length for root in shape.roots), abs=0.8)
    assert np.ptp(u[inside & (w > 0)]) == pytest.approx(site.size.width, abs=1.0)
    assert np.ptp(v[inside & (w > 0)]) == pytest.approx(site.size.depth, abs=1.2)
    # The pulp lies inside and reaches into the root; enamel covers the crown alone.
    hollow = pulp < 0
    assert (surface[hollow] < 0).all()
    assert w[hollow].min() < -0.6 * site.size.root
    assert w[hollow].max() > 0
    assert (enamel[w <= 0] == 0).all()
    assert enamel[w > 0.5 * site.size.crown].min() > 0.5


def test_random_greys_keep_their_order_mostly() -> None:
    ordered = 0
    for seed in range(200):
        tints = random_intensities(np.random.default_rng(seed))
        assert tints.air < tints.muscle < tints.cortical
        ordered += tints.muscle < tints.dentine < tints.enamel
    assert ordered >= 150
    tints = scanner_intensities(np.random.default_rng(1))
    row = (tints.air, tints.fat, tints.muscle, tints.trabecular, tints.cortical)
    assert list(row) == sorted(row)
    assert tints.cortical < tints.dentine < tints.enamel < tints.metal


def test_metal_leaves_dark_bands_between_and_no_metal_none() -> None:
    head = np.full((6, 96, 96), -1000.0, np.float32)
    row, column = np.mgrid[:96, :96] - 47.5
    head[:, np.hypot(row, column) < 44] = 50.0
    assert metal_streaks(np.random.default_rng(0), head, head > 5000, 0.6) is None
    metal = np.zeros(head.shape, bool)
    for middle in (24, 72):
        metal[2:4, np.hypot(row, column + 47.5 - middle) < 5] = True
    field = metal_streaks(np.random.default_rng(0), head, metal, 0.6)
    assert field is not None
    assert field.shape == head.shape
    between, beside = field[2, 44:52, 42:54].mean(), field[2, 20:28, 42:54].mean()
    assert between < beside - 50
    assert not field[0].any() or np.abs(field[0]).max() < np.abs(field[2]).max()


def test_a_scan_clips_cups_and_thickens() -> None:
    block = np.full((40, 64, 64), 1000.0, np.float32)
    block[:, :10] = -1000.0
    same = scan(np.random.default_rng(0), block, 0.4, QUIET)
    np.testing.assert_allclose(same, block, atol=1.0)
    cupped = scan(np.random.default_rng(0), block, 0.4, _with(cupping=200.0))
    assert cupped[20, 32, 32] < cupped[20, 32, 2] - 100
    assert cupped[20, 2, 32] == pytest.approx(-1000.0, abs=1.0)  # air stays air
    assert scan(np.random.default_rng(0), block, 0.4, _with(ceiling=700.0)).max() == 700.0
    noisy = scan(np.random.default_rng(0), block, 0.4, _with(noise=60.0))
    assert noisy[:, 20:].std() == pytest.approx(60.0, rel=0.1)
    thick = scan(np.random.default_rng(0), block, 0.4, _with(noise=60.0, thick=True))
    bend = np.abs(np.diff(thick[:, 40, 40], 2))
    # Between the planes that were kept, straight lines.
    assert np.count_nonzero(bend > 0.05) <= 40 / 5 + 1
    ringed = scan(np.random.default_rng(0), block, 0.4, _with(rings=30.0))
    assert ringed[20, 20:].std() > 15


def test_a_monotone_change_of_greys_keeps_their_order() -> None:
    ramp = np.linspace(-1000, 3000, 64, dtype=np.float32)
    volume = np.broadcast_to(ramp, (40, 40, 64)).copy()
    bent = scan(np.random.default_rng(0), volume, 0.4, _with(gamma=1.5))[20, 20]
    assert (np.diff(bent) > 0).all()
    assert bent[32] < ramp[32] - 100


def test_smooth_volumes_are_smooth() -> None:
    field = smooth_volume(np.random.default_rng(0), (60, 70, 80), 6.0)
    assert field.shape == (60, 70, 80)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 0.15
    assert field.std() == pytest.approx(1.0, abs=0.15)
    for axis in range(3):
        assert np.diff(field, axis=axis).std() < 0.3


def _with(**changes: float) -> Scanner:
    return replace(QUIET, **changes)  # type: ignore[arg-type]

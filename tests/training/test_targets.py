"""HV maps."""

from __future__ import annotations

import numpy as np

from napari_coseg.training.targets import hv_maps


def test_a_square_runs_from_minus_one_to_one() -> None:
    instances = np.zeros((9, 9), np.int32)
    instances[2:7, 2:7] = 7
    horizontal, vertical = hv_maps(instances)
    np.testing.assert_allclose(horizontal[4, 2:7], [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_allclose(vertical[2:7, 4], [-1, -0.5, 0, 0.5, 1])
    assert not horizontal[instances == 0].any()


def test_each_object_has_its_own_centre_and_extent() -> None:
    instances = np.zeros((4, 12), np.int32)
    instances[:, :3] = 5
    instances[:, 3:12] = 90_000
    horizontal = hv_maps(instances)[0]
    np.testing.assert_allclose(horizontal[0], [-1, 0, 1, *np.linspace(-1, 1, 9)], atol=1e-6)


def test_lopsided_objects_reach_one_on_both_sides() -> None:
    instances = np.zeros((5, 7), np.int32)
    instances[2] = 1
    instances[0:5, 0] = 1
    horizontal, vertical = hv_maps(instances)
    for values in (horizontal, vertical):
        assert values.min() == -1
        assert values.max() == 1


def test_one_pixel_outside_and_nothing() -> None:
    single = np.full((3, 3), -1)
    single[1, 1] = 4
    assert not hv_maps(single).any()
    assert not hv_maps(np.zeros((2, 2), np.int32)).any()

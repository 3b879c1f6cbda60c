"""Which planes of a volume are worth a closer look."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.inference.plane_maps import PlaneMaps
from napari_coseg.inference.volume_input import BLOCK
from napari_coseg.inference.volume_scouting import ABOVE, BELOW, TEETH, Scouts

BLOCKS = (4, 4)
#: mm between planes; µm of a target pixel, so large that a few squares are teeth enough.
SPACING, MPP = 10.0, 1000.0


def shown(teeth: int, jaw: bool = True) -> PlaneMaps:
    """Maps of a plane with some mm² of teeth, and perhaps a piece of jaw."""
    side = BLOCKS[0] * BLOCK
    instances = np.zeros((4, side, side), np.float16)
    instances[0].reshape(-1)[:teeth] = 0.9
    regions = np.zeros((2, side, side), np.float16)
    regions[0] = 1
    regions[:, 0, 0] = (0, 1) if jaw else (1, 0)
    maps = {"regions": regions, "instances": instances}
    return PlaneMaps((0, 0, side, side), maps, {"regions": 1, "instances": 1})


def scouts(superior: int, teeth: dict[int, int]) -> Scouts:
    found = Scouts(MPP, BLOCKS, SPACING, superior)
    for plane in range(0, 41, 5):
        found.add(plane, shown(teeth.get(plane, 0)))
    return found


@pytest.mark.parametrize(("superior", "before", "after"), [(-1, ABOVE, BELOW), (1, BELOW, ABOVE)])
def test_jaws_hang_on_teeth(superior: int, before: float, after: float) -> None:
    found = scouts(superior, {20: 800, 25: 700})
    inside = [plane for plane in range(41) if found.within(plane)]
    assert inside[0] == np.ceil(20 - before / SPACING)
    assert inside[-1] == np.floor(25 + after / SPACING)
    near = found.near(20)
    assert near is not None
    assert near.anything.any()
    assert near.objects.any()
    nothing = found.near(0)
    assert nothing is not None
    assert not nothing.anything.any()


def test_teeth_are_looked_for_near_teeth() -> None:
    # A speck far below the teeth, in a jaw that reaches everywhere.
    found = scouts(0, {20: 800, 25: 700, 35: 3})
    shown = {plane: found.near(plane) for plane in range(41)}
    assert all(near is not None and near.anything.any() for near in shown.values())
    with_teeth = [plane for plane, near in shown.items() if near is not None and near.objects.any()]
    # Planes of 10 mm, scouts every fifth: those between the scouts that show teeth and the next.
    assert with_teeth == [plane for plane in range(16, 30) if 20 - 4.5 <= plane <= 25 + 4.5]
    # Where no scout saw a tooth, they may be anywhere that anything is.
    nowhere = scouts(0, {}).near(7)
    assert nowhere is not None
    np.testing.assert_array_equal(nowhere.objects, nowhere.anything)
    assert TEETH / SPACING == 4.5


def test_a_false_tooth_far_away_changes_nothing() -> None:
    assert not scouts(-1, {20: 800, 0: 100}).within(0)


@pytest.mark.parametrize(
    ("superior", "teeth"),
    [
        (-1, {}),  # no teeth at all: nothing is known of where jaws are
        (-1, {20: 60}),
        (0, {20: 800}),  # nobody knows where the head is
    ],
)
def test_everything_counts(superior: int, teeth: dict[int, int]) -> None:
    found = scouts(superior, teeth)
    assert all(found.within(plane) for plane in range(41))

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from napari_coseg.imaging.volume_pictures import VolumePictures
from napari_coseg.inference.key_planes import KeyPlane, PlaneMask, following_planes
from napari_coseg.inference.prompted import PromptedMask, Prompter
from napari_coseg.inference.propagation import WalkSettings, propagate
from napari_coseg.inference.stopping import Look, StopSettings
from napari_coseg.inference.stream import Cancelled
from napari_coseg.models.syncsam.encoder import Encoding
from napari_coseg.models.syncsam.prompts import PromptBatch
from napari_coseg.types import CosegError, Mask, Prompt
from tests.inference.fake_prompts import FakePromptModel, FakePromptNetwork

SPACING = (1.0, 1.0, 1.0)
EVERY = WalkSettings(step_mm=1.0, margin_mm=3.0)


class Bright(FakePromptNetwork):
    """What is bright inside of the box."""

    def decode(self, encoding: Encoding, images: Tensor, prompts: PromptBatch) -> Tensor:
        self.decoded.append(len(images))
        self.prompts.append(prompts)
        logits = 20 * (encoding.embedding[images][:, 0] - 0.5)
        if prompts.boxes is None:
            return logits
        cells = (torch.arange(self.config.side // 4) + 0.5) * 4
        row0, column0, row1, column1 = (v[:, None, None] for v in prompts.boxes.unbind(1))
        rows = (cells[:, None] > row0) & (cells[:, None] < row1)
        inside = rows & (cells[None] > column0) & (cells[None] < column1)
        return torch.where(inside, logits, torch.tensor(-10.0))


@pytest.fixture
def network() -> Bright:
    return Bright()


@pytest.fixture
def prompter(network: Bright) -> Prompter:
    return Prompter(FakePromptModel(network))


def rod(
    first: int, last: int, row: float, column: float, radius: float, planes: int = 40
) -> npt.NDArray[np.bool_]:
    z, r, c = np.ogrid[:planes, :64, :64]
    inside = np.hypot(r - row, c - column) <= radius
    return inside & (z >= first) & (z < last)


def pictures(bright: npt.NDArray[np.bool_], axis: int = 0) -> VolumePictures:
    return VolumePictures(255 * bright.astype(np.uint8), SPACING, axis, (0.0, 255.0))


def box(row: float, column: float, radius: float) -> Prompt:
    return Prompt((row - radius, column - radius, row + radius + 1, column + radius + 1))


def painted(
    found: list[PlaneMask], label: int, shape: tuple[int, int, int] = (40, 64, 64)
) -> npt.NDArray[np.bool_]:
    out = np.zeros(shape, bool)
    for one in found:
        if one.label == label and one.mask.area:
            out[(one.plane, *one.mask.window)] |= one.mask.bits
    return out


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def hows(found: list[PlaneMask], label: int = 1) -> dict[int, str]:
    return {one.plane: one.how for one in found if one.label == label and one.how != "ended"}


def test_an_object_is_followed_to_its_ends_and_no_further(prompter: Prompter) -> None:
    truth = rod(8, 31, 30, 30, 9)
    found = list(
        propagate(prompter, pictures(truth), [KeyPlane(1, 20, box(30, 30, 9))], settings=EVERY)
    )
    planes = [one.plane for one in found if one.mask.area]
    assert sorted(planes) == list(range(8, 31))
    assert dice(painted(found, 1), truth) > 0.95
    assert found[0].how == "prompted"
    # Both directions take turns: whoever looks on sees it grow on both sides.
    assert planes[:5] == [20, 21, 19, 22, 18]
    ends = [one for one in found if one.how == "ended"]
    assert sorted((one.plane, one.fault) for one in ends) == [(7, "nothing"), (31, "nothing")]


def test_planes_that_are_stepped_over_are_shapes_between(prompter: Prompter) -> None:
    truth = rod(8, 31, 30, 30, 9)
    settings = WalkSettings(step_mm=2.0, margin_mm=3.0)
    keys = [KeyPlane(1, 20, box(30, 30, 9))]
    found = list(propagate(prompter, pictures(truth), keys, settings=settings))
    # The ends lie between planes that are looked at, and are found all the same.
    assert sorted(hows(found)) == list(range(8, 31))
    assert hows(found)[19] == hows(found)[21] == "between"
    assert hows(found)[22] == hows(found)[30] == "followed"
    assert dice(painted(found, 1), truth) > 0.95


def test_one_lost_plane_is_bridged_and_two_are_not(prompter: Prompter) -> None:
    truth = rod(5, 35, 30, 30, 9)
    holed = truth.copy()
    holed[25] = False
    holed[12:14] = False
    found = list(
        propagate(prompter, pictures(holed), [KeyPlane(1, 20, box(30, 30, 9))], settings=EVERY)
    )
    assert sorted(hows(found)) == list(range(14, 35))
    assert hows(found)[25] == "between"
    assert dice(painted(found, 1), rod(14, 35, 30, 30, 9)) > 0.95


@pytest.mark.parametrize("axis", [1, 2])
def test_planes_along_any_axis(prompter: Prompter, axis: int) -> None:
    truth = np.moveaxis(rod(8, 31, 30, 24, 9), 0, axis)
    planes = pictures(truth, axis)
    found = list(propagate(prompter, planes, [KeyPlane(3, 15, box(30, 24, 9))], settings=EVERY))
    out = np.zeros(truth.shape, bool)
    for one in found:
        if one.mask.area:
            out[planes.at(one.plane, one.mask.window)] |= one.mask.bits
    assert dice(out, truth) > 0.95


def test_neighbours_share_crops_and_no_pixel(prompter: Prompter, network: Bright) -> None:
    # They touch, and the box of each reaches into the other one.
    first, second = rod(5, 35, 30, 20, 8), rod(5, 35, 30, 37, 8)
    keys = [KeyPlane(1, 20, box(30, 20, 8)), KeyPlane(2, 20, box(30, 37, 8))]
    settings = WalkSettings(step_mm=1.0, margin_mm=2.0)
    found = list(propagate(prompter, pictures(first | second), keys, settings=settings))
    one, other = painted(found, 1), painted(found, 2)
    assert not (one & other).any()
    assert one.any(axis=(1, 2)).sum() == other.any(axis=(1, 2)).sum() == 30
    # Both together on each plane.
    assert network.decoded.count(2) >= 30


def test_between_key_planes_the_shape_between_is_the_prompt_and_the_way_out(
    prompter: Prompter, network: Bright
) -> None:
    truth = rod(5, 35, 30, 30, 9)
    dark = truth.copy()
    dark[15:26] = False
    disc = Mask.of(truth[10])
    keys = [KeyPlane(1, 10, mask=disc), KeyPlane(1, 30, mask=disc)]
    found = list(propagate(prompter, pictures(dark), keys, settings=EVERY))
    ways = hows(found)
    assert ways[10] == ways[30] == "confirmed"
    assert all(ways[plane] == "between" for plane in range(15, 26))
    assert ways[12] == ways[28] == "followed"
    # Nothing changes what a person confirmed.
    assert next(one.mask for one in found if one.plane == 30) is disc
    assert dice(painted(found, 1), truth) > 0.95
    assert all(prompts.masks is not None for prompts in network.prompts)


def test_an_object_that_another_one_takes_over_ends(prompter: Prompter) -> None:
    # Two cones, tip to tip: a crown and the tooth that it bites on.
    z, r, c = np.ogrid[:40, :64, :64]
    radius = 5.0 + 0.25 * np.abs(z - 20)
    bright = np.hypot(r - 30, c - 30) <= radius
    keys = [KeyPlane(1, 5, box(30, 30, 9))]
    found = list(propagate(prompter, pictures(bright), keys, settings=EVERY))
    up = next(one for one in found if one.how == "ended" and one.plane > 5)
    assert up.fault == "regrown"
    assert 20 < up.plane < 30
    free = WalkSettings(step_mm=1.0, margin_mm=3.0, stop=StopSettings(regrow=1e9))
    found = list(propagate(prompter, pictures(bright), keys, settings=free))
    assert max(hows(found)) == 39


def test_what_is_as_bright_as_the_surroundings_is_no_longer_the_object() -> None:
    # It answers the ellipse in the box, whatever is there.
    prompter = Prompter(FakePromptModel(FakePromptNetwork()))
    truth = rod(8, 31, 30, 30, 9)
    stop = StopSettings(stability=0.5)
    settings = WalkSettings(step_mm=1.0, margin_mm=0.0, stop=stop)
    keys = [KeyPlane(1, 20, box(30, 30, 9))]
    found = list(propagate(prompter, pictures(truth), keys, settings=settings))
    ends = sorted((one.plane, one.fault) for one in found if one.how == "ended")
    assert ends == [(7, "unlike"), (31, "unlike")]


def test_what_an_object_encloses_is_no_sign_of_another_one() -> None:
    grey = np.full((24, 24), 60, np.uint8)
    grey[4:20, 4:20] = 200
    look = Look.of(grey, Mask.of(np.ones((16, 16), bool), (4, 4)))
    # A third of the tooth is pulp, as dark as what is round it.
    grey[7:17, 7:17] = 60
    whole = Mask.of(np.ones((16, 16), bool), (4, 4))
    assert look.part_alike(grey, whole) == 1.0
    # What is dark and lies at its side is not enclosed.
    wider = Mask.of(np.ones((16, 20), bool), (4, 4))
    assert look.part_alike(grey, wider) == pytest.approx(0.8)


def test_only_what_is_reached_for_is_done_and_what_is_taken_stays(prompter: Prompter) -> None:
    truth = rod(5, 35, 30, 30, 9)
    taken = np.zeros((64, 64), bool)
    taken[:, :25] = True
    found = list(
        propagate(
            prompter,
            pictures(truth),
            [KeyPlane(1, 20, mask=Mask.of(truth[20]))],
            settings=WalkSettings(step_mm=2.0, margin_mm=3.0),
            reach={1: (17, 24)},
            taken=lambda plane: taken if plane == 18 else None,
        )
    )
    assert sorted(hows(found)) == list(range(17, 24))
    done = painted(found, 1)
    assert not (done[18] & taken).any()
    assert (done[22] & taken).any()


def test_cancel_ends_the_walk(prompter: Prompter) -> None:
    asked = []

    def cancel() -> bool:
        asked.append(1)
        return len(asked) > 4

    keys = [KeyPlane(1, 20, box(30, 30, 9))]
    walk = propagate(prompter, pictures(rod(5, 35, 30, 30, 9)), keys, settings=EVERY, cancel=cancel)
    got = []
    with pytest.raises(Cancelled):
        got += list(iter(walk.__next__, None))
    assert next(walk, None) is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], "nothing to follow"),
        ([KeyPlane(4, 40, box(30, 30, 9))], "plane 40, and the volume has the planes 0 to 39"),
        ([KeyPlane(4, 3)], "neither a prompt nor a mask"),
        ([KeyPlane(4, 3, box(30, 30, 9)), KeyPlane(4, 3, box(20, 20, 9))], "twice on plane 3"),
        ([KeyPlane(4, 3, box(90, 90, 9))], "Label 4 .* outside of the image"),
    ],
)
def test_bad_keys_are_told(prompter: Prompter, keys: list[KeyPlane], words: str) -> None:
    with pytest.raises(CosegError, match=words):
        list(propagate(prompter, pictures(rod(5, 35, 30, 30, 9)), keys))


def test_nothing_found_on_a_key_plane_is_told_and_not_followed(prompter: Prompter) -> None:
    keys = [KeyPlane(1, 2, box(30, 30, 9))]
    found = list(propagate(prompter, pictures(rod(5, 35, 30, 30, 9)), keys, settings=EVERY))
    assert [(one.plane, one.mask.area, one.how) for one in found] == [(2, 0, "prompted")]


def test_which_planes_hang_on_a_corrected_one() -> None:
    assert following_planes([10], 10, 40) == (range(0, 10), range(11, 40))
    assert following_planes([10], 25, 40) == (range(11, 25), range(26, 40))
    assert following_planes([10, 25, 33], 25, 40) == (range(11, 25), range(26, 33))
    assert following_planes([10], 25, 40, onward=True) == (range(25, 25), range(26, 40))
    assert following_planes([30], 25, 40, onward=True) == (range(0, 25), range(26, 26))
    # Between two key planes both sides hang on it.
    assert following_planes([10, 30], 20, 40, onward=True) == (range(11, 20), range(21, 30))


class Says:
    """A prompter that answers what a test says: by label, or rather place in line, and plane."""

    def __init__(self, answers: dict[int, list[tuple[Mask, float, float]]]) -> None:
        self._answers = answers

    def segment(self, source: Any, prompts: Any, **more: Any) -> list[PromptedMask]:
        plane = int(source.name.split()[-1])
        return [
            PromptedMask(mask, sure, (0, 0, 64, 64), False, np.full((64, 64), logit, np.float32))
            for mask, sure, logit in self._answers[plane][: len(prompts)]
        ]


def walked(
    says: Says,
    bright: npt.NDArray[np.bool_],
    keys: list[KeyPlane],
    reach: dict[int, tuple[int, int]],
    **more: Any,
) -> list[PlaneMask]:
    asked: Any = says
    return list(propagate(asked, pictures(bright), keys, settings=EVERY, reach=reach, **more))


def stripe(first: int, end: int) -> Mask:
    return Mask((20, first), np.ones((10, end - first), bool))


def columns(found: list[PlaneMask], label: int, plane: int) -> list[int]:
    done = painted(found, label, (40, 64, 64))[plane]
    return np.flatnonzero(done.any(0)).tolist()


def test_pixels_of_a_mask_that_is_dropped_go_back() -> None:
    # The second one claims what is new of the first one more surely, but most of it is taken.
    says = Says({11: [(stripe(10, 24), 1.0, 1.0), (stripe(21, 34), 1.0, 5.0)]})
    keys = [KeyPlane(1, 10, mask=stripe(10, 21)), KeyPlane(2, 10, mask=stripe(24, 34))]
    taken = np.zeros((64, 64), bool)
    taken[:, 24:] = True
    dark = np.zeros((40, 64, 64), bool)
    reach = {1: (10, 12), 2: (10, 12)}
    found = walked(says, dark, keys, reach, taken=lambda plane: taken if plane == 11 else None)
    assert columns(found, 1, 11) == list(range(10, 24))
    assert columns(found, 2, 11) == []
    assert [(one.label, one.fault) for one in found if one.how == "ended" and one.plane == 11][
        -1
    ] == (2, "moved")


def test_an_answer_far_too_large_is_cut_to_what_looks_like_the_object() -> None:
    bright = np.zeros((40, 64, 64), bool)
    bright[:, 20:30, 10:20] = True
    says = Says({plane: [(stripe(10, 34), 1.0, 1.0)] for plane in range(11, 15)})
    keys = [KeyPlane(1, 10, mask=stripe(10, 20))]
    found = walked(says, bright, keys, {1: (10, 15)})
    assert [columns(found, 1, plane) for plane in range(11, 15)] == [list(range(10, 20))] * 4


def test_one_cut_plane_does_not_make_an_object_thin() -> None:
    widths = {11: 12, 12: 12, 13: 5, 14: 12, 15: 12}
    bright = np.zeros((40, 64, 64), bool)
    bright[:, 20:30, 10:22] = True
    # A shadow, such as metal throws: what is left of the answer is less than half.
    bright[13, :, 15:] = False
    says = Says({plane: [(stripe(10, 22), 1.0, 1.0)] for plane in widths})
    keys = [KeyPlane(1, 10, mask=stripe(10, 22))]
    found = walked(says, bright, keys, {1: (10, 16)})
    assert {plane: len(columns(found, 1, plane)) for plane in widths} == widths
    assert {one.how for one in found if 11 <= one.plane < 16} == {"followed"}


def test_a_shape_between_takes_no_pixel_of_another_object() -> None:
    # The first one is unsure between its key planes; the second one grows towards it.
    unsure = (stripe(10, 21), 0.1, 9.0)
    says = Says({11: [unsure, (stripe(18, 34), 1.0, 1.0)]})
    keys = [
        KeyPlane(1, 10, mask=stripe(10, 21)),
        KeyPlane(1, 12, mask=stripe(10, 21)),
        KeyPlane(2, 10, mask=stripe(22, 34)),
    ]
    dark = np.zeros((40, 64, 64), bool)
    found = walked(says, dark, keys, {1: (10, 13), 2: (10, 12)})
    assert hows(found)[11] == "between"
    assert columns(found, 1, 11) == list(range(10, 18))
    assert columns(found, 2, 11) == list(range(18, 34))

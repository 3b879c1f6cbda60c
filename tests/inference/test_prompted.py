from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage.draw import disk, ellipse

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference import prompt_runner
from napari_coseg.inference.prompt_masks import (
    cleaned,
    coverage,
    full_resolution,
    mask_box,
    meets_edge,
    stability,
)
from napari_coseg.inference.prompted import PromptedMask, Prompter
from napari_coseg.inference.stream import Cancelled
from napari_coseg.models.syncsam.config import SyncSamConfig
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.models.syncsam.prompts import MASK_LOGIT, mask_logits
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.weights.card import ModelCard
from tests.inference.fake_prompts import FakePromptModel, FakePromptNetwork


def black(rows: int, columns: int) -> ArraySource:
    return ArraySource(np.zeros((rows, columns, 3), np.uint8))


def painted(mask: Mask, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, bool)
    out[mask.window] = mask.bits
    return out


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def spots(shape: tuple[int, int], *discs: tuple[float, float, float]) -> np.ndarray:
    image = np.zeros((*shape, 3), np.uint8)
    for row, column, radius in discs:
        image[disk((row, column), radius, shape=shape)] = 255
    return image


# Masks between cells and pixels


def test_coverage_is_exact_area() -> None:
    mask = Mask((10, 20), np.ones((7, 9), bool))
    crop = (8.25, 17.5, 40.25, 49.5)
    got = coverage(mask, crop, 16)
    assert got.dtype == np.float32
    assert got.sum() * 4 == pytest.approx(63, rel=1e-5)
    fine = np.zeros((32 * 8, 32 * 8))
    fine[14 : 14 + 7 * 8, 20 : 20 + 9 * 8] = 1  # eighths of a pixel from the crop's corner
    assert np.allclose(got, fine.reshape(16, 16, 16, 16).mean((1, 3)), atol=1e-5)


def test_coverage_of_a_mask_beyond_the_crop() -> None:
    mask = Mask((0, 0), np.ones((3000, 200), bool))
    got = coverage(mask, (1000.0, 100.0, 1256.0, 356.0), 64)
    assert (got[:, :25] == 1).all()
    assert (got[:, 25:] == 0).all()
    assert coverage(mask, (4000.0, 4000.0, 4064.0, 4064.0), 64).sum() == 0


def test_mask_logits_are_sure_where_covered() -> None:
    logits = mask_logits(torch.tensor([0.0, 0.5, 1.0]))
    assert logits.tolist() == [-MASK_LOGIT, 0, MASK_LOGIT]


@pytest.mark.parametrize("crop", [(3.0, 5.0, 67.0, 69.0), (-7.5, 10.25, 173.5, 191.25)])
def test_full_resolution_lies_where_the_logits_say(crop: tuple[float, ...]) -> None:
    step = (crop[2] - crop[0]) / 64
    at = (np.arange(64) + 0.5) * step
    rows, columns = crop[0] + at, crop[1] + at
    # A circle as a distance: its zero lies between cells.
    middle, radius = (60.3, 75.7), 21.4
    logits = radius - np.hypot(rows[:, None] - middle[0], columns[None] - middle[1])
    shape = (150, 160)
    mask = full_resolution(logits.astype(np.float32), crop, shape, None)
    r, c = np.mgrid[: shape[0], : shape[1]] + 0.5
    truth = np.hypot(r - middle[0], c - middle[1]) < radius
    inside = (r < crop[2]) & (c < crop[3])
    assert iou(painted(mask, shape), truth & inside) > 0.98
    rows_of, columns_of = np.nonzero(painted(mask, shape))
    if inside[truth].all():
        assert rows_of.mean() + 0.5 == pytest.approx(middle[0], abs=0.1)
        assert columns_of.mean() + 0.5 == pytest.approx(middle[1], abs=0.1)


def test_only_part_is_computed_but_nothing_is_lost() -> None:
    logits = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    logits[:20] = -3
    logits[:, 50:] = -3
    crop, shape = (2.0, 3.0, 183.0, 184.0), (200, 200)
    at = np.clip((np.arange(200) + 0.5)[:, None] - np.array(crop[:2]), 0, None) / 181 * 64 - 0.5
    at = np.clip(at, 0, 63)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, 63), (at - low).astype(np.float32)
    lines = logits[low[:, 0]] * (1 - share[:, :1]) + logits[high[:, 0]] * share[:, :1]
    whole = lines[:, low[:, 1]] * (1 - share[:, 1]) + lines[:, high[:, 1]] * share[:, 1]
    whole[:2], whole[183:], whole[:, :3], whole[:, 184:] = -1, -1, -1, -1
    got = painted(full_resolution(logits, crop, shape, None), shape)
    assert (got != (whole > 0)).sum() <= 2  # rounding at zero
    clipped = full_resolution(logits, crop, shape, (70.2, 60.0, 99.6, 80.0))
    expected = np.zeros(shape, bool)
    expected[70:100, 60:80] = got[70:100, 60:80]
    assert (painted(clipped, shape) == expected).all()


CROP = (0.0, 0.0, 64.0, 64.0)


def plane(*parts: tuple[slice, slice], value: float = 5.0) -> np.ndarray:
    logits = np.full((64, 64), -5, np.float32)
    for part in parts:
        logits[part] = value
    return logits


def test_parts_without_a_point_go_and_holes_are_filled() -> None:
    logits = plane(np.s_[10:30, 10:30], np.s_[40:50, 40:50])
    logits[15, 15] = -1
    clean = cleaned(logits, Prompt(points=((20, 20, True),)), CROP)
    assert (clean > 0)[10:30, 10:30].all()
    assert not (clean > 0)[40:50, 40:50].any()
    both = cleaned(logits, Prompt(points=((20, 20, True), (45, 45, True))), CROP)
    assert (both > 0)[40:50, 40:50].all()
    # A click that misses everything is taken for the nearest part.
    near = cleaned(logits, Prompt(points=((55, 55, True),)), CROP)
    assert (near > 0)[40:50, 40:50].all()
    assert not (near > 0)[10:30, 10:30].any()


def test_parts_outside_of_the_box_go_and_specks_too() -> None:
    logits = plane(np.s_[10:30, 10:30], np.s_[40:50, 40:50], np.s_[32:34, 14:15])
    clean = cleaned(logits, Prompt(box=(10, 10, 34, 30)), CROP) > 0
    assert clean[10:30, 10:30].all()
    assert clean.sum() == 400
    large_hole = plane(np.s_[10:30, 10:30])
    large_hole[15:20, 15:20] = -5
    kept = cleaned(large_hole, Prompt(box=(10, 10, 34, 30)), CROP) > 0
    assert not kept[15:20, 15:20].any()
    # A bay that opens to the crop's edge is no hole.
    bay = plane(np.s_[0:30, 10:30])
    bay[0:2, 15:16] = -5
    assert not (cleaned(bay, Prompt(box=(0, 10, 30, 30)), CROP) > 0)[0, 15]


def test_a_mask_alone_keeps_its_part() -> None:
    logits = plane(np.s_[10:30, 10:30], np.s_[40:50, 40:50])
    before = Mask((41, 41), np.ones((6, 6), bool))
    clean = cleaned(logits, Prompt(mask=before), CROP) > 0
    assert clean[40:50, 40:50].all()
    assert clean.sum() == 100


def test_stability_counts_what_lies_between_the_thresholds() -> None:
    logits = plane(np.s_[10:30, 10:30])
    logits[10:30, 28:30] = 0.5
    logits[10:30, 30:34] = -0.5
    assert stability(logits, None, CROP) == pytest.approx(18 / 24)
    assert stability(logits, (0, 0, 64, 30), CROP) == pytest.approx(18 / 20)
    assert stability(plane(), None, CROP) == 0
    # A part that is left out takes its halo along.
    two = plane(np.s_[10:30, 10:30], np.s_[40:50, 40:50])
    two[50:55, 40:50] = -0.5
    clean = cleaned(two, Prompt(points=((20, 20, True),)), CROP)
    assert stability(clean, None, CROP) == 1


def test_meeting_an_edge() -> None:
    logits = plane(np.s_[0:10, 20:30])
    assert meets_edge(logits, (5.0, 0.0, 69.0, 64.0), (200, 200))
    assert not meets_edge(logits, CROP, (200, 200))
    assert not meets_edge(plane(np.s_[1:63, 1:63]), (5.0, 5.0, 69.0, 69.0), (200, 200))


# Boxes


def test_boxes_come_back_at_full_resolution_in_their_places() -> None:
    shape = (700, 900)
    boxes = [
        (100.0, 120.0, 130.0, 160.0),
        (50.5, 400.25, 61.0, 409.0),
        (300.0, 200.0, 690.0, 700.0),
        (0.0, 860.0, 30.0, 900.0),
    ]
    prompter = Prompter(FakePromptModel())
    found = prompter.segment(black(*shape), [Prompt(box=box) for box in boxes])
    r, c = np.mgrid[: shape[0], : shape[1]] + 0.5
    for box, one in zip(boxes, found, strict=True):
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        down = (r - middle[0]) / ((box[2] - box[0]) / 2)
        across = (c - middle[1]) / ((box[3] - box[1]) / 2)
        truth = np.hypot(down, across) < 1
        assert iou(painted(one.mask, shape), truth) > 0.96
        assert one.mask.area == painted(one.mask, shape).sum()
        assert 0.5 < one.stability <= 1
        assert not one.touches_border
        assert one.logits.shape == (64, 64)
        assert one.logits.dtype == np.float32


def test_a_box_that_reaches_over_every_edge() -> None:
    prompter = Prompter(FakePromptModel())
    (one,) = prompter.segment(black(80, 60), [Prompt(box=(-50, -50, 500, 500))])
    r, c = np.mgrid[:80, :60] + 0.5
    assert iou(painted(one.mask, (80, 60)), np.hypot((r - 40) / 40, (c - 30) / 30) < 1) > 0.96


def test_corners_may_be_swapped() -> None:
    prompter = Prompter(FakePromptModel())
    one, other = prompter.segment(
        black(200, 200), [Prompt(box=(40, 50, 90, 80)), Prompt(box=(90, 80, 40, 50))]
    )
    assert one.mask.origin == other.mask.origin
    assert (one.mask.bits == other.mask.bits).all()


def test_neighbours_share_and_all_runs_in_batches() -> None:
    network = FakePromptNetwork()
    prompter = Prompter(FakePromptModel(network))
    boxes = [
        (300.0 + 30 * r, 300.0 + 30 * c, 324.0 + 30 * r, 322.0 + 30 * c)
        for r in range(8)
        for c in range(8)
    ]
    together = prompter.segment(black(1024, 1024), [Prompt(box=box) for box in boxes])
    assert prompter.encoded <= 9
    assert sum(network.decoded) == 64
    assert len(network.decoded) <= 8
    for box, one in zip(boxes, together, strict=True):
        assert one.mask.area == pytest.approx(np.pi / 4 * 24 * 22, rel=0.12)
        row0, column0, row1, column1 = mask_box(one.mask)
        assert row0 >= box[0] - 1
        assert column0 >= box[1] - 1
        assert row1 <= box[2] + 1
        assert column1 <= box[3] + 1


def test_a_mask_ends_where_the_boxs_surroundings_do() -> None:
    class Everything(FakePromptNetwork):
        def decode(self, encoding: Any, images: Any, prompts: Any) -> Any:
            return torch.full((len(images), 64, 64), 5.0)

    prompter = Prompter(FakePromptModel(Everything()))
    (one,) = prompter.segment(black(400, 400), [Prompt(box=(100, 100, 180, 140))])
    assert mask_box(one.mask) == (90, 90, 190, 150)
    # A point on the object beyond them lifts the limit, and the object grows with its crop.
    beyond = Prompt(box=(100, 100, 180, 140), points=((200, 200, True),))
    (one,) = prompter.segment(black(400, 400), [beyond])
    assert mask_box(one.mask) == (0, 0, 400, 400)
    assert not one.touches_border


def test_nothing_found_is_an_empty_mask() -> None:
    class Nothing(FakePromptNetwork):
        def decode(self, encoding: Any, images: Any, prompts: Any) -> Any:
            return torch.full((len(images), 64, 64), -5.0)

    (one,) = Prompter(FakePromptModel(Nothing())).segment(
        black(100, 100), [Prompt(box=(10, 10, 50, 50))]
    )
    assert one.mask.area == 0
    assert one.stability == 0
    assert not one.touches_border


# Points


@pytest.mark.parametrize("radius", [4, 9, 30, 120, 300])
def test_a_click_finds_objects_of_every_size(radius: int) -> None:
    image = spots((1200, 1300), (600, 700, radius))
    prompter = Prompter(FakePromptModel())
    (one,) = prompter.segment(ArraySource(image), [Prompt(points=((600, 700, True),))])
    assert iou(painted(one.mask, (1200, 1300)), image[..., 0] > 0) > 0.9
    fill = 2 * radius / (one.crop[2] - one.crop[0])
    assert 1 / 6 <= fill <= 0.75
    assert not one.touches_border


def test_a_hint_saves_looking_twice() -> None:
    image = spots((1200, 1300), (600, 700, 200))
    prompter = Prompter(FakePromptModel())
    prompter.segment(ArraySource(image), [Prompt(points=((600, 700, True),))], hint=400)
    assert prompter.encoded == 1
    prompter.segment(ArraySource(image), [Prompt(points=((600, 700, True),))])
    assert prompter.encoded > 2


def test_looking_again_ends() -> None:
    image = np.full((9000, 9000, 3), 255, np.uint8)
    prompter = Prompter(FakePromptModel())
    (one,) = prompter.segment(ArraySource(image), [Prompt(points=((4500, 4500, True),))])
    assert one.touches_border
    assert prompter.encoded <= 4


def test_neighbours_of_the_clicked_object_stay_out() -> None:
    image = spots((400, 400), (200, 200, 14), (200, 240, 14), (236, 210, 12))
    (one,) = Prompter(FakePromptModel()).segment(
        ArraySource(image), [Prompt(points=((201, 199, True),))]
    )
    truth = spots((400, 400), (200, 200, 14))[..., 0] > 0
    assert iou(painted(one.mask, (400, 400)), truth) > 0.9


def test_points_reach_the_network_in_its_pixels() -> None:
    network = FakePromptNetwork()
    image = np.zeros((300, 400, 3), np.uint8)
    image[150:170, 200:220] = 255
    prompt = Prompt(points=((160.0, 210.0, True), (150.0, 196.0, False), (5.0, 5.0, False)))
    (one,) = Prompter(FakePromptModel(network)).segment(ArraySource(image), [prompt])
    batch = network.prompts[-1]
    scale = 256 / (one.crop[2] - one.crop[0])
    assert batch.points is not None
    assert batch.labels is not None
    row, column = batch.points[0, 0].tolist()
    assert row == pytest.approx((160.5 - one.crop[0]) * scale - 0.5)
    assert column == pytest.approx((210.5 - one.crop[1]) * scale - 0.5)
    # The far negative one lies outside of the crop.
    assert batch.labels.tolist() == [[1, 0]]
    seen = network.images[-1][0, 0]
    assert seen[round(row), round(column)] == 1
    assert seen[round(row), max(0, round(column - 14 * scale))] == 0


# Refinement and memory


def test_the_next_click_costs_one_decoding() -> None:
    class Counted(ArraySource):
        reads = 0

        def read(self, *window: int) -> Any:
            self.reads += 1
            return super().read(*window)

    source = Counted(np.zeros((1024, 1024, 3), np.uint8))
    network = FakePromptNetwork()
    prompter = Prompter(FakePromptModel(network))
    (first,) = prompter.segment(source, [Prompt(box=(300, 300, 360, 340))], key="tile")
    assert (prompter.encoded, prompter.decoded, source.reads) == (1, 1, 1)
    refined = Prompt((300, 300, 360, 340), ((310.0, 310.0, False),), first.mask)
    (second,) = prompter.segment(source, [refined], key="tile", crops=[first.crop])
    assert second.crop == first.crop
    assert (prompter.encoded, prompter.decoded, source.reads) == (1, 2, 1)
    masks = network.prompts[-1].masks
    assert masks is not None
    covered = masks[0] > 0
    assert covered.sum() * (first.crop[2] - first.crop[0]) ** 2 / 4096 == pytest.approx(
        first.mask.area, rel=0.05
    )
    # Of another image, or one without a name, nothing is known.
    prompter.segment(source, [refined], key="other", crops=[first.crop])
    prompter.segment(source, [refined], crops=[first.crop])
    assert prompter.encoded == 3


def test_an_answer_does_not_depend_on_what_was_asked_before() -> None:
    image = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    prompt = Prompt(points=((250.0, 250.0, True),))
    fresh = Prompter(FakePromptModel())
    (alone,) = fresh.segment(ArraySource(image), [prompt], key="a")
    used = Prompter(FakePromptModel())
    for at in range(100, 400, 30):
        used.segment(ArraySource(image), [Prompt(box=(at, 200, at + 90, 300))], key="a")
    (after,) = used.segment(ArraySource(image), [prompt], key="a")
    assert after.crop == alone.crop
    assert (after.logits == alone.logits).all()


def test_a_crop_that_no_longer_holds_is_left() -> None:
    prompter = Prompter(FakePromptModel())
    source = black(1024, 1024)
    (first,) = prompter.segment(source, [Prompt(box=(300, 300, 330, 330))], key="a")
    larger = Prompt((300, 300, 600, 600), (), first.mask)
    (second,) = prompter.segment(source, [larger], key="a", crops=[first.crop])
    assert second.crop != first.crop
    assert mask_box(second.mask) == (300, 300, 600, 600)
    for nonsense in ((0.0, 0.0, 0.0, 0.0), (np.nan,) * 4, (0.0, 0.0, 50.0, 90.0)):
        (again,) = prompter.segment(source, [larger], key="a", crops=[nonsense])
        assert again.crop == second.crop


@pytest.mark.parametrize("side", [1e15, 5000.0])
def test_a_crop_from_outside_cannot_be_beyond_measure(side: float) -> None:
    prompter = Prompter(FakePromptModel())
    far = (-side / 2, -side / 2, side / 2, side / 2)
    prompt = Prompt(points=((50.0, 50.0, True),))
    (one,) = prompter.segment(black(100, 100), [prompt], crops=[far])
    assert one.crop[2] - one.crop[0] < 400


def test_memory_of_the_cache_is_bounded() -> None:
    one = 64 * 64 * 4
    prompter = Prompter(FakePromptModel(), cache_bytes=5 * one)
    for at in range(20):
        prompter.segment(black(2000, 2000), [Prompt(box=(90 * at, 0, 90 * at + 30, 30))], key="a")
    assert prompter.encoded == 20
    assert len(prompter.cache) == 5
    assert prompter.cache.bytes == 5 * one
    prompter.segment(black(2000, 2000), [Prompt(box=(90 * 19, 0, 90 * 19 + 30, 30))], key="a")
    assert prompter.encoded == 20
    prompter.cache.clear()
    assert prompter.cache.bytes == 0


def test_too_little_memory_makes_batches_smaller() -> None:
    class Tight(FakePromptNetwork):
        def encode(self, images: Any) -> Any:
            if len(images) > 1:
                raise torch.OutOfMemoryError("too little")
            return super().encode(images)

    network = Tight()
    prompter = Prompter(FakePromptModel(network))
    boxes = [Prompt(box=(200 * i, 200 * i, 200 * i + 30, 200 * i + 30)) for i in range(5)]
    found = prompter.segment(black(1000, 1000), boxes)
    assert network.encoded == [1] * 5
    assert prompter.batch == {"crops": 1, "objects": 16}
    assert all(one.mask.area > 600 for one in found)

    class Full(FakePromptNetwork):
        def encode(self, images: Any) -> Any:
            raise torch.OutOfMemoryError("none at all")

    with pytest.raises(CosegError, match="too little memory for one prompt"):
        Prompter(FakePromptModel(Full())).segment(black(100, 100), boxes[:1])


def test_cancelling() -> None:
    network = FakePromptNetwork()
    prompter = Prompter(FakePromptModel(network))
    asked = []

    def cancel() -> bool:
        asked.append(1)
        return len(asked) > 2

    boxes = [Prompt(box=(150 * i, 5, 150 * i + 30, 35)) for i in range(40)]
    with pytest.raises(Cancelled):
        prompter.segment(black(6400, 640), boxes, cancel=cancel)
    assert sum(network.encoded) == 8


# What cannot be used


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt(), "does not say where the object is"),
        (Prompt(points=((5, 5, False),)), "draw a box or click on it"),
        (Prompt(box=(10, 10, 10, 40)), "without a size"),
        (Prompt(box=(10, np.nan, 20, 40)), "no number"),
        (Prompt(box=(10, 10, np.inf, 40)), "no number"),
        (Prompt(box=(110, 10, 140, 40)), "outside of the image of 100 x 120"),
        (Prompt(box=(-30, 10, 0, 40)), "outside of the image"),
        (Prompt(points=((100, 5, True),)), "put it on the image"),
        (Prompt(points=((np.nan, 5, True),)), "without a place"),
        (Prompt(mask=Mask((0, 0), np.zeros((5, 5), bool))), "does not say where"),
        (Prompt(mask=Mask((500, 0), np.ones((5, 5), bool))), "does not say where"),
        (Prompt(mask=Mask((0, 0, 0), np.ones((1, 5, 5), bool))), "mask of 3 axes"),
    ],
)
def test_prompts_that_cannot_be_used(prompt: Prompt, says: str) -> None:
    prompter = Prompter(FakePromptModel())
    with pytest.raises(CosegError, match=says):
        prompter.segment(black(100, 120), [prompt])
    good = Prompt(box=(10, 10, 40, 40))
    with pytest.raises(CosegError, match="Prompt 2"):
        prompter.segment(black(100, 120), [good, prompt])
    assert prompter.encoded == 0


def test_points_on_the_very_border() -> None:
    image = np.zeros((100, 120, 3), np.uint8)
    image[80:, 100:] = 255
    (one,) = Prompter(FakePromptModel()).segment(
        ArraySource(image), [Prompt(points=((99.5, 119.5, True),))]
    )
    assert iou(painted(one.mask, (100, 120)), image[..., 0] > 0) > 0.9


def test_a_hint_must_be_a_size() -> None:
    with pytest.raises(CosegError, match="positive number of pixels"):
        Prompter(FakePromptModel()).segment(
            black(50, 50), [Prompt(points=((5, 5, True),))], hint=0.0
        )
    assert Prompter(FakePromptModel()).segment(black(50, 50), []) == []


# A real network


def real_model(**changes: Any) -> Any:
    torch.manual_seed(0)
    network = SyncSamNetwork(
        SyncSamConfig(
            side=64,
            width=32,
            depth=4,
            heads=2,
            window=2,
            cnn="resnet10t",
            embedding=32,
            freeze_vit=False,
            details=True,
            **changes,
        )
    ).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return FakePromptModel(network, ModelCard(name="tiny", kind="syncsam"))


def answers(prompter: Prompter, prompts: list[Prompt], **more: Any) -> list[PromptedMask]:
    image = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    return prompter.segment(ArraySource(image), prompts, **more)


def mixed() -> list[Prompt]:
    rows, columns = ellipse(20, 25, 20, 25)
    bits = np.zeros((41, 51), bool)
    bits[rows, columns] = True
    mask = Mask((100, 100), bits)
    return [
        Prompt(box=(100, 100, 140, 150)),
        Prompt(points=((120.0, 125.0, True),)),
        Prompt(points=((120.0, 125.0, True), (105.0, 102.0, False))),
        Prompt(box=(100, 100, 140, 150), points=((120.0, 125.0, True),), mask=mask),
        Prompt(mask=mask),
        Prompt(box=(160, 30, 200, 60), points=((180.0, 45.0, True),)),
    ]


@pytest.mark.parametrize("multi_scale", [True, False])
def test_an_objects_answer_does_not_depend_on_its_neighbours(multi_scale: bool) -> None:
    prompts = mixed()
    model = real_model(multi_scale=multi_scale)
    together = answers(Prompter(model), prompts)
    same = 0
    for prompt, one in zip(prompts, together, strict=True):
        (alone,) = answers(Prompter(model), [prompt], crops=[one.crop])
        if alone.crop == one.crop:
            np.testing.assert_allclose(alone.logits, one.logits, atol=1e-4)
            same += 1
    assert same >= 5


def test_preparing_an_encoding_changes_nothing() -> None:
    model = real_model()
    images = torch.rand(2, 3, 64, 64)
    prompts = prompt_runner.PromptBatch(boxes=torch.tensor([[5.0, 6, 40, 50], [1, 2, 30, 20]]))
    numbers = torch.tensor([1, 0])
    with torch.inference_mode():
        encoding = model.network.encode(images)
        plain = model.network.decode(encoding, numbers, prompts)
        prepared = model.network.prepare(encoding)
        assert prepared.stages == ()
        assert torch.equal(plain, model.network.decode(prepared, numbers, prompts))


def test_the_same_twice_is_the_same_to_the_bit() -> None:
    model = real_model()
    first, second = (answers(Prompter(model), mixed(), key="k") for _ in range(2))
    cached = Prompter(model)
    answers(cached, mixed(), key="k")
    third = answers(cached, mixed(), key="k")
    for a, b, c in zip(first, second, third, strict=True):
        assert (a.logits == b.logits).all()
        assert (a.logits == c.logits).all()

"""Simulated prompts: boxes and clicks lie where the truth and the mask say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_coseg.models.syncsam.prompts import MASK_LOGIT, NEGATIVE, PADDING, POSITIVE
from napari_coseg.training.interaction import Session, boxes_of, jittered, pick

SIDE, STRIDE = 64, 2
CELLS = SIDE // STRIDE


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def masks(count: int = 6, seed: int = 0) -> Tensor:
    """Rectangles with a bite, somewhere; none of them empty."""
    random = seeded(seed)
    out = torch.zeros(count, CELLS, CELLS, dtype=torch.bool)
    for mask in out:
        row, column = torch.randint(0, CELLS - 12, (2,), generator=random).tolist()
        rows, columns = torch.randint(4, 12, (2,), generator=random).tolist()
        mask[row : row + rows, column : column + columns] = True
        mask[row : row + rows // 2, column : column + columns // 2] = False
    return out


def session(truth: Tensor, seed: int = 0) -> Session:
    return Session(truth, STRIDE, SIDE, seeded(seed))


def at(truth: Tensor, points: Tensor) -> Tensor:
    """What of the truth lies under one point an object, given in pixels of the square."""
    cells = ((points + 0.5) / STRIDE).floor().long()
    return truth[torch.arange(len(truth)), cells[:, 0], cells[:, 1]]


def test_boxes_are_exact() -> None:
    truth = masks()
    for mask, box in zip(truth, boxes_of(truth, STRIDE), strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        expected = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert box.tolist() == [STRIDE * int(edge) for edge in expected]
    corners = torch.zeros(2, CELLS, CELLS, dtype=torch.bool)
    corners[0, 0, 0] = corners[1, -1, -1] = True
    assert boxes_of(corners, 2).tolist() == [[0, 0, 2, 2], [SIDE - 2, SIDE - 2, SIDE, SIDE]]


@pytest.mark.parametrize("deviation", [0.05, 0.1, 0.5])
def test_jitter_is_bounded_and_leaves_an_inside(deviation: float) -> None:
    boxes = boxes_of(masks(400), STRIDE)
    moved = jittered(boxes, deviation, SIDE, seeded())
    assert (moved >= 0).all()
    assert (moved <= SIDE).all()
    assert (moved[:, :2] < moved[:, 2:]).all()
    lengths = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    assert ((moved - boxes).abs() <= 2.5 * deviation * lengths + 1e-4).all()
    assert not torch.equal(moved, boxes)
    inner = (boxes > 0) & (boxes < SIDE)
    spread = ((moved - boxes) / lengths)[inner].std()
    assert 0.7 * deviation < spread <= 1.1 * deviation


def test_a_box_of_a_pixel_stays() -> None:
    boxes = torch.tensor([[3.0, 4.0, 4.0, 5.0]])
    assert torch.equal(jittered(boxes, 0.5, SIDE, seeded()), boxes)


@pytest.mark.parametrize("middle", [0.0, 0.5, 1.0])
def test_picked_pixels_lie_on_their_map(middle: float) -> None:
    truth = masks(50)
    places = pick(truth, seeded(), middle=middle)
    assert truth[torch.arange(50), places[:, 0], places[:, 1]].all()


def test_the_middle_is_away_from_the_edge() -> None:
    truth = torch.zeros(1, CELLS, CELLS, dtype=torch.bool)
    truth[0, 4:25, 6:27] = True
    row, column = pick(truth, seeded(), middle=1.0)[0].tolist()
    assert abs(row - 14) <= 3
    assert abs(column - 16) <= 3


@pytest.mark.parametrize("box", [0.0, 0.5, 1.0])
def test_each_object_begins_with_a_box_or_a_point(box: float) -> None:
    truth = masks(300)
    person = session(truth)
    person.begin(box, 0.0)
    prompts = person.prompts
    assert prompts.boxes is not None
    assert prompts.points is not None
    assert prompts.labels is not None
    assert prompts.masks is None
    boxed = prompts.boxes.isfinite().all(1)
    pointed = prompts.labels[:, 0] == POSITIVE
    assert (boxed | pointed).all()
    assert abs(float(boxed.float().mean()) - box) < 0.1
    assert torch.equal(prompts.boxes[boxed], boxes_of(truth, STRIDE)[boxed])
    assert (prompts.boxes[~boxed].isnan()).all()
    # Some boxes get a point as well.
    assert 0.15 * box <= float((boxed & pointed).float().mean()) <= 0.35 * box
    assert set(prompts.labels.unique().tolist()) <= {PADDING, POSITIVE}
    assert at(truth, prompts.points[:, 0]).all()


def test_corrections_lie_where_the_mask_is_wrong() -> None:
    truth = masks(60)
    person = session(truth)
    person.begin(1.0, 0.0)
    # Everything is taken for the object; then nothing is.
    whole = torch.full((60, SIDE // 4, SIDE // 4), 5.0)
    person.correct(whole)
    person.correct(-whole)
    points, labels = person.prompts.points, person.prompts.labels
    assert points is not None
    assert labels is not None
    assert labels.shape == (60, 3)
    assert (labels[:, 1] == NEGATIVE).all()
    assert not at(truth, points[:, 1]).any()
    assert (labels[:, 2] == POSITIVE).all()
    assert at(truth, points[:, 2]).all()


def test_no_error_gives_no_click() -> None:
    truth = torch.zeros(2, CELLS, CELLS, dtype=torch.bool)
    truth[:, 8:16, 8:16] = True
    truth[1, 20:22, 20:22] = True
    coarse = truth[:1, ::2, ::2].float().repeat(2, 1, 1) * 20 - 10
    person = session(truth)
    person.begin(1.0, 0.0)
    person.correct(coarse)
    assert person.prompts.labels is not None
    assert person.prompts.labels[:, 1].tolist() == [PADDING, POSITIVE]


def test_masks_are_fed_back() -> None:
    truth = masks(4)
    logits = torch.randn(4, SIDE // 4, SIDE // 4, generator=seeded(3)) * 30
    for sure in (0.0, 1.0):
        person = session(truth)
        person.begin(0.5, 0.0)
        person.correct(logits.requires_grad_(), sure=sure)
        fed = person.prompts.masks
        assert fed is not None
        assert not fed.requires_grad
        if sure:
            assert torch.equal(fed, torch.where(logits > 0, MASK_LOGIT, -MASK_LOGIT))
        else:
            assert torch.equal(fed, logits.detach().clamp(-20, 20))


def test_a_seed_repeats_a_person() -> None:
    truth = masks(20)
    logits = torch.randn(20, SIDE // 4, SIDE // 4, generator=seeded(3))
    found = []
    for seed in (1, 1, 2):
        person = session(truth, seed)
        person.begin(0.5, 0.1)
        person.correct(logits)
        prompts = person.prompts
        parts = (prompts.boxes, prompts.points, prompts.labels, prompts.masks)
        found.append([part for part in parts if part is not None])
    assert all(
        torch.allclose(one, two, equal_nan=True) for one, two in zip(*found[:2], strict=True)
    )
    assert not torch.allclose(found[0][1], found[2][1])

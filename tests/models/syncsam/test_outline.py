"""The outline branch: prompts as maps, and what they change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.models.syncsam.outline import MAPS, Outline, prompt_maps
from napari_coseg.models.syncsam.prompts import NEGATIVE, PADDING, POSITIVE, PromptBatch
from tests.models.syncsam.test_network import BOX, SIDE, change, only

CELLS = SIDE // 4
NAN = float("nan")


def drawn(**prompts: Tensor) -> np.ndarray:
    maps = prompt_maps(PromptBatch(**prompts), SIDE, CELLS)
    assert maps.shape[1:] == (MAPS, CELLS, CELLS)
    assert maps.isfinite().all()
    assert maps.abs().max() <= 1.5
    return maps.numpy()


def test_a_box() -> None:
    # Rows 4 to 8 and columns 2 to 12, in cells.
    one, other = drawn(boxes=torch.tensor([[16.0, 8.0, 32.0, 48.0], [NAN] * 4]))
    assert not other.any()
    flag, height, rows, columns, inside = one[:5]
    assert (flag == 1).all()
    assert not one[5:].any()
    centre = np.arange(CELLS) + 0.5
    down, across = (centre - 6) / 2, (centre - 7) / 5
    ellipse = down[:, None] ** 2 + across[None] ** 2 < 1
    np.testing.assert_array_equal(height > 0, ellipse)
    np.testing.assert_allclose(rows[:, 0], down.clip(-1.5, 1.5), atol=1e-6)
    np.testing.assert_allclose(columns[0], across.clip(-1.5, 1.5), atol=1e-6)
    box = np.zeros((CELLS, CELLS), bool)
    box[4:8, 2:12] = True
    np.testing.assert_array_equal(inside > 0, box)
    # Half a cell and one and a half from the upper side, a quarter of a cell to a unit.
    np.testing.assert_allclose(inside[3:6, 7], [-0.125, 0.125, 0.375], atol=1e-6)


def test_points_lie_on_their_pixels() -> None:
    points = torch.tensor([[[20.0, 30.0], [50.0, 3.0], [9.0, 9.0]]])
    labels = torch.tensor([[POSITIVE, NEGATIVE, PADDING]])
    (maps,) = drawn(points=points, labels=labels)
    assert np.unravel_index(maps[5].argmax(), (CELLS, CELLS)) == (5, 7)
    assert np.unravel_index(maps[6].argmax(), (CELLS, CELLS)) == (12, 0)
    assert maps[5, 5, 7] > 0.9
    # A point that is none leaves nothing.
    assert maps[5:7, 2, 2].max() < 0.1
    assert not maps[:5].any()
    assert not maps[7].any()


def test_a_mask_before() -> None:
    masks = torch.full((2, CELLS, CELLS), -6.0)
    masks[0, 3:6, 3:6] = 6.0
    masks[1] = NAN
    one, other = drawn(masks=masks)
    np.testing.assert_array_equal(one[7] > 0, masks[0].numpy() > 0)
    assert set(np.unique(one[7])) == {-1.0, 1.0}
    assert not other.any()


def test_a_box_smaller_than_a_cell() -> None:
    (maps,) = drawn(boxes=torch.tensor([[9.0, 9.0, 9.5, 9.5]]))
    assert maps[1].max() > 0


def test_it_begins_as_if_it_were_not_there() -> None:
    torch.manual_seed(0)
    network = SyncSamNetwork(change(outline=4)).eval()
    images = torch.randn(1, 3, SIDE, SIDE)
    prompt = PromptBatch(torch.tensor([BOX]))
    with torch.inference_mode():
        with_it = network(images, only(), prompt)
        network.outline = None
        torch.testing.assert_close(network(images, only(), prompt), with_it)


@pytest.mark.parametrize("cells", [8, 16, 64])
def test_what_is_far_away_is_heard(cells: int) -> None:
    torch.manual_seed(0)
    outline = Outline(8, 4)
    torch.nn.init.normal_(outline.out.weight)
    features = torch.randn(1, 8, cells, cells)
    maps = torch.zeros(1, MAPS, cells, cells, requires_grad=True)
    logits = outline(torch.zeros(1, cells, cells), features, maps)
    logits[0, 0, 0].backward()
    assert maps.grad is not None
    # On its coarsest grid a cell is eight wide.
    there = min(20, cells - 1)
    assert (maps.grad[0, :, there, there] != 0).any()

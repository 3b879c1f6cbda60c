"""The teacher fills what has no truth, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_coseg.training.losses import Targets
from napari_coseg.training.teacher import fill_missing
from napari_coseg.types import IGNORE

BOTH = torch.ones(2, 2, dtype=torch.bool)


def targets(regions: Tensor, instances: Tensor) -> Targets:
    return Targets.of(
        {
            "regions": regions.to(torch.uint8),
            "instances": instances.to(torch.int32),
            "classes": torch.full(instances.shape, IGNORE, dtype=torch.uint8),
            "hv": torch.zeros(len(instances), 2, *instances.shape[1:]),
        }
    )


class Teacher:
    """Sure of gland on the left, of background on the right, of nothing in the middle."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, images: Tensor, *, tasks: list[str], rows: dict[str, Tensor]) -> Any:
        self.asked.append(tasks)
        logit = torch.tensor([6.0, 0.1, -6.0]).repeat_interleave(2)[None, None, None, :]
        count = {task: len(rows[task]) for task in tasks}
        regions = foreground = None
        if "regions" in tasks:
            both = torch.cat([-logit / 2, logit / 2], dim=1)
            regions = both.expand(count["regions"], 2, 6, 6)
        if "instances" in tasks:
            foreground = logit.expand(count["instances"], 1, 6, 6)
        return SimpleNamespace(regions=regions, foreground=foreground)


@pytest.fixture
def mixed() -> Targets:
    """First image: regions known; second: instances known."""
    regions = torch.full((2, 6, 6), IGNORE)
    regions[0] = 1
    instances = torch.full((2, 6, 6), -1)
    instances[1] = 0
    instances[1, 2:4, 2:4] = 7
    return targets(regions, instances)


def test_only_sure_pixels_of_images_without_truth(mixed: Targets) -> None:
    filled = fill_missing(mixed, Teacher(), torch.zeros(2, 3, 6, 6), 0.9, BOTH[:2])  # type: ignore[arg-type]
    assert torch.equal(filled.regions[0], mixed.regions[0])
    assert filled.regions[1, 0].tolist() == [1, 1, IGNORE, IGNORE, 0, 0]
    assert torch.equal(filled.instances[1], mixed.instances[1])
    assert filled.known[0, 0].tolist() == [True, True, False, False, True, True]
    assert filled.instances[0, 0].bool().tolist()[:2] == [True, True]
    assert not filled.instances[0, 0, -2:].any()
    # Whole objects are unknown to a teacher of pixels.
    assert torch.equal(filled.objects_known, mixed.objects_known)


def test_nothing_missing_asks_nothing() -> None:
    whole = targets(torch.ones(1, 6, 6), torch.zeros(1, 6, 6))
    teacher = Teacher()
    assert fill_missing(whole, teacher, torch.zeros(1, 3, 6, 6), 0.9, BOTH[:1]) is whole  # type: ignore[arg-type]
    assert not teacher.asked


def test_a_set_may_keep_the_teacher_out(mixed: Targets) -> None:
    teach = torch.tensor([[True, True], [False, True]])
    filled = fill_missing(mixed, Teacher(), torch.zeros(2, 3, 6, 6), 0.9, teach)  # type: ignore[arg-type]
    assert torch.equal(filled.regions, mixed.regions)
    assert filled.known[0, 0, 0]

"""Loss terms: presets, missing truth, the axes of the gradient term."""

from __future__ import annotations

import math

import pytest
import torch

from napari_coseg.models.coseg.network import CosegOutput
from napari_coseg.training.config import LossSection
from napari_coseg.training.losses import (
    LossWeights,
    Targets,
    consistency,
    coseg_loss,
    distribution_entropy,
)

CODE = LossWeights.of(LossSection())
PAPER = LossWeights.of(LossSection(preset="paper"))


def truth(batch: int = 1) -> Targets:
    regions = torch.zeros(batch, 8, 8, dtype=torch.long)
    regions[:, 2:6, 2:6] = 1
    instances = torch.zeros(batch, 16, 16, dtype=torch.bool)
    instances[:, 4:12, 4:12] = True
    ramp = torch.linspace(-1, 1, 8)
    hv = torch.zeros(batch, 2, 16, 16)
    hv[:, 0, 4:12, 4:12] = ramp[None, :]
    hv[:, 1, 4:12, 4:12] = ramp[:, None]
    known = torch.ones_like(instances)
    return Targets(regions, instances, known, instances.long() * 2, hv, known)


def perfect(targets: Targets, sure: float = 30.0) -> CosegOutput:
    def logits(labels: torch.Tensor, classes: int) -> torch.Tensor:
        hot = torch.nn.functional.one_hot(labels.clamp(max=classes - 1), classes)
        return sure * (2 * hot.permute(0, 3, 1, 2).float() - 1)

    inside = targets.instances[:, None].float()
    small = torch.nn.functional.avg_pool2d(inside, 2)
    return CosegOutput(
        regions=logits(targets.regions, 2),
        foreground=sure * (2 * inside - 1),
        classes=logits(targets.classes, 3),
        hv=targets.hv.clone(),
        masks={
            "regions": sure * (2 * (targets.regions[:, None] == 1).float() - 1),
            "instances": sure * (2 * small - 1),
        },
        distributions={
            t: torch.zeros(len(targets.regions), 2, 2, 2) for t in ("regions", "instances")
        },
    )


def loss(output: CosegOutput, targets: Targets, weights: LossWeights = CODE) -> dict[str, float]:
    rows = {t: targets.rows(t) for t in ("regions", "instances")}
    terms = coseg_loss(output, targets, rows, weights, torch.ones(3))
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize("weights", [CODE, PAPER])
def test_a_perfect_answer_costs_nothing(weights: LossWeights) -> None:
    targets = truth()
    terms = loss(perfect(targets), targets, weights)
    assert set(terms) == {
        "mask_regions",
        "mask_instances",
        "kl",
        "regions",
        "foreground",
        "classes",
        "mse",
        "msge",
    }
    assert all(value == pytest.approx(0, abs=0.01) for value in terms.values()), terms


def test_presets_differ_as_documented() -> None:
    assert (CODE.kl, CODE.regions, CODE.mse, CODE.msge) == (10, 0.5, 8, 2.5)
    assert (PAPER.kl, PAPER.regions, PAPER.mse, PAPER.msge) == (1, 1, 2.5, 8)
    assert LossWeights.of(LossSection(kl=0, mse=1)).kl == 0


def test_pixels_without_truth_cost_nothing() -> None:
    targets = truth()
    output = perfect(targets)
    output.regions[..., 0, 0] *= -1
    output.classes[..., 0, 0] *= -1
    output.masks["regions"][..., 0, 0] *= -1
    assert loss(output, targets)["regions"] > 0.1
    targets.regions[:, 0, 0] = 255
    targets.classes[:, 0, 0] = 255
    terms = loss(output, targets)
    assert terms["regions"] == pytest.approx(0, abs=0.01)
    assert terms["classes"] == pytest.approx(0, abs=0.01)
    assert terms["mask_regions"] == pytest.approx(0, abs=0.01)


def test_images_without_a_task_have_no_term_for_it() -> None:
    targets = truth(2)
    targets.regions[:] = 255
    targets.known[1] = False
    targets.classes[1] = 255
    assert targets.rows("regions").tolist() == []
    assert targets.rows("instances").tolist() == [0]
    output = perfect(truth(2))
    output.regions = None
    output.foreground, output.classes = output.foreground[:1], output.classes[:1]
    output.hv = output.hv[:1]
    terms = loss(output, targets)
    assert "regions" not in terms
    assert "mask_regions" not in terms
    assert terms["foreground"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("channel", "axis"), [(0, 3), (1, 2)])
def test_the_gradient_term_looks_along_the_maps_own_axis(channel: int, axis: int) -> None:
    """A map changed across its axis by a constant a line keeps its slope along the axis."""
    targets = truth()
    output = perfect(targets)
    shift = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    lines = shift[:, :, None] if axis == 3 else shift[:, None, :]
    output.hv[:, channel] += lines
    terms = loss(output, targets)
    assert terms["mse"] > 0.1
    assert terms["msge"] == pytest.approx(0, abs=1e-6)


def test_consistency_is_the_divergence() -> None:
    p = torch.tensor([0.8, 0.2]).log().view(1, 2, 1, 1)
    q = torch.tensor([0.5, 0.5]).log().view(1, 2, 1, 1)
    forward = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    backward = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    maps = {"regions": p, "instances": q}
    assert float(consistency(maps, paper=True)) == pytest.approx(forward / math.log(2), rel=1e-5)
    code = float(consistency(maps, paper=False))
    assert code == pytest.approx((forward + backward) / 4, rel=1e-5)


def test_entropy_tells_constant_maps_apart() -> None:
    flat = distribution_entropy({"regions": torch.zeros(1, 2, 4, 4)})
    assert float(flat["entropy_regions"]) == pytest.approx(1)
    assert float(flat["spread_regions"]) == pytest.approx(0)
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 0, :2] = 20
    logits[:, 1, 2:] = 20
    sharp = distribution_entropy({"regions": logits})
    assert float(sharp["entropy_regions"]) == pytest.approx(0, abs=1e-5)
    assert float(sharp["spread_regions"]) > 0.4

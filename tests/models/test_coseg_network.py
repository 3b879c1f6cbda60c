"""The Co-Seg++ network: shapes, switches, one encoding, gradients between the tasks."""

from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import ValidationError

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.encoder import Adapter, Encoder
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.models.folding import fold_batch_norms

SMALL = {
    "encoder": "resnet10t",
    "region_classes": 2,
    "instance_classes": 3,
    "tile": 64,
    "width": 32,
    "mlp_width": 32,
    "heads": 2,
    "pixel_channels": (16, 12, 8),
    "instance_stride": 2,
    "state_width": 16,
    "state_size": 4,
    "spatial_width": 8,
}


def build(**changes: object) -> CosegNetwork:
    torch.manual_seed(0)
    return CosegNetwork(CosegConfig(**(SMALL | changes)))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_maps_have_the_documented_shapes(images: torch.Tensor) -> None:
    output = build()(images)
    assert output.regions.shape == (2, 3, 16, 16)
    assert output.foreground.shape == (2, 1, 32, 32)
    assert output.classes.shape == (2, 4, 32, 32)
    assert output.hv.shape == (2, 2, 32, 32)
    assert {t: m.shape for t, m in output.masks.items()} == {
        "regions": (2, 1, 16, 16),
        "instances": (2, 1, 16, 16),
    }
    assert output.distributions["regions"].shape == (2, 2, 4, 4)


@pytest.mark.parametrize(("p", "d", "c"), list(itertools.product((False, True), repeat=3)))
def test_every_combination_of_switches_trains(
    p: bool, d: bool, c: bool, images: torch.Tensor
) -> None:
    network = build(use_prompt_encoder=p, use_collaborative_decoder=d, use_crossing=c)
    output = network(images)
    assert (output.distributions is not None) == d
    assert (output.masks is None) == (not (p or d or c))
    total = sum(m.square().mean() for m in (output.regions, output.foreground, output.classes))
    total = total + output.hv.square().mean()
    total.backward()
    silent = {n for n, q in network.named_parameters() if q.grad is None}
    # Only what feeds the KL term, and the mask head of the single-forward baseline, may be idle.
    assert all(n.startswith("spatial.") or "mask_head" in n for n in silent), silent


def test_crossing_lets_the_other_task_guide(images: torch.Tensor) -> None:
    crossed = build(use_crossing=True)
    crossed(images, tasks=("regions",)).regions.sum().backward()
    assert crossed.decoders["instances"].mask_mlp.weights[0].grad.abs().sum() > 0
    alone = build(use_crossing=False)
    alone(images, tasks=("regions",)).regions.sum().backward()
    assert alone.decoders["instances"].mask_mlp.weights[0].grad is None


def test_the_encoder_runs_once_a_step(images: torch.Tensor) -> None:
    network = build()
    calls = []
    network.encoder.register_forward_hook(lambda *_: calls.append(1))
    network(images)
    assert len(calls) == 1


def test_rows_decode_part_of_the_batch_as_the_whole_would(images: torch.Tensor) -> None:
    network = build().eval()
    with torch.inference_mode():
        whole = network(images)
        part = network(images, rows={"regions": torch.tensor([1])})
    assert part.regions.shape[0] == 1
    torch.testing.assert_close(part.regions[0], whole.regions[1], rtol=1e-4, atol=1e-5)
    assert part.hv.shape[0] == 2


def test_images_of_a_batch_do_not_see_each_other(images: torch.Tensor) -> None:
    network = build().eval()
    with torch.inference_mode():
        both = network(images).classes[:1]
        alone = network(images[:1]).classes
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-5)


def test_any_tile_size_by_configuration(images: torch.Tensor) -> None:
    network = build(tile=96)
    assert network(torch.zeros(1, 3, 96, 96)).hv.shape == (1, 2, 48, 48)


def test_bfloat16_autocast_gives_finite_maps(images: torch.Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = build()(images)
    assert all(m.float().isfinite().all() for m in (output.regions, output.hv, output.classes))


def test_hiera_is_frozen_but_for_its_adapters() -> None:
    config = CosegConfig(
        **(SMALL | {"encoder": "sam2_hiera_tiny", "instance_stride": 4, "pixel_channels": (16, 8)})
    )
    encoder = Encoder(config)
    trained = {n for n, p in encoder.trunk.named_parameters() if p.requires_grad}
    assert trained
    assert all(".mlp.down." in n or ".mlp.up." in n for n in trained)
    adapters = [m for m in encoder.modules() if isinstance(m, Adapter)]
    assert len(adapters) == 12
    features = encoder(torch.zeros(1, 3, 64, 64))
    assert features.embedding.shape == (1, 32, 4, 4)
    assert [f.shape[1:] for f in features.laterals] == [(16, 8, 8), (8, 16, 16)]


def test_a_fresh_adapter_leaves_its_block_alone() -> None:
    mlp = torch.nn.Linear(8, 8)
    x = torch.randn(3, 8)
    torch.testing.assert_close(Adapter(mlp, 8)(x), mlp(x))


def test_folded_norms_compute_the_same() -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = network(x)
        fold_batch_norms(network)
        after = network(x)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_norm_without_its_convolution_cannot_be_folded() -> None:
    with pytest.raises(ValueError, match="cannot be folded"):
        fold_batch_norms(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.BatchNorm2d(4)))


@pytest.mark.parametrize(
    "change",
    [{"pixel_channels": (16, 8)}, {"width": 48, "heads": 5}, {"tile": 70}, {"surprise": 1}],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CosegConfig(**(SMALL | change))

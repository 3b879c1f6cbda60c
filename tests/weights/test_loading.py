from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import napari_coseg
from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.models.syncsam.config import SyncSamConfig
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.models.syncsam.prompts import PromptBatch
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard, read_card, read_header
from napari_coseg.weights.catalogue import sha256_of
from napari_coseg.weights.loading import (
    load_model,
    load_prompt_model,
    save_model,
)
from napari_coseg.weights.tensors import read_state_dict


@pytest.fixture(scope="module")
def network() -> CosegNetwork:
    torch.manual_seed(0)
    config = CosegConfig(
        encoder="test_efficientnet",
        region_classes=1,
        instance_classes=2,
        tile=64,
        width=16,
        mlp_width=16,
        heads=2,
        depth=1,
        pixel_channels=(8, 8),
        state_width=8,
        state_size=4,
        spatial_width=4,
    )
    return CosegNetwork(config).eval()


@pytest.fixture
def saved(tmp_path: Path, network: CosegNetwork, card: ModelCard) -> Path:
    return save_model(tmp_path / "tiny.safetensors", network, card)


def test_full_precision_gives_the_same_network_back(
    tmp_path: Path, network: CosegNetwork, card: ModelCard
) -> None:
    path = save_model(tmp_path / "full.safetensors", network, card, dtype=torch.float32)
    loaded = load_model(path)
    assert not loaded.network.training
    assert loaded.path == path
    assert loaded.sha256 == sha256_of(path)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before, after = network(images), loaded.network(images)
    assert torch.equal(before.regions, after.regions)
    assert torch.equal(before.hv, after.hv)


def test_half_precision_halves_the_file_and_loads_as_float32(
    tmp_path: Path, saved: Path, network: CosegNetwork, card: ModelCard
) -> None:
    full = save_model(tmp_path / "full.safetensors", network, card, dtype=torch.float32)
    assert saved.stat().st_size < 0.6 * full.stat().st_size
    loaded = load_model(saved)
    for name, value in loaded.network.state_dict().items():
        original = network.state_dict()[name]
        assert value.dtype == original.dtype
        if value.is_floating_point():
            torch.testing.assert_close(value, original, rtol=1e-3, atol=1e-6)
        else:
            assert torch.equal(value, original)


def test_card_is_filled_in(saved: Path, network: CosegNetwork, card: ModelCard) -> None:
    stored = read_card(saved)
    assert stored.software == f"napari-coseg {napari_coseg.__version__}"
    assert CosegConfig.model_validate(stored.config) == network.config
    assert stored.parameters == sum(p.numel() for p in network.parameters())
    assert stored.trained_parameters == stored.parameters
    assert (
        stored.model_copy(
            update={"config": {}, "software": "", "parameters": None, "trained_parameters": None}
        )
        == card
    )
    with safe_open(saved, "pt") as file:  # type: ignore[no-untyped-call]
        assert json.loads(file.metadata()["coseg"])["name"] == "tiny"


def test_frozen_parameters_are_not_counted_as_trained(
    tmp_path: Path, network: CosegNetwork, card: ModelCard
) -> None:
    frozen = list(network.encoder.trunk.parameters())
    try:
        for parameter in frozen:
            parameter.requires_grad_(False)
        stored = read_card(save_model(tmp_path / "f.safetensors", network, card))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    assert stored.parameters is not None
    assert stored.trained_parameters == stored.parameters - sum(p.numel() for p in frozen)


def test_what_half_precision_cannot_hold_stays_float32(
    tmp_path: Path, network: CosegNetwork, card: ModelCard
) -> None:
    weight = network.encoder.lateral16.weight
    bias = network.encoder.lateral16.bias
    kept = weight.detach().clone(), bias.detach().clone()
    try:
        with torch.no_grad():
            weight[0, 0] = 1e6
            bias.fill_(1e-7)
        path = save_model(tmp_path / "wide.safetensors", network, card)
        tensors = read_header(path).tensors
        assert tensors["encoder.lateral16.weight"][0] == "F32"
        assert tensors["encoder.lateral16.bias"][0] == "F32"
        assert tensors["encoder.lateral32.weight"][0] == "F16"
        state_space = [n for n in tensors if n.endswith((".A_log", ".D"))]
        assert state_space
        assert {tensors[name][0] for name in state_space} == {"F32"}
        assert torch.equal(load_model(path).network.encoder.lateral16.weight, weight)
    finally:
        with torch.no_grad():
            weight.copy_(kept[0])
            bias.copy_(kept[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_diverged_network_is_not_saved(
    tmp_path: Path, network: CosegNetwork, card: ModelCard, value: float
) -> None:
    bias = network.encoder.lateral16.bias
    kept = bias.detach().clone()
    target = tmp_path / "bad.safetensors"
    target.write_bytes(b"earlier")
    try:
        with torch.no_grad():
            bias[0] = value
        with pytest.raises(CosegError, match=r"lateral16\.bias.*diverged"):
            save_model(target, network, card)
    finally:
        with torch.no_grad():
            bias.copy_(kept)
    assert target.read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.safetensors"]


def test_cards_of_other_networks_are_refused(
    tmp_path: Path, network: CosegNetwork, card: ModelCard
) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(CosegError, match="names 1 instance classes for a network that has 2"):
        save_model(path, network, card.model_copy(update={"instance_classes": card.region_classes}))
    other = network.config.model_dump(mode="json") | {"tile": 96}
    with pytest.raises(CosegError, match="another network"):
        save_model(path, network, card.model_copy(update={"config": other}))
    with pytest.raises(CosegError, match=r"ends with \.safetensors"):
        save_model(tmp_path / "x.pt", network, card)
    assert not path.exists()


def rewrite(path: Path, target: Path, state: dict[str, torch.Tensor], **update: object) -> Path:
    card = read_card(path).model_copy(update=update)
    save_file(state, target, metadata={"coseg": card.to_json()})
    return target


def test_checkpoint_of_another_model_names_what_differs(saved: Path, tmp_path: Path) -> None:
    state = load_file(saved)
    state["stranger.weight"] = torch.zeros(3)
    state["encoder.lateral16.bias"] = torch.zeros(5)
    del state["encoder.lateral32.weight"]
    path = rewrite(saved, tmp_path / "other.safetensors", state)
    with pytest.raises(CosegError, match="another model") as caught:
        load_model(path)
    message = str(caught.value)
    assert "1 tensors are missing (encoder.lateral32.weight)" in message
    assert "1 do not belong to it (stranger.weight)" in message
    assert "encoder.lateral16.bias (5,) instead of (16,)" in message


def test_config_that_cannot_be_built(saved: Path, tmp_path: Path) -> None:
    state = load_file(saved)
    config = read_card(saved).config
    for change, says in (
        ({"encoder": "no_such_network"}, "no_such_network"),
        ({"tile": 7}, "tile"),
        ({"novelty": True}, "novelty"),
    ):
        path = rewrite(saved, tmp_path / "c.safetensors", state, config=config | change)
        with pytest.raises(CosegError, match=says):
            load_model(path)
    path = rewrite(saved, tmp_path / "n.safetensors", state, region_classes=())
    with pytest.raises(CosegError, match="0 region classes"):
        load_model(path)


def test_newer_cut_off_foreign_and_cardless_files(saved: Path, tmp_path: Path) -> None:
    state = load_file(saved)
    with pytest.raises(CosegError, match="newer napari-coseg"):
        load_model(rewrite(saved, tmp_path / "newer.safetensors", state, format=2))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(CosegError, match="cut off"):
        load_model(cut)
    save_file(state, tmp_path / "foreign.safetensors")
    with pytest.raises(CosegError, match="not written by napari-coseg"):
        load_model(tmp_path / "foreign.safetensors")
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CosegError, match="holds no model card"):
        load_model(tmp_path / "x.pth")


def test_device_that_is_not_there(saved: Path) -> None:
    for device in ("abacus", "cuda:77"):
        with pytest.raises(CosegError, match="try cpu"):
            load_model(saved, device=device)


def test_state_dicts_of_every_wrapping(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).half().state_dict()
    for number, value in enumerate(
        (state, {"model": state, "epoch": 3}, {"state_dict": {"model": state}})
    ):
        path = tmp_path / f"{number}.pt"
        torch.save(value, path)
        read = read_state_dict(path)
        assert set(read) == {"weight", "bias"}
        assert read["weight"].dtype == torch.float32
    save_file(state, tmp_path / "a.safetensors")
    assert set(read_state_dict(tmp_path / "a.safetensors")) == {"weight", "bias"}


class Bomb:
    fired = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (setattr, (Bomb, "fired", True))


@pytest.mark.parametrize("legacy", [False, True])
def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "bomb.pth"
    torch.save(
        {"model": {"w": torch.zeros(1)}, "bomb": Bomb()},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(CosegError, match="contains Python code"):
        read_state_dict(path)
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CosegError):
        read_state_dict(bare)
    assert not Bomb.fired


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.9])
def test_cut_off_pytorch_file(tmp_path: Path, keep: float) -> None:
    whole = tmp_path / "whole.pth"
    torch.save({"w": torch.rand(100, 100)}, whole)
    cut = tmp_path / "cut.pth"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CosegError, match=r"cut off|damaged"):
        read_state_dict(cut)


def test_files_without_tensors(tmp_path: Path) -> None:
    text = tmp_path / "text.pth"
    text.write_text("weights, honestly")
    with pytest.raises(CosegError, match=r"no PyTorch file"):
        read_state_dict(text)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CosegError, match="no named tensors"):
        read_state_dict(tmp_path / "list.pth")
    with pytest.raises(CosegError, match="no weights file"):
        read_state_dict(tmp_path / "missing.pth")


def prompt_network(freeze: bool = False) -> SyncSamNetwork:
    torch.manual_seed(0)
    config = SyncSamConfig(
        side=64,
        width=32,
        depth=4,
        heads=2,
        window=2,
        cnn="resnet10t",
        embedding=32,
        freeze_vit=freeze,
    )
    return SyncSamNetwork(config).eval()


def test_a_prompt_network_comes_back(tmp_path: Path) -> None:
    network = prompt_network()
    card = ModelCard(name="tiny-sync", kind="syncsam")
    path = save_model(tmp_path / "s.safetensors", network, card, dtype=torch.float32)
    loaded = load_prompt_model(path)
    assert loaded.card.kind == "syncsam"
    assert loaded.card.parameters == sum(p.numel() for p in network.parameters())
    assert loaded.network.config == network.config
    images = torch.rand(1, 3, 64, 64)
    prompts = PromptBatch(boxes=torch.tensor([[5.0, 5.0, 40.0, 50.0]]))
    with torch.inference_mode():
        before, after = (n(images, torch.tensor([0]), prompts) for n in (network, loaded.network))
    assert torch.equal(before, after)


def test_positions_of_a_prompt_network_keep_their_precision(tmp_path: Path) -> None:
    network = prompt_network()
    path = save_model(tmp_path / "s.safetensors", network, ModelCard(name="s", kind="syncsam"))
    loaded = load_prompt_model(path)
    assert torch.equal(
        loaded.network.prompt_encoder.positions(), network.prompt_encoder.positions()
    )


def test_a_frozen_vit_is_not_counted_as_trained(tmp_path: Path) -> None:
    network = prompt_network(freeze=True)
    path = save_model(tmp_path / "s.safetensors", network, ModelCard(name="s", kind="syncsam"))
    stored = read_card(path)
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    assert frozen > 0
    assert stored.parameters is not None
    assert stored.trained_parameters == stored.parameters - frozen


def test_each_kind_of_model_has_its_use(saved: Path, tmp_path: Path, network: CosegNetwork) -> None:
    prompted = save_model(
        tmp_path / "p.safetensors", prompt_network(), ModelCard(name="clicks", kind="syncsam")
    )
    with pytest.raises(CosegError, match=r"clicks segments from boxes and points: .*Prompt dock"):
        load_model(prompted)
    with pytest.raises(CosegError, match=r"tiny segments whole images .*`napari-coseg predict`"):
        load_prompt_model(saved)
    with pytest.raises(CosegError, match="another network"):
        save_model(tmp_path / "x.safetensors", network, ModelCard(name="x", kind="syncsam"))
    with pytest.raises(CosegError, match="another network"):
        save_model(tmp_path / "x.safetensors", prompt_network(), ModelCard(name="x"))

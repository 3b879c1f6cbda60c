"""SyncSAM by the real loop: it learns, goes on after a stop, starts from other weights."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from napari_coseg.datasets.synthetic_histology import write_dataset
from napari_coseg.models.syncsam.config import SyncSamConfig
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.training import prompt_task
from napari_coseg.training.config import check_config, load_config
from napari_coseg.training.loop import train
from napari_coseg.training.prompt_config import PromptLossSection, PromptTrainingConfig
from napari_coseg.training.prompt_loss import dice_loss, focal_loss, mask_loss
from napari_coseg.training.prompt_start import build_prompt_network
from napari_coseg.training.prompt_task import PromptTask
from napari_coseg.training.prompt_validation import inscribed_ellipses
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import load_prompt_model
from tests.training.conftest import TINY_PROMPT_NETWORK

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(autouse=True)
def _few_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_task, "OBJECTS", 8)


def checked(raw: dict[str, Any]) -> PromptTrainingConfig:
    config = check_config(copy.deepcopy(raw))
    assert isinstance(config, PromptTrainingConfig)
    return config


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_prompt_model(path).network.state_dict())


def losses(folder: Path) -> list[float]:
    with (folder / "losses.csv").open() as file:
        return [float(r["value"]) for r in csv.DictReader(file) if r["name"] == "loss"]


def test_a_run_leaves_a_model_and_resume_continues_one(
    tmp_path: Path, prompt_config: dict[str, Any]
) -> None:
    prompt_config["model"]["network"]["freeze_vit"] = True
    prompt_config["optimiser"] = {"schedule": "constant", "warmup": 0, "rate": 1e-3}
    result = train(checked(prompt_config), tmp_path / "whole")
    assert result.step == 4
    assert 0 <= result.best_score <= 1
    model = load_prompt_model(tmp_path / "whole" / "best.safetensors")
    card = model.card
    assert (card.kind, card.name) == ("syncsam", "tiny-prompts")
    assert {"score", "step", f"{card.data[0]} box", f"{card.data[0]} ellipse"} <= set(card.scores)
    assert card.parameters == sum(p.numel() for p in model.network.parameters())
    frozen = [*model.network.encoder.vit.parameters(), *model.network.encoder.neck.parameters()]
    # Positions of SAM's prompt encoder are buffers; all else is trained.
    assert card.trained_parameters == card.parameters - sum(p.numel() for p in frozen)
    assert list((tmp_path / "whole" / "pictures").rglob("*.png"))
    fresh = build_prompt_network(checked(prompt_config).model)
    assert fresh.state_dict().keys() == model.network.state_dict().keys()

    prompt_config["run"]["steps"] = 2
    train(checked(prompt_config), tmp_path / "parts")
    prompt_config["run"]["steps"] = 4
    train(checked(prompt_config), tmp_path / "parts", resume=True)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (weights(tmp_path / n / "last.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())

    prompt_config["loss"] = {"dice": 3}
    with pytest.raises(CosegError, match=r"another config \(loss differ"):
        train(checked(prompt_config), tmp_path / "parts", resume=True)
    # Without what a run of Co-Seg++ could not have either.
    other = {
        "model": {"name": "m", "region_classes": ["gland"], "region_mpp": 1, "instance_mpp": 1},
        "data": prompt_config["data"],
        "run": prompt_config["run"],
    }
    other["model"]["network"] = {"encoder": "mobilenetv3_small_050", "tile": 64}
    other["data"][0]["instance_names"] = dict.fromkeys(
        ("inflammatory", "epithelial", "spindle"), "ignore"
    )
    with pytest.raises(CosegError, match="another kind of model: syncsam"):
        train(check_config(other), tmp_path / "parts", resume=True)


def test_the_network_learns_a_few_pictures(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    prompt_config["run"] |= {"steps": 24, "batch": 4, "validate_every": 1000, "pictures": 0}
    prompt_config["split"]["folds"] = 6
    prompt_config["mix"] = {"pseudo": 0.0, "shapes": 0.0}
    prompt_config["augment"] = {"fill": [0.3, 0.5], "colour": 0, "stain": 0, "rotate": False}
    prompt_config["interaction"] = {"masks": 2, "box": 1.0, "corrections": [1.0]}
    prompt_config["loss"] = {"dice": 1, "focal": 1, "gamma": 0, "alpha": 0.5}
    prompt_config["optimiser"] = {"rate": 3e-3, "warmup": 5, "schedule": "constant"}
    train(checked(prompt_config), tmp_path / "run")
    figures = losses(tmp_path / "run")
    assert len(figures) == 24
    assert sum(figures[-4:]) < 0.9 * sum(figures[:4])


def test_corrections_and_accumulation(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    prompt_config["interaction"] = {"masks": 3, "box": 0.5, "corrections": [0, 0, 1]}
    prompt_config["run"] |= {"steps": 2, "accumulate": 2}
    train(checked(prompt_config), tmp_path / "run")
    assert all(0 < value < 100 for value in losses(tmp_path / "run"))


def test_nothing_held_out(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    prompt_config["data"][0]["validation"] = False
    prompt_config["run"]["steps"] = 1
    result = train(checked(prompt_config), tmp_path / "run")
    assert result.best_score != result.best_score
    assert load_prompt_model(tmp_path / "run" / "best.safetensors").card.scores == {"step": 1}


def test_faulty_images_are_told_before_the_first_step(
    tmp_path: Path, prompt_config: dict[str, Any]
) -> None:
    write_dataset(tmp_path / "data", count=3, seed=0, shape=(64, 64), mpp=0.5)
    faulty = sorted((tmp_path / "data" / "images").iterdir())
    for path in faulty[:2]:
        path.write_bytes(path.read_bytes()[:100])
    prompt_config["data"] = [{"path": tmp_path / "data"}]
    with pytest.raises(CosegError, match=rf"{faulty[0].name}.* 1 more images are faulty"):
        train(checked(prompt_config), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_defaults_are_the_papers() -> None:
    loss, network = PromptLossSection(), SyncSamConfig()
    assert (loss.dice, loss.focal, loss.gamma, loss.alpha) == (20, 1, 2, 0.25)
    assert (network.side, network.cnn, network.freeze_vit) == (256, "resnet34", True)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("syncsam-*.toml")), ids=lambda p: p.stem)
def test_the_networks_of_the_configs_can_be_built(path: Path) -> None:
    config = load_config(path)
    assert isinstance(config, PromptTrainingConfig)
    assert config.model.name == path.stem
    with torch.device("meta"):
        network = SyncSamNetwork(config.model.network)
    prefixes = config.optimiser.frozen
    names = [name for name, _ in network.named_parameters()]
    assert all(any(name.startswith(prefix) for name in names) for prefix in prefixes)
    count = sum(p.numel() for p in network.parameters())
    assert count < 12e6 if path.stem.endswith("lite") else count > 1e8


@pytest.mark.parametrize(
    ("section", "value", "named"),
    [
        ("kind", "yolo", "kind: it is one of coseg, syncsam"),
        ("kind", ["syncsam"], "kind: it is one of"),
        ("loss", {"bce": 1}, "loss.bce"),
        ("mix", {"pseudo": 0.6, "shapes": 0.6}, "mix: .*more than 1"),
        ("augment", {"fill": [0.5, 2.0]}, r"augment\.fill: .*at most 1"),
        ("augment", {"fill": [0.5, 0.2]}, r"augment\.fill"),
        ("interaction", {"corrections": [0.5, 0.4]}, r"interaction\.corrections"),
        ("interaction", {"corrections": []}, r"interaction\.corrections"),
        ("interaction", {"masks": 0}, r"interaction\.masks"),
        ("interaction", {"jitter": 0.7}, r"interaction\.jitter"),
        ("model", {"name": "m", "std": [0, 1, 1]}, r"model\.std"),
        ("model", {"name": "m", "network": {"side": 100}}, r"model\.network\.side"),
        ("model", {"name": "m", "network": {"width": 50}}, r"model\.network"),
        ("data", [{"path": "x", "masks": ["classes"]}], r"data\.0\.masks"),
        ("teacher", {}, "teacher"),
    ],
)
def test_the_sentence_names_the_key(
    prompt_config: dict[str, Any], section: str, value: Any, named: str
) -> None:
    prompt_config[section] = value
    with pytest.raises(CosegError, match=named):
        check_config(prompt_config)


def test_networks_that_cannot_be_built(prompt_config: dict[str, Any]) -> None:
    prompt_config["model"]["network"]["cnn"] = "nothing_of_timm"
    with pytest.raises(CosegError, match=r"model\.network does not make a network"):
        build_prompt_network(checked(prompt_config).model)


def sam_parts() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """SAM's prompt encoder and mask decoder, as small as the tiny network."""
    torch.manual_seed(5)
    wide, side = TINY_PROMPT_NETWORK["embedding"], TINY_PROMPT_NETWORK["side"]
    prompts = PromptEncoder(wide, (side // 16, side // 16), (side, side), 16)
    decoder = MaskDecoder(
        transformer_dim=wide,
        transformer=TwoWayTransformer(depth=2, embedding_dim=wide, mlp_dim=8 * wide, num_heads=8),
    )
    return prompts.state_dict(), decoder.state_dict()


@pytest.mark.parametrize("whole", [True, False])
def test_starting_weights_of_sam(
    tmp_path: Path, prompt_config: dict[str, Any], whole: bool
) -> None:
    prompts, decoder = sam_parts()
    if whole:
        state = {f"prompt_encoder.{name}": value for name, value in prompts.items()}
        state |= {f"mask_decoder.{name}": value for name, value in decoder.items()}
        # SAM's ViT-B has another width, so that it is passed over.
        state["image_encoder.patch_embed.proj.weight"] = torch.zeros(768, 3, 16, 16)
    else:
        half = {name: value.half() for name, value in decoder.items()}
        state = {"PromtEncoder": prompts, "MaskDecoder": half}
    torch.save(state, tmp_path / "sam.pt")
    prompt_config["model"]["sam_weights"] = str(tmp_path / "sam.pt")
    network = build_prompt_network(checked(prompt_config).model)
    own = network.state_dict()
    tolerance = 0 if whole else 1e-3
    torch.testing.assert_close(
        own["decoder.med_token.weight"],
        decoder["mask_tokens.weight"][:1],
        atol=tolerance,
        rtol=tolerance,
    )
    name = "mask_downscaling.0.weight"
    assert torch.equal(own[f"prompt_encoder.sam.{name}"], prompts[name])
    assert own["decoder.upscaling.0.weight"].dtype == torch.float32
    task = PromptTask(checked(prompt_config))
    assert task.slow("decoder.transformer.layers.0.norm1.weight")
    assert not task.slow("decoder.multi_scale.out.weight")
    assert not task.slow("encoder.cnn.conv_stem.weight")


def test_other_starting_weights_are_refused(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    prompts, decoder = sam_parts()
    prompt_config["model"]["sam_weights"] = str(tmp_path / "sam.pt")
    model = prompt_config["model"]
    del decoder["mask_tokens.weight"]
    torch.save({"PromtEncoder": prompts, "MaskDecoder": decoder}, tmp_path / "sam.pt")
    with pytest.raises(CosegError, match=r"model\.sam_weights.*without mask_decoder\.mask_tokens"):
        build_prompt_network(checked(prompt_config).model)
    torch.save({"PromtEncoder": prompts, "MaskDecoder": 3}, tmp_path / "sam.pt")
    with pytest.raises(CosegError, match=r"sam\.pt"):
        build_prompt_network(checked(prompt_config).model)
    model["network"]["embedding"] = 64
    _, decoder = sam_parts()
    torch.save({"PromtEncoder": prompts, "MaskDecoder": decoder}, tmp_path / "sam.pt")
    with pytest.raises(CosegError, match=r"does not fit: .* and not \("):
        build_prompt_network(checked(prompt_config).model)
    (tmp_path / "sam.pt").unlink()
    with pytest.raises(CosegError, match="sam"):
        build_prompt_network(checked(prompt_config).model)


def test_starting_weights_of_the_cnn(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    model = prompt_config["model"]
    torch.manual_seed(0)
    state = build_prompt_network(checked(prompt_config).model).encoder.cnn.state_dict()
    torch.save(state, tmp_path / "cnn.pth")
    model["encoder_weights"] = str(tmp_path / "cnn.pth")
    torch.manual_seed(1)
    config = checked(prompt_config)
    own = build_prompt_network(config.model).encoder.cnn.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items())
    assert PromptTask(config).slow("encoder.cnn.conv_stem.weight")
    model["network"]["cnn"] = ""
    with pytest.raises(CosegError, match="encoder_weights are the CNN's"):
        build_prompt_network(checked(prompt_config).model)


def test_fine_tuning(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    prompt_config["run"]["steps"] = 1
    train(checked(prompt_config), tmp_path / "run")
    model = prompt_config["model"]
    model["start"] = str(tmp_path / "run" / "last.safetensors")
    before = weights(tmp_path / "run" / "last.safetensors")
    # Which parts are frozen is the run's affair, not the weights'.
    model["network"]["freeze_vit"] = True
    network = build_prompt_network(checked(prompt_config).model)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(p.requires_grad for p in network.encoder.vit.parameters())
    model["mean"] = [0.5, 0.5, 0.5]
    with pytest.raises(CosegError, match="mean"):
        build_prompt_network(checked(prompt_config).model)
    del model["mean"]
    model["network"]["width"] = 64
    with pytest.raises(CosegError, match="another"):
        build_prompt_network(checked(prompt_config).model)


def test_focal_loss_is_the_known_one() -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(3, 8, 8) * 3, (torch.rand(3, 8, 8) > 0.6).float()
    entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    torch.testing.assert_close(focal_loss(logits, truth, 0.0, 0.5), 0.5 * entropy)
    known = sigmoid_focal_loss(logits, truth, alpha=0.25, gamma=2, reduction="mean")
    torch.testing.assert_close(focal_loss(logits, truth, 2.0, 0.25), known)


def test_dice_loss_of_the_best_and_of_the_worst_mask() -> None:
    truth = torch.zeros(2, 16, 16)
    truth[:, 4:12, 2:14] = 1
    sure = 40 * (2 * truth - 1)
    assert float(dice_loss(sure, truth)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(-sure, truth)) == pytest.approx(1, abs=0.005)
    # A mean over masks: a large object counts as a small one.
    assert float(dice_loss(torch.stack([sure[0], -sure[1]]), truth)) == pytest.approx(0.5, abs=0.01)


def test_terms_are_weighted_and_brought_to_the_truths_size() -> None:
    truth = torch.zeros(1, 32, 32)
    truth[:, 8:24, 8:24] = 1
    coarse = 40 * (2 * truth[:, ::2, ::2] - 1)
    one = mask_loss(coarse, truth, PromptLossSection(dice=1, focal=1))
    many = mask_loss(coarse, truth, PromptLossSection(dice=20, focal=3))
    torch.testing.assert_close(many["dice"], 20 * one["dice"])
    torch.testing.assert_close(many["focal"], 3 * one["focal"])
    assert float(one["dice"]) < 0.05


def test_the_ellipse_of_a_box() -> None:
    (ellipse,) = inscribed_ellipses(torch.tensor([[10.0, 20.0, 50.0, 44.0]]), 64)
    rows, columns = ellipse.nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 49, 20, 43)
    assert int(ellipse.sum()) == pytest.approx(torch.pi * 20 * 12, rel=0.02)


def test_pictures_of_a_validation(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    task = PromptTask(checked(prompt_config))
    done: list[tuple[int, int]] = []
    result = task.validate(task.network.eval(), 0, tmp_path, tmp_path, lambda *at: done.append(at))
    assert result is not None
    assert set(result.table["prompt"]) == {"box", "ellipse", "1 point", "3 points", "5 points"}
    assert result.table["dice"].between(0, 1).all()
    ellipse = result.table.set_index("prompt")["dice"]["ellipse"]
    # Generated nuclei are nearly ellipses.
    assert ellipse > 0.7
    assert done[-1] == (8, 8)
    with Image.open(next(tmp_path.glob("*.png"))) as picture:
        assert picture.size[0] == 4 * 64

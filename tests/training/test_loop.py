"""The loop: it learns, repeats itself, goes on after a stop, and refuses what it must."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_coseg.datasets.synthetic_histology import write_dataset
from napari_coseg.models.coseg.encoder import Encoder
from napari_coseg.training import coseg_task, loop
from napari_coseg.training.config import check_config
from napari_coseg.training.loop import train
from napari_coseg.training.start import build_network
from napari_coseg.training.stepping import Stepper
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import load_model


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(path).network.state_dict())


def losses(folder: Path) -> list[float]:
    with (folder / "losses.csv").open() as file:
        return [float(r["value"]) for r in csv.DictReader(file) if r["name"] == "loss"]


def test_a_run_leaves_a_model_scores_and_pictures(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    stages = []
    result = train(
        check_config(raw_config), tmp_path / "run", progress=lambda stage, *_: stages.append(stage)
    )
    assert result.step == 4
    assert {"train", "validate", "validated"} <= set(stages)
    model = load_model(tmp_path / "run" / "best.safetensors")
    assert model.card.instance_table.names == ("inflammatory", "epithelial", "spindle")
    assert "score" in model.card.scores
    assert len(losses(tmp_path / "run")) == 4
    assert list((tmp_path / "run" / "pictures").rglob("*.png"))
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_seeds_repeat_a_run_and_resume_continues_it(
    tmp_path: Path, raw_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = check_config(raw_config)
    train(config, tmp_path / "whole")

    original = Stepper.take

    def interrupted(stepper: Stepper, batches: Any, step: int) -> Any:
        # In the middle of the second step, which must be finished all the same.
        if step == 1:
            signal.raise_signal(signal.SIGINT)
        return original(stepper, batches, step)

    monkeypatch.setattr(Stepper, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.setattr(Stepper, "take", original)
    train(config, tmp_path / "parts", resume=True)

    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (weights(tmp_path / n / "last.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_the_network_learns_one_picture(tmp_path: Path, raw_config: dict[str, Any]) -> None:
    raw_config["run"] |= {"steps": 40, "validate_every": 100, "tensorboard": False}
    raw_config["split"]["folds"] = 6
    raw_config["optimiser"] = {"rate": 3e-3, "warmup": 5, "schedule": "constant"}
    train(check_config(raw_config), tmp_path / "run")
    figures = losses(tmp_path / "run")
    assert sum(figures[-5:]) < 0.75 * sum(figures[:5])


def test_a_teacher_adds_the_missing_task(tmp_path: Path, raw_config: dict[str, Any]) -> None:
    raw_config["teacher"] = {"start": 0.0, "threshold": 0.51}
    raw_config["run"]["steps"] = 2
    result = train(check_config(raw_config), tmp_path / "run")
    assert result.step == 2


def test_fine_tuning_matches_heads_by_class_name(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    raw_config["run"]["steps"] = 1
    train(check_config(raw_config), tmp_path / "run")
    first = load_model(tmp_path / "run" / "last.safetensors").network.state_dict()

    raw_config["model"]["start"] = str(tmp_path / "run" / "last.safetensors")
    raw_config["model"]["instance_classes"] = ["spindle", "tumour", "inflammatory"]
    second = build_network(check_config(raw_config).model).state_dict()
    name = "decoders.instances.map_mlps.weights.0"
    # Maps: foreground, background, classes, horizontal, vertical.
    for new, old in ((0, 0), (1, 1), (2, 4), (4, 2), (5, 5), (6, 6)):
        assert torch.equal(second[name][new], first[name][old]), (new, old)
    assert not any(torch.equal(second[name][3], row) for row in first[name])
    assert torch.equal(second["encoder.lateral16.weight"], first["encoder.lateral16.weight"])


def test_a_network_may_start_with_more_convolutions_and_nothing_changes(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    raw_config["run"]["steps"] = 1
    network = raw_config["model"]["network"]
    network["refine_instances"] = [1, 0]
    train(check_config(raw_config), tmp_path / "run")
    first = load_model(tmp_path / "run" / "last.safetensors").network
    raw_config["model"]["start"] = str(tmp_path / "run" / "last.safetensors")
    network["refine_instances"] = [2, 1, 1]
    second = build_network(check_config(raw_config).model).eval()
    assert len(second.state_dict()) > len(first.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before, after = first(images), second(images)
    assert before.hv is not None
    torch.testing.assert_close(after.hv, before.hv)
    torch.testing.assert_close(after.regions, before.regions)
    for fewer in ([], [0, 1, 1]):
        network["refine_instances"] = fewer
        with pytest.raises(CosegError, match="refine_instances"):
            build_network(check_config(raw_config).model)
    network["refine_instances"] = [1, 1, 1, 1]
    with pytest.raises(CosegError, match="more than 3 numbers"):
        build_network(check_config(raw_config).model)


def test_another_network_cannot_be_the_start(tmp_path: Path, raw_config: dict[str, Any]) -> None:
    raw_config["run"]["steps"] = 1
    train(check_config(raw_config), tmp_path / "run")
    raw_config["model"]["start"] = str(tmp_path / "run" / "last.safetensors")
    raw_config["model"]["network"]["width"] = 64
    with pytest.raises(CosegError, match=r"network\.width"):
        build_network(check_config(raw_config).model)
    raw_config["model"]["network"]["width"] = 32
    raw_config["model"]["mean"] = [0.5, 0.5, 0.5]
    with pytest.raises(CosegError, match="mean"):
        build_network(check_config(raw_config).model)


def test_folders_in_use_and_other_configs_are_refused(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    config = check_config(raw_config)
    with pytest.raises(CosegError, match="no run to resume"):
        train(config, tmp_path / "new", resume=True)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(CosegError, match="not empty"):
        train(config, tmp_path / "used")
    train(config, tmp_path / "run")
    raw_config["optimiser"] = {"rate": 1.0}
    with pytest.raises(CosegError, match="optimiser"):
        train(check_config(raw_config), tmp_path / "run", resume=True)
    (tmp_path / "run" / "last.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CosegError, match="no PyTorch file"):
        train(config, tmp_path / "run", resume=True)
    torch.save([1, 2], tmp_path / "run" / "last.pt")
    with pytest.raises(CosegError, match="no checkpoint of a run"):
        train(config, tmp_path / "run", resume=True)
    torch.save({"config": Path("x")}, tmp_path / "run" / "last.pt")
    with pytest.raises(CosegError, match="refused"):
        train(config, tmp_path / "run", resume=True)


def test_a_loss_that_is_no_number_stops_the_run(
    tmp_path: Path, raw_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> dict[str, torch.Tensor]:
        return {"regions": torch.tensor(float("nan"), requires_grad=True)}

    monkeypatch.setattr(coseg_task, "coseg_loss", broken)
    with pytest.raises(CosegError, match="no number"):
        train(check_config(raw_config), tmp_path / "run")


def test_a_stop_during_the_last_validation_loses_no_model(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    def ask(stage: str, *_: Any) -> None:
        if stage == "validate":
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as left:
        train(check_config(raw_config), tmp_path / "run", progress=ask)
    assert left.value.code == 143
    assert not (tmp_path / "run" / loop.BEST).exists()
    result = train(check_config(raw_config), tmp_path / "run", resume=True)
    assert result.step == 4
    assert result.best_score >= 0
    assert (tmp_path / "run" / loop.BEST).exists()


def test_one_encoding_a_step(
    tmp_path: Path, raw_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_config["run"]["steps"] = 2
    calls = []
    original = Encoder.forward

    def counted(encoder: Encoder, images: torch.Tensor) -> Any:
        if encoder.training:
            calls.append(len(images))
        return original(encoder, images)

    monkeypatch.setattr(Encoder, "forward", counted)
    train(check_config(raw_config), tmp_path / "run")
    assert calls == [2, 2]


def test_faulty_images_are_told_before_the_first_step(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    write_dataset(tmp_path / "data", count=3, seed=0, shape=(64, 64), mpp=0.5)
    faulty = sorted((tmp_path / "data" / "images").iterdir())
    for path in faulty[:2]:
        path.write_bytes(path.read_bytes()[:100])
    raw_config["data"] = [{"path": tmp_path / "data"}]
    with pytest.raises(CosegError, match=rf"{faulty[0].name}.* 1 more images are faulty"):
        train(check_config(raw_config), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_samples_may_come_from_other_processes(tmp_path: Path, raw_config: dict[str, Any]) -> None:
    raw_config["run"] |= {"workers": 1, "steps": 2, "accumulate": 2}
    train(check_config(raw_config), tmp_path / "processes")
    raw_config["run"]["workers"] = 0
    train(check_config(raw_config), tmp_path / "here")
    assert losses(tmp_path / "processes") == losses(tmp_path / "here")


def test_patience_ends_a_run_that_gets_no_better(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    raw_config["optimiser"] = {"rate": 1e-12, "warmup": 0}
    raw_config["run"] |= {"steps": 50, "validate_every": 1, "patience": 2, "pictures": 0}
    result = train(check_config(raw_config), tmp_path / "run")
    assert result.step == 3

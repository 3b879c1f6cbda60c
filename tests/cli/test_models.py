from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_coseg.cli.main import app
from napari_coseg.types import CosegError
from napari_coseg.weights import catalogue
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.catalogue import PUBLIC, sha256_of
from napari_coseg.weights.listing import prompt_models, segment_models
from tests.weights.test_card import write_safetensors

CARD = ModelCard(
    name="mine",
    config={"encoder": "test_efficientnet", "tile": 64},
    instance_classes=[
        {"name": "epithelial", "colour": (230, 159, 0)},
        {"name": "spindle [flat]", "colour": (86, 180, 233)},
    ],
    instance_mpp=0.25,
    licence="CC-BY-NC-SA-4.0",
    licence_note="Research use only.",
    data=["CoNSeP", "GlaS"],
    scores={"CoNSeP": {"nuclei PQ": 0.51}},
    description="A small one.",
    software="napari-coseg 0.1.0",
    parameters=1234567,
    trained_parameters=7654,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "user-weights"
    path.mkdir()
    monkeypatch.setenv("NAPARI_COSEG_WEIGHTS", str(path))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_safetensors(tmp_path / "run.safetensors", {"coseg": CARD.to_json()})


def run(*words: object) -> str:
    result = CliRunner().invoke(app, ["models", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_tells_bundled_own_and_public(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    monkeypatch.setattr(catalogue, "_BUNDLED", bundled)
    assert "No models" in run("list")
    write_safetensors(bundled / "shipped.safetensors", {"coseg": CARD.to_json()})
    write_safetensors(folder / "mine.safetensors", {"coseg": CARD.to_json()})
    (folder / "broken.safetensors").write_bytes(b"nonsense that is long enough to be read")
    (folder / PUBLIC[0].filename).write_bytes(b"x")
    output = run("list")
    lines = {line.split("│")[1].strip(): line for line in output.splitlines() if "│" in line}
    assert "bundled" in lines["shipped"]
    assert "yours" in lines["mine"]
    assert "spindle [flat] (0.25 µm/px)" in lines["mine"]
    assert "not a safetensors file" in " ".join(output.split())
    assert "on this machine" in lines["sam-vit-b"]
    assert "not fetched" in lines["sam2-hiera-tiny"]
    assert "156 MB" in lines["sam2-hiera-tiny"]
    assert str(folder) in output


def test_show_prints_the_card(file: Path) -> None:
    output = run("show", file)
    for text in (
        "mine",
        "A small one.",
        sha256_of(file),
        "CC-BY-NC-SA-4.0. Research use only",
        "1 epithelial",
        "2 spindle [flat]",
        "0.25 µm per pixel",
        "1,234,567, of which 7,654 were trained",
        "test_efficientnet",
        "CoNSeP · nuclei PQ: 0.51",
        "not a medical device",
    ):
        assert text in output
    assert "regions    │ none" in output


def test_a_model_for_prompts(folder: Path) -> None:
    card = ModelCard(
        name="clicks", kind="syncsam", parameters=116_000_000, trained_parameters=26_000_000
    )
    write_safetensors(folder / "clicks.safetensors", {"coseg": card.to_json()})
    lines = [line for line in run("list").splitlines() if "clicks" in line]
    assert "from boxes and points" in lines[0]
    output = run("show", "clicks")
    assert "what boxes and points are on" in output
    assert "116,000,000, of which 26,000,000 were trained" in output
    assert "instances " not in output
    assert [name for name, _ in prompt_models()] == ["syncsam-lite", "clicks"]
    assert "clicks" not in dict(segment_models())


def test_show_public_weights(folder: Path) -> None:
    output = run("show", "sam-vit-b")
    assert PUBLIC[0].sha256 is not None
    for text in (PUBLIC[0].sha256, "375,042,383 bytes", PUBLIC[0].url, "not on this machine"):
        assert text in output


def test_import_then_use_by_name(file: Path, folder: Path) -> None:
    assert "mine is in" in run("import", file)
    assert (folder / "mine.safetensors").read_bytes() == file.read_bytes()
    assert "other is in" in run("import", file, "--name", "other")
    assert "A small one." in run("show", "other")


def test_mistakes_are_coseg_errors(tmp_path: Path) -> None:
    for words in (
        ("show", "nothing"),
        ("show", tmp_path / "missing.safetensors"),
        ("fetch", "nothing"),
        ("import", tmp_path / "missing.pth"),
    ):
        with pytest.raises(CosegError):
            run(*words)

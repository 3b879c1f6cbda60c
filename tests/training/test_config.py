"""Training configs: what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_coseg.training.config import load_config
from napari_coseg.types import CosegError

GOOD = """
[model]
name = "m"
region_classes = ["gland"]
region_mpp = 1.0
instance_mpp = 0.25
[[data]]
path = "set"
[run]
steps = 3
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_relative_paths_lie_beside_the_config(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.data[0].path == tmp_path / "set"


def test_changes_are_applied(tmp_path: Path) -> None:
    changes = ["run.steps=9", "data.0.weight=0.5", "loss.preset=paper", "teacher.start=0.75"]
    config = load_config(write(tmp_path, GOOD), changes)
    assert (config.run.steps, config.data[0].weight) == (9, 0.5)
    assert config.loss.preset == "paper"
    assert config.teacher is not None
    assert config.teacher.start == 0.75


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("run.stepz=9", "run.stepz"),
        ("run.steps=none", "run.steps"),
        ("data.0.weight=-1", "data.0.weight"),
        ("split.fold=7", "split"),
        ("model.network.instance_stride=3", "instance_stride"),
        ("data.5.weight=1", "data.5"),
        ("nonsense", "key=value"),
    ],
)
def test_the_sentence_names_the_key(tmp_path: Path, change: str, named: str) -> None:
    with pytest.raises(CosegError, match=named):
        load_config(write(tmp_path, GOOD), [change])


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="no config"):
        load_config(tmp_path / "nothing.toml")
    with pytest.raises(CosegError, match="TOML"):
        load_config(write(tmp_path, "a = ["))


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("configs/**/*.toml")))
def test_shipped_configs_are_valid(path: Path) -> None:
    assert load_config(path).model.name

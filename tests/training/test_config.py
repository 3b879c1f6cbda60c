"""Training configs: what is wrong is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from napari_coseg.training.config import TrainingConfig, load_config
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.sections import OptimiserSection, RunSection, SplitSection
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
        ("model.name=my model", "model.name"),
        ('model.region_classes=["a", "a"]', "model.region_classes"),
        ("model.region_classes=[]", "model"),
        ("model.std=[0.5, 0, 0.5]", "model.std"),
        ("model.post_processing.kernel=3", "kernel_size"),
        ("model.post_processing.kernel_size=4", "kernel_size must be odd"),
        ("augment.region_scale=[1.2, 0.8]", "augment.region_scale"),
        ("augment.instance_scale=[0, 1]", "augment.instance_scale"),
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


def _fields(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)]
        sections = [t for t in inner if issubclass(t, BaseModel)]
        if not sections:
            yield name
        for section in sections:
            yield from _fields(section)


@pytest.mark.parametrize("kind", [TrainingConfig, PromptTrainingConfig])
def test_the_page_names_every_key(kind: type[BaseModel]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "config.md").read_text(encoding="utf-8")
    before, _, after = page.partition("\n## `kind = ")
    # Sections that both kinds have stand above alone.
    shared = {*_fields(SplitSection), *_fields(OptimiserSection), *_fields(RunSection)}
    fields = [name for name in _fields(kind) if name != "kind"]
    assert len(fields) > 60
    own = before if kind is TrainingConfig else after
    missing = [name for name in fields if f"`{name}`" not in own]
    assert [name for name in missing if name not in shared or f"`{name}`" not in before] == []


def test_a_config_lies_over_another(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "sub" / "middle.toml").write_text(
        'extends = "../base.toml"\n[model]\nname = "n"\n[run]\nbatch = 7\n', encoding="utf-8"
    )
    over = write(
        tmp_path, 'extends = "sub/middle.toml"\n[run]\nsteps = 9\n[model]\nregion_mpp = 2\n'
    )
    config = load_config(over, ["run.seed=5"])
    assert isinstance(config, TrainingConfig)
    assert (config.model.name, config.model.region_mpp) == ("n", 2)
    assert (config.run.steps, config.run.batch, config.run.seed) == (9, 7, 5)
    # Beside the file that names it, not the one that extends that.
    assert config.data[0].path.resolve() == (tmp_path / "set").resolve()


def test_data_sets_take_the_place_of_those_below(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(GOOD, encoding="utf-8")
    over = write(tmp_path, 'extends = "base.toml"\n[[data]]\npath = "other"\n')
    assert [one.path.name for one in load_config(over).data] == ["other"]


def test_what_is_extended_can_be_changed(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "other.toml").write_text(GOOD.replace('"m"', '"o"'), encoding="utf-8")
    over = write(tmp_path, 'extends = "base.toml"\n')
    assert load_config(over).model.name == "m"
    assert load_config(over, ["extends=other.toml"]).model.name == "o"
    assert load_config(over, ['extends = "other.toml"']).model.name == "o"


def test_wrong_extensions_are_told(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match=r"nothing\.toml, which c\.toml extends"):
        load_config(write(tmp_path, 'extends = "nothing.toml"\n'))
    with pytest.raises(CosegError, match="extends itself"):
        load_config(write(tmp_path, 'extends = "c.toml"\n'))
    with pytest.raises(CosegError, match="name of one config"):
        load_config(write(tmp_path, "extends = 3\n"))


@pytest.mark.parametrize(
    ("split", "named"),
    [
        ("folds = 5\nfold = 2\ntest = [2]", "fold 2 cannot be"),
        ("folds = 5\ntest = [5]", "below folds"),
        ("folds = 2\nfold = 0\ntest = [1]", "no fold is left"),
        ('by = "published"\ntest = [1]', "leave test out"),
    ],
)
def test_test_folds_are_checked(tmp_path: Path, split: str, named: str) -> None:
    with pytest.raises(CosegError, match=named):
        load_config(write(tmp_path, GOOD + f"[split]\n{split}\n"))

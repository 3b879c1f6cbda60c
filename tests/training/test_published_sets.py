"""Published sets the whole way: found out, opened, split, and trained on for two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_coseg.training.config import check_config
from napari_coseg.training.coseg_task import CosegTask
from napari_coseg.training.loop import train
from napari_coseg.training.sections import SourceSection
from napari_coseg.training.sources import open_source
from napari_coseg.types import CosegError
from tests.datasets.published_sets import (
    write_consep,
    write_crag,
    write_dsb2018,
    write_glas,
    write_lizard,
    write_lizard_nuclei,
    write_pannuke,
)
from tests.training.conftest import TINY_NETWORK

WRITERS: dict[str, Callable[[Path], Path]] = {
    "glas": write_glas,
    "crag": write_crag,
    "consep": write_consep,
    "lizard": write_lizard,
    "pannuke": write_pannuke,
    "dsb2018": write_dsb2018,
}


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Give other tests back the threads that a run here does without."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("key", WRITERS)
def test_a_set_is_found_out_and_its_parts_chosen(tmp_path: Path, key: str) -> None:
    root = WRITERS[key](tmp_path)
    dataset, items = open_source(SourceSection(path=root))
    assert dataset.format.key == key
    assert {item.part for item in items} <= {"train", "validation"}
    tested = open_source(SourceSection(path=root, parts=("test",), faults="skip"))[1]
    assert {item.part for item in tested} == {"test"}
    assert not {item.name for item in items} & {item.name for item in tested}


@pytest.mark.parametrize("key", WRITERS)
def test_what_is_faulty_stops_or_is_skipped_by_name(
    tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = WRITERS[key](tmp_path)
    _, items = open_source(SourceSection(path=root))
    whole = items[0].labels.values()
    for path in dict.fromkeys(whole):
        # Of DSB, one of the folder's masks.
        broken = path if path.is_file() else sorted(path.iterdir())[0]
        broken.write_bytes(broken.read_bytes()[:60])
    _, kept = open_source(SourceSection(path=root, faults="skip"))
    lost = {item.name for item in items} - {item.name for item in kept}
    # A file of PanNuke has all patches of a fold.
    assert items[0].name in lost
    assert {item.group for item in items if item.name in lost} == {items[0].group}
    assert "Skipped" in caplog.text


def test_faults_of_discovery_stop_a_training(tmp_path: Path) -> None:
    root = write_consep(tmp_path)
    (root / "CoNSeP" / "Train" / "Labels" / "train_2.mat").unlink()
    with pytest.raises(CosegError, match=r"CoNSeP: train_2: .* is missing"):
        open_source(SourceSection(path=root))
    assert len(open_source(SourceSection(path=root, faults="skip"))[1]) == 2


def config(root: Path, regions: list[str], instances: list[str]) -> dict[str, Any]:
    return {
        "model": {
            "name": "tiny",
            "region_classes": regions,
            "instance_classes": instances,
            "region_mpp": 0.62,
            "instance_mpp": 0.25,
            "network": dict(TINY_NETWORK),
        },
        "data": [{"path": root}],
        "split": {"by": "group", "folds": 2},
        "run": {
            "steps": 2,
            "batch": 1,
            "workers": 0,
            "threads": 1,
            "validate_every": 2,
            "save_every": 2,
            "log_every": 1,
            "pictures": 0,
            "device": "cpu",
            "tensorboard": False,
        },
    }


@pytest.mark.parametrize(
    ("key", "regions", "instances"),
    [
        ("glas", ["gland"], ["lympho-reticular", "epithelial", "connective"]),
        ("consep", [], ["miscellaneous", "inflammatory", "epithelial", "spindle"]),
        ("pannuke", [], ["neoplastic", "inflammatory", "connective", "dead", "epithelial"]),
    ],
)
def test_two_steps(tmp_path: Path, key: str, regions: list[str], instances: list[str]) -> None:
    root = WRITERS[key](tmp_path / "set")
    if key == "glas":
        write_lizard_nuclei(
            root / "Warwick_QU_Dataset" / "nuclei", {"glas_1": "train_1", "glas_2": "train_10"}
        )
    result = train(check_config(config(root, regions, instances)), tmp_path / "run")
    assert result.step == 2
    assert (tmp_path / "run" / "last.safetensors").is_file()


def test_pixels_of_unknown_size_are_told_before_the_first_step(tmp_path: Path) -> None:
    raw = config(write_dsb2018(tmp_path / "set"), [], ["nucleus"])
    with pytest.raises(CosegError, match="set mpp"):
        train(check_config(raw), tmp_path / "run")
    assert not (tmp_path / "run" / "losses.csv").exists()


def test_labels_that_are_not_there_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The nuclei of GlaS are published apart, and easily forgotten.
    root = write_glas(tmp_path / "set")
    checked = check_config(config(root, ["gland"], ["lympho-reticular", "epithelial"]))
    CosegTask(checked)
    assert "Nothing that is trained on has instances" in caplog.text
    assert "lympho-reticular, epithelial" in caplog.text
    assert "has regions" not in caplog.text
    caplog.clear()
    nuclei = {"glas_1": "train_1", "glas_2": "train_10"}
    write_lizard_nuclei(root / "Warwick_QU_Dataset" / "nuclei", nuclei)
    checked = check_config(
        config(root, ["gland"], ["lympho-reticular", "epithelial", "connective"])
    )
    CosegTask(checked)
    assert "Nothing that is trained on" not in caplog.text

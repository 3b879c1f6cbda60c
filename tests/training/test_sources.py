"""Data sets of a config: which items take part, and what is said of those that cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_coseg.training.sections import SourceSection, SplitSection
from napari_coseg.training.sources import open_source
from napari_coseg.training.split import split
from napari_coseg.types import CosegError

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("images", "instances"):
        (tmp_path / folder).mkdir()
        for name in NAMES:
            Image.fromarray(np.ones((4, 6), np.uint8)).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "dataset.toml").write_text(
        'mpp = 0.5\n[parts]\ntrain = ["a"]\nvalidation = ["b"]\ntest = ["c"]\n', encoding="utf-8"
    )
    return tmp_path


def test_parts(root: Path) -> None:
    _, items = open_source(SourceSection(path=root))
    assert [item.name for item in items] == ["a", "b", "d"]
    _, items = open_source(SourceSection(path=root, parts=("test",)))
    assert [item.name for item in items] == ["c", "d"]


def test_the_published_split(root: Path) -> None:
    _, items = open_source(SourceSection(path=root))
    train, held = split(items, SplitSection(by="published"))
    assert [item.name for item in train] == ["a", "d"]
    assert [item.name for item in held] == ["b"]


def test_items_that_cannot_be_read(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "instances" / "a.png").write_bytes(b"no picture")
    # Nothing is read before the survey, which tells it.
    assert len(open_source(SourceSection(path=root))[1]) == 3
    _, items = open_source(SourceSection(path=root, faults="skip"))
    assert [item.name for item in items] == ["b", "d"]
    assert "Skipped a of" in caplog.text


def test_nothing_left(root: Path) -> None:
    (root / "dataset.toml").write_text(
        'mpp = 0.5\n[parts]\ntest = ["a", "b", "c", "d"]\n', encoding="utf-8"
    )
    with pytest.raises(CosegError, match="no item of the parts train, validation"):
        open_source(SourceSection(path=root))

"""Which reader a folder gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from napari_coseg.datasets import opening
from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.labelled import Format
from napari_coseg.datasets.opening import READERS, open_dataset, reader_of
from napari_coseg.types import CosegError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "images" / "a.png")
    (tmp_path / "dataset.toml").write_text('name = "mine"\nmpp = 0.5\n', encoding="utf-8")
    return tmp_path


def test_the_folder_tells(root: Path) -> None:
    assert isinstance(open_dataset(root), FolderDataset)
    assert reader_of(root).name_of(root) == "mine"


def test_keys_are_different_and_documented() -> None:
    keys = [reader.format.key for reader in READERS]
    assert len(set(keys)) == len(keys)
    page = Path(__file__).parents[2] / "docs" / "formats.md"
    assert [key for key in keys if f"`{key}`" not in page.read_text(encoding="utf-8")] == []


def test_what_cannot_be_opened(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="no format 'moon'"):
        open_dataset(root, "moon")
    with pytest.raises(CosegError, match="does not exist"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(CosegError, match="no data set of a format that is known"):
        open_dataset(root / "images")


def test_a_folder_of_two_formats_asks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(FolderDataset):
        format = Format("other", "other", "nowhere")

    monkeypatch.setattr(opening, "READERS", (FolderDataset, Other))
    with pytest.raises(CosegError, match="of the formats folder, other: say which"):
        open_dataset(root)
    assert isinstance(open_dataset(root, "other"), Other)

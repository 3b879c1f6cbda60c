"""Files of a set, at whatever depth and behind whatever links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_coseg.datasets.tree import files_below, files_in, find_folder, folders_in


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.PNG").touch()
    (tmp_path / "a" / "._one.png").touch()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "two.png").touch()
    (tmp_path / "Größe.png").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_files_below(root: Path) -> None:
    files, faults = files_below(root, (".png",))
    assert [path.name for path in files] == ["Größe.png", "one.PNG"]
    assert faults == []


def test_a_loop_of_links_is_named_and_ends(root: Path) -> None:
    (root / "a" / "b" / "again").symlink_to(root / "a", target_is_directory=True)
    files, faults = files_below(root, (".png",))
    assert len(files) == 2
    assert [fault.name for fault in faults] == ["a/b/again"]
    assert "a folder above it" in faults[0].sentence


def test_a_link_to_data_elsewhere_is_followed(root: Path) -> None:
    other = root.parent / f"{root.name}-elsewhere"
    other.mkdir()
    (other / "three.png").touch()
    (root / "a" / "linked").symlink_to(other, target_is_directory=True)
    files, faults = files_below(root, (".png",))
    assert [path.name for path in files] == ["Größe.png", "one.PNG", "three.png"]
    assert faults == []


@pytest.mark.parametrize("target", ["nowhere.png", "self.png"])
def test_a_link_that_leads_nowhere_is_named(root: Path, target: str) -> None:
    (root / "self.png").symlink_to(root / target)
    files, faults = files_in(root, (".png",))
    assert [path.name for path in files] == ["Größe.png"]
    assert [fault.name for fault in faults] == ["self.png"]
    assert files_below(root, (".png",))[1] == faults


def test_a_folder_link_to_itself_is_named(root: Path) -> None:
    (root / "self").symlink_to(root / "self")
    assert [fault.name for fault in files_below(root, (".png",))[1]] == ["self"]
    folders, faults = folders_in(root)
    assert [path.name for path in folders] == ["a"]
    assert [fault.name for fault in faults] == ["self"]


def test_a_folder_that_is_not_there_is_named(root: Path) -> None:
    for listed in (files_in, files_below):
        files, faults = listed(root / "none", (".png",))
        assert files == []
        assert "cannot be read" in faults[0].sentence


def test_find_folder(root: Path) -> None:
    assert find_folder(root, lambda f: (f / "one.PNG").exists()) == root / "a" / "b"
    assert find_folder(root, lambda f: (f / "one.PNG").exists(), depth=1) is None


def test_files_to_a_depth(tmp_path: Path) -> None:
    for name in ("a.TIF", "b/c.tif", "b/d.txt", ".hidden.tif", ".trash/e.tif", "1/2/3/4/5/f.tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found, faults = files_below(tmp_path, (".tif",), 4)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.TIF", "b/c.tif"]
    assert faults == []
    assert files_below(tmp_path, (".tif",), most=0)[0] == []


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "root" / "b").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x.tif").touch()
    os.symlink(tmp_path / "store", tmp_path / "root" / "linked", target_is_directory=True)
    os.symlink(tmp_path / "root", tmp_path / "root" / "b" / "loop", target_is_directory=True)
    os.symlink("self", tmp_path / "root" / "self")
    found, faults = files_below(tmp_path / "root", (".tif",))
    assert [path.name for path in found] == ["x.tif"]
    assert [fault.name for fault in faults] == ["self", "b/loop"]
    missing, faults = files_below(tmp_path / "nothing", (".tif",))
    assert missing == []
    assert [fault.name for fault in faults] == ["nothing"]

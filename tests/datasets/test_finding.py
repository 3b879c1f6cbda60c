"""Files in folders, and paths that files give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_coseg.datasets.finding import by_stem, climbs_out, find_files


def test_files_below_a_folder(tmp_path: Path) -> None:
    for name in ("a.TIF", "b/c.tif", "b/d.txt", ".hidden.tif", ".trash/e.tif", "1/2/3/4/5/f.tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found, faults = find_files(tmp_path, (".tif",))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.TIF", "b/c.tif"]
    assert faults == []
    assert find_files(tmp_path, (".tif",), most=1)[0] == []


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "root" / "b").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x.tif").touch()
    os.symlink(tmp_path / "store", tmp_path / "root" / "linked", target_is_directory=True)
    os.symlink(tmp_path / "root", tmp_path / "root" / "b" / "loop", target_is_directory=True)
    os.symlink("self", tmp_path / "root" / "self")
    found, faults = find_files(tmp_path / "root", (".tif",))
    assert [path.name for path in found] == ["x.tif"]
    assert [fault.name for fault in faults] == ["b/loop"]
    missing, faults = find_files(tmp_path / "nothing", (".tif",))
    assert missing == []
    assert [fault.name for fault in faults] == ["nothing"]


def test_a_name_of_two_files_is_none() -> None:
    found, faults = by_stem([Path("a/x_n.json"), Path("b/x_n.json"), Path("y.json")], "_n")
    assert list(found) == ["y"]
    assert [fault.name for fault in faults] == ["x"]


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("a/b.png", False),
        ("a/..b.png", False),
        ("../a.png", True),
        ("a/../../b.png", True),
        ("/etc/a.png", True),
        ("..\\a.png", True),
        ("C:\\a.png", True),
        ("C:a.png", True),
        ("\\\\host\\share\\a.png", True),
    ],
)
def test_paths_that_climb_out(name: str, out: bool) -> None:
    assert climbs_out(name) == out

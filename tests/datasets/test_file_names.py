"""Names of files that belong together, and paths that files give."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_coseg.datasets.file_names import by_stem, climbs_out


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

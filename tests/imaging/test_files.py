from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from napari_coseg.imaging.files import atomic_path, sweep_parts
from napari_coseg.types import CosegError


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "scan.nii.gz"
    with atomic_path(target) as part:
        assert part.parent == tmp_path
        assert part.name.endswith(".nii.gz")
        part.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path) == ["scan.nii.gz"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    target = tmp_path / "objects.csv"
    target.write_text("old")
    with pytest.raises(failure), atomic_path(target) as part:  # noqa: PT012
        part.write_text("half")
        raise failure
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["objects.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_sentence_that_names_the_file(tmp_path: Path, number: int) -> None:
    target = tmp_path / "out.tif"
    with pytest.raises(CosegError, match=r"out\.tif: the disk is full"), atomic_path(target) as p:  # noqa: PT012
        p.write_text("half")
        raise OSError(number, os.strerror(number))
    assert os.listdir(tmp_path) == []


def test_a_full_disk_without_an_error_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    error = OSError("1024 requested and 0 written")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="requested"), atomic_path(tmp_path / "a.tif"):
        raise error
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(CosegError, match="disk is full"), atomic_path(tmp_path / "a.tif"):
        raise error


def test_an_error_about_another_file_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        (tmp_path / "input.txt").read_text()


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="make the folder"), atomic_path(tmp_path / "no" / "a"):
        pass
    with pytest.raises(CosegError, match="a folder has that name"), atomic_path(tmp_path):
        pass


def test_a_block_that_writes_nothing_is_a_mistake_of_ours(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Nothing was written"), atomic_path(tmp_path / "a"):
        pass
    assert os.listdir(tmp_path) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with atomic_path(target) as first, atomic_path(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"  # the outer block ends last


def test_leftovers_of_one_file_are_swept(tmp_path: Path) -> None:
    mine, other = tmp_path / "a.tif", tmp_path / "b.tif"
    mine.write_text("done")
    with atomic_path(mine) as left, atomic_path(other) as kept:
        left.write_text("half")
        kept.write_text("half")
        sweep_parts(mine)
        assert not left.exists()
        assert kept.exists()
        left.write_text("whole")
    assert mine.read_text() == "whole"
    sweep_parts(tmp_path / "nowhere" / "a.tif")


def test_a_long_name_still_fits(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 200 + "." + "y" * 50)
    with atomic_path(target) as part:
        part.write_text("a")
    assert target.exists()

from __future__ import annotations

from pathlib import Path

import pytest

from napari_coseg.inference.jobs import find_jobs, name_jobs, parse_shard, shard_of
from napari_coseg.types import CosegError


def make(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def names(*paths: Path) -> list[str]:
    return [job.name for job in name_jobs(paths)]


def test_a_name_of_its_own_needs_no_folder(tmp_path: Path) -> None:
    assert names(*make(tmp_path, "a/one.png", "b/two.tif")) == ["one", "two"]


def test_equal_names_keep_their_folders(tmp_path: Path) -> None:
    paths = make(tmp_path, "x/a/tile.png", "x/b/tile.png", "x/tile.png", "x/a/other.png")
    assert names(*paths) == ["a/tile", "b/tile", "tile", "other"]


def test_equal_names_in_one_folder_keep_their_endings(tmp_path: Path) -> None:
    paths = make(tmp_path, "a/tile.png", "a/tile.tif", "b/Tile.png")
    assert names(*paths) == ["a/tile.png", "a/tile.tif", "b/Tile"]


def test_names_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="one name: rename"):
        names(*make(tmp_path, "tile.png", "tile.tif", "tile.png.tif"))


def test_folders_give_the_images_directly_in_them(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a.JPG", ".hidden.png", "notes.txt", "sub/c.png")
    assert [job.path.name for job in find_jobs([tmp_path], tmp_path / "out")] == ["a.JPG", "b.png"]


def test_our_own_results_are_no_images(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a_regions.tif", "a_instances.tif")
    assert [job.name for job in find_jobs([tmp_path], tmp_path)] == ["a"]


def test_results_of_an_earlier_run_are_no_images(tmp_path: Path) -> None:
    old, out = tmp_path / "old", tmp_path / "out"
    make(old, "a_regions.tif", "a_instances.tif", "run.json", "records/a.json")
    with pytest.raises(CosegError, match="old holds results of napari-coseg and no image"):
        find_jobs([old], out)
    make(old, "a.png")
    assert [job.name for job in find_jobs([old], out)] == ["a"]
    # Without a run's own files such names are somebody's images.
    make(tmp_path / "other", "run.json", "dental_regions.tif")
    assert [job.name for job in find_jobs([tmp_path / "other"], out)] == ["dental_regions"]


def test_a_file_named_twice_is_done_once(tmp_path: Path) -> None:
    path, _ = make(tmp_path, "a.png", "sub/other.txt")
    jobs = find_jobs([path, tmp_path, tmp_path / "sub" / ".." / "a.png"], tmp_path / "out")
    assert len(jobs) == 1


def test_patterns_are_expanded_where_the_shell_does_not(tmp_path: Path) -> None:
    make(tmp_path, "a1.png", "a2.png", "b.png")
    assert [job.name for job in find_jobs([tmp_path / "a*.png"], tmp_path / "o")] == ["a1", "a2"]
    with pytest.raises(CosegError, match="No image was named"):
        find_jobs([tmp_path / "c*.png"], tmp_path / "o")


def test_what_is_missing(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "a.png")
    assert len(find_jobs([path, tmp_path / "none.png"], tmp_path / "o")) == 2
    with pytest.raises(CosegError, match=r"none\.png does not exist"):
        find_jobs([tmp_path / "none.png"], tmp_path / "o")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CosegError, match="has no image in it"):
        find_jobs([tmp_path / "empty"], tmp_path / "o")


def test_shards_part_the_work(tmp_path: Path) -> None:
    jobs = name_jobs(make(tmp_path, *(f"{i}.png" for i in range(11))))
    parts = [shard_of(jobs, i, 4) for i in range(1, 5)]
    assert sorted(job.name for part in parts for job in part) == sorted(j.name for j in jobs)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parse_shard("2/4") == (2, 4)
    assert shard_of(jobs, *parse_shard(None)) == jobs


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_a_senseless_shard_is_refused(text: str) -> None:
    with pytest.raises(CosegError, match="A shard is written i/n"):
        parse_shard(text)

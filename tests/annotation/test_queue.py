"""The queue of a folder: cases, what is kept of them, and what goes wrong with their files."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_coseg.annotation import queue_places
from napari_coseg.annotation.queue_cases import case_stem, find_cases, natural
from napari_coseg.annotation.queue_images import read_case, read_small_picture
from napari_coseg.annotation.queue_places import FILE
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE, FAILED, FLAGGED, IN_PROGRESS, STATUSES, TO_DO
from napari_coseg.annotation.queue_times import ActiveTime
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_volume
from napari_coseg.types import CosegError


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def folder(root: Path, count: int = 4) -> Path:
    for number in range(count):
        picture(root / f"tile{number + 8}.png", number)
    return root


def test_cases_of_a_folder(tmp_path: Path) -> None:
    folder(tmp_path, 3)
    picture(tmp_path / "b" / "one.PNG")
    picture(tmp_path / "set" / "images" / "x.png")
    picture(tmp_path / "set" / "instances" / "x.png")
    (tmp_path / "net" / "imagesTr").mkdir(parents=True)
    (tmp_path / "net" / "labelsTr").mkdir()
    (tmp_path / "net" / "imagesTr" / "v_0000.nii.gz").touch()
    (tmp_path / "net" / "labelsTr" / "v.nii.gz").touch()
    for name in ("._tile8.png", "tile8_instances.tif", "notes.txt", ".part-abc.png"):
        (tmp_path / name).touch()
    picture(tmp_path / "coseg-queue" / "no.png")
    series = tmp_path / "patient"
    series.mkdir()
    (series / "IM1").write_bytes(bytes(128) + b"DICM")
    assert find_cases(tmp_path) == [
        "b/one.PNG",
        "net/imagesTr/v_0000.nii.gz",
        "patient",
        "set/images/x.png",
        "tile8.png",
        "tile9.png",
        "tile10.png",
    ]


def test_names_sort_as_people_count() -> None:
    names = ["case10", "case9", "Case2b", "case2", "²x", "7"]
    assert sorted(names, key=natural) == ["7", "case2", "Case2b", "case9", "case10", "²x"]
    assert case_stem("a/b.c.nii.gz") == "b.c"
    assert case_stem("patient 1.2") == "patient 1.2"


def test_all_is_there_again(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path)) as project:
        assert [case.status for case in project.cases] == [TO_DO] * 4
        project.opened(2)
        project.set_note(2, "a molar")
        project.add_time(2, 12.5)
        project.set_status(1, DONE)
        project.failed(3, "It cannot be read.")
        project.set_status(4, FLAGGED)
        before = project.cases
    with QueueProject.open(tmp_path) as project:
        assert project.cases == before
        assert project.last == 2
        assert project.case(2).status == IN_PROGRESS
        assert project.case(2).seconds == 12.5
        assert project.case(3).reason == "It cannot be read."
        assert project.counts() == {TO_DO: 0, IN_PROGRESS: 1, DONE: 1, FLAGGED: 1, FAILED: 1}


def test_new_and_lost_files(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path)) as project:
        project.set_status(1, DONE)
    (tmp_path / "tile8.png").unlink()
    picture(tmp_path / "a0.png")
    with QueueProject.open(tmp_path) as project:
        assert [case.key for case in project.cases][-1] == "a0.png"
        assert project.case(1).status == DONE
        with pytest.raises(CosegError, match="not there any more"):
            read_case(project.path(1))
        picture(tmp_path / "b0.png")
        assert [project.case(number).key for number in project.rescan()] == ["b0.png"]
        assert project.rescan() == []


def test_moved_folder(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path / "old")) as project:
        project.set_note(1, "here")
    shutil.move(tmp_path / "old", tmp_path / "new")
    with QueueProject.open(tmp_path / "new") as project:
        assert project.case(1).note == "here"
        assert project.path(1) == tmp_path / "new" / "tile8.png"
        assert project.path(1).is_file()


def test_a_list_stays_a_list(tmp_path: Path) -> None:
    folder(tmp_path)
    paths = [tmp_path / "tile10.png", tmp_path / "tile8.png"]
    with QueueProject.open(tmp_path, paths) as project:
        assert [case.key for case in project.cases] == ["tile10.png", "tile8.png"]
    with QueueProject.open(tmp_path) as project:
        assert len(project.cases) == 2
        assert project.rescan() == []
    with pytest.raises(CosegError, match="does not lie in"):
        QueueProject.open(tmp_path / "b", [tmp_path / "tile8.png"])
    with pytest.raises(CosegError, match="twice"):
        QueueProject.open(tmp_path, [paths[0], paths[0]])


def test_opened_twice(tmp_path: Path) -> None:
    with (
        QueueProject.open(folder(tmp_path)),
        pytest.raises(CosegError, match="open already"),
    ):
        QueueProject.open(tmp_path)
    QueueProject.open(tmp_path).close()


@pytest.mark.parametrize("spoil", ["noise", "other", "cut"])
def test_damaged_file(tmp_path: Path, spoil: str) -> None:
    with QueueProject.open(folder(tmp_path, 300)) as project:
        project.wait()
        file = project.home / FILE
    if spoil == "noise":
        file.write_bytes(b"no database at all" * 100)
    elif spoil == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        file.unlink()
        other = sqlite3.connect(file)
        other.execute("CREATE TABLE cases (x)")
        other.close()
    before = file.read_bytes()
    with pytest.raises(CosegError, match="damaged"):
        QueueProject.open(tmp_path)
    assert file.read_bytes() == before
    file.unlink()
    QueueProject.open(tmp_path).close()


def test_newer_version(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path)) as project:
        file = project.home / FILE
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(CosegError, match="newer napari-coseg"):
        QueueProject.open(tmp_path)


def test_folders_that_are_no_queue(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="holds no images"):
        QueueProject.open(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(CosegError, match="does not exist"):
        QueueProject.open(tmp_path / "gone")


def test_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, own = folder(tmp_path / "images"), tmp_path / "user" / "journals"
    monkeypatch.setattr(queue_places, "why_not", lambda path: "cannot be written to")
    monkeypatch.setattr(queue_places, "data_folder", lambda: own)
    with QueueProject.open(root) as project:
        assert own.parent in project.home.parents
        project.set_note(1, "kept")
    with QueueProject.open(root) as project:
        assert project.case(1).note == "kept"
    assert not (root / "coseg-queue").exists()


def test_folder_that_vanishes_and_comes_back(tmp_path: Path) -> None:
    root = folder(tmp_path / "images")
    project = QueueProject.open(root)
    project.set_note(1, "before")
    assert project.wait(10)
    root.rename(tmp_path / "away")
    project.set_note(2, "meanwhile")
    assert not project.wait(0.5)
    assert project.writer.error is not None
    assert "not saved" in project.writer.error
    (tmp_path / "away").rename(root)
    assert project.wait(10)
    assert project.close()
    with QueueProject.open(root) as project:
        assert [project.case(number).note for number in (1, 2)] == ["before", "meanwhile"]


def test_unreadable_case(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "tile9.png").write_bytes(b"no picture")
    with QueueProject.open(tmp_path) as project:
        with pytest.raises(CosegError) as told:
            read_case(project.path(2))
        project.failed(2, str(told.value))
        assert project.neighbour(project.cases, 2, True) == 3
        # Once the file is whole again the case goes on.
        picture(tmp_path / "tile9.png")
        assert read_case(project.path(2)).pixels.shape == (24, 32, 3)
        project.opened(2)
        assert project.case(2).status == IN_PROGRESS
        assert project.case(2).reason == ""


def test_names_can_be_hidden(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path, 12)) as project:
        plain = [case.id for case in project.cases]
        assert project.name(3) == "tile10"
        project.set_anonymous(True)
        hidden = [case.id for case in project.cases]
        assert sorted(hidden) == plain
        assert hidden != plain
        assert project.name(hidden[6]) == "Case 7"
        assert list(project.names().values()) == [f"Case {n}" for n in range(1, 13)]
        assert project.search("tile10") == []
        assert [case.id for case in project.search("case 7")] == [hidden[6]]
    with QueueProject.open(tmp_path) as project:
        assert project.anonymous
        assert [case.id for case in project.cases] == hidden


def test_search_and_ways(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path)) as project:
        project.set_note(2, "Metal artefact")
        project.set_status(3, DONE)
        assert [case.id for case in project.search("metal tile")] == [2]
        assert [case.id for case in project.search(statuses=[TO_DO])] == [1, 2, 4]
        shown = project.search(statuses=[TO_DO])
        assert project.neighbour(shown, 2, True) == 4
        assert project.neighbour(shown, 4, True) is None
        assert project.neighbour(shown, 4, False) == 2
        assert project.neighbour(shown, 3, True) == 1
        assert project.neighbour([], 3, True) is None
        with pytest.raises(ValueError, match="no status"):
            project.set_status(1, "nearly")
        assert set(project.counts()) == set(STATUSES)


def test_time_counts_while_somebody_works() -> None:
    now = 100.0
    time = ActiveTime(idle=60, clock=lambda: now)
    time.touch()
    assert time.end() == 0
    time.begin()
    now += 30
    time.touch()
    now += 3600  # lunch, or a lid that was shut
    time.touch()
    assert time.take() == 90
    now -= 500  # a clock that goes back
    time.touch()
    now += 10
    assert time.end() == 10
    assert not time.running
    time.touch()
    assert time.take() == 0


def test_small_pictures(tmp_path: Path) -> None:
    grid = VolumeGrid((6, 20, 40), (1.0, 2.0, 1.0))
    voxels = np.zeros(grid.shape, np.int16)
    voxels[3, :10] = 900
    voxels[:3] = 500
    write_volume(tmp_path / "v.nii.gz", voxels, grid)
    png = read_small_picture(tmp_path / "v.nii.gz")
    (tmp_path / "v.png").write_bytes(png)
    with Image.open(tmp_path / "v.png") as image:
        # 20 rows of 2 mm are as long as 40 columns of 1 mm.
        assert image.size == (96, 96)
        assert image.getpixel((50, 10)) == 255
        assert image.getpixel((50, 90)) == 0
    picture(tmp_path / "p.png")
    (tmp_path / "q.png").write_bytes(read_small_picture(tmp_path / "p.png"))
    with Image.open(tmp_path / "q.png") as image:
        assert image.size == (96, 72)


def test_a_failure_that_passes(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path)) as project:
        for number, status in enumerate((DONE, FLAGGED, IN_PROGRESS), 1):
            project.set_status(number, status)
        for number in range(1, 5):
            project.failed(number, "The share is away.")
        assert project.counts()[FAILED] == 4
        with pytest.raises(CosegError, match="cannot be marked as done"):
            project.set_status(2, DONE)
    with QueueProject.open(tmp_path) as project:
        assert {case.status for case in project.cases} == {FAILED}
        for number in range(1, 5):
            project.opened(number)
        statuses = [case.status for case in project.cases]
        assert statuses == [DONE, FLAGGED, IN_PROGRESS, IN_PROGRESS]


def test_failures_as_they_were_written_at_first(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path)) as project:
        file = project.home / FILE
    database = sqlite3.connect(file)
    database.execute("UPDATE cases SET status = 'failed', reason = 'Gone.' WHERE id = 2")
    database.commit()
    database.close()
    with QueueProject.open(tmp_path) as project:
        assert (project.case(2).status, project.case(2).reason) == (FAILED, "Gone.")
        project.opened(2)
        assert project.case(2).status == IN_PROGRESS


def test_hidden_cases_keep_their_numbers(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path, 9)) as project:
        project.set_anonymous(True)
        before = project.names()
        for number in range(3):
            picture(tmp_path / f"a{number}.png", number)
        new = project.rescan()
        assert {n: name for n, name in project.names().items() if n not in new} == before
        assert {project.name(n) for n in new} == {"Case 10", "Case 11", "Case 12"}
        after = project.names()
    picture(tmp_path / "0.png")
    with QueueProject.open(tmp_path) as project:
        assert {n: project.name(n) for n in after} == after
        assert project.cases[-1].key == "0.png"


def test_hidden_numbers_of_a_queue_that_has_not_kept_them(tmp_path: Path) -> None:
    with QueueProject.open(folder(tmp_path, 9)) as project:
        project.set_anonymous(True)
        file, before = project.home / FILE, project.names()
    database = sqlite3.connect(file)
    database.execute("DELETE FROM meta WHERE name = 'order'")
    database.commit()
    database.close()
    picture(tmp_path / "0.png")
    with QueueProject.open(tmp_path) as project:
        assert {number: project.name(number) for number in before} == before

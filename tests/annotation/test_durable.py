"""What is on the disk: restarts, killed programs, copies, faults of the disk."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_coseg.annotation import database as database_module
from napari_coseg.annotation import journal as journal_module
from napari_coseg.annotation import places
from napari_coseg.annotation import state as state_module
from napari_coseg.annotation import writer as writer_module
from napari_coseg.annotation.case import Case
from napari_coseg.annotation.database import FORMAT
from napari_coseg.annotation.journal import Journal
from napari_coseg.types import CosegError

from .helpers import WAIT, box_prompt, check, identity_of, open_case, rectangle, table

SIDE = 400
ROOT = Path(__file__).resolve().parents[2]


def cell(number: int) -> tuple[int, int]:
    """Row and column of the object that edit `number` makes."""
    return number * 7 % SIDE // 7 * 7, number // 57 * 7


def commit_cell(case: Case, number: int) -> None:
    row, column = cell(number)
    mask = rectangle(row, column, min(row + 6, SIDE), column + 6)
    case.commit(
        mask, label=number + 1, class_id=number % 3, prompts=[box_prompt(row, column, 1, 2)]
    )


def is_prefix(labels: np.ndarray, case: Case) -> int:
    """How many edits a state holds, which must be the first ones."""
    check(case, labels)
    there = sorted(case.objects)
    assert there == list(range(1, len(there) + 1))
    for label, record in case.objects.items():
        row, column = cell(label - 1)
        assert record.box == (row, column, min(row + 6, SIDE), column + 6)
        assert record.class_id == (label - 1) % 3
        assert record.prompts[0].box == (row, column, 1, 2)
    return len(there)


def test_a_case_reopens_where_it_stood(tmp_path: Path) -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[300:310, 300:310] = 600
    path = tmp_path / "case"
    with open_case(path, labels) as case:
        for number in range(300):
            commit_cell(case, number)
        for _ in range(100):
            case.undo()
        assert case.wait(WAIT)
        assert case.saved
        rows = table(case)
        name, other = case.undo_name, case.redo_name
        past = case.history(300)
    assert len(past) == 200
    assert not Path(f"{path}-wal").exists()
    for fill in (0, 9):
        # Whatever is in the layer, the journal says what should be.
        again = np.full((SIDE, SIDE), fill, np.int32)
        with open_case(path, again) as case:
            assert case.saved
            assert (again == labels).all()
            assert table(case) == rows
            assert (case.undo_name, case.redo_name) == (name, other)
            assert case.history(300) == past
            assert case.next_label() == 601
            for _ in range(100):
                assert case.redo() is not None
            assert case.redo() is None
            assert is_prefix(np.where(again == 600, 0, again), _without(case, 600)) == 300
            for _ in range(100):
                case.undo()
            assert (again == labels).all()
    with open_case(path, again) as case:
        for _ in range(200):
            assert case.undo() is not None
        assert case.undo() is None
        assert set(case.objects) == {600}
        assert (np.unique(again) == [0, 600]).all()
        # An edit after undo: what was undone cannot come back any more.
        case.commit(rectangle(0, 0, 3, 3))
        assert case.redo_name is None
    with open_case(path, again) as case:
        assert case.redo_name is None
        case.undo()
        assert case.redo_name == "mask: object 601"


class _Objects:
    def __init__(self, objects: dict) -> None:
        self.objects = objects


def _without(case: Case, label: int) -> Case:
    return _Objects({n: r for n, r in case.objects.items() if n != label})  # type: ignore


def test_the_present_labels_are_the_beginning(tmp_path: Path) -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[3:9, 250:260] = 5
    labels[350, 350] = 6
    with open_case(tmp_path / "case", labels) as case:
        assert set(case.objects) == {5, 6}
        assert case.objects[5].origin == "file"
        check(case, labels)
        assert case.undo() is None
    again = np.zeros_like(labels)
    with open_case(tmp_path / "case", again) as case:
        assert (again == labels).all()
        check(case, again)


CHILD = """
    import sys
    import numpy as np
    from pathlib import Path
    from tests.annotation.test_durable import SIDE, commit_cell
    from tests.annotation.helpers import open_case

    def say(text):
        # One call, since two threads print.
        sys.stdout.write(f"{text}\\n")
        sys.stdout.flush()

    def told(saved):
        if saved:
            say(done)

    done = 0
    labels = np.zeros((SIDE, SIDE), np.int32)
    case = open_case(Path(sys.argv[1]), labels, on_saved=told)
    for done in range(1, int(sys.argv[2]) + 1):
        commit_cell(case, done - 1)
        if done % 7 == 0:
            case.wait()
    case.wait()
    say("end")
    sys.stdin.read()
"""


def child(path: Path, count: int) -> subprocess.Popen[str]:
    """A program that commits, and prints how many edits are surely saved."""
    code = textwrap.dedent(CHILD)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def kill(process: subprocess.Popen[str]) -> None:
    # TerminateProcess on Windows, which is as sudden.
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.communicate()


@pytest.mark.parametrize("after", [1, 40, 150, 333])
def test_a_killed_program_loses_nothing_that_was_saved(tmp_path: Path, after: int) -> None:
    path = tmp_path / "case"
    process = child(path, 800)
    assert process.stdout is not None
    saved = 0
    for line in process.stdout:
        assert line.strip() != "end"
        # `done` is read while the next edit may have begun: what was told is at least one less.
        saved = int(line) - 1
        if saved >= after:
            break
    kill(process)
    labels = np.zeros((SIDE, SIDE), np.int32)
    began = time.perf_counter()
    with open_case(path, labels) as case:
        assert time.perf_counter() - began < 3
        count = is_prefix(labels, case)
        assert count >= saved
        for _ in range(count):
            assert case.undo() is not None
        assert case.undo() is None
        assert not labels.any()


def test_a_program_that_ends_without_closing_writes_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "case"
    code = textwrap.dedent(CHILD).split("case.wait()\nsay")[0].replace("case.wait()", "pass")
    command = [sys.executable, "-c", code, str(path), "200"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(path, labels) as case:
        assert is_prefix(labels, case) == 200


def test_a_journal_that_is_moved_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY", 0.02)
    path = tmp_path / "case"
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(path, labels) as case:
        commit_cell(case, 0)
        assert case.wait(WAIT)
        try:
            path.rename(tmp_path / "elsewhere")
        except PermissionError:
            pytest.skip("this system moves no file that is open")
        commit_cell(case, 1)
        assert not case.wait(0.2)
        assert "moved or deleted" in str(case.error)
        (tmp_path / "elsewhere").rename(path)
        assert case.wait(WAIT)
        wait_for(lambda: case.error is None)


def test_an_old_edit_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "case"
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(path, labels) as case:
        for number in range(100):
            commit_cell(case, number)
    database = sqlite3.connect(path)
    database.execute("UPDATE edits SET objects = substr(objects, 2) WHERE id = 3")
    database.commit()
    database.close()
    with open_case(path, labels) as case:
        while case.undo_name is not None:
            case.undo()
        with pytest.raises(CosegError, match="damaged"):
            case.undo()
        # The present is whole, and work goes on.
        count = len(case.objects)
        assert is_prefix(labels, case) == count > 0
        commit_cell(case, count)
        case.undo()
        case.redo()
        assert case.wait(WAIT)


def test_copies_at_random_moments_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "case"
    labels = np.zeros((SIDE, SIDE), np.int32)
    rng = np.random.default_rng(0)
    copies: list[Path] = []
    stop = threading.Event()

    def copy() -> None:
        while not stop.is_set():
            to = tmp_path / f"copy{len(copies)}"
            shutil.copyfile(path, to)
            wal = Path(f"{path}-wal").read_bytes()
            # The end may be torn off as well.
            keep = len(wal) if rng.random() < 0.5 else int(rng.integers(0, len(wal) + 1))
            Path(f"{to}-wal").write_bytes(wal[:keep])
            copies.append(to)
            time.sleep(float(rng.uniform(0, 0.03)))

    with open_case(path, labels) as case:
        copier = threading.Thread(target=copy)
        copier.start()
        while len(copies) < 15 and len(case.objects) < 2500:
            commit_cell(case, len(case.objects))
            time.sleep(0.001)
        stop.set()
        copier.join()
    counts = []
    for to in copies:
        again = np.zeros_like(labels)
        with open_case(to, again) as case:
            counts.append(is_prefix(again, case))
            case.undo()
            assert len(case.objects) == max(counts[-1] - 1, 0)
    assert len(set(counts)) > 3


def test_a_case_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case"
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(path, labels) as case:
        commit_cell(case, 0)
        with pytest.raises(CosegError, match="open already"):
            open_case(path, labels.copy())
        case.wait(WAIT)
        with pytest.raises(CosegError, match="open already"):
            open_case(path, labels.copy())
    process = child(path, 3)
    assert process.stdout is not None
    assert any(line.strip() == "end" for line in process.stdout)
    with pytest.raises(CosegError, match="open already"):
        open_case(path, labels)
    # The lock goes with the process that held it.
    kill(process)
    open_case(path, labels).close()


def refused(path: Path, match: str, labels: np.ndarray | None = None) -> None:
    """Opening says what is wrong, changes no label, and leaves the file alone."""
    layer = np.full((SIDE, SIDE), 4, np.int32) if labels is None else labels
    before, data = layer.copy(), path.read_bytes()
    with pytest.raises(CosegError, match=match):
        open_case(path, layer)
    assert (layer == before).all()
    assert path.read_bytes() == data


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "case"
    with open_case(path, np.zeros((SIDE, SIDE), np.int32)) as case:
        for number in range(50):
            commit_cell(case, number)
    whole = path.read_bytes()
    path.write_text("not a journal at all\n" * 1000)
    refused(path, "damaged")
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "damaged")
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(30):
        broken = bytearray(whole)
        for place in rng.integers(100, len(whole), 200):
            broken[place] ^= 0xFF
        path.write_bytes(broken)
        layer = np.zeros((SIDE, SIDE), np.int32)
        try:
            with open_case(path, layer) as case:
                check(case, layer)
        except CosegError as error:
            found += "damaged" in str(error)
            assert not layer.any()
    assert found > 10
    path.write_bytes(whole)
    database = sqlite3.connect(path)
    database.execute("UPDATE chunks SET pixels = substr(pixels, 1, 20)")
    database.commit()
    database.close()
    refused(path, "damaged")
    other = tmp_path / "other"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE notes (text)")
    database.commit()
    database.close()
    refused(other, "no journal")


def test_other_images_shapes_and_versions(tmp_path: Path) -> None:
    path = tmp_path / "case"
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(path, labels) as case:
        commit_cell(case, 0)
    with pytest.raises(CosegError, match="another image"):
        Case.open(path, identity_of((SIDE, SIDE), seed=1), labels)
    with pytest.raises(CosegError, match="labels of the shape"):
        Case.open(path, identity_of((SIDE, SIDE)), labels[:-1])
    for version, match in ((FORMAT + 1, "newer"), (0, "format 0")):
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA user_version={version}")
        database.close()
        refused(path, match)
    # Labels that are too small for what is in it.
    large = np.zeros((SIDE, SIDE), np.int32)
    with open_case(tmp_path / "large", large) as case:
        case.commit(rectangle(0, 0, 3, 3), label=1000)
    refused(tmp_path / "large", "convert", np.zeros((SIDE, SIDE), np.uint8))


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    path = tmp_path / "case"
    path.touch()
    labels = np.ones((SIDE, SIDE), np.uint8)
    with open_case(path, labels) as case:
        assert case.objects[1].area == SIDE * SIDE


def test_a_program_that_died_before_the_beginning_was_written(tmp_path: Path) -> None:
    path = tmp_path / "case"
    Journal(path, identity_of((SIDE, SIDE)), (SIDE, SIDE)).close()
    labels = np.ones((SIDE, SIDE), np.uint8)
    with open_case(path, labels) as case:
        assert case.objects[1].area == SIDE * SIDE
        assert (labels == 1).all()


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has no such folders")
def test_read_only_folders() -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    user = os.geteuid()
    # Not pytest's folder, into which only its user may look.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        open_case(folder / "case", labels).close()
        (folder / "case").chmod(0o444)
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        try:
            for name in ("new", "case"):
                with pytest.raises(CosegError, match="cannot be opened for writing"):
                    open_case(folder / name, labels)
            assert places.why_not(folder) == "cannot be written to"
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="cannot be opened for writing"):
        open_case(tmp_path / "missing" / "case", np.zeros((SIDE, SIDE), np.int32))


def wait_for(true: object, timeout: float = WAIT) -> None:
    until = time.monotonic() + timeout
    while not true() and time.monotonic() < until:  # type: ignore[operator]
        time.sleep(0.01)
    assert true()  # type: ignore[operator]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY", 0.05)
    monkeypatch.setattr(journal_module, "_FETCHED", 1000)
    path = tmp_path / "case"
    labels = np.zeros((SIDE, SIDE), np.int32)
    states: list[bool] = []
    troubles: list[str | None] = []
    case = open_case(path, labels, on_saved=states.append, on_trouble=troubles.append)
    for number in range(20):
        commit_cell(case, number)
    assert case.wait(WAIT)

    def limit(pages: int) -> None:
        case._state.writer.ask(lambda j: j._db.execute(f"PRAGMA max_page_count={pages}")).result()

    def pages() -> int:
        return case._state.writer.ask(
            lambda j: j._db.execute("PRAGMA page_count").fetchone()[0]
        ).result()

    limit(pages() + 2)
    for number in range(20, 320):
        commit_cell(case, number)
    wait_for(lambda: case.error)
    assert "full" in str(case.error)
    assert troubles == [case.error]
    assert not case.saved
    assert states[-1] is False
    # The work goes on in memory meanwhile: undo and redo as well.
    for _ in range(60):
        case.undo()
    for _ in range(30):
        case.redo()
    assert not case.wait(0.3)
    monkeypatch.setattr(state_module, "_PATIENCE", 0.01)
    with pytest.raises(CosegError, match="full"):
        case.catch_up()
    limit(1 << 30)
    assert case.wait(WAIT)
    wait_for(lambda: case.error is None)
    assert troubles[-1] is None
    wait_for(lambda: states[-1])
    rows = table(case)
    assert case.close()
    again = np.zeros_like(labels)
    with open_case(path, again) as case:
        assert is_prefix(again, case) == 290
        assert table(case) == rows
        assert (again == labels).all()
        assert case.redo_name is not None


def test_other_errors_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY", 0.02)
    labels = np.zeros((SIDE, SIDE), np.int32)
    troubles: list[str | None] = []
    case = open_case(tmp_path / "case", labels, on_trouble=troubles.append)
    assert case.wait(WAIT)
    step = Journal._step
    failing = [
        sqlite3.OperationalError("disk I/O error"),
        OSError(5, "the disk has gone"),
        MemoryError(),
        sqlite3.OperationalError("database or disk is full"),
    ]
    fails = iter(failing)

    def broken(self: Journal, what: object) -> None:
        step(self, what)  # type: ignore[arg-type]
        for error in fails:
            raise error

    monkeypatch.setattr(Journal, "_step", broken)
    commit_cell(case, 0)
    assert case.wait(WAIT)
    wait_for(lambda: troubles and troubles[-1] is None)
    assert len(troubles) == 5
    assert all(text and text.startswith("Your edits are not saved") for text in troubles[:-1])
    case.close()
    again = np.zeros_like(labels)
    with open_case(tmp_path / "case", again) as case:
        assert is_prefix(again, case) == 1


def test_closing_a_case_that_cannot_be_saved_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    case = open_case(tmp_path / "case", labels)
    assert case.wait(WAIT)

    def broken(self: Journal, what: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Journal, "_step", broken)
    commit_cell(case, 0)
    assert case.close(0.3) is False
    assert "full" in str(case.error)
    assert not case.saved
    with pytest.raises(CosegError, match="closed"):
        commit_cell(case, 1)
    assert (labels == 2).sum() == 0
    with pytest.raises(CosegError, match="closed"):
        case.undo()


def test_saved_is_told_in_order(tmp_path: Path) -> None:
    states: list[bool] = []
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(tmp_path / "case", labels, on_saved=states.append) as case:
        for number in range(200):
            commit_cell(case, number)
            if number % 10 == 0:
                assert case.wait(WAIT)
        assert case.wait(WAIT)
        wait_for(lambda: states[-1])
    assert states[::2] == [False] * (len(states) // 2)
    assert states[1::2] == [True] * (len(states) // 2)
    assert len(states) > 20


def test_a_failing_listener_does_not_stop_the_writer(tmp_path: Path) -> None:
    def told(saved: bool) -> None:
        raise RuntimeError("the dock is gone")

    with open_case(tmp_path / "case", np.zeros((SIDE, SIDE), int), on_saved=told) as case:
        commit_cell(case, 0)
        assert case.wait(WAIT)


def test_the_wal_file_is_copied_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "_LARGEST", 200_000)
    path = tmp_path / "case"
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(path, labels) as case:
        for number in range(400):
            commit_cell(case, number)
            if number % 5 == 0:
                assert case.wait(WAIT)
        assert case.wait(WAIT)
        assert Path(f"{path}-wal").stat().st_size < 600_000
        rows = table(case)
    again = np.zeros_like(labels)
    with open_case(path, again) as case:
        assert table(case) == rows


def test_no_name_is_in_the_journal(tmp_path: Path) -> None:
    folder = tmp_path / "Erika Mustermann"
    folder.mkdir()
    path = folder / "mustermann.tif.coseg-journal"
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(path, labels) as case:
        commit_cell(case, 0)
        assert case.wait(WAIT)
        data = path.read_bytes() + Path(f"{path}-wal").read_bytes()
    for text in (b"mustermann", b"ustermann", str(tmp_path).encode(), os.fsencode(Path.home())):
        assert text.lower() not in data.lower()


def test_memory_does_not_grow_with_the_number_of_edits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    with open_case(tmp_path / "case", labels) as case:
        for number in range(1500):
            case.commit(rectangle(0, number % 300, 20, number % 300 + 20), label=1)
            if number % 100 == 0:
                assert case.wait(WAIT)
        way = case._state._timeline
        assert len(way._done) <= 400
        for _ in range(1500):
            assert case.undo() is not None
        assert case.undo() is None
        assert case.wait(WAIT)
        case.redo()
        assert len(way._undone) <= 400

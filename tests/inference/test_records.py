from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from napari_coseg.inference import records
from napari_coseg.inference.records import Fingerprint, Records
from napari_coseg.types import CosegError


def test_a_file_is_known_by_time_or_by_content(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"content")
    known = Fingerprint.of(path)
    assert known.is_of(path)
    os.utime(path, ns=(1, 1))
    assert known.is_of(path)
    path.write_bytes(b"CONTENT")
    assert not known.is_of(path)
    path.unlink()
    assert not known.is_of(path)
    with pytest.raises(CosegError, match="cannot be read"):
        Fingerprint.of(path)


def test_a_large_file_is_known_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_WHOLE", 1000)
    monkeypatch.setattr(records, "_CHUNK", 100)
    path = tmp_path / "a.tif"
    content = bytearray(range(256)) * 40
    path.write_bytes(content)
    known = Fingerprint.of(path)
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    assert not known.is_of(path)


def test_gathering_tells_the_run_and_its_failures(tmp_path: Path) -> None:
    store = Records(tmp_path)
    store.write("a", {"status": "done", "input": "x/a.png"})
    store.write("sub/b", {"status": "failed", "input": 'x/"b", 2.png', "error": "It is empty."})
    store.gather({"model": "m"})
    run = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert run["model"] == "m"
    assert set(run["images"]) == {"a", "sub/b"}
    assert run["failures"] == [{"image": 'x/"b", 2.png', "error": "It is empty."}]
    with (tmp_path / "failures.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["image", "error"], ['x/"b", 2.png', "It is empty."]]
    store.write("sub/b", {"status": "done"})
    store.gather({"model": "m"})
    assert not (tmp_path / "failures.csv").exists()


def test_a_record_that_another_process_writes_meanwhile_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Records(tmp_path), Records(tmp_path)
    ours.write("a", {"status": "done"})
    write_failures = Records._write_failures
    calls = 0

    def meanwhile(self: Records, failures: list[tuple[str, str]]) -> None:
        nonlocal calls
        calls += 1
        write_failures(self, failures)
        if calls == 1:
            theirs.write("b", {"status": "done"})

    monkeypatch.setattr(Records, "_write_failures", meanwhile)
    ours.gather({})
    assert set(json.loads((tmp_path / "run.json").read_text("utf-8"))["images"]) == {"a", "b"}


def test_a_broken_record_counts_as_none(tmp_path: Path) -> None:
    store = Records(tmp_path)
    store.write("a", {"status": "done"})
    store.path("a").write_text('{"status": "do', "utf-8")
    assert store.read("a") is None
    assert list(store.all()) == []

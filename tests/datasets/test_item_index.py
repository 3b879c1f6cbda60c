"""The index of millions of items: built once, gone on with, refused where it is damaged."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from napari_coseg.datasets import item_index
from napari_coseg.datasets.indexed_items import IndexedItems
from napari_coseg.datasets.item_index import Entry, IndexSource, index_path, ready_index
from napari_coseg.datasets.labelled import Item, ItemFault
from napari_coseg.types import CosegError

COUNT = 1000


def make(entry: Entry) -> Item:
    return Item(entry.image, Path(entry.image), {}, entry.group, part=entry.part)


def entries(count: int = COUNT) -> Iterator[Entry | ItemFault]:
    for number in range(count):
        part = ("train", "train", "train", "test", None)[number % 5]
        yield Entry(f"image-{number}", "x", f"patient-{number // 4}", part)


def source(state: str = "1", count: int = COUNT) -> IndexSource:
    return IndexSource("A set", state, lambda: entries(count))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return index_path(tmp_path, "set", None)


@pytest.fixture
def items(path: Path) -> IndexedItems:
    return IndexedItems.of(path, make, ready_index(path, source()))


def test_every_item_once_and_by_number(items: IndexedItems) -> None:
    assert len(items) == COUNT
    walked = [item.name for item in items]
    assert sorted(walked) == sorted(one.image for one in entries() if isinstance(one, Entry))
    assert [items[i].name for i in range(COUNT)] == walked
    assert items[-1].name == walked[-1]
    assert [item.name for item in items[3:9:2]] == walked[3:9:2]
    with pytest.raises(IndexError):
        items[COUNT]


def test_parts(items: IndexedItems) -> None:
    assert len(items.of_parts(["train"])) == 600
    assert {item.part for item in items.of_parts([None, "test"])} == {None, "test"}
    assert len(items.of_parts(["validation"])) == 0


@pytest.mark.parametrize("by_group", [True, False])
def test_folds_hold_each_item_out_once(items: IndexedItems, by_group: bool) -> None:
    whole = {item.name for item in items}
    held: list[str] = []
    for fold in range(5):
        train, out = (
            items.of_folds([k for k in range(5) if k != fold], 5, 3, by_group),
            items.of_folds([fold], 5, 3, by_group),
        )
        names = {item.name for item in out}
        assert names | {item.name for item in train} == whole
        assert len(train) + len(out) == COUNT
        assert 0.1 * COUNT < len(out) < 0.3 * COUNT
        if by_group:
            assert not {item.group for item in out} & {item.group for item in train}
        held += names
    assert sorted(held) == sorted(whole)
    other = items.of_folds([0], 5, 4, by_group)
    same = items.of_folds([0], 5, 3, by_group)
    assert {item.name for item in same} == set(held[: len(same)])
    assert {item.name for item in other} != {item.name for item in same}


def test_spread(items: IndexedItems) -> None:
    some = items.spread(10)
    assert [item.name for item in some] == [items[50 + 100 * i].name for i in range(10)]
    assert len(items.of_parts(["test"]).spread(10**6)) == 200


def test_a_view_goes_to_other_processes_and_threads(items: IndexedItems) -> None:
    train = items.of_folds([0, 2, 3, 4], 5, 0, by_group=True)
    data = pickle.dumps(train)
    assert len(data) < 2000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_name_of, (data, 17)) == train[17].name
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda i: train[i].name, range(50))) == [
            item.name for item in train[:50]
        ]


def _name_of(data: bytes, number: int) -> str:
    view = pickle.loads(data)
    return str(view[number].name)


def test_it_is_built_once(path: Path, items: IndexedItems) -> None:
    def never() -> Iterator[Entry]:
        raise AssertionError("read again")

    assert ready_index(path, IndexSource("A set", "1", never)).ranges[None] == range(0, 200)


def test_it_is_built_again_where_the_set_has_changed(path: Path, items: IndexedItems) -> None:
    facts = ready_index(path, source("2", 10))
    assert len(IndexedItems.of(path, make, facts)) == 10


def test_a_killed_build_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(item_index, "_COMMIT", 100)
    caplog.set_level(logging.INFO)

    def dies() -> Iterator[Entry | ItemFault]:
        for number, entry in enumerate(entries()):
            if number == 450:
                raise KeyboardInterrupt
            yield entry

    with pytest.raises(KeyboardInterrupt):
        ready_index(path, IndexSource("A set", "1", dies))
    assert not path.exists()
    facts = ready_index(path, source())
    assert "goes on after 400 entries" in caplog.text
    names = [item.name for item in IndexedItems.of(path, make, facts)]
    assert sorted(names) == sorted(one.image for one in entries() if isinstance(one, Entry))
    assert not list(path.parent.glob("*.part*"))


def test_processes_that_build_at_once(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.map(_built, [path] * 3)
    assert found == [COUNT] * 3


def _built(path: Path) -> int:
    return sum(map(len, ready_index(path, source()).ranges.values()))


def test_faults_are_kept_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_index, "_NAMED", 3)

    def faulty() -> Iterator[Entry | ItemFault]:
        for number in range(7):
            yield ItemFault(f"item-{number}", "It is broken.")

    faults = ready_index(path, IndexSource("A set", "1", faulty)).faults
    assert [fault.name for fault in faults] == ["item-0", "item-1", "item-2", "A set"]
    assert "4 further" in faults[-1].sentence


def test_damaged_indices_are_refused(path: Path, items: IndexedItems) -> None:
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"no database at all", b""):
        path.write_bytes(broken)
        with pytest.raises(CosegError, match="is damaged: delete it"):
            ready_index(path, source())
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(CosegError, match="is damaged"):
        ready_index(path, source())


def test_a_newer_index_is_refused(path: Path, items: IndexedItems) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(CosegError, match="newer version"):
        ready_index(path, source())


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CosegError, match="key index of a mapping"):
        ready_index(tmp_path / "file" / "index.sqlite", source())

"""Chains of a shared queue, who lives, and files that are made once."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from napari_coseg.annotation import share_files
from napari_coseg.annotation.claim_watch import Seat, Watch
from napari_coseg.annotation.claims import Chains, Published, Step, chain_key
from napari_coseg.annotation.share_files import Share, ShareGoneError, create_once, is_shared
from napari_coseg.annotation.snapshots import Snapshot
from napari_coseg.types import CosegError

KEY = chain_key("a/b.png")


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        without_links(monkeypatch)
    path = tmp_path / "x"
    assert create_once(path, b"first")
    assert not create_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_an_answer_that_was_lost_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def twice(source: Path, target: Path) -> None:
        real(source, target)
        raise FileExistsError(errno.EEXIST, "asked again")

    monkeypatch.setattr(os, "link", twice)
    assert create_once(tmp_path / "x", b"mine")
    monkeypatch.setattr(os, "link", real)
    assert not create_once(tmp_path / "x", b"theirs")


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(monkeypatch)
    real, seen = os.fsync, []

    def full(handle: int) -> None:
        seen.append(handle)
        if len(seen) == 2:
            raise OSError(errno.ENOSPC, "full")
        real(handle)

    monkeypatch.setattr(share_files.os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        create_once(tmp_path / "x", b"data")
    assert not list(tmp_path.iterdir())


def test_the_share_is_known_again(tmp_path: Path) -> None:
    assert not is_shared(tmp_path)
    with pytest.raises(ShareGoneError, match="connect it again"):
        Share.open(tmp_path)
    share, made = Share.begin(tmp_path)
    again, made_again = Share.begin(tmp_path)
    assert (made, made_again) == (True, False)
    assert share.id == again.id
    assert is_shared(tmp_path)
    # Another disk in its place.
    share.folder.rename(tmp_path / "away")
    with pytest.raises(ShareGoneError):
        share.check()
    Share.begin(tmp_path)
    with pytest.raises(ShareGoneError):
        share.check()
    about = share.folder / "queue.json"
    about.write_text('{"format": 2, "id": "x"}', encoding="utf-8")
    with pytest.raises(CosegError, match="newer"):
        Share.open(tmp_path)
    about.write_text("nothing", encoding="utf-8")
    with pytest.raises(CosegError, match="damaged"):
        Share.open(tmp_path)


def test_steps_follow_each_other(tmp_path: Path) -> None:
    chains = Chains(tmp_path)
    assert chains.last(KEY) == (Step(), True)
    first = Step(1, "t", "s", "Ada")
    assert chains.add(KEY, first)
    assert not chains.add(KEY, Step(1, "u", "v", "Ben"))
    assert chains.last(KEY) == (first, True)
    labels = {"objects": Snapshot("f", 3, "d", "m")}
    state = Published("done", "a note", 2.5, labels, "Ada")
    second = Step(2, "", "s", "Ada", state, ("old",), "t")
    assert chains.add(KEY, second)
    assert chains.last(KEY) == (second, True)
    assert chains.closing(KEY, "t") == second
    assert chains.closing(KEY, "u") is None
    assert chains.turns() == {KEY: [1, 2]}


def test_old_steps_go_and_no_hole_is_filled(tmp_path: Path) -> None:
    chains = Chains(tmp_path)
    for turn in range(1, 30):
        assert chains.add(KEY, Step(turn, "t", "s", "Ada"))
    turns = chains.turns()[KEY]
    assert turns[-1] == 29
    assert len(turns) < 12
    # A program that slept since the fifth step.
    assert not chains.add(KEY, Step(6, "late", "s", "Ben"))
    assert chains.turns()[KEY] == turns


def test_a_step_that_is_not_whole_is_somebodys(tmp_path: Path) -> None:
    chains = Chains(tmp_path)
    chains.add(KEY, Step(1, "", "s", "Ada", Published("done", by="Ada")))
    (tmp_path / f"{KEY}-000000002.json").write_bytes(b"")
    step, whole = chains.last(KEY)
    assert not whole
    assert step.token
    assert step.turn == 2
    assert step.state.status == "done"
    clock = Clock()
    watch = Watch(tmp_path, 60.0, clock)
    for _ in range(3):
        watch.look({KEY: step})
        assert not watch.expired(KEY, step)
        clock.now += 20
    watch.look({KEY: step})
    assert watch.expired(KEY, step)
    assert chains.add(KEY, Step(3, "mine", "s", "Ben", step.state))
    (tmp_path / f"{KEY}-000000004.json").write_text('{"format": 9}', encoding="utf-8")
    with pytest.raises(CosegError, match="newer"):
        chains.last(KEY)


def test_only_a_counter_that_stands_still_expires(tmp_path: Path) -> None:
    clock = Clock()
    watch, seat = Watch(tmp_path, 60.0, clock), Seat(tmp_path, "s")
    step = Step(1, "t", "s", "Ada")
    for _ in range(20):
        seat.beat()
        watch.look({KEY: step})
        clock.now += 20
        assert not watch.expired(KEY, step)
    for _ in range(3):
        watch.look({KEY: step})
        clock.now += 20
    watch.look({KEY: step})
    assert watch.expired(KEY, step)
    # It lives after all, which is seen before anybody takes the case.
    seat.beat()
    assert not watch.expired(KEY, step)
    watch.look({KEY: step})
    assert not watch.expired(KEY, step)
    assert not watch.expired(KEY, Step(2, "t", "s", "Ada"))


def test_who_slept_or_could_not_look_counts_nothing(tmp_path: Path) -> None:
    clock = Clock()
    watch, seat = Watch(tmp_path, 60.0, clock), Seat(tmp_path, "s")
    seat.beat()
    step = Step(1, "t", "s", "Ada")
    watch.look({KEY: step})
    # The lid was closed for a day: half a minute counts.
    clock.now += 86400
    watch.look({KEY: step})
    assert not watch.expired(KEY, step)
    for _ in range(10):
        watch.lost()
        clock.now += 25
        watch.look({KEY: step})
    assert not watch.expired(KEY, step)
    # A monotonic clock that goes back, which it must not.
    clock.now -= 10_000
    watch.look({KEY: step})
    assert not watch.expired(KEY, step)
    clock.now += 30
    watch.look({KEY: step})
    assert watch.expired(KEY, step)


def test_the_time_of_day_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> float:
        raise AssertionError("the time of day was asked")

    monkeypatch.setattr(time, "time", asked)
    chains, clock = Chains(tmp_path), Clock()
    watch, seat = Watch(tmp_path, 60.0, clock), Seat(tmp_path, "s")
    step = Step(1, "t", "s", "Ada")
    assert chains.add(KEY, step)
    seat.beat()
    # Files from the future, as of a machine whose clock is wrong, count as any others.
    for path in tmp_path.iterdir():
        os.utime(path, (4e9, 4e9))
    for _ in range(4):
        watch.look({KEY: chains.last(KEY)[0]})
        clock.now += 25
    assert watch.expired(KEY, step)


def test_keys_are_the_same_on_every_system() -> None:
    assert chain_key("z\u00e4hne.png") == chain_key("za\u0308hne.png")
    assert chain_key("a.png") != chain_key("b.png")

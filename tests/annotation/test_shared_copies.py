"""Copies of work on cases that others took over: listed, read, settled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_coseg.annotation.claims import Published
from napari_coseg.annotation.queue_store import DONE
from napari_coseg.annotation.share_files import ShareGoneError
from napari_coseg.annotation.shared_copies import LostCopy, list_copies, read_copy, settle
from napari_coseg.types import CosegError
from tests.annotation import test_shared_queue as parts
from tests.annotation.test_shared_queue import A, Person

root, ada, ben = parts.root, parts.ada, parts.ben


@pytest.fixture
def copy(ada: Person, ben: Person) -> LostCopy:
    """What Ada drew on a case that Ben took over."""
    ada.queue.take(A)
    ada.draw(A, 0, 0, 4, 4)
    ada.draw(A, 8, 8, 9, 9)
    ben.watch(70)
    ben.queue.take(A)
    ben.draw(A, 10, 10, 12, 12)
    assert ada.queue.leave(A, Published(DONE, "nearly")) is not None
    ben.queue.leave(A, Published(DONE))
    (found,) = list_copies(ada.queue.share)
    return found


def test_a_copy_is_listed_and_read(copy: LostCopy, ben: Person, root: Path) -> None:
    assert (copy.case_key, copy.name, copy.note) == (A, "Ada", "nearly")
    assert set(copy.labels) == {"objects"}
    files = parts.conflicts(root)
    stored = read_copy(ben.queue.share, copy)
    assert set(stored) == {"objects"}
    assert int((stored["objects"].labels > 0).sum()) == 17
    assert {one.area for one in stored["objects"].objects.values()} == {16, 1}
    # Read on one's own disk: SQLite left nothing beside it.
    assert parts.conflicts(root) == files


def test_a_settled_copy_is_kept_and_listed_no_more(
    copy: LostCopy, ada: Person, ben: Person, root: Path
) -> None:
    files = parts.conflicts(root)
    settle(ben.queue.share, copy)
    assert list_copies(ada.queue.share) == []
    assert parts.conflicts(root) == ["settled"]
    assert sorted(p.name for p in (root / "coseg-shared/conflicts/settled").iterdir()) == files
    with pytest.raises(CosegError, match="settled this copy"):
        read_copy(ada.queue.share, copy)
    # Both pressed it.
    settle(ada.queue.share, copy)


def test_files_that_are_no_copies(copy: LostCopy, ada: Person, root: Path) -> None:
    folder = root / "coseg-shared" / "conflicts"
    (folder / "half.json").write_text('{"case": "a', encoding="utf-8")
    (folder / "list.json").write_text("[1]", encoding="utf-8")
    away = {"case": A, "name": "Eve", "labels": {"objects": "../../a.png"}}
    (folder / "away.json").write_text(json.dumps(away), encoding="utf-8")
    (folder / "other.txt").write_text("hello", encoding="utf-8")
    assert list_copies(ada.queue.share) == [copy]
    (folder / copy.labels["objects"]).write_bytes(b"not SQLite at all" * 99)
    with pytest.raises(CosegError, match="damaged"):
        read_copy(ada.queue.share, copy)
    with pytest.raises(CosegError, match="no labels"):
        read_copy(ada.queue.share, replace(copy, labels={}))
    share = ada.queue.share
    share.folder.rename(root / "gone")
    for work in (lambda: list_copies(share), lambda: settle(share, copy)):
        with pytest.raises(ShareGoneError):
            work()

"""An index of millions of items in one SQLite file, which is built once.

Items are numbered by a hash of their group, so that a fold is a range of numbers, and any item is
found by its number in two steps, without a list in any process. Building is resumable: what was
read is committed now and then, and a killed build goes on from there. A finished index never
changes: it is opened so that no lock or journal is needed, also on a read-only disk.

Version 1 of the file: ``meta`` (key, value as JSON), ``entries`` (in the source's order),
``ranks`` (number to entry), ``faults``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.datasets.labelled import PARTS, ItemFault
from napari_coseg.types import CosegError

_log = logging.getLogger(__name__)

VERSION = 1
#: "NCix", in the header of the file.
_APPLICATION = 0x4E436978
#: Hashes are below this.
CIRCLE = 1 << 63
#: Parts in the order of their items.
_ORDER: tuple[str | None, ...] = (None, *PARTS)
#: Entries between two commits, and seconds between two words about how far it is.
_COMMIT, _TOLD = 20_000, 5.0
#: Faults that are named; of further ones the number is told.
_NAMED = 1000
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE entries (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, hash INTEGER NOT NULL,
                      owner TEXT NOT NULL, image TEXT NOT NULL, labels TEXT NOT NULL);
CREATE TABLE ranks (number INTEGER PRIMARY KEY, entry INTEGER NOT NULL, hash INTEGER NOT NULL);
CREATE TABLE faults (id INTEGER PRIMARY KEY, name TEXT NOT NULL, sentence TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """One item as the index holds it.

    Attributes
    ----------
    image : str
        Its file, below the set's folder.
    labels : str
        What the reader needs to find its labels.
    group : str
    part : str or None
    """

    image: str
    labels: str
    group: str
    part: str | None = None


@dataclass(frozen=True)
class IndexSource:
    """What an index is built from.

    Attributes
    ----------
    title : str
        Of the set, for people.
    state : str
        Another one where the set's files, or what decides its entries, have changed.
    read : callable
        Returns all entries and faults, in the same order each time.
    """

    title: str
    state: str
    read: Callable[[], Iterator[Entry | ItemFault]]


@dataclass(frozen=True)
class IndexFacts:
    """What an index says of itself.

    Attributes
    ----------
    ranges : dict of (str or None) to range
        Numbers of each part's items.
    faults : tuple of ItemFault
        The first ones, and one that says how many more there are.
    """

    ranges: dict[str | None, range]
    faults: tuple[ItemFault, ...]


def group_hash(group: str) -> int:
    """Return where a group lies on the circle, 0 to `CIRCLE`."""
    digest = hashlib.blake2b(group.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def index_path(root: Path, key: str, folder: Path | None) -> Path:
    """Return the index's file: beside the set, or in a folder that was named."""
    if folder is None:
        return root / f".napari-coseg-{key}.sqlite"
    place = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return folder / f"{key}-{place}.sqlite"


def ready_index(path: Path, source: IndexSource) -> IndexFacts:
    """Return what a set's index says; it is built where it is not there or the set has changed.

    Several processes may ask at once: one builds, the others wait.

    Raises
    ------
    CosegError
        If it cannot be written, is damaged, or is of a newer version.
    """
    facts = _facts(path, source)
    if facts is None:
        _build(path, source)
        facts = _facts(path, source)
        if facts is None:
            raise CosegError(f"{source.title} changed while its index was built: start again.")
    return facts


def open_finished(path: Path) -> sqlite3.Connection:
    """Open an index that is finished, for reading.

    Raises
    ------
    CosegError
        If it is not there, is damaged, or is of another version.
    """
    try:
        size = path.stat().st_size
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        database = sqlite3.connect(uri, uri=True, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise CosegError(f"The index {path} cannot be opened: {error}.") from error
    try:
        application, version, pages, page = (
            int(database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("application_id", "user_version", "page_count", "page_size")
        )
    except sqlite3.Error as error:
        database.close()
        raise damaged(path) from error
    if application == _APPLICATION and version > VERSION:
        database.close()
        raise CosegError(
            f"The index {path} was made by a newer version: use that one, or name another folder "
            "for the index."
        )
    if application != _APPLICATION or pages * page != size:
        database.close()
        raise damaged(path)
    return database


def damaged(path: Path) -> CosegError:
    """Return what is said of an index that cannot be read."""
    return CosegError(f"The index {path} is damaged: delete it, and it is built again.")


def _facts(path: Path, source: IndexSource) -> IndexFacts | None:
    """Return what an index says; None where there is none, or it is of an older state."""
    if not path.exists():
        return None
    with closing(open_finished(path)) as database:
        try:
            meta = {k: json.loads(v) for k, v in database.execute("SELECT key, value FROM meta")}
            if meta["state"] != source.state:
                _log.info("%s has changed since its index was built.", source.title)
                return None
            last = database.execute("SELECT max(number) FROM ranks").fetchone()[0]
            ranges = {part: range(*meta["ranges"][number]) for number, part in enumerate(_ORDER)}
            if sum(map(len, ranges.values())) != (0 if last is None else last + 1):
                raise damaged(path)
            named = database.execute("SELECT name, sentence FROM faults LIMIT ?", (_NAMED,))
            faults = [ItemFault(*row) for row in named]
            more = int(meta["faults"]) - len(faults)
        except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
            raise damaged(path) from error
    if more:
        faults.append(ItemFault(source.title, f"{more:,} further items are faulty."))
    return IndexFacts(ranges, tuple(faults))


def _build(path: Path, source: IndexSource) -> None:
    """Build an index beside its place, or go on with it, and put it there when it is whole."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(_locked(part, path, source)) as database:
            if not _is_there(path, source):
                _fill(database, source)
                _number(database)
                if os.name == "nt":
                    # Windows moves no open file.
                    database.close()
                os.replace(part, path)
    except (OSError, sqlite3.OperationalError) as error:
        raise CosegError(
            f"The index of {source.title} cannot be written to {path.parent} ({error}): name a "
            "folder that can be written to with the key index of a mapping file."
        ) from error
    except sqlite3.DatabaseError as error:
        raise damaged(part) from error


def _is_there(path: Path, source: IndexSource) -> bool:
    """Whether another process has built it while this one waited."""
    return path.exists() and _facts(path, source) is not None


def _locked(part: Path, path: Path, source: IndexSource) -> sqlite3.Connection:
    """Open an unfinished index as its only writer."""
    told = False
    while True:
        database = sqlite3.connect(part, timeout=1.0, isolation_level=None)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA temp_store = FILE")
            database.execute("BEGIN EXCLUSIVE")
            begun = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not begun:
                database.execute(f"PRAGMA application_id = {_APPLICATION}")
                database.execute(f"PRAGMA user_version = {VERSION}")
                for line in _TABLES.strip().split(";\n"):
                    database.execute(line.rstrip(";"))
            database.execute("COMMIT")
            # The one that was waited for has moved its file away: this is a file without a name.
            if not part.exists():
                database.close()
                if _is_there(path, source):
                    return sqlite3.connect(":memory:")
                continue
            return database
        except sqlite3.OperationalError as error:
            database.close()
            if "locked" not in str(error):
                raise
            if not told:
                _log.info("Another process builds the index of %s: waiting.", source.title)
                told = True
        except BaseException:
            database.close()
            raise


def _fill(database: sqlite3.Connection, source: IndexSource) -> None:
    """Read the source into `entries` and `faults`, from where an earlier build ended."""
    done = _read_before(database, source)
    if done:
        _log.info("Index of %s: goes on after %s entries.", source.title, f"{done:,}")
    started = time.monotonic()
    rest = itertools.islice(source.read(), done, None)
    while block := list(itertools.islice(rest, _COMMIT)):
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO entries (part, hash, owner, image, labels) VALUES (?, ?, ?, ?, ?)",
            (
                (_ORDER.index(one.part), group_hash(one.group), one.group, one.image, one.labels)
                for one in block
                if isinstance(one, Entry)
            ),
        )
        database.executemany(
            "INSERT INTO faults (name, sentence) VALUES (?, ?)",
            ((one.name, one.sentence) for one in block if isinstance(one, ItemFault)),
        )
        done += len(block)
        _remember(database, "read", done)
        database.execute("COMMIT")
        if time.monotonic() - started > _TOLD:
            started = time.monotonic()
            _log.info("Index of %s: %s images.", source.title, f"{done:,}")


def _read_before(database: sqlite3.Connection, source: IndexSource) -> int:
    """Return how many entries were read for the same state; those of another one are dropped."""
    found = dict(database.execute("SELECT key, value FROM meta"))
    if json.loads(found.get("state", "null")) == source.state:
        return int(json.loads(found.get("read", "0")))
    database.execute("BEGIN")
    for table in ("meta", "entries", "ranks", "faults"):
        database.execute(f"DELETE FROM {table}")
    _remember(database, "state", source.state)
    database.execute("COMMIT")
    return 0


def _number(database: sqlite3.Connection) -> None:
    """Give entries their numbers: by part, then by the hash of their group."""
    database.execute("BEGIN")
    database.execute("DELETE FROM ranks")
    ordered = database.execute("SELECT id, hash FROM entries ORDER BY part, hash, id")
    database.executemany(
        "INSERT INTO ranks (number, entry, hash) VALUES (?, ?, ?)",
        ((number, entry, place) for number, (entry, place) in enumerate(ordered)),
    )
    counts = dict(database.execute("SELECT part, count(*) FROM entries GROUP BY part"))
    ends = list(itertools.accumulate(counts.get(number, 0) for number in range(len(_ORDER))))
    _remember(database, "ranges", list(zip([0, *ends], ends, strict=False)))
    _remember(database, "faults", database.execute("SELECT count(*) FROM faults").fetchone()[0])
    database.execute("COMMIT")


def _remember(database: sqlite3.Connection, key: str, value: object) -> None:
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))


def state_of(files: list[Path], more: object = None) -> str:
    """Return a word that changes with the size or time of files, or with `more`."""
    facts: list[object] = [VERSION, more]
    for path in files:
        with suppress(OSError):
            status = path.stat()
            facts.append([path.name, status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()

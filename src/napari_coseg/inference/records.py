"""What was done to each image of a folder: small files, one an image. Torch-free.

``records/NAME.json`` says with which input, model and settings an image was worked on and how it
ended; it is written before and after the work. ``run.json`` and ``failures.csv`` are gathered from
the records, so that several processes (``--shard``) can write into one folder: whoever gathers
last sees all of them.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.volume_opening import input_files
from napari_coseg.types import CosegError

#: Folder of the records, inside the folder of results.
FOLDER = "records"
RUN_FILE = "run.json"
FAILURES_FILE = "failures.csv"

_CHUNK = 1 << 20
# A file beyond this size is known by parts of its content: reading 10 GB to skip them is no help.
_WHOLE = 256 << 20
_PARTS = 64


@dataclass(frozen=True)
class Fingerprint:
    """By what an input file is known again.

    Attributes
    ----------
    size : int
        Bytes.
    mtime_ns : int
        Time of its last change, in nanoseconds; of several files the latest.
    sha256 : str
        Hash of its content; of 64 parts of it, evenly spread, for a file beyond 256 MB. Of several
        files, of their hashes.
    """

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        """Look at a file, or at all files of a DICOM folder or of a header with its voxels.

        Raises
        ------
        CosegError
            If it cannot be read.
        """
        try:
            files = list(input_files(path))
            size, mtime_ns = _sizes(files)
            return cls(size, mtime_ns, _hash_all(files))
        except OSError as error:
            raise CosegError(f"{path} cannot be read: {error.strerror or error}.") from error

    def is_of(self, path: Path) -> bool:
        """Whether a file is the same: by size and time, or else by its content."""
        try:
            files = list(input_files(path))
            size, mtime_ns = _sizes(files)
            if size != self.size:
                return False
            return mtime_ns == self.mtime_ns or _hash_all(files) == self.sha256
        except OSError:
            return False


class Records:
    """The records of one folder of results.

    Parameters
    ----------
    out : Path
        The folder.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._folder = out / FOLDER

    def path(self, name: str) -> Path:
        """Return the file of an image's record."""
        return self._folder / f"{name}.json"

    def read(self, name: str) -> dict[str, Any] | None:
        """Return an image's record, None where there is none or it cannot be read."""
        return _load(self.path(name))

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Write an image's record, whole or not at all.

        Raises
        ------
        CosegError
            If it cannot be written.
        """
        path = self.path(name)
        make_folder(path.parent)
        _dump(path, record)

    def all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield names and records, sorted by name."""
        for path in sorted(self._folder.rglob("*.json")):
            record = None if path.name.startswith(".") else _load(path)
            if record is not None:
                yield path.relative_to(self._folder).as_posix().removesuffix(".json"), record

    def gather(self, head: Mapping[str, Any]) -> None:
        """Write ``run.json`` and ``failures.csv`` from `head` and all records.

        Parameters
        ----------
        head : mapping
            What holds for the whole run: program, model, classes, settings, device.

        Raises
        ------
        CosegError
            If they cannot be written.
        """
        while True:
            before = self._state()
            images = dict(self.all())
            failures = [
                (record.get("input", name), record.get("error", ""))
                for name, record in images.items()
                if record.get("status") == "failed"
            ]
            listed = [{"image": image, "error": error} for image, error in failures]
            _dump(self.out / RUN_FILE, {**head, "failures": listed, "images": images})
            self._write_failures(failures)
            # Another process may have finished an image meanwhile, and gathered before us. The
            # last one to get here sees no change and leaves everything in the files.
            if self._state() == before:
                return

    def _state(self) -> list[tuple[str, int, int]]:
        state = []
        for path in sorted(self._folder.rglob("*.json")):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            state.append((str(path), status.st_mtime_ns, status.st_ino))
        return state

    def _write_failures(self, failures: list[tuple[str, str]]) -> None:
        path = self.out / FAILURES_FILE
        if not failures:
            path.unlink(missing_ok=True)
            return
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("image", "error"))
            writer.writerows(failures)


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    CosegError
        If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise CosegError(f"The folder {path} cannot be made: {reason}.") from error


def plain(value: Any) -> Any:
    """Return a value as it comes back from JSON, for comparisons with records."""
    return json.loads(json.dumps(value))


def _load(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _dump(path: Path, value: Mapping[str, Any]) -> None:
    with atomic_path(path) as part:
        part.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def _sizes(files: list[Path]) -> tuple[int, int]:
    """Bytes of all files, and the time of the last change."""
    states = [path.stat() for path in files]
    times = [state.st_mtime_ns for state in states]
    return sum(state.st_size for state in states), max(times, default=0)


def _hash_all(files: list[Path]) -> str:
    hashes = [_hash(path, path.stat().st_size) for path in files]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _hash(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= _WHOLE:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        else:
            for part in range(_PARTS):
                file.seek(part * (size - _CHUNK) // (_PARTS - 1))
                digest.update(file.read(_CHUNK))
    return digest.hexdigest()

"""A folder of results of many images: what is done already, what fails, what is told."""

from __future__ import annotations

import errno
import traceback
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from napari_coseg.imaging.files import sweep_parts
from napari_coseg.imaging.result_files import result_paths
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.panoptic import check_mpp, model_facts
from napari_coseg.inference.records import Fingerprint, Records, make_folder, plain
from napari_coseg.inference.stream import Cancel, Cancelled, Model, Progress
from napari_coseg.types import ClassTable, CosegError

Outcome = Literal["done", "skipped", "failed"]


@dataclass
class JobResult:
    """How one image ended.

    Attributes
    ----------
    job : Job
        The image.
    outcome : {"done", "skipped", "failed"}
        Skipped means done before with the same input, model and settings.
    facts : dict
        What is told of the image.
    error : str
        What went wrong with a failed one.
    """

    job: Job
    outcome: Outcome
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class ResultFolder(ABC):
    """A folder of results, made by one model with one set of settings.

    Parameters
    ----------
    out : Path
        The folder; made if it is not there.
    model : Model
        Network, card, hash.
    settings : mapping
        All settings as plain values.
    identity : mapping
        Those of them that decide the labels: results of others are not mixed with ours.
    mpp : float or None
        µm per pixel of all images, instead of what their files say.

    Raises
    ------
    CosegError
        If the pixel size is not a positive number.
    """

    def __init__(
        self,
        out: Path,
        model: Model,
        settings: Mapping[str, Any],
        identity: Mapping[str, Any],
        mpp: float | None = None,
    ) -> None:
        if mpp is not None:
            check_mpp(mpp)
        self.out = out
        self._model = model
        self._settings_told = dict(settings)
        self._mpp = mpp
        self._records = Records(out)
        self._started = _now()
        self._common: dict[str, Any] = plain(
            {"model_sha256": model.sha256, "settings": dict(identity)}
        )

    @abstractmethod
    def _make(
        self, job: Job, base: Path, progress: Progress | None, cancel: Cancel | None
    ) -> dict[str, Any]:
        """Work on one image and write its files; return what is told of it."""

    @abstractmethod
    def _written(self, job: Job) -> tuple[Path, ...]:
        """Return the files that an image has when it is done."""

    @abstractmethod
    def _classes(self) -> dict[str, ClassTable]:
        """Return what ids in the files mean, by the name that ``run.json`` has for it."""

    def _possible(self, job: Job) -> tuple[Path, ...]:
        """Return every file that an image of that name may have, made with whatever model."""
        return result_paths(self.out / job.name)

    def _request(self, job: Job) -> dict[str, Any]:
        """Return everything that decides an image's labels, but the image."""
        return {**self._common, "mpp_given": self._mpp}

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse to mix results of other models, settings or images with ours.

        Raises
        ------
        CosegError
            If the folder holds such results; the message names one.
        """
        for name, other in self._records.all():
            if other.get("status") == "done" and not _agree(other, self._common):
                raise self._mixed(name, other)
        for job in jobs:
            record = self._records.read(job.name)
            if record is None:
                if any(path.exists() for path in self._possible(job)):
                    raise CosegError(
                        f"{self.out} holds results called {job.name} that have no record of "
                        "their making: choose another folder, or replace them with --overwrite."
                    )
            elif record.get("status") == "done":
                if not _agree(record, self._request(job)):
                    raise self._mixed(job.name, record, job)
                if job.path.exists() and not _same_input(record, job.path):
                    raise CosegError(
                        f"{self.out} holds results called {job.name} of another image "
                        f"({record.get('input')}) than {job.path}: choose another folder, or "
                        "replace them with --overwrite."
                    )

    def run(
        self,
        jobs: Sequence[Job],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Generator[JobResult, None, None]:
        """Work on image after image; a failure does not end the run.

        ``run.json`` and ``failures.csv`` are written at the beginning and at the end, also when
        the run is broken off.

        Parameters
        ----------
        jobs : sequence of Job
            The images.
        progress, cancel : callable, optional
            For each image: told of parts done and all parts; asked between parts.

        Yields
        ------
        JobResult
            One for each job, as soon as it has ended.

        Raises
        ------
        CosegError
            If the folder cannot be written to or its disk is full.
        napari_coseg.inference.stream.Cancelled
            If `cancel` said so.
        """
        make_folder(self.out)
        self._gather()
        try:
            for job in jobs:
                yield self.work(job, progress, cancel)
        finally:
            self._gather()

    def skipped(self, job: Job) -> JobResult | None:
        """Return how an image ended before with the same input, model and settings, if it did."""
        record = self._records.read(job.name)
        if record is None or not self._is_done(job, record):
            return None
        return JobResult(job, "skipped", record.get("result", {}))

    def work(
        self, job: Job, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> JobResult:
        """Work on one image and write its record, ``run.json`` and ``failures.csv`` not.

        Parameters and what is raised are those of `run`; the folder must exist.
        """
        before = self.skipped(job)
        if before is not None:
            return before
        # Whoever began it was killed, here or on another machine, perhaps while it wrote.
        interrupted = (self._records.read(job.name) or {}).get("status") == "started"
        begun: dict[str, Any] = {"input": str(job.path), **self._request(job), "started": _now()}
        try:
            fingerprint = Fingerprint.of(job.path)
            begun |= {
                "size": fingerprint.size,
                "mtime_ns": fingerprint.mtime_ns,
                "sha256": fingerprint.sha256,
            }
            self._records.write(job.name, {"status": "started", **begun})
            base = self.out / job.name
            make_folder(base.parent)
            if interrupted:
                for path in (*self._possible(job), self._records.path(job.name)):
                    sweep_parts(path)
            facts = self._make(job, base, progress, cancel)
        except Cancelled:
            raise
        except Exception as error:
            failure = {"status": "failed", **begun, "finished": _now(), "error": _sentence(error)}
            if not isinstance(error, CosegError):
                failure["traceback"] = traceback.format_exc()
            if _is_disk_full(error):
                # The next images would be computed in vain.
                raise
            self._records.write(job.name, failure)
            return JobResult(job, "failed", error=failure["error"])
        self._records.write(
            job.name, {"status": "done", **begun, "finished": _now(), "result": facts}
        )
        return JobResult(job, "done", facts)

    def _is_done(self, job: Job, record: dict[str, Any]) -> bool:
        return (
            record.get("status") == "done"
            and _agree(record, self._request(job))
            and _same_input(record, job.path)
            and all(path.is_file() for path in self._written(job))
        )

    def _gather(self) -> None:
        self._records.gather(
            {
                **model_facts(self._model),
                "licence": self._model.card.licence,
                **{name: _listed(table) for name, table in self._classes().items()},
                "settings": self._settings_told,
                "mpp_given": self._mpp,
                "started": self._started,
                "finished": _now(),
            }
        )

    def _mixed(self, name: str, record: dict[str, Any], job: Job | None = None) -> CosegError:
        wanted = self._common if job is None else self._request(job)
        if record.get("model_sha256") != wanted["model_sha256"]:
            what = "another model"
        else:
            ours, theirs = (_flat(one, wanted) for one in (wanted, record))
            other = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
            what = f"other settings ({', '.join(other)})"
        return CosegError(
            f"{self.out} holds results made with {what}, for example {name}: choose another "
            "folder, or replace them with --overwrite."
        )


def _flat(record: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a record beside whatever else was wanted, under short names."""
    beside = {k.removesuffix("_given"): record.get(k) for k in wanted if k != "settings"}
    return {**record.get("settings", {}), **beside}


def _sentence(error: Exception) -> str:
    if isinstance(error, CosegError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is too little memory for this image."
    return f"Unexpected {type(error).__name__}: {error}; its record holds the traceback."


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        error = error.__cause__
    return False


def _agree(record: dict[str, Any], request: dict[str, Any]) -> bool:
    return all(record.get(key) == value for key, value in request.items())


def _same_input(record: dict[str, Any], path: Path) -> bool:
    try:
        known = Fingerprint(record["size"], record["mtime_ns"], record["sha256"])
    except KeyError:
        return False
    return known.is_of(path)


def _listed(table: ClassTable) -> list[dict[str, Any]]:
    return [{"name": info.name, "colour": list(info.colour)} for info in table]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Prediction of many images by the workers of a Dask scheduler.

Images and results go by path: all machines see one file system. A worker that is killed leaves a
record that says "started", and its image goes to another one.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari_coseg
from napari_coseg.inference.batch import PredictionFolder
from napari_coseg.inference.dask_work import DaskRequest, work_on
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.records import make_folder
from napari_coseg.inference.result_folder import JobResult
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancel, Model, Progress
from napari_coseg.types import CosegError

_log = logging.getLogger(__name__)

#: Seconds after which a scheduler that does not answer is given up.
PATIENCE = 10.0
#: How often an image is handed in. The scheduler itself gives it to four workers, if each dies.
_TIMES = 2


def connect(address: str, patience: float = PATIENCE) -> Any:
    """Return a client of a scheduler.

    Raises
    ------
    CosegError
        If Dask's scheduler is not installed, or none answers at the address.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise CosegError(
            'Dask is not installed: pip install "napari-coseg[dask]", here and for the workers.'
        ) from error
    # Its own words about a connection that fails go beside ours otherwise.
    for name in ("distributed.client", "distributed.comm", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=patience, set_as_default=False)
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise CosegError(
            f"No Dask scheduler answers at {address}: start one (dask scheduler), and give the "
            "address that it prints, tcp://host:port."
        ) from error


class DaskPredictionFolder(PredictionFolder):
    """A folder of predictions that Dask workers make.

    Parameters
    ----------
    out, model, settings, mpp
        As of `PredictionFolder`; the model is looked at here, and runs in the workers.
    client : distributed.Client
    name : str
        The model's name or file, as workers find it.
    device : str
    threads : int or None
        Of the CPU in each worker.
    """

    def __init__(
        self,
        out: Path,
        model: Model,
        settings: PredictSettings,
        mpp: float | None = None,
        *,
        client: Any,
        name: str,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(out, model, settings, mpp)
        self._client = client
        if Path(name).is_file():
            name = os.path.abspath(name)
        self._request_all = DaskRequest(
            napari_coseg.__version__,
            name,
            model.sha256,
            Path(os.path.abspath(out)),
            settings,
            mpp,
            device,
            threads,
        )

    def run(
        self,
        jobs: Sequence[Job],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Generator[JobResult, None, None]:
        """Have all images worked on; see `ResultFolder.run`. Results come as they end.

        Progress within an image is not told. When the run is broken off, images that no worker has
        begun are not begun.

        Raises
        ------
        CosegError
            If a worker has another version or model, or the scheduler goes away.
        """
        make_folder(self.out)
        self._gather()
        try:
            todo = []
            for job in jobs:
                before = self.skipped(job)
                if before is None:
                    todo.append(job)
                else:
                    yield before
            yield from self._handed_out(todo)
        finally:
            self._gather()

    def _handed_out(self, jobs: Sequence[Job]) -> Generator[JobResult, None, None]:
        from distributed import KilledWorker, as_completed

        futures = {self._submit(job): (job, 1) for job in jobs}
        if jobs and not self._client.scheduler_info().get("workers"):
            _log.warning("The scheduler has no worker yet: waiting for one.")
        ended: Any = as_completed(list(futures), loop=self._client.loop)
        try:
            for future in ended:
                job, times = futures.pop(future)
                if future.status == "finished":
                    yield _told(job, future.result())
                    continue
                if future.status != "error":
                    raise self._gone()
                error = future.exception()
                if not isinstance(error, KilledWorker):
                    raise error
                if times < _TIMES:
                    again = self._submit(job)
                    futures[again] = (job, times + 1)
                    ended.add(again)
                else:
                    yield self._died(job)
        finally:
            self._let_go(futures)

    def _submit(self, job: Job) -> Any:
        # Workers have folders of their own that they are in.
        absolute = replace(job, path=Path(os.path.abspath(job.path)))
        key = f"napari-coseg-{uuid.uuid4().hex}"
        return self._client.submit(work_on, self._request_all, absolute, key=key, pure=False)

    def _let_go(self, futures: Iterable[Any]) -> None:
        with suppress(Exception):
            # A scheduler that is gone has nothing to be taken back.
            self._client.cancel(list(futures), force=True)

    def _gone(self) -> CosegError:
        return CosegError(
            "The Dask scheduler went away: start it again, and run the same command again. What "
            "is done is skipped then."
        )

    def _died(self, job: Job) -> JobResult:
        """Note an image that no worker outlives."""
        sentence = (
            "Several Dask workers died while they worked on this image: it may need more memory "
            "than they have."
        )
        record = self._records.read(job.name) or {"input": str(job.path), **self._request(job)}
        self._records.write(job.name, {**record, "status": "failed", "error": sentence})
        return JobResult(job, "failed", error=sentence)


def _told(job: Job, result: JobResult) -> JobResult:
    """Return how an image ended, as it is told here."""
    # A worker that was killed after its last file had done all: it was not there when we began.
    outcome = "done" if result.outcome == "skipped" else result.outcome
    return JobResult(job, outcome, result.facts, result.error)

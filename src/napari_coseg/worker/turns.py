"""Whose request comes next: clients take turns. Torch-free."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from napari_coseg.worker.job import Job


class Turns:
    """Jobs that wait, by client; the client that was served last comes last.

    Safe from any thread.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, deque[Job]] = OrderedDict()
        self._current: Job | None = None
        self._closed = False
        self._change = threading.Condition()

    def add(self, job: Job) -> None:
        """Let a job wait for its turn."""
        with self._change:
            self._waiting.setdefault(job.client, deque()).append(job)
            self._change.notify()

    def take(self, timeout: float) -> Job | None:
        """Wait for a job and make it the current one.

        Returns
        -------
        Job or None
            None after `timeout` seconds without one, and after `close`.
        """
        with self._change:
            self._current = None
            if not self._waiting and not self._closed:
                self._change.wait(timeout)
            if self._closed or not self._waiting:
                return None
            client, jobs = self._waiting.popitem(last=False)
            job: Job = jobs.popleft()
            if jobs:
                self._waiting[client] = jobs
            self._current = job
            return job

    @property
    def closed(self) -> bool:
        """Whether nothing more will be taken."""
        return self._closed

    def find(self, client: bytes, request: str) -> Job | None:
        """Return a client's job, waiting or current; None where there is none."""
        with self._change:
            current = self._current
            known: list[Job] = [*self._waiting.get(client, ())]
            if current is not None:
                known.append(current)
        for job in known:
            if job.client == client and job.request == request:
                return job
        return None

    def held(self, client: bytes) -> list[str]:
        """Return the requests of a client that wait or are at work."""
        with self._change:
            jobs = list(self._waiting.get(client, ()))
            if self._current is not None and self._current.client == client:
                jobs.append(self._current)
        return [job.request for job in jobs]

    def waiting(self, client: bytes) -> int:
        """Return how many jobs of a client wait."""
        with self._change:
            return len(self._waiting.get(client, ()))

    def stop(self, client: bytes, request: str) -> bool:
        """End a client's job.

        Returns
        -------
        bool
            Whether it is the one at work, which ends when it looks; one that waits is gone now.
        """
        job = self.find(client, request)
        if job is None:
            return False
        job.stop()
        with self._change:
            jobs = self._waiting.get(client)
            if jobs is not None and job in jobs:
                jobs.remove(job)
                if not jobs:
                    del self._waiting[client]
            return job is self._current

    def drop(self, client: bytes) -> None:
        """End all jobs of a client that has gone."""
        with self._change:
            gone = list(self._waiting.pop(client, ()))
            if self._current is not None and self._current.client == client:
                gone.append(self._current)
        for job in gone:
            job.stop()

    def close(self) -> None:
        """End everything."""
        with self._change:
            self._closed = True
            every = [job for jobs in self._waiting.values() for job in jobs]
            if self._current is not None:
                every.append(self._current)
            self._waiting.clear()
            self._change.notify_all()
        for job in every:
            job.stop()

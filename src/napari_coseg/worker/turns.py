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
        # One that is answered in the middle of the current one.
        self._inner: Job | None = None
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
            self._current = self._inner = None
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

    def take_urgent(self) -> Job | None:
        """Take a waiting job of a person who waits for a mask, whoever's turn it is; or None.

        The current job stays the current one.
        """
        with self._change:
            for client, jobs in self._waiting.items():
                job: Job | None = next((job for job in jobs if job.kind == "prompt"), None)
                if job is not None:
                    jobs.remove(job)
                    if not jobs:
                        del self._waiting[client]
                    self._inner = job
                    return job
            self._inner = None
            return None

    @property
    def closed(self) -> bool:
        """Whether nothing more will be taken."""
        return self._closed

    def find(self, client: bytes, request: str) -> Job | None:
        """Return a client's job, waiting or current; None where there is none."""
        with self._change:
            known: list[Job] = [*self._waiting.get(client, ()), *self._at_work()]
        for job in known:
            if job.client == client and job.request == request:
                return job
        return None

    def held(self, client: bytes) -> list[str]:
        """Return the requests of a client that wait or are at work."""
        with self._change:
            jobs = list(self._waiting.get(client, ()))
            jobs += [job for job in self._at_work() if job.client == client]
        return [job.request for job in jobs]

    def preparing(self, client: bytes) -> list[str]:
        """Return the requests of a client that are at work while a model is being loaded.

        A job in whose midst another one is done cannot stop either while that one's is loaded.
        """
        with self._change:
            work = list(self._at_work())
        if all(job.ready for job in work):
            return []
        return [job.request for job in work if job.client == client]

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
            return job in self._at_work()

    def drop(self, client: bytes) -> None:
        """End all jobs of a client that has gone."""
        with self._change:
            gone = list(self._waiting.pop(client, ()))
            gone += [job for job in self._at_work() if job.client == client]
        for job in gone:
            job.stop()

    def close(self) -> None:
        """End everything."""
        with self._change:
            self._closed = True
            every = [job for jobs in self._waiting.values() for job in jobs]
            every += self._at_work()
            self._waiting.clear()
            self._change.notify_all()
        for job in every:
            job.stop()

    def _at_work(self) -> list[Job]:
        return [job for job in (self._current, self._inner) if job is not None]

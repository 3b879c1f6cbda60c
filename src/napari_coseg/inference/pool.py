"""Threads that compute tiles.

On a CPU whole tiles run side by side, each on one thread. That is faster than all threads on one
tile, since a network has many small steps after each of which they would wait for each other; a
core that another program takes then slows one tile down and not all of them; and results do not
depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import torch

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: More tiles side by side than this take memory for little speed.
_MOST_WORKERS = 16


class TilePool:
    """A pool of threads; a context manager. Before and after, work is done by the caller.

    Parameters
    ----------
    device : torch.device
        Where networks run. Elsewhere than on a CPU the threads only read tiles.

    Attributes
    ----------
    ahead : int
        Pieces of work that it is worth handing in ahead of time.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._threads: ThreadPoolExecutor | None = None
        self._before = 0
        self.ahead = 1

    def __enter__(self) -> Self:
        self._before = torch.get_num_threads()
        if self._device.type == "cpu":
            workers = min(self._before, _MOST_WORKERS)
            # PyTorch counts threads for each thread, but its matrix library for all together.
            torch.set_num_threads(1)
            self._threads = ThreadPoolExecutor(
                workers, "tiles", initializer=torch.set_num_threads, initargs=(1,)
            )
        else:
            workers = 2
            self._threads = ThreadPoolExecutor(workers, "tiles")
        self.ahead = 2 * workers
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
        self.ahead = 1
        if self._device.type == "cpu":
            torch.set_num_threads(self._before)

    def submit(
        self, work: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> Future[_T]:
        """Hand in work; outside of the context it is done before this returns."""
        if self._threads is not None:
            return self._threads.submit(work, *arguments, **named)
        done: Future[_T] = Future()
        done.set_result(work(*arguments, **named))
        return done

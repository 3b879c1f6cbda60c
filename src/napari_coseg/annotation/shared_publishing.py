"""Many cases of a shared queue published at once: what was left over, what is from before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from napari_coseg.annotation.claims import Published
from napari_coseg.annotation.share_files import ShareGoneError
from napari_coseg.annotation.shared_queue import SharedQueue, TakenError
from napari_coseg.types import CosegError


def resume(
    queue: SharedQueue, facts: Mapping[str, Published | None], opened: str | None = None
) -> tuple[list[Path], list[str]]:
    """Publish and give back what is not open any more: at the start, and after a failure.

    One that cannot be read does not keep the others.

    Parameters
    ----------
    queue : SharedQueue
    facts : mapping of str to Published or None
        Of all cases by their keys, as they stand on this disk; as of `SharedQueue.leave`.
    opened : str, optional
        Key of the case that is open.

    Returns
    -------
    list of Path
        Copies of work on cases that others took over meanwhile.
    list of str
        Why others could not be published, a sentence each; they go on to be this program's.

    Raises
    ------
    ShareGoneError
        If the share cannot be reached.
    """
    copies, troubles = [], []
    for case_key, told in facts.items():
        if case_key != opened and queue.has(case_key):
            try:
                copy = queue.leave(case_key, told)
            except ShareGoneError:
                raise
            except CosegError as error:
                troubles.append(str(error))
            else:
                copies += [] if copy is None else [copy]
    return copies, troubles


def publish_all(
    queue: SharedQueue,
    facts: Mapping[str, Published | None],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Publish work from before the queue was shared, where nobody took the case yet.

    What a model suggested, and nobody has touched, is no work.

    Returns
    -------
    int
        How many cases were published.

    Raises
    ------
    ShareGoneError, CosegError
        As `SharedQueue.leave`.
    """
    count = 0
    for number, (case_key, told) in enumerate(facts.items()):
        if progress is not None:
            progress(number, len(facts))
        worked = told not in (None, Published()) or queue.has_work(case_key)
        if worked and queue.is_new(case_key):
            with contextlib.suppress(TakenError):
                queue.take(case_key)
                queue.leave(case_key, told)
                count += 1
    return count

"""Long work without torch in a thread, with what a person hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from napari.qt.threading import FunctionWorker, create_worker
from napari.utils.notifications import show_error, show_warning

from napari_coseg.types import CosegError

T = TypeVar("T")


def in_background(
    work: Callable[[], T],
    doing: str,
    *,
    done: Callable[[T], None],
    failed: Callable[[], None],
    ended: Callable[[], None],
) -> FunctionWorker[Any]:
    """Run `work` in a thread, shown in napari's activity dock.

    Parameters
    ----------
    work : callable
        Touches no layer and no widget.
    doing : str
        What the activity dock says, for example ``"Comparing a with b"``.
    done : callable
        Called on the GUI thread with what `work` returned.
    failed : callable
        Called on the GUI thread after a notification said what went wrong.
    ended : callable
        Called on the GUI thread at the end, however it came.

    Returns
    -------
    FunctionWorker
        It runs already; keep it until `ended`.
    """

    def returned(result: T | _Failed) -> None:
        if not isinstance(result, _Failed):
            done(result)
            return
        if isinstance(result.error, CosegError):
            show_warning(str(result.error))
        else:
            show_error(f"{doing} failed: {type(result.error).__name__}: {result.error}")
        failed()

    return create_worker(
        _caught,
        work,
        _progress={"desc": doing},
        _connect={"returned": returned, "finished": ended},
    )


@dataclass(frozen=True)
class _Failed:
    """What went wrong in a thread: raised there, or returned bare, napari takes it for a crash."""

    error: Exception


def _caught(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        return _Failed(error)

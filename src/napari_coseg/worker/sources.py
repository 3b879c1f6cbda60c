"""The client's image, and the client's label images, as prediction sees them in the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.source import ArraySource, ImageSource
from napari_coseg.inference.canvas import Canvas, Index, Window
from napari_coseg.worker.job import Job
from napari_coseg.worker.propagating import PropagateRequest
from napari_coseg.worker.protocol import smallest


class PulledSource(ImageSource):
    """An image whose windows the client sends when they are asked for.

    Parameters
    ----------
    job : Job
        The request.
    shape : tuple of int
        Rows and columns.
    name : str
        For messages.
    mpp : float or None
        µm per pixel.
    coarser : sequence of tuple of int
        Rows and columns of coarser levels.
    level : int
        Which one this is.
    """

    def __init__(
        self,
        job: Job,
        shape: tuple[int, int],
        name: str,
        mpp: float | None,
        coarser: Sequence[tuple[int, int]] = (),
        level: int = 0,
    ) -> None:
        self._job = job
        self._level = level
        self._coarser = tuple(
            PulledSource(job, shape, name, None, level=number)
            for number, shape in enumerate(coarser, 1)
        )
        self._shape = shape
        self.name = name
        self.mpp = mpp

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape

    @property
    def levels(self) -> tuple[ImageSource, ...]:
        """The image at each scale that the client has."""
        return (self, *self._coarser)

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        pixels = self._job.pull(row0, column0, row1, column1, self._level)
        # Sources give arrays that may be written to.
        return pixels if pixels.flags.writeable else pixels.copy()


class PulledPictures:
    """The planes of a volume, each of which the client sends when it is asked for.

    Parameters
    ----------
    job : Job
        The request.
    wanted : PropagateRequest
        What is said of the volume.
    """

    def __init__(self, job: Job, wanted: PropagateRequest) -> None:
        self._job = job
        self.count = wanted.planes
        self.shape = wanted.shape
        self.spacing = wanted.spacing
        self.axis = wanted.axis

    def picture(self, plane: int) -> ArraySource:
        """Return a plane."""
        return ArraySource(self._job.pull(0, 0, *self.shape, plane), name=f"plane {plane}")

    def taken(self, plane: int) -> npt.NDArray[np.bool_]:
        """Return the pixels of a plane that no object may have, where there are such."""
        return self._job.pull(0, 0, *self.shape, self.count + plane)[..., 0] > 0


class SentCanvas:
    """A label image of which the client is sent every window that is written.

    Parameters
    ----------
    job : Job
        The request.
    task : {"regions", "instances"}
        Whose labels they are.
    canvas : Canvas
        Where they stand in the host, to be read again.
    """

    def __init__(self, job: Job, task: str, canvas: Canvas) -> None:
        self._job = job
        self._task = task
        self._canvas = canvas

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self._canvas.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return self._canvas.dtype

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Labels of a window."""
        return self._canvas[index]

    def __setitem__(self, window: Window, labels: npt.NDArray[Any]) -> None:
        """Replace the labels of a window, and send them."""
        self._canvas[window] = labels
        rows, columns = window
        body = {"task": self._task, "place": [int(rows.start), int(columns.start)]}
        self._job.send("block", body, {"labels": smallest(labels)}, pack=True)

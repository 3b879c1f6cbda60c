"""A request on the client's side, and what comes back for it. Torch-free."""

from __future__ import annotations

import contextlib
import logging
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.key_planes import PlaneMask
from napari_coseg.types import OBJECT_COLUMNS, ClassTable, CosegError, Mask, PanopticResult
from napari_coseg.worker.prompting import prompt_message, read_answers
from napari_coseg.worker.propagating import propagate_message, read_plane
from napari_coseg.worker.protocol import MAX_ARRAY, Message, ProtocolError
from napari_coseg.worker.requests import check_body
from napari_coseg.worker.volume_answer import VolumeAssembly
from napari_coseg.worker.volume_request import StoredVoxels, VolumeRequest

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Handlers:
    """What is called while a request is at work, in a thread of the client.

    Attributes
    ----------
    progress : callable
        With the tiles, of a volume the planes, done and all of them.
    block : callable
        With the task ("regions", "instances"), the first row and column, and the labels of a
        window that has just been finished. Object ids are provisional: the result has others. Of
        a volume: the first plane, and final labels of some planes.
    plane : callable
        With a `PlaneMask`, as soon as an object has come to a plane; of ``propagate``.
    notice : callable
        With a sentence that a person should read.
    restarted : callable
        When the work begins again, on another device or a new host: blocks and planes come anew.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    block: Callable[[str, tuple[int, ...], npt.NDArray[Any]], None] = lambda task, place, labels: (
        None
    )
    plane: Callable[[PlaneMask], None] = lambda found: None
    notice: Callable[[str], None] = lambda sentence: None
    restarted: Callable[[], None] = lambda: None


@dataclass
class Pending:
    """A request that has not ended.

    Attributes
    ----------
    kind : str
        What is asked.
    body : dict
        With what.
    source : ImageSource, StoredVoxels or None
        Where pixels come from that the host pulls.
    handlers : Handlers
        Who hears of it.
    masks : sequence of Mask or None
        What the objects of ``prompt`` are taken for so far, or those of ``propagate`` on their key
        planes.
    future : Future
        Its end: a `PanopticResult` for ``segment``, a `VolumeResult` for ``volume``, a list of
        `PromptAnswer` for ``prompt``, of `PlaneMask` for ``propagate``, else the body of the
        result.
    id : str
        New for each try, so that a late word of a dead host is not taken for one of the next.
    tries : int
        Hosts that were lost over it.
    unknown : int
        How often, one after the other, the host has said that it does not hold it.
    cancelled, deadline : float
        When it was cancelled, and until when the host has time to end it, on `time.monotonic`.
    """

    kind: str
    body: Mapping[str, Any]
    source: ImageSource | StoredVoxels | None = None
    handlers: Handlers = field(default_factory=Handlers)
    masks: Sequence[Mask | None] = ()
    future: Future[Any] = field(default_factory=Future)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    tries: int = 0
    sent: bool = False
    unknown: int = 0
    cancelled: float = math.inf
    deadline: float | None = None
    assembly: Assembly | VolumeAssembly | None = None
    planes: list[PlaneMask] = field(default_factory=list)

    def message(self) -> Message:
        """Return the request as it goes to a host."""
        self.sent = True
        self.assembly = self._new_assembly()
        if self.kind == "prompt":
            return prompt_message(self.id, dict(self.body), self.masks)
        if self.kind == "propagate":
            self.planes = []
            return propagate_message(self.id, dict(self.body), self.masks)
        return Message(self.kind, self.id, dict(self.body))

    def _new_assembly(self) -> Assembly | VolumeAssembly | None:
        if self.kind == "segment":
            assert isinstance(self.source, ImageSource)
            return Assembly(self.source.shape)
        if self.kind == "volume":
            return VolumeAssembly(check_body(VolumeRequest, self.body).grid)
        return None

    def again(self) -> None:
        """Get ready for another host."""
        self.id, self.sent, self.tries = uuid.uuid4().hex, False, self.tries + 1
        self.unknown = 0
        _call(self.handlers.restarted)

    def fail(self, error: Exception) -> None:
        """End without a result, unless it has ended already."""
        # Between a look and the deed a person may cancel.
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)

    def tell(self, message: Message) -> None:
        """Hand a word of the host's to whoever wants it."""
        body = message.body
        heard: Callable[[], None] = lambda: None  # noqa: E731
        try:
            if message.kind == "progress":
                heard = partial(self.handlers.progress, int(body["done"]), int(body["total"]))
            elif message.kind == "notice":
                if body.get("restart"):
                    # What has come so far is of a try that was given up.
                    self.planes, self.assembly = [], self._new_assembly()
                    _call(self.handlers.restarted)
                heard = partial(self.handlers.notice, str(body["message"]))
            elif message.kind == "plane" and self.kind == "propagate":
                found = read_plane(message)
                self.planes.append(found)
                heard = partial(self.handlers.plane, found)
            elif message.kind == "block" and self.assembly is not None:
                heard = partial(self.handlers.block, *self.assembly.put(message))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"The model worker sent a faulty {message.kind}.") from error
        _call(heard)

    def _walked(self, message: Message) -> list[PlaneMask]:
        if message.body["planes"] != len(self.planes):
            raise ProtocolError("The model worker has lost some planes on the way.")
        return list(self.planes)

    def pixels(self, message: Message) -> Message:
        """Answer a pull; a source that cannot be read is told to the host, which gives up."""
        number = message.body.get("window")
        try:
            pixels = self._read(message.body)
        except Exception as error:
            what = str(error) if isinstance(error, CosegError) else f"{type(error).__name__}"
            if not isinstance(error, CosegError):
                _log.exception("Pixels could not be read.")
                what = f"The image can no longer be read ({what}: {error})."
            return Message("pixels", message.request, {"window": number, "error": what})
        # The id of the try that asked: by now there may be another one.
        return Message("pixels", message.request, {"window": number}, {"pixels": pixels})

    def _read(self, wanted: Mapping[str, Any]) -> npt.NDArray[Any]:
        if isinstance(self.source, StoredVoxels):
            return self.source.read(*(int(wanted[name]) for name in ("axis", "plane", "step")))
        assert self.source is not None
        row0, column0, row1, column1 = (int(v) for v in wanted["box"])
        level = int(wanted.get("level", 0))
        if (row1 - row0) * (column1 - column0) * 3 > MAX_ARRAY:
            raise CosegError("The model worker asked for too many pixels at once.")
        source = self.source if level == 0 else self.source.levels[level]
        return source.read(row0, column0, row1, column1)

    def end(self, message: Message) -> None:
        """End with a result."""
        if self.future.done():
            return
        try:
            value: Any = dict(message.body)
            if self.assembly is not None:
                value = self.assembly.result(message)
                if isinstance(self.source, ImageSource):
                    # Of the pixels as they were, which the host has not seen.
                    value.metadata["notes"] = [*value.metadata["notes"], *self.source.notes]
            elif self.kind == "prompt":
                value = read_answers(message)
            elif self.kind == "propagate":
                value = self._walked(message)
        except MemoryError:
            self.fail(CosegError("There is too little memory for the result: take a part of it."))
        except Exception as error:
            self.fail(
                error
                if isinstance(error, CosegError)
                else ProtocolError(f"The model worker sent a faulty result: {error}.")
            )
        else:
            with contextlib.suppress(InvalidStateError):
                self.future.set_result(value)


def _call(heard: Callable[[], None]) -> None:
    try:
        heard()
    except Exception:
        # A dock that fails, or has gone, must not take the connection with it.
        _log.exception("Somebody who hears of a request failed.")


class Assembly:
    """Puts the blocks of a segmentation together.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._labels: dict[str, npt.NDArray[Any]] = {}

    def put(self, message: Message) -> tuple[str, tuple[int, int], npt.NDArray[Any]]:
        """Take a block; return its task, place and labels."""
        task = message.body["task"]
        row, column = (int(v) for v in message.body["place"])
        labels = message.arrays["labels"]
        if task not in ("regions", "instances") or labels.ndim != 2:
            raise ValueError(task)
        canvas = self._canvas(task)
        window = canvas[row : row + labels.shape[0], column : column + labels.shape[1]]
        if row < 0 or column < 0 or window.shape != labels.shape:
            raise ValueError("a block outside of the image")
        window[...] = labels
        return task, (row, column), labels

    def _canvas(self, task: str) -> npt.NDArray[Any]:
        if task not in self._labels:
            dtype = np.uint8 if task == "regions" else np.int32
            self._labels[task] = np.zeros(self._shape, dtype)
        return self._labels[task]

    def result(self, message: Message) -> PanopticResult:
        """Make the whole result; the ids of the blocks are exchanged for the final ones."""
        body, arrays = message.body, message.arrays
        regions = self._canvas("regions") if body["has_regions"] else None
        instances: npt.NDArray[np.int32] | None = None
        if body["has_instances"]:
            numbers = np.asarray(arrays["numbers"], np.int32)
            instances = numbers[self._canvas("instances")]
        region_classes, instance_classes = (
            _table(body[name]) for name in ("region_classes", "instance_classes")
        )
        return PanopticResult(
            regions=regions,
            instances=instances,
            objects=_objects(arrays, region_classes, instance_classes),
            region_classes=region_classes,
            instance_classes=instance_classes,
            mpp=body["mpp"],
            metadata=dict(body["metadata"]),
        )


def _table(entries: list[tuple[str, list[int]]]) -> ClassTable:
    return ClassTable.from_names([name for name, _ in entries], dict(entries))


def _objects(
    arrays: Mapping[str, npt.NDArray[Any]], regions: ClassTable, instances: ClassTable
) -> pd.DataFrame:
    """Rebuild the table; names follow from ids and need not travel."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in (*OBJECT_COLUMNS, "class_score"):
        if name.endswith("_name"):
            ids = arrays[name.removesuffix("_name")]
            table = regions if name == "region_name" else instances
            names = np.array([table.name_of(i) for i in range(len(table) + 1)], object)
            if name == "class_name" or len(table) == 0:
                names[0] = ""
            columns[name] = names[ids]
        else:
            # A writable copy: frames are not.
            columns[name] = np.array(arrays[name])
    return pd.DataFrame(columns)

"""The client: sends requests to a host, and keeps the host alive. Torch-free."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import zmq

from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.key_planes import KeyPlane
from napari_coseg.types import CosegError, Prompt
from napari_coseg.worker.launcher import LocalHost, RemoteHost
from napari_coseg.worker.line import Line
from napari_coseg.worker.outbox import Outbox
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.prompting import MOST_LEVELS, Crop, PromptRequest, prompt_bodies
from napari_coseg.worker.propagating import (
    Pictures,
    StackSource,
    Taken,
    key_masks,
    propagate_body,
)
from napari_coseg.worker.protocol import Message, ProtocolError
from napari_coseg.worker.requests import SegmentRequest, check_body

_log = logging.getLogger(__name__)

#: Seconds that a host has to end what was cancelled; then it is killed. The person is free at once.
CANCEL_TIME = 15.0
#: Seconds that it has while it says that it is loading a model, which it cannot leave off and a new
#: host would have to begin again.
LOAD_TIME = 300.0
#: Seconds between two pings while something is under way.
PING = 5.0
#: Seconds of silence after which a host counts as lost, and until it must have said welcome.
SILENCE, WELCOME = 30.0, 15.0
#: Seconds without work after which a spare host is made ready.
REST = 4.0


class HostLost(CosegError):
    """The host has gone, and the request with it."""


class Client:
    """Sends requests to one host, from one thread of its own.

    The host is started with the first request and started again when it is lost: a request that
    was lost with it is repeated once. Everything here returns at once and may be called from any
    thread.

    Parameters
    ----------
    host : LocalHost or RemoteHost, optional
        A process of our own by default.
    notice : callable, optional
        Called, in the client's thread, with a sentence when a host was lost and started again.
    """

    def __init__(
        self,
        host: LocalHost | RemoteHost | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self._host = host or LocalHost()
        self._notice = notice or (lambda sentence: _log.warning(sentence))
        self._outbox: Outbox[Pending | Message] = Outbox()
        self._pending: dict[str, Pending] = {}
        self._going = True
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        # Reading an image may take long (a disk, a network): neither the GUI nor cancel waits.
        self._readers = ThreadPoolExecutor(2, "pixels")
        self._line: Line | None = None
        self._rested: float | None = None

    def describe(self) -> Future[dict[str, Any]]:
        """Ask for device, versions, cores."""
        return self._ask(Pending("describe", {})).future

    def load(self, model: str, device: str = "auto") -> Future[dict[str, Any]]:
        """Bring a model into the host's memory, so that the next request is faster."""
        return self._ask(Pending("load", {"model": model, "device": device})).future

    def segment(
        self, source: ImageSource, wanted: SegmentRequest, handlers: Handlers | None = None
    ) -> Pending:
        """Segment an image.

        Parameters
        ----------
        source : ImageSource
            Read by windows, in threads of the client.
        wanted : SegmentRequest
            What is to be done; its shape is the source's.
        handlers : Handlers, optional
            Who hears of progress.

        Returns
        -------
        Pending
            Its `future` ends with a `napari_coseg.types.PanopticResult`; give it to `cancel` to
            end it before.
        """
        if tuple(wanted.shape) != tuple(source.shape):
            raise ValueError(f"a request for {wanted.shape} with a source of {source.shape}")
        return self._ask(Pending("segment", wanted.model_dump(), source, handlers or Handlers()))

    def prompt(
        self,
        source: ImageSource,
        prompts: Sequence[Prompt],
        *,
        model: str,
        device: str = "auto",
        content: str = "",
        crops: Sequence[Crop | None] = (),
        hint: float | None = None,
        handlers: Handlers | None = None,
    ) -> Pending:
        """Segment the objects that prompts are on.

        Parameters
        ----------
        source : ImageSource
            Read by windows, in threads of the client, where the host needs them.
        prompts : sequence of Prompt
            One an object.
        model, device : str
            As in `LoadRequest`.
        content : str
            Names the pixels; see `PromptRequest`.
        crops : sequence of tuple of float or None
            For each prompt the crop of the answer that it refines.
        hint : float, optional
            Length in pixels of an object that is clicked on.
        handlers : Handlers, optional
            Who hears of notices.

        Returns
        -------
        Pending
            Its `future` ends with a list of `PromptAnswer`. Cancel it when it is asked anew.

        Raises
        ------
        ProtocolError
            If a prompt is not finite, or there are too many.
        """
        wanted = check_body(
            PromptRequest,
            {
                "model": model,
                "device": device,
                "shape": source.shape,
                "levels": [level.shape for level in source.levels[1 : MOST_LEVELS + 1]],
                "name": source.name,
                "content": content,
                "prompts": prompt_bodies(prompts, crops),
                "hint": hint,
            },
        )
        masks = [prompt.mask for prompt in prompts]
        heard = handlers or Handlers()
        return self._ask(Pending("prompt", wanted.model_dump(), source, heard, masks=masks))

    def propagate(
        self,
        pictures: Pictures,
        keys: Sequence[KeyPlane],
        *,
        model: str,
        device: str = "auto",
        content: str = "",
        reach: Mapping[int, tuple[int, int]] | None = None,
        taken: Taken | None = None,
        hint: float | None = None,
        handlers: Handlers | None = None,
    ) -> Pending:
        """Follow objects through a volume from the planes that they are prompted on.

        Parameters
        ----------
        pictures : VolumePictures
            Read plane by plane, in threads of the client, where the host needs them.
        keys : sequence of KeyPlane
        model, device : str
            As in `LoadRequest`.
        content : str
            Names the voxels with their window; see `PropagateRequest`.
        reach : mapping of int, optional
            By label the first plane and the one after the last; see
            `napari_coseg.inference.propagation.propagate`.
        taken : callable, optional
            Given a plane, returns the pixels that no object may have; called in threads of the
            client.
        hint : float, optional
            Length in pixels of objects that are clicked on.
        handlers : Handlers, optional
            Its `plane` hears of each plane as soon as it is done; after `restarted`, they come
            anew.

        Returns
        -------
        Pending
            Its `future` ends with the list of all `PlaneMask`.

        Raises
        ------
        ProtocolError
            If a number is not finite, or there is too much of something.
        """
        more = {"model": model, "device": device, "content": content, "hint": hint}
        body = propagate_body(pictures, keys, reach, guarded=taken is not None, **more)
        source, heard = StackSource(pictures, taken=taken), handlers or Handlers()
        return self._ask(Pending("propagate", body, source, heard, masks=key_masks(keys)))

    def cancel(self, pending: Pending) -> None:
        """End a request: its future is cancelled at once, and nothing more is heard of it."""
        if pending.future.cancel():
            self._outbox.put(pending)

    def close(self) -> None:
        """End the host, if it is ours, and everything that is under way."""
        with self._lock:
            self._going = False
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._outbox.put(Message("shutdown"))
            thread.join(timeout=5)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._host.close()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be asked."""
        return not self._going

    @property
    def host(self) -> LocalHost | RemoteHost:
        """Who does the work."""
        return self._host

    def _ask(self, pending: Pending) -> Pending:
        with self._lock:
            if not self._going:
                raise CosegError("The connection with the model worker was closed.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
                self._thread.start()
            self._outbox.put(pending)
        return pending

    # What follows runs in the client's thread.

    def _run(self) -> None:
        try:
            while self._going:
                self._turn()
        except Exception as error:
            _log.exception("The client of the model worker failed.")
            self._fail_all(CosegError(f"The connection with the model worker failed: {error}."))
        finally:
            with self._lock:
                self._going = False
            if self._line is not None:
                self._line.send(Message("shutdown"))
                self._line.close()
            closed = CosegError("The connection with the model worker was closed.")
            self._fail_all(closed)
            with self._lock:
                for item in self._outbox.drain():
                    if isinstance(item, Pending):
                        item.fail(closed)
                self._outbox.close()

    def _turn(self) -> None:
        poller = zmq.Poller()
        poller.register(self._outbox.fileno(), zmq.POLLIN)
        if self._line is not None:
            poller.register(self._line.socket, zmq.POLLIN)
        poller.poll(200 if self._pending else 2000)
        for item in self._outbox.drain():
            if isinstance(item, Message):
                if self._line is not None and item.request in self._pending:
                    self._line.send(item)
            elif item.future.cancelled():
                self._stop(item)
            else:
                self._pending[item.id] = item
        self._rest()
        if self._line is None and self._pending:
            self._connect()
        if self._line is None:
            return
        try:
            for message in self._line.receive():
                self._hear(message)
        except ProtocolError as error:
            self._lose(str(error))
            return
        self._look_after(self._line)

    def _rest(self) -> None:
        """Once work has been done and nothing is asked for: a spare host for the next time."""
        if self._pending or self._line is None or not self._line.welcome:
            self._rested = None
        elif self._rested is None:
            self._rested = time.monotonic()
        elif self._line.worked and time.monotonic() - self._rested > REST:
            self._host.keep_spare()

    def _connect(self) -> None:
        try:
            self._line = Line(self._host.start(), self._host.keys)
        except (CosegError, OSError, zmq.ZMQError) as error:
            self._fail_all(error if isinstance(error, CosegError) else CosegError(f"{error}."))

    def _hear(self, message: Message) -> None:
        if message.kind == "pong":
            self._compare(message)
            return
        pending = self._pending.get(message.request)
        # Words of requests that ended meanwhile are stale.
        if pending is None:
            return
        if message.kind == "pull":
            self._readers.submit(lambda: self._outbox.put(pending.pixels(message)))
        elif message.kind == "result":
            del self._pending[pending.id]
            # In a reader's thread: renumbering a large image takes its time.
            self._readers.submit(pending.end, message)
        elif message.kind == "error":
            del self._pending[pending.id]
            if not message.body.get("cancelled"):
                pending.fail(CosegError(str(message.body.get("message", "no reason given"))))
        elif pending.deadline is None:
            pending.tell(message)

    def _compare(self, message: Message) -> None:
        """Take in what the host says of our requests.

        What it does not hold is repeated: it, or the way to it, was new meanwhile.
        """
        held = message.body.get("holds", [])
        loading = message.body.get("preparing", [])
        for pending in self._pending.values():
            if pending.deadline is not None and pending.id in loading:
                # No hang: what it will do once the model is there, is stop.
                later = time.monotonic() + CANCEL_TIME
                pending.deadline = min(later, pending.cancelled + LOAD_TIME)
        for pending in [p for p in self._pending.values() if p.sent]:
            pending.unknown = 0 if pending.id in held else pending.unknown + 1
            # One pong may have crossed the request, or the result be on its way.
            if pending.unknown < 3:
                continue
            del self._pending[pending.id]
            if pending.future.done():
                continue
            if pending.tries:
                pending.fail(HostLost("The model worker has lost this work twice."))
            else:
                pending.again()
                self._pending[pending.id] = pending
                self._notice("The connection with the model worker was lost: it starts again.")

    def _stop(self, pending: Pending) -> None:
        if self._pending.get(pending.id) is not pending:
            return
        if not pending.sent or self._line is None:
            del self._pending[pending.id]
            return
        pending.cancelled = time.monotonic()
        pending.deadline = pending.cancelled + CANCEL_TIME
        self._line.send(Message("cancel", pending.id))

    def _look_after(self, line: Line) -> None:
        now = time.monotonic()
        if not self._host.alive:
            self._lose(f"The model worker has stopped: {self._host.last_words()}")
        elif not line.welcome and now - line.opened > WELCOME:
            self._lose(
                "The model worker does not answer: check its address, that it runs, and that it "
                f"knows this key ({self._host.last_words()})"
            )
        elif line.unanswered is not None and now - line.unanswered > SILENCE:
            self._lose("The model worker has fallen silent.")
        elif self._deaf(now):
            # What does not stop when asked to is stopped; other requests move to the next host.
            self._lose("")
        else:
            if line.welcome:
                for pending in self._pending.values():
                    if not pending.sent:
                        line.send(pending.message())
            if self._pending and now - line.pinged > PING:
                line.ping()

    def _deaf(self, now: float) -> bool:
        """Whether a host of ours does not end what was cancelled; of others it is forgotten."""
        late = [p for p in self._pending.values() if p.deadline is not None and p.deadline < now]
        if self._host.can_restart:
            return bool(late)
        for pending in late:
            del self._pending[pending.id]
        return False

    def _lose(self, why: str) -> None:
        """Give the host up; what was under way moves to the next one, once."""
        if self._line is not None:
            self._line.close()
            self._line = None
        self._host.kill()
        before, self._pending = self._pending, {}
        moved = 0
        for pending in before.values():
            if pending.future.done():
                continue
            if why and (pending.tries or not self._host.can_restart):
                pending.fail(HostLost(why))
                continue
            if why:
                pending.again()
                moved += 1
            else:
                pending.sent = False
            self._pending[pending.id] = pending
        if moved:
            self._notice(f"{why} It was started again and repeats its work.")

    def _fail_all(self, error: Exception) -> None:
        before, self._pending = self._pending, {}
        for pending in before.values():
            pending.fail(error)

"""The host: one socket, one thread for it, one thread that computes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Container, Sequence
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator

import napari_coseg
from napari_coseg.types import CosegError
from napari_coseg.worker.engine import Engine
from napari_coseg.worker.job import Job
from napari_coseg.worker.keys import DOMAIN, Endpoint, KeyPair
from napari_coseg.worker.outbox import Outbox
from napari_coseg.worker.protocol import (
    MAX_ARRAY,
    REQUESTS,
    VERSION,
    WITH_ARRAYS,
    Message,
    ProtocolError,
    decode,
    encode,
    request_of,
)
from napari_coseg.worker.shelf import ShelfReader
from napari_coseg.worker.turns import Turns

_log = logging.getLogger(__name__)

Frames = list[bytes | memoryview]

#: Seconds without work after which models leave memory.
IDLE = 300.0
#: Seconds of silence after which a client counts as gone: several of its pings.
SILENCE = 60.0
#: Most clients at once, most with one key, and most requests of one that wait.
_CLIENTS, _OF_ONE_KEY, _WAITING = 64, 8, 64


class _AllowList:
    """Tells ZeroMQ's authenticator which keys may in."""

    def __init__(self, keys: Container[str]) -> None:
        self._keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a public key is on the list."""
        return key.decode(errors="replace") in self._keys


class Host:
    """Serves clients until it is told to stop.

    Parameters
    ----------
    keys : KeyPair
        The host's own.
    allowed : container of str
        Public keys of the clients that may connect.
    address : str
        Where to listen; by default a free port of this machine alone.
    engine : Engine, optional
        What does the work.
    stay : bool
        Whether clients may not end the host (``napari-coseg serve``).
    warm : bool
        Whether torch is imported before anything is asked for.
    shelf : Path or None
        Folder in which the one client, on this machine, lays large arrays down.

    Raises
    ------
    zmq.ZMQError
        If the address cannot be listened at.
    """

    def __init__(
        self,
        keys: KeyPair,
        allowed: Container[str],
        address: str = "tcp://127.0.0.1:*",
        *,
        engine: Engine | None = None,
        stay: bool = False,
        warm: bool = False,
        shelf: Path | None = None,
    ) -> None:
        self._context = zmq.Context()
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(DOMAIN, _AllowList(allowed))
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.curve_server = True
        self._socket.curve_secretkey = keys.secret.encode()
        self._socket.curve_publickey = keys.public.encode()
        self._socket.zap_domain = DOMAIN.encode()
        self._socket.maxmsgsize = MAX_ARRAY
        self._socket.linger = 0
        # Messages are few and what they need is bounded by credit; none may be lost.
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.bind(address)
        bound = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        self.endpoint = Endpoint(bound.rstrip(b"\0").decode(), keys.public)
        self._stay = stay
        self._warm = warm
        self._shelf = ShelfReader(shelf) if shelf is not None else None
        self._outbox: Outbox[tuple[bytes, Frames]] = Outbox()
        self._turns = Turns()
        self._engine = engine or Engine()
        self._engine.serve_between(self._turns.take_urgent)
        self._seen: dict[bytes, float] = {}
        self._keys: dict[bytes, str] = {}
        self._going = True
        self._worker = threading.Thread(target=self._compute, name="compute", daemon=True)

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._going = False
        self._outbox.put((b"", []))

    def run(self) -> None:
        """Serve, in this thread, until `stop` or a client's ``shutdown``."""
        self._worker.start()
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._outbox.fileno(), zmq.POLLIN)
        try:
            while self._going:
                ready = dict(poller.poll(1000))
                if self._socket in ready:
                    self._receive()
                for client, frames in self._outbox.drain():
                    if client:
                        self._send_frames(client, frames)
                self._drop_silent()
        finally:
            self._turns.close()
            self._worker.join(timeout=2)
            self._socket.close()
            self._outbox.close()
            self._authenticator.stop()
            self._context.term()

    def _compute(self) -> None:
        if self._warm:
            try:
                self._engine.warm_up()
            except Exception:
                # The first request will tell its client of it.
                _log.exception("The worker could not be warmed up.")
        while not self._turns.closed:
            job = self._turns.take(IDLE)
            try:
                if job is not None:
                    self._engine.answer(job)
                    if job.stopped():
                        job.say_stopped()
                else:
                    self._engine.release()
            except Exception:
                _log.exception("The worker could not answer.")

    def _receive(self) -> None:
        # All that has come, so that a cancel does not wait behind one look a message.
        while True:
            try:
                # Not copied: an array stays in the frame that it came in.
                name, *parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                # Which key a connection was let in with: the authenticator says it (ZAP, User-Id).
                key = str(name.get("User-Id"))
                self._read(bytes(name.buffer), key, [part.buffer for part in parts])
            except Exception:
                # Nothing that one client sends may end the host of the others.
                _log.exception("A message could not be dealt with.")

    def _read(self, client: bytes, key: str, frames: Sequence[memoryview]) -> None:
        try:
            message = self._decoded(client, frames)
            if message.arrays and message.kind not in WITH_ARRAYS:
                raise ProtocolError(f"A message {message.kind!r} carries no arrays.")
        except CosegError as error:
            refusal = {"message": str(error), "version": VERSION}
            self._send(client, Message("error", request_of(frames), refusal))
            return
        if client not in self._seen:
            if len(self._seen) >= _CLIENTS:
                self._refuse(client, message, "The host has as many clients as it can serve.")
                return
            if sum(known == key for known in self._keys.values()) >= _OF_ONE_KEY:
                self._refuse(client, message, "Too many programs use this key at once.")
                return
            self._keys[client] = key
        self._seen[client] = time.monotonic()
        self._take(client, message)

    def _decoded(self, client: bytes, frames: Sequence[memoryview]) -> Message:
        try:
            return decode(frames, REQUESTS, self._shelf)
        except (CosegError, MemoryError) as error:
            # What waits for these pixels would wait in vain.
            job = self._turns.find(client, request_of(frames))
            if job is not None:
                job.stop()
            if isinstance(error, CosegError):
                raise
            raise ProtocolError("The worker has too little memory for what was sent.") from error
        finally:
            # Whatever came of it, the client can use these again.
            blocks = self._shelf.taken() if self._shelf is not None else []
            if blocks:
                self._send(client, Message("read", "", {"blocks": blocks}))

    def _take(self, client: bytes, message: Message) -> None:
        if message.kind == "hello":
            body = {"software": f"napari-coseg {napari_coseg.__version__}"}
            self._send(client, Message("welcome", message.request, body))
        elif message.kind == "ping":
            # What it still works on: a request that is not among them was lost on the way.
            # And what it cannot leave off yet.
            preparing = self._turns.preparing(client)
            pong = {"holds": self._turns.held(client), "preparing": preparing}
            self._send(client, Message("pong", "", pong))
        elif message.kind == "cancel":
            # One at work says itself when it has stopped: the client must know if it does not.
            if not self._turns.stop(client, message.request):
                self._refuse(client, message, "cancelled", cancelled=True)
        elif message.kind == "pixels":
            job = self._turns.find(client, message.request)
            if job is not None:
                job.deliver(message)
        elif message.kind == "shutdown":
            if self._stay:
                self._forget(client)
            else:
                self._going = False
        elif self._turns.waiting(client) >= _WAITING:
            self._refuse(client, message, "Too many requests of this program wait already.")
        else:
            self._turns.add(Job(client, message, _Sender(client, self._outbox)))

    def _refuse(
        self, client: bytes, message: Message, sentence: str, *, cancelled: bool = False
    ) -> None:
        body = {"message": sentence, "cancelled": cancelled}
        self._send(client, Message("error", message.request, body))

    def _send(self, client: bytes, message: Message) -> None:
        self._send_frames(client, encode(message))

    def _send_frames(self, client: bytes, frames: Frames) -> None:
        try:
            self._socket.send_multipart([client, *frames], copy=False)
        except zmq.ZMQError as error:
            _log.debug("A client could not be reached: %s", error)

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for client in [c for c, seen in self._seen.items() if now - seen > SILENCE]:
            self._forget(client)

    def _forget(self, client: bytes) -> None:
        self._seen.pop(client, None)
        self._keys.pop(client, None)
        self._turns.drop(client)


class _Sender:
    """Puts a job's messages into the outbox, for its client."""

    def __init__(self, client: bytes, outbox: Outbox[tuple[bytes, Frames]]) -> None:
        self._client = client
        self._outbox = outbox

    def __call__(self, message: Message, pack: bool) -> None:
        """Send; packing is the job's time and not the I/O thread's."""
        self._outbox.put((self._client, encode(message, pack=pack)))

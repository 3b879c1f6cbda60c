"""A client's connection with one host: the socket, and the signs of life. Torch-free."""

from __future__ import annotations

import time

import zmq

from napari_coseg.worker.keys import Endpoint, KeyPair
from napari_coseg.worker.protocol import (
    MAX_ARRAY,
    REPLIES,
    Message,
    ProtocolError,
    decode,
    encode,
)
from napari_coseg.worker.shelf import Shelf


class Line:
    """The connection with one host.

    Attributes
    ----------
    welcome : bool
        Whether the host has answered.
    worked : bool
        Whether it has segmented anything.
    opened, pinged : float
        Monotonic times.
    unanswered : float or None
        When the first ping was sent after which nothing has come.
    """

    def __init__(self, endpoint: Endpoint, keys: KeyPair) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.curve_serverkey = endpoint.public.encode()
        self.socket.curve_publickey = keys.public.encode()
        self.socket.curve_secretkey = keys.secret.encode()
        self.socket.maxmsgsize = MAX_ARRAY
        self.socket.sndhwm = self.socket.rcvhwm = 0
        self.socket.linger = 200
        self.socket.connect(endpoint.address)
        self.welcome = self.worked = False
        self.opened = self.pinged = time.monotonic()
        self.unanswered: float | None = None
        self._shelf = Shelf(endpoint.shelf) if endpoint.shelf is not None else None
        self.send(Message("hello"))

    def send(self, message: Message) -> None:
        """Send; ZeroMQ keeps it until the host is there."""
        self.socket.send_multipart(encode(message, shelf=self._shelf), copy=False)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.pinged = time.monotonic()
        if self.unanswered is None:
            self.unanswered = self.pinged
        self.send(Message("ping"))

    def receive(self) -> list[Message]:
        """Return what has come.

        Raises
        ------
        ProtocolError
            If the host says what it must not, or speaks another version.
        """
        messages: list[Message] = []
        while True:
            try:
                # Not copied: an array stays in the frame that it came in.
                frames = [f.buffer for f in self.socket.recv_multipart(zmq.NOBLOCK, copy=False)]
            except zmq.Again:
                return messages
            self.unanswered = None
            message = decode(frames, REPLIES)
            if message.kind == "welcome":
                self.welcome = True
            elif message.kind == "read":
                self._give_back(message)
            elif message.kind == "error" and not self.welcome:
                raise ProtocolError(str(message.body.get("message")))
            else:
                self.worked = self.worked or message.kind == "block"
                messages.append(message)

    def _give_back(self, message: Message) -> None:
        blocks = message.body.get("blocks")
        if self._shelf is None or not isinstance(blocks, list):
            raise ProtocolError("The model worker gives back what it was not lent.")
        for number in blocks:
            if isinstance(number, int):
                self._shelf.give_back(number)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
        self._context.term()
        if self._shelf is not None:
            self._shelf.close()

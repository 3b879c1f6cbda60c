"""What client and host say to each other: a JSON header, then raw array frames.

Version 4. A message is a list of ZeroMQ frames. The first is JSON in UTF-8::

    {"version": 4, "kind": "segment", "request": "…", "body": {…},
     "arrays": [{"name": "pixels", "dtype": "|u1", "shape": [384, 384, 3], "codec": "raw"}]}

Each array follows in a frame of its own, in C order and little-endian, plain (``raw``) or packed
(``lz4``); or the frame is empty and the array lies in a block of memory that both processes see
(``shared``, with the block's number). Nothing is ever unpickled. Sizes are checked before memory
is taken. Torch-free.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError
from napari_coseg.worker.shelf import Shelf, ShelfReader

#: Version of the protocol: both sides must speak the same.
VERSION = 6
#: Largest header, in bytes.
MAX_HEADER = 4 << 20
#: Most bytes of memory of a message's arrays together.
MAX_ARRAY = 256 << 20
#: Most arrays of one message.
MAX_ARRAYS = 32

#: What a client may ask. ``pixels`` answers a host's ``pull``.
REQUESTS = frozenset(
    {
        "hello",
        "ping",
        "describe",
        "load",
        "segment",
        "prompt",
        "propagate",
        "cancel",
        "pixels",
        "shutdown",
    }
)
#: Requests whose messages carry arrays.
WITH_ARRAYS = frozenset({"pixels", "prompt", "propagate"})
#: What a host may say. ``read`` gives blocks of shared memory back.
REPLIES = frozenset(
    {
        "welcome",
        "pong",
        "progress",
        "pull",
        "read",
        "block",
        "plane",
        "notice",
        "result",
        "error",
        "need",
    }
)

_DTYPES = frozenset({"|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<i8", "<f4", "<f8"})
_CODECS = frozenset({"raw", "lz4", "shared"})


class ProtocolError(CosegError):
    """A message that cannot be understood, or must not be."""


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes
    ----------
    kind : str
        One of `REQUESTS` or `REPLIES`.
    request : str
        Id of the request that it belongs to; every answer carries its request's.
    body : dict
        Plain JSON values.
    arrays : dict of str to ndarray
        Arrays by name.
    """

    kind: str
    request: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def encode(
    message: Message, *, pack: bool = False, shelf: Shelf | None = None
) -> list[bytes | memoryview]:
    """Turn a message into frames.

    Parameters
    ----------
    message : Message
    pack : bool
        Compress the arrays: right for labels, which shrink ten-fold in less time than it takes to
        send them; a waste of time for pictures.
    shelf : Shelf, optional
        Memory that the other side sees too.

    Raises
    ------
    ProtocolError
        If it is larger than the other side would take.
    """
    described = []
    frames: list[Any] = []
    for name, value in message.arrays.items():
        # Not ascontiguousarray, which makes a number of no dimensions a list of one.
        array = np.asarray(value, value.dtype.newbyteorder("<"), order="C")
        if array.dtype.str not in _DTYPES:
            raise ProtocolError(f"An array of {array.dtype} cannot be sent: {name}.")
        if array.nbytes > MAX_ARRAY:
            raise ProtocolError(f"The array {name} is too large to be sent ({array.nbytes} bytes).")
        entry: dict[str, Any] = {
            "name": name,
            "dtype": array.dtype.str,
            "shape": list(array.shape),
            "codec": "raw",
        }
        data: Any = array.reshape(-1).view(np.uint8).data if array.size else b""
        block = shelf.lay(array) if shelf is not None else None
        if block is not None:
            entry |= {"codec": "shared", "block": block}
            data = b""
        elif pack:
            entry["codec"] = "lz4"
            data = imagecodecs.lz4_encode(data)
        frames.append(data)
        described.append(entry)
    if len(frames) > MAX_ARRAYS:
        raise ProtocolError(f"A message may carry {MAX_ARRAYS} arrays, not {len(frames)}.")
    header = {
        "version": VERSION,
        "kind": message.kind,
        "request": message.request,
        "body": dict(message.body),
        "arrays": described,
    }
    head = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    if len(head) > MAX_HEADER:
        raise ProtocolError(f"A header of {len(head)} bytes is too large to be sent.")
    return [head, *frames]


def decode(
    frames: Sequence[bytes | memoryview],
    kinds: frozenset[str],
    shelf: ShelfReader | None = None,
) -> Message:
    """Read a message.

    Parameters
    ----------
    frames : sequence of bytes
        As they came.
    kinds : frozenset of str
        Which kinds this side takes.
    shelf : ShelfReader, optional
        Where shared blocks lie; without it they are refused.

    Returns
    -------
    Message
        Its arrays are views of the frames where these were plain.

    Raises
    ------
    ProtocolError
        If anything is not as `encode` makes it.
    """
    header = _header(frames)
    version = header.get("version")
    if version != VERSION:
        raise ProtocolError(
            f"The other side speaks version {_short(version)} of the protocol, this one {VERSION}: "
            "install the same napari-coseg on both."
        )
    kind, request, body = header.get("kind"), header.get("request"), header.get("body")
    described = header.get("arrays")
    if not isinstance(kind, str) or kind not in kinds:
        raise ProtocolError(f"A message of the kind {_short(kind)} is not understood here.")
    if not isinstance(request, str) or len(request) > 64 or not isinstance(body, dict):
        raise ProtocolError(f"A message {kind!r} has no proper request or body.")
    if not isinstance(described, list) or len(described) != len(frames) - 1:
        raise ProtocolError(f"A message {kind!r} does not carry the arrays that it announces.")
    arrays = {}
    left = MAX_ARRAY
    for entry, frame in zip(described, frames[1:], strict=True):
        name, array = _array(entry, frame, left, shelf)
        arrays[name] = array
        left -= array.nbytes
    return Message(kind, request, body, arrays)


def _short(value: Any) -> str:
    """Whatever the other side sent, short enough to be sent back."""
    return repr(value)[:40]


def request_of(frames: Sequence[bytes | memoryview]) -> str:
    """Return the id that a message names, if it can be read at all: for an answer that says no."""
    try:
        request = _header(frames).get("request")
    except ProtocolError:
        return ""
    return request if isinstance(request, str) and len(request) <= 64 else ""


def _header(frames: Sequence[bytes | memoryview]) -> dict[str, Any]:
    if not frames or len(frames) > 1 + MAX_ARRAYS or len(frames[0]) > MAX_HEADER:
        raise ProtocolError("A message has too many frames or too large a header.")
    try:
        header = json.loads(bytes(frames[0]))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("A message has a header that is not JSON.") from error
    if not isinstance(header, dict):
        raise ProtocolError("A message has a header that is not a JSON object.")
    return header


def _array(
    entry: Any, frame: bytes | memoryview, room: int, shelf: ShelfReader | None
) -> tuple[str, npt.NDArray[Any]]:
    if not isinstance(entry, dict):
        raise ProtocolError("An array is not described as a JSON object.")
    name, dtype, shape, codec = (entry.get(k) for k in ("name", "dtype", "shape", "codec"))
    if (
        not (isinstance(name, str) and isinstance(dtype, str) and isinstance(codec, str))
        or dtype not in _DTYPES
        or codec not in _CODECS
    ):
        raise ProtocolError(f"An array has no proper name, type or codec: {_short(entry)}.")
    name = name[:64]
    if not isinstance(shape, list) or len(shape) > 4 or not all(map(_is_length, shape)):
        raise ProtocolError(f"The array {name!r} has no proper shape.")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > room or max(shape, default=0) > MAX_ARRAY:
        raise ProtocolError(f"The array {name!r} would take {size} bytes: too many.")
    data: Any = frame
    if codec == "lz4":
        data = _unpacked(name, frame, size)
    elif codec == "shared":
        data = _shared(name, entry.get("block"), size, shelf)
    if len(data) != size:
        raise ProtocolError(f"The array {name!r} has {len(data)} bytes and not {size}.")
    return name, np.frombuffer(data, dtype).reshape(shape)


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _unpacked(name: str, frame: Any, size: int) -> Any:
    if not size and not len(frame):
        return b""
    try:
        # One byte more than announced, so that a bomb is noticed and does not go off.
        return imagecodecs.lz4_decode(frame, out=size + 1)
    except (RuntimeError, ValueError) as error:
        raise ProtocolError(f"The array {name!r} cannot be unpacked.") from error


def _shared(name: str, block: Any, size: int, shelf: ShelfReader | None) -> npt.NDArray[np.uint8]:
    if shelf is None or not _is_length(block):
        raise ProtocolError(f"The array {name!r} lies in memory that is not shared.")
    return shelf.take(block, size)


def smallest(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    """Return labels, none negative, in the smallest type that holds them."""
    top = int(labels.max(initial=0))
    for dtype in (np.uint8, np.uint16):
        if top <= np.iinfo(dtype).max:
            return labels.astype(dtype)
    return labels

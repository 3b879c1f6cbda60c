"""The protocol: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import json
from typing import Any

import imagecodecs
import numpy as np
import pytest

from napari_coseg.worker import protocol
from napari_coseg.worker.protocol import (
    REPLIES,
    REQUESTS,
    Message,
    ProtocolError,
    decode,
    encode,
    request_of,
    smallest,
)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20, dtype=np.float32)[::2],
        np.zeros((0, 5), np.int32),
        np.array(3.5),
        np.array([True, False]),
    ],
)
def test_arrays_come_out_as_they_went_in(array: np.ndarray, pack: bool) -> None:
    message = Message("result", "abc", {"n": 1, "name": "é"}, {"a": array, "b": array})
    back = decode([bytes(frame) for frame in encode(message, pack=pack)], REPLIES)
    assert (back.kind, back.request, back.body) == ("result", "abc", {"n": 1, "name": "é"})
    for name in "ab":
        assert back.arrays[name].shape == array.shape
        assert np.array_equal(back.arrays[name], array)


def frames(change: dict[str, Any], *arrays: bytes) -> list[bytes]:
    header: dict[str, Any] = {
        "version": protocol.VERSION,
        "kind": "segment",
        "request": "r",
        "body": {},
        "arrays": [],
    }
    return [json.dumps(header | change).encode(), *arrays]


def entry(**change: Any) -> dict[str, Any]:
    return {"name": "a", "dtype": "|u1", "shape": [2, 2], "codec": "raw"} | change


@pytest.mark.parametrize(
    ("received", "said"),
    [
        ([], "too many frames"),
        ([b"\xff\xfe"], "not JSON"),
        ([b"[" * 100_000], "not JSON"),
        ([b"[1]"], "not a JSON object"),
        ([b"{}"] * 40, "too many frames"),
        (frames({"version": protocol.VERSION + 1}), f"version {protocol.VERSION + 1}"),
        (frames({"kind": "result"}), "'result'"),
        (frames({"kind": "boo"}), "'boo'"),
        (frames({"kind": ["x"]}), "not understood"),
        (frames({"request": 7}), "no proper request"),
        (frames({"request": "x" * 65}), "no proper request"),
        (frames({"body": []}), "no proper request"),
        (frames({"arrays": [entry()]}), "announces"),
        (frames({"arrays": 3}), "announces"),
        (frames({}, b"abcd"), "announces"),
        (frames({"arrays": [entry()]}, b"abc"), "3 bytes and not 4"),
        (frames({"arrays": [entry(dtype="|O8")]}, b"abcd"), "no proper name"),
        (frames({"arrays": [entry(dtype=["|u1"])]}, b"abcd"), "no proper name"),
        (frames({"arrays": [entry(codec="pickle")]}, b"abcd"), "no proper name"),
        (frames({"arrays": [entry(shape=[-1, 4])]}, b"abcd"), "no proper shape"),
        (frames({"arrays": [entry(shape=[1.5])]}, b"abcd"), "no proper shape"),
        (frames({"arrays": [entry(shape=[True, 4])]}, b"abcd"), "no proper shape"),
        (frames({"arrays": [entry(shape=[1] * 5)]}, b"a"), "no proper shape"),
        (frames({"arrays": [entry(shape=[1 << 39, 1 << 39])]}, b"a"), "too many"),
        (frames({"arrays": ["a"]}, b"abcd"), "described"),
        (frames({"arrays": [entry(codec="lz4")]}, b"\xff" * 9), "unpacked"),
        (frames({"arrays": [entry(codec="shared", block=0)]}, b""), "not shared"),
    ],
)
def test_what_is_not_a_message_is_refused(received: list[bytes], said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        decode(received, REQUESTS)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = imagecodecs.lz4_encode(bytes(50 << 20))
    for packed, said in (
        (bomb, "unpacked"),
        (imagecodecs.lz4_encode(b"abcde"), "5 bytes and not 4"),
        (imagecodecs.lz4_encode(b"abc"), "3 bytes and not 4"),
        (imagecodecs.lz4_encode(b"abcd")[:-2], "unpacked"),
        (b"", "unpacked"),
    ):
        with pytest.raises(ProtocolError, match=said):
            decode(frames({"arrays": [entry(codec="lz4")]}, bytes(packed)), REQUESTS)


def test_what_could_not_be_received_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_ARRAY", 10)
    with pytest.raises(ProtocolError, match="too large"):
        encode(Message("result", arrays={"a": np.zeros(11, np.uint8)}))
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(Message("result", arrays={"a": np.array([None])}))
    with pytest.raises(ProtocolError, match="32 arrays"):
        encode(Message("result", arrays={str(i): np.zeros(1, np.uint8) for i in range(33)}))
    with pytest.raises(ValueError, match="JSON"):
        encode(Message("result", body={"x": float("nan")}))


def test_a_refused_message_can_still_be_answered() -> None:
    assert request_of(frames({"version": 9, "request": "abc"})) == "abc"
    assert request_of([b"garbage"]) == ""
    assert request_of(frames({"request": None})) == ""


def test_labels_travel_in_the_smallest_type() -> None:
    for top, dtype in ((255, np.uint8), (256, np.uint16), (65_536, np.int32)):
        labels = np.array([[0, top]], np.int32)
        sent = smallest(labels)
        assert sent.dtype == dtype
        assert np.array_equal(sent, labels)
    assert smallest(np.zeros((0, 0), np.int32)).dtype == np.uint8

"""Host and client together, without torch: the host runs in a thread of the test."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
import zmq

from napari_coseg.imaging.source import ArraySource, ImageSource
from napari_coseg.types import CosegError
from napari_coseg.worker import connection as client_module
from napari_coseg.worker import host as host_module
from napari_coseg.worker.client import Client
from napari_coseg.worker.connection import HostLost
from napari_coseg.worker.host import Host
from napari_coseg.worker.keys import Endpoint, KeyPair
from napari_coseg.worker.launcher import RemoteHost
from napari_coseg.worker.pending import Handlers
from napari_coseg.worker.protocol import REPLIES, VERSION, Message, decode, encode
from napari_coseg.worker.requests import SegmentRequest
from tests.worker.fakes import FakeEngine

KEYS = KeyPair.new()
WAIT = 20


class InThread:
    """A host in a thread that looks to the client like a process of its own."""

    can_restart = True
    #: Makes what does the work.
    make: Any = FakeEngine

    def __init__(self, *, stay: bool = False) -> None:
        self.keys = KEYS
        self.starts = self.spares = 0
        self.engine = FakeEngine()
        self.stay = stay
        self.host: Host | None = None
        self.thread: threading.Thread | None = None

    def start(self) -> Endpoint:
        """Start one more host."""
        self.kill()
        self.starts += 1
        self.engine = self.make()
        self.host = Host(KeyPair.new(), [KEYS.public], engine=self.engine, stay=self.stay)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self.host.run, daemon=True)
        self.thread.start()
        return self.host.endpoint

    @property
    def alive(self) -> bool:
        """Whether its loop runs."""
        return self.thread is not None and self.thread.is_alive()

    def last_words(self) -> str:
        """Return nothing of interest."""
        return "it said nothing."

    def kill(self) -> None:
        """End it."""
        if self.host is not None:
            self.host.stop()
        self.host = None

    def close(self) -> None:
        """End it for good."""
        self.kill()

    def keep_spare(self) -> None:
        """Count how often it is asked for."""
        self.spares += 1

    def die(self) -> None:
        """End it as a crash would: the client has not asked for it."""
        host, thread = self.host, self.thread
        assert host is not None
        assert thread is not None
        host.stop()
        thread.join(WAIT)


@pytest.fixture
def host() -> Iterator[InThread]:
    """A host in a thread."""
    made = InThread()
    yield made
    made.kill()


@pytest.fixture
def notices() -> list[str]:
    """What the client said about its hosts."""
    return []


@pytest.fixture
def client(host: InThread, notices: list[str]) -> Iterator[Client]:
    """A client of that host."""
    made = Client(host, notices.append)  # type: ignore[arg-type]
    yield made
    made.close()


def picture(rows: int = 20, columns: int = 30) -> np.ndarray:
    image = np.zeros((rows, columns, 3), np.uint8)
    image[:, columns // 2 :] = 255
    return image


def request(model: str = "fake", shape: tuple[int, int] = (20, 30), **more: Any) -> SegmentRequest:
    return SegmentRequest(model=model, shape=shape, **more)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_segmentation_arrives_whole(client: Client) -> None:
    seen: dict[str, list[Any]] = {"progress": [], "block": [], "notice": []}
    handlers = Handlers(
        progress=lambda *a: seen["progress"].append(a),
        block=lambda task, place, labels: seen["block"].append((task, place, labels.shape)),
        notice=lambda sentence: seen["notice"].append(sentence),
    )
    pending = client.segment(ArraySource(picture()), request(mpp=0.5), handlers)
    result = pending.future.result(WAIT)
    assert np.array_equal(result.regions, (picture()[..., 0] > 0).astype(np.uint8))
    assert result.instances.dtype == np.int32
    assert (result.instances[0] == 1).all()
    assert not result.instances[1:].any()
    assert result.objects.loc[0, ["class_name", "region_name"]].tolist() == ["b", "gland"]
    assert result.objects.loc[0, "class_score"] == 0.75
    assert result.instance_classes.colour_of(2) == (0, 0, 255)
    assert result.mpp == 0.5
    assert seen["progress"][0] == (0, 2)
    assert seen["progress"][-1] == (2, 2)
    assert seen["block"] == [("regions", (0, 0), (20, 30)), ("instances", (0, 0), (20, 30))]
    assert seen["notice"] == ["It is a fake."]


def test_what_the_host_does_not_see_of_the_pixels_is_told(client: Client) -> None:
    odd = picture() / 255
    odd[3:5] = np.nan
    result = client.segment(ArraySource(odd, name="odd"), request()).future.result(WAIT)
    (note,) = [note for note in result.metadata["notes"] if "no numbers" in note]
    assert note.startswith("odd has pixels that are no numbers")


def test_other_requests(client: Client) -> None:
    assert client.describe().result(WAIT) == {"kind": "describe"}
    assert client.load("fake").result(WAIT) == {"kind": "load"}


def test_what_fails_is_told_in_a_sentence(client: Client) -> None:
    with pytest.raises(CosegError, match="The model is bad"):
        client.segment(ArraySource(picture()), request("bad")).future.result(WAIT)
    # The host goes on.
    client.segment(ArraySource(picture()), request()).future.result(WAIT)


def test_cancel_is_at_once_and_the_host_stays(client: Client, host: InThread) -> None:
    started = threading.Event()
    handlers = Handlers(progress=lambda *_: started.set())
    pending = client.segment(ArraySource(picture()), request("slow"), handlers)
    assert started.wait(WAIT)
    client.cancel(pending)
    with pytest.raises(CancelledError):
        pending.future.result(0)
    client.segment(ArraySource(picture()), request()).future.result(WAIT)
    assert host.starts == 1


def test_what_waits_can_be_cancelled(client: Client, host: InThread) -> None:
    started = threading.Event()
    first = client.segment(
        ArraySource(picture()), request("slow"), Handlers(progress=lambda *_: started.set())
    )
    assert started.wait(WAIT)
    second = client.segment(ArraySource(picture()), request(name="second"))
    third = client.segment(ArraySource(picture()), request(name="third"))
    client.cancel(second)
    client.cancel(first)
    third.future.result(WAIT)
    assert "second" not in host.engine.order


def test_a_deaf_host_is_killed_and_started_again(
    client: Client, host: InThread, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CANCEL_TIME", 0.1)
    pending = client.segment(ArraySource(picture()), request("deaf"))
    wait_for(lambda: host.engine.order)
    client.cancel(pending)
    client.segment(ArraySource(picture()), request()).future.result(WAIT)
    assert host.starts == 2
    # The person has asked for it: nothing to tell.
    assert notices == []


def test_a_request_lost_with_its_host_is_repeated_once(
    client: Client, host: InThread, notices: list[str]
) -> None:
    pending = client.segment(ArraySource(picture()), request("slow"))
    wait_for(lambda: host.engine.order)
    host.die()
    wait_for(lambda: host.starts == 2 and host.engine.order)
    assert len(notices) == 1
    assert "repeats its work" in notices[0]
    host.die()
    with pytest.raises(HostLost, match="has stopped"):
        pending.future.result(WAIT)
    # And the next request finds a new host.
    client.segment(ArraySource(picture()), request()).future.result(WAIT)


class Broken(ImageSource):
    """An image whose layer is gone."""

    name, mpp = "broken", None
    shape = (20, 30)

    def _read(self, *box: int) -> np.ndarray:
        raise KeyError("the array was deleted")


def test_an_image_that_can_no_longer_be_read(client: Client) -> None:
    with pytest.raises(CosegError, match="can no longer be read"):
        client.segment(Broken(), request()).future.result(WAIT)


def test_a_closed_client_ends_what_is_under_way(client: Client, host: InThread) -> None:
    pending = client.segment(ArraySource(picture()), request("slow"))
    wait_for(lambda: host.engine.order)
    client.close()
    with pytest.raises(CosegError, match="closed"):
        pending.future.result(WAIT)
    with pytest.raises(CosegError, match="closed"):
        client.describe()


def remote(host: InThread, endpoint: Endpoint, keys: KeyPair = KEYS) -> Client:
    return Client(RemoteHost(endpoint, keys), lambda sentence: None)


def test_clients_take_turns(host: InThread) -> None:
    host.stay = True
    endpoint = host.start()
    clients = [remote(host, endpoint) for _ in range(2)]
    try:
        blocked = clients[0].segment(ArraySource(picture()), request("slow", name="blocked"))
        wait_for(lambda: host.engine.order)
        waiting = [
            client.segment(ArraySource(picture()), request(name=f"{who}{turn}"))
            for who, client in zip("ab", clients, strict=True)
            for turn in range(3)
        ]
        assert host.host is not None
        wait_for(lambda: len(host.host._turns._waiting) == 2)  # type: ignore[union-attr]
        wait_for(
            lambda: sum(map(len, host.host._turns._waiting.values())) == 6  # type: ignore[union-attr]
        )
        clients[0].cancel(blocked)
        for pending in waiting:
            pending.future.result(WAIT)
        order = [name[0] for name in host.engine.order[1:]]
        assert order in (list("ababab"), list("bababa"))
        # A client that leaves does not take the host with it.
        clients[0].close()
        clients[1].describe().result(WAIT)
    finally:
        for client in clients:
            client.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that gives up soon."""
    monkeypatch.setattr(client_module, "WELCOME", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("wrong", ["client", "host"])
def test_a_wrong_key_gets_no_answer(host: InThread, wrong: str) -> None:
    endpoint = host.start()
    keys = KEYS
    if wrong == "client":
        keys = KeyPair.new()
    else:
        endpoint = Endpoint(endpoint.address, KeyPair.new().public)
    client = remote(host, endpoint, keys)
    try:
        with pytest.raises(CosegError, match="knows this key"):
            client.describe().result(WAIT)
    finally:
        client.close()


@pytest.mark.usefixtures("impatient")
def test_a_remote_host_that_vanishes(host: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE", 0.5)
    monkeypatch.setattr(client_module, "PING", 0.1)
    client = remote(host, host.start())
    try:
        pending = client.segment(ArraySource(picture()), request("slow"))
        wait_for(lambda: host.engine.order)
        host.die()
        with pytest.raises(HostLost, match="silent"):
            pending.future.result(WAIT)
    finally:
        client.close()


def raw_socket(context: zmq.Context[Any], endpoint: Endpoint) -> zmq.Socket[Any]:
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_serverkey = endpoint.public.encode()
    socket.curve_publickey = KEYS.public.encode()
    socket.curve_secretkey = KEYS.secret.encode()
    socket.connect(endpoint.address)
    return socket


def test_one_key_is_no_crowd() -> None:
    host = InThread(stay=True)
    endpoint = host.start()
    context: zmq.Context[Any] = zmq.Context()
    sockets = [raw_socket(context, endpoint) for _ in range(host_module._OF_ONE_KEY + 1)]

    def answer(socket: zmq.Socket[Any]) -> Message:
        socket.send_multipart(encode(Message("hello")))
        assert socket.poll(WAIT * 1000)
        return decode(socket.recv_multipart(), REPLIES)

    try:
        kinds = [answer(socket).kind for socket in sockets]
        assert kinds == ["welcome"] * host_module._OF_ONE_KEY + ["error"]
        sockets[0].send_multipart(encode(Message("shutdown")))
        wait_for(lambda: answer(sockets[-1]).kind == "welcome")
    finally:
        for socket in sockets:
            socket.close()
        context.term()
        host.kill()


def test_garbage_does_not_hurt_the_host(client: Client, host: InThread) -> None:
    client.describe().result(WAIT)
    assert host.host is not None
    context: zmq.Context[Any] = zmq.Context()
    try:
        socket = raw_socket(context, host.host.endpoint)
        slow = encode(Message("segment", "s", request("slow").model_dump()))
        bomb = {"name": "a", "dtype": "|u1", "shape": [1 << 39, 1 << 39, 0], "codec": "raw"}
        header = {
            "version": VERSION,
            "kind": "pixels",
            "request": "s",
            "body": {},
            "arrays": [bomb],
        }
        for frames in (
            [b"garbage"],
            [b""],
            [b"{}"] * 50,
            [json.dumps(header | {"version": "é" * (1 << 20), "arrays": []}).encode()],
            [json.dumps(header).encode(), b""],
            [json.dumps(header | {"kind": ["x"], "arrays": []}).encode()],
            slow,
            [encode(Message("pixels", "s", {"window": []}))[0]],
            [encode(Message("pixels", "nothing", {"window": 1}))[0]],
            [encode(Message("cancel", "nothing"))[0]],
            encode(Message("ping", arrays={"a": np.zeros(9, np.uint8)})),
            [encode(Message("ping"))[0]],
        ):
            socket.send_multipart(frames)
        # The last of them is answered: all were looked at.
        answers = []
        while "pong" not in answers:
            assert socket.poll(1000 * WAIT)
            answers.append(json.loads(socket.recv_multipart()[0])["kind"])
        assert answers.count("error") >= 6
        socket.send_multipart(encode(Message("cancel", "s")))
        too_large = raw_socket(context, host.host.endpoint)
        too_large.send(bytes((256 << 20) + 1))
        too_large.close(linger=2000)
        assert client.describe().result(WAIT) == {"kind": "describe"}
        socket.close()
    finally:
        context.destroy()


def test_a_host_of_another_version_says_so(host: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    def older(message: Message, **more: Any) -> Any:
        frames = encode(message, **more)
        return [bytes(frames[0]).replace(b'"version":%d' % VERSION, b'"version":0'), *frames[1:]]

    monkeypatch.setattr("napari_coseg.worker.host.encode", older)
    client = remote(host, host.start())
    try:
        with pytest.raises(CosegError, match="version 0"):
            client.describe().result(WAIT)
    finally:
        client.close()


def test_idle_hosts_let_their_models_go(
    client: Client, host: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_coseg.worker.host.IDLE", 0.05)
    client.describe().result(WAIT)
    assert host.engine.released.wait(WAIT)


def test_work_that_the_host_does_not_know_is_repeated(
    client: Client, host: InThread, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a broken connection the host knows the client by another name."""
    monkeypatch.setattr(client_module, "PING", 0.05)
    pending = client.segment(ArraySource(picture()), request("slow"))
    wait_for(lambda: host.engine.order)
    assert host.host is not None
    turns = host.host._turns
    first = turns._current
    assert first is not None
    first.client = b"its name before"
    wait_for(lambda: notices)
    assert "starts again" in notices[0]
    first.stop()
    wait_for(lambda: len(host.engine.order) == 2)
    client.cancel(pending)
    client.describe().result(WAIT)


def test_who_listens_badly_does_not_end_the_connection(client: Client) -> None:
    def gone(*_: Any) -> None:
        raise RuntimeError("wrapped C/C++ object has been deleted")

    pending = client.segment(ArraySource(picture()), request(), Handlers(gone, gone, gone))
    assert pending.future.result(WAIT).regions is not None
    client.describe().result(WAIT)


def test_a_spare_host_is_wanted_after_work_alone(
    client: Client, host: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_coseg.worker.connection.REST", 0.0)
    assert host.spares == 0
    source = ArraySource(picture())
    client.segment(source, request()).future.result(WAIT)
    wait_for(lambda: host.spares > 0)


def test_pixels_that_cannot_be_read_end_their_request_at_once(host: InThread) -> None:
    """The thread that computes would wait for them much longer than this test."""
    context: zmq.Context[Any] = zmq.Context()
    socket = raw_socket(context, host.start())

    def heard(kind: str) -> Message:
        while True:
            assert socket.poll(1000 * WAIT)
            message = decode(socket.recv_multipart(), REPLIES)
            if message.kind == kind:
                return message

    try:
        socket.send_multipart(encode(Message("segment", "s", request().model_dump())))
        window = heard("pull").body["window"]
        head, pixels = encode(
            Message("pixels", "s", {"window": window}, {"pixels": np.zeros(9, np.uint8)})
        )
        socket.send_multipart([head, bytes(pixels)[:-1]])
        assert "8 bytes and not 9" in heard("error").body["message"]
        socket.send_multipart(encode(Message("describe", "d")))
        assert heard("result").request == "d"
    finally:
        socket.close()
        context.term()

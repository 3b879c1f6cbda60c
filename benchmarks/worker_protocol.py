"""What the process boundary costs: messages, cancelling, a host that dies.

1. Messages alone: an image up and its labels down through encode, ZeroMQ with CURVE on the loopback
   and decode, to a process that computes nothing; and 100 MB one way, until a short answer says
   that they were decoded. Encrypted, as to a host elsewhere, and with the image in shared memory,
   as to a host of this machine.
2. Cancelling: from `Client.cancel` of a large image until the next request has been answered.
3. A host that is killed in the middle of a run: its result arrives, and is the same. And a host
   that is killed while it waits: until the next one has the model in memory.

Leaves with 1 where a repeated result differs.

    python benchmarks/worker_protocol.py [--repeats 20] [--model NAME] [--only messages cancel kill]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import zmq
from window import say_load

from napari_coseg.imaging.source import ArraySource
from napari_coseg.types import PanopticResult
from napari_coseg.weights.catalogue import DEFAULT_MODEL
from napari_coseg.worker.client import Client
from napari_coseg.worker.keys import Endpoint, KeyPair
from napari_coseg.worker.launcher import LocalHost
from napari_coseg.worker.line import Line
from napari_coseg.worker.pending import Handlers
from napari_coseg.worker.protocol import (
    MAX_ARRAY,
    REQUESTS,
    Message,
    decode,
    encode,
    smallest,
)
from napari_coseg.worker.requests import SegmentRequest
from napari_coseg.worker.shelf import ShelfReader, make_folder, remove_folder

ROUND_TRIP, ONE_WAY, CANCEL, RELOAD = 0.015, 0.25, 1.0, 1.0
PATIENCE = 300.0
SIDE, MPP, LARGE = 1024, 0.5, 100_000_000


def main() -> int:
    """Measure what was asked for; the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="of each message")
    parser.add_argument("--cancels", type=int, default=5)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--side", type=int, default=2048, help="of the image of the killed run")
    parts = ["messages", "cancel", "kill"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.echo:
        echo()
        return 0
    say_load()
    good = True
    if "messages" in given.only:
        folder = make_folder()
        for shelf in (None, folder):
            messages(given.repeats, shelf)
        remove_folder(folder)
    if "cancel" in given.only:
        cancels(given.model, given.cancels)
    if "kill" in given.only:
        good = kills(given.model, given.side)
    say_load()
    return 0 if good else 1


def line(what: str, seconds: list[float], reach: float) -> None:
    """Print the best and the median of several times."""
    best, middle = min(seconds), statistics.median(seconds)
    print(
        f"{what}: best {1000 * best:.1f} ms, median {1000 * middle:.1f} ms of {len(seconds)}; "
        f"median below {1000 * reach:.0f} ms: {'yes' if middle < reach else 'NO'} "
        f"({reach / middle:.2g} x)"
    )


def tile(side: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Return a generated image and its true objects."""
    from napari_coseg.datasets.synthetic_histology import generate_tile

    made = generate_tile(0, (side, side), MPP)
    return made.image, made.instances


# Messages: a socket that answers, in a process of its own.


def echo() -> None:
    """Answer images with labels, in the child, until its input ends."""
    host = json.loads(sys.stdin.readline())
    reader = ShelfReader(Path(host[2])) if host[2] else None
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.curve_server = True
    socket.curve_publickey, socket.curve_secretkey = host[0].encode(), host[1].encode()
    socket.maxmsgsize = MAX_ARRAY
    socket.bind("tcp://127.0.0.1:*")
    labels = tile(SIDE)[1]
    bound = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(bound, bytes)
    print(bound.rstrip(b"\0").decode(), flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        sender, *frames = socket.recv_multipart()
        message = decode(frames, REQUESTS, reader)
        if reader is not None and (blocks := reader.taken()):
            read = encode(Message("read", "", {"blocks": blocks}))
            socket.send_multipart([sender, *read])
        if message.kind == "hello":
            answer = encode(Message("welcome"))
        elif message.body.get("labels"):
            pack = bool(message.body["pack"])
            arrays = {"labels": smallest(labels) if pack else labels}
            answer = encode(Message("block", "r", {"cpu": time.process_time()}, arrays), pack=pack)
        else:
            # The sum of some bytes: the array is there and can be read.
            total = int(message.arrays["pixels"][::4096].sum())
            answer = encode(Message("block", "r", {"total": total, "cpu": time.process_time()}))
        socket.send_multipart([sender, *answer], copy=False)


def messages(repeats: int, shelf: Path | None) -> None:
    """Measure messages alone; pictures go through shared memory where there is a folder for it."""
    print(f"pictures go {'encrypted' if shelf is None else 'through shared memory'}:")
    image, labels = tile(SIDE)
    large = np.random.default_rng(0).integers(0, 256, LARGE, dtype=np.uint8)
    mine, theirs = KeyPair.new(), KeyPair.new()
    child = subprocess.Popen(
        [sys.executable, __file__, "--echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps([theirs.public, theirs.secret, str(shelf or "")]) + "\n")
    child.stdin.flush()
    connection = Line(Endpoint(child.stdout.readline().strip(), theirs.public, shelf), mine)

    def asked(body: dict[str, Any], pixels: npt.NDArray[np.uint8]) -> Message:
        connection.send(Message("pixels", "r", body, {"pixels": pixels}))
        while True:
            connection.socket.poll()
            for message in connection.receive():
                return message

    try:
        for what, pack in (("int32 as it is", False), ("packed, as the host sends it", True)):
            body = {"labels": True, "pack": pack}
            assert np.array_equal(asked(body, image).arrays["labels"], labels)
            what = f"{SIDE}² RGB up, labels down ({what})"
            exchange(what, repeats, partial(asked, body, image), ROUND_TRIP)
        exchange("100 MB one way", max(repeats // 2, 1), lambda: asked({}, large), ONE_WAY)
    finally:
        connection.close()
        child.stdin.close()
        child.wait(10)


def exchange(what: str, repeats: int, run: Callable[[], Message], reach: float) -> None:
    """Time a message and its answer, and the CPU that both processes spend on them."""
    theirs, mine = run().body["cpu"], time.process_time()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = run()
        times.append(time.perf_counter() - start)
    cpu = time.process_time() - mine + answer.body["cpu"] - theirs
    line(what, times, reach)
    print(f"    CPU of both processes together: {1000 * cpu / repeats:.1f} ms each")


# The real host.


def request(model: str, image: npt.NDArray[np.uint8]) -> SegmentRequest:
    """Ask for an image, on the CPU."""
    rows, columns = image.shape[:2]
    return SegmentRequest(model=model, shape=(rows, columns), device="cpu", mpp=MPP)


def cancels(model: str, count: int) -> None:
    """From a cancel until the next request has been answered, at different moments of a run."""
    image = np.tile(tile(SIDE)[0], (4, 4, 1))
    client = Client(LocalHost())
    assert isinstance(client.host, LocalHost)
    try:
        client.load(model, "cpu").result(PATIENCE)
        client.describe().result(PATIENCE)
        pid = client.host.pid
        times = []
        for number in range(count):
            begun = threading.Event()
            handlers = Handlers(progress=partial(signal_begin, begun))
            pending = client.segment(ArraySource(image), request(model, image), handlers)
            assert begun.wait(PATIENCE)
            time.sleep(0.5 + 0.7 * number)
            start = time.perf_counter()
            client.cancel(pending)
            client.describe().result(PATIENCE)
            times.append(time.perf_counter() - start)
        line("cancel until the next request is answered", times, CANCEL)
        print(f"the longest {1000 * max(times):.0f} ms; the same host: {client.host.pid == pid}")
    finally:
        client.close()


def kills(model: str, side: int) -> bool:
    """Kill the host while it works and while it waits; whether the repeated result is the same."""
    image = tile(side)[0]
    notices: list[str] = []
    client = Client(LocalHost(), notices.append)
    assert isinstance(client.host, LocalHost)
    try:
        start = time.perf_counter()
        client.load(model, "cpu").result(PATIENCE)
        print(f"a host from nothing to the model in memory: {time.perf_counter() - start:.2f} s")
        kill(client.host)
        start = time.perf_counter()
        client.load(model, "cpu").result(PATIENCE)
        print(f"killed while it waits, before it had a spare: {time.perf_counter() - start:.2f} s")
        times = []
        for _ in range(3):
            await_spare(client.host)
            kill(client.host)
            start = time.perf_counter()
            client.load(model, "cpu").result(PATIENCE)
            times.append(time.perf_counter() - start)
        line("killed while it waits, until the spare has the model in memory", times, RELOAD)

        await_spare(client.host)
        start = time.perf_counter()
        first = client.segment(ArraySource(image), request(model, image)).future.result(PATIENCE)
        usual = time.perf_counter() - start
        begun = threading.Event()
        handlers = Handlers(progress=partial(signal_begin, begun))
        notices.clear()
        start = time.perf_counter()
        pending = client.segment(ArraySource(image), request(model, image), handlers)
        assert begun.wait(PATIENCE)
        time.sleep(usual / 2)
        ended = pending.future.done()
        kill(client.host)
        again = pending.future.result(PATIENCE)
        seconds = time.perf_counter() - start
        same = equal(first, again)
        print(
            f"killed in the middle of a run (ended before: {ended}): {seconds:.1f} s instead of "
            f"{usual:.1f} s, the same layers and objects: {same}; said: {notices}"
        )
        return same and not ended
    finally:
        client.close()


def signal_begin(begun: threading.Event, done: int, total: int) -> None:
    """Note that a run has begun."""
    begun.set()


def await_spare(host: LocalHost) -> None:
    """Wait until there is a spare process and it has imported what it needs."""
    while host.spare_pid is None:
        time.sleep(0.1)
    spare, before = psutil.Process(host.spare_pid), -1.0
    while spare.cpu_times().user - before > 0.02:
        before = spare.cpu_times().user
        time.sleep(1)


def kill(host: LocalHost) -> None:
    """End the host's process as the system does when memory is short."""
    pid = host.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def equal(first: PanopticResult, second: PanopticResult) -> bool:
    """Whether two results have the same layers and objects."""
    assert first.instances is not None
    assert second.instances is not None
    if first.regions is None or second.regions is None:
        regions = first.regions is second.regions
    else:
        regions = np.array_equal(first.regions, second.regions)
    instances = np.array_equal(first.instances, second.instances)
    return regions and instances and first.objects.equals(second.objects)


if __name__ == "__main__":
    sys.exit(main())

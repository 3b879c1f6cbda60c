from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_coseg.types import CosegError
from napari_coseg.weights import catalogue, fetching
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.catalogue import PublicWeights
from tests.weights.test_card import write_safetensors

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: more than two chunks


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; can break off, ignore ranges, or send something else."""

    content = CONTENT
    stop_after: int | None = None
    ranges = True
    asked: list[str | None]

    def __init__(self) -> None:
        self.asked = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path != "/weights.pth":
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        stop = self.server.stop_after
        self.wfile.write(body if stop is None else body[:stop])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def offer(
    monkeypatch: pytest.MonkeyPatch, url: str, *, size: int | None, sha256: str | None
) -> PublicWeights:
    entry = PublicWeights("thing", url, size, sha256, "MIT", "a thing", "here")
    for module in (catalogue, fetching):
        monkeypatch.setattr(module, "PUBLIC", (entry,))
    return entry


@pytest.fixture
def entry(server: Server, monkeypatch: pytest.MonkeyPatch) -> PublicWeights:
    return offer(
        monkeypatch,
        f"http://127.0.0.1:{server.server_address[1]}/weights.pth",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".part-*"))


def test_fetch_checks_and_keeps_the_file(
    server: Server, entry: PublicWeights, folder: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetching.fetch("thing", progress=lambda done, total: seen.append((done, total)))
    assert path == folder / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 1
    assert parts(folder) == []
    assert catalogue.find_weights("thing") == path
    # What is there is checked again, and not asked for again.
    assert fetching.fetch("thing") == path
    assert server.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_interrupted_download_goes_on(
    server: Server, entry: PublicWeights, folder: Path, ranges: bool
) -> None:
    server.stop_after = 1_500_000
    with pytest.raises(CosegError, match="run the same command again"):
        fetching.fetch("thing")
    assert not (folder / "weights.pth").exists()
    (part,) = parts(folder)
    kept = part.stat().st_size
    assert 0 < kept <= 1_500_000
    server.stop_after = None
    server.ranges = ranges
    assert fetching.fetch("thing").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={kept}-"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(CONTENT[:-1], "bytes, not"), (CONTENT + b"x", "bytes, not"), (CONTENT[::-1], "SHA-256")],
)
def test_another_file_than_promised_is_thrown_away(
    server: Server, entry: PublicWeights, folder: Path, content: bytes, says: str
) -> None:
    server.content = content
    with pytest.raises(CosegError, match=says):
        fetching.fetch("thing")
    assert list(folder.iterdir()) == []


def test_server_says_no(server: Server, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}/moved.pth"
    offer(monkeypatch, url, size=1, sha256="0" * 64)
    with pytest.raises(CosegError, match="answered 404"):
        fetching.fetch("thing")
    assert list(folder.iterdir()) == []


def test_offline(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with socket.socket() as held:  # a port where nobody listens
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/weights.pth"
        offer(monkeypatch, url, size=1, sha256="0" * 64)
        with pytest.raises(CosegError, match=r"Cannot reach 127\.0\.0\.1.*models import"):
            fetching.fetch("thing")
    assert list(folder.iterdir()) == []


def test_unconfirmed_entry_needs_consent_and_never_resumes(
    server: Server, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}/weights.pth"
    offer(monkeypatch, url, size=None, sha256=None)
    with pytest.raises(CosegError, match="--accept-unverified"):
        fetching.fetch("thing")
    assert server.asked == []
    folder.mkdir()
    (folder / ".part-weights.pth").write_bytes(b"old")
    path = fetching.fetch("thing", accept_unverified=True)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None]


def test_names_that_cannot_be_fetched(folder: Path, card: ModelCard) -> None:
    with pytest.raises(CosegError, match="there are: sam-vit-b"):
        fetching.fetch("nothing")
    folder.mkdir()
    write_safetensors(folder / "mine.safetensors", {"coseg": card.to_json()})
    with pytest.raises(CosegError, match="nothing to fetch"):
        fetching.fetch("mine")


def test_full_disk_is_told_from_a_broken_connection(
    entry: PublicWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(CosegError, match=r"Cannot write .*No space left"):
        fetching.fetch("thing")


def test_import_of_public_weights_goes_by_hash(
    entry: PublicWeights, tmp_path: Path, folder: Path
) -> None:
    source = tmp_path / "renamed.bin"
    source.write_bytes(CONTENT)
    path = fetching.import_file(source)
    assert path == folder / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert fetching.import_file(source, "thing") == path
    with pytest.raises(CosegError, match="cannot be imported as other"):
        fetching.import_file(source, "other")
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(CONTENT[1:])
    with pytest.raises(CosegError, match="is not thing: its SHA-256"):
        fetching.import_file(wrong, "thing")
    with pytest.raises(CosegError, match="by their hash"):
        fetching.import_file(wrong)
    with pytest.raises(CosegError, match="no weights file"):
        fetching.import_file(tmp_path / "missing.pth")


def test_import_of_our_own_file(tmp_path: Path, folder: Path, card: ModelCard) -> None:
    source = write_safetensors(tmp_path / "run7.safetensors", {"coseg": card.to_json()})
    path = fetching.import_file(source)
    assert path == folder / "tiny.safetensors"
    assert fetching.import_file(source) == path
    other = write_safetensors(
        tmp_path / "run8.safetensors", {"coseg": card.to_json()}, shape=(5, 5)
    )
    with pytest.raises(CosegError, match="other content"):
        fetching.import_file(other)
    assert fetching.import_file(other, "run-8") == folder / "run-8.safetensors"
    for bad in ("../up", "sam-vit-b", ""):
        with pytest.raises(CosegError):
            fetching.import_file(other, bad)
    foreign = write_safetensors(tmp_path / "foreign.safetensors", None)
    with pytest.raises(CosegError, match="holds no model card"):
        fetching.import_file(foreign)
    cut = write_safetensors(tmp_path / "cut.safetensors", {"coseg": card.to_json()}, cut=3)
    with pytest.raises(CosegError, match="cut off"):
        fetching.import_file(cut)
    newer = card.model_copy(update={"format": 99})
    with pytest.raises(CosegError, match="newer"):
        fetching.import_file(
            write_safetensors(tmp_path / "new.safetensors", {"coseg": newer.to_json()}), "new"
        )


def test_bundled_names_are_not_taken(
    tmp_path: Path, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_safetensors(tmp_path / "x.safetensors", {"coseg": card.to_json()})
    monkeypatch.setattr(fetching, "bundled_models", lambda: {"tiny": source})
    with pytest.raises(CosegError, match="name of a model in the catalogue"):
        fetching.import_file(source)

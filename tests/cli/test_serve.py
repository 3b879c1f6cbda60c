"""``napari-coseg serve``: invitations, and a real host that lets in who was invited."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_coseg.cli.main import main
from napari_coseg.types import CosegError
from napari_coseg.worker import connection as client_module
from napari_coseg.worker.client import Client
from napari_coseg.worker.keys import ClientFolder, Endpoint, KeyPair, read_invitation
from napari_coseg.worker.launcher import RemoteHost


def serve(keys: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["serve", "--keys", str(keys), *words])
    return int(left.value.code or 0)


def test_invitations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(tmp_path) == 2
    assert "--invite" in capsys.readouterr().err
    assert serve(tmp_path, "--invite", "laptop", "--public", "tcp://gpu:1234") == 0
    path = tmp_path / "clients" / "laptop.json"
    endpoint, keys = read_invitation(path)
    assert endpoint.address == "tcp://gpu:1234"
    assert keys.secret not in capsys.readouterr().out
    clients = ClientFolder(tmp_path / "clients")
    assert keys.public in clients
    assert endpoint.public not in clients
    assert serve(tmp_path, "--invite", "laptop") == 2
    assert serve(tmp_path, "--invite", "../laptop") == 2
    # Who is struck off the list is out, without a new start.
    path.unlink()
    assert keys.public not in clients


def test_a_host_serves_who_was_invited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve(tmp_path, "--invite", "laptop") == 0
    words = ["serve", "--keys", str(tmp_path), "--address", "tcp://127.0.0.1:*"]
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_coseg", *words],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        invited, keys = read_invitation(tmp_path / "clients" / "laptop.json")
        here = Endpoint(address, invited.public)
        welcome = Client(RemoteHost(here, keys))
        try:
            assert "torch" in welcome.describe().result(200)
        finally:
            welcome.close()
        # The host stays when a client leaves; strangers stay out.
        monkeypatch.setattr(client_module, "WELCOME", 1.0)
        stranger = Client(RemoteHost(here, KeyPair.new()))
        try:
            with pytest.raises(CosegError, match="does not answer"):
                stranger.describe().result(60)
        finally:
            stranger.close()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_an_address_that_cannot_be_listened_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve(tmp_path, "--invite", "laptop") == 0
    assert serve(tmp_path, "--address", "tcp://nowhere.invalid:1") == 2
    assert "Cannot listen" in capsys.readouterr().err

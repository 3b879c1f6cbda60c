"""Keys: they stay secret, and files of others are refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from napari_coseg.types import CosegError
from napari_coseg.worker.keys import (
    Endpoint,
    KeyPair,
    is_key,
    read_invitation,
    read_pair,
    write_invitation,
    write_pair,
)


def test_pairs_differ_and_do_not_show_their_secret() -> None:
    first, second = KeyPair.new(), KeyPair.new()
    assert first != second
    assert is_key(first.public)
    assert is_key(first.secret)
    assert first.secret not in repr(first)


@pytest.mark.parametrize("value", ["", "x" * 39, " " * 40, None, 7, "é" * 40])
def test_what_is_no_key(value: object) -> None:
    assert not is_key(value)


@pytest.mark.skipif(sys.platform == "win32", reason="modes are Unix's")
def test_only_the_owner_can_read_a_pair(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = KeyPair.new()
    write_pair(path, keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_pair(path) == keys
    path.chmod(0o644)
    with pytest.raises(CosegError, match="chmod 600"):
        read_pair(path)


def test_an_invitation_says_where_and_who(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    keys, endpoint = KeyPair.new(), Endpoint("tcp://gpu:5555", KeyPair.new().public)
    write_invitation(path, endpoint, keys)
    assert read_invitation(path) == (endpoint, keys)


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"public": "a", "secret": "b"})])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CosegError, match="key"):
        read_invitation(path)
    with pytest.raises(CosegError, match="no key file"):
        read_pair(tmp_path / "missing.json")

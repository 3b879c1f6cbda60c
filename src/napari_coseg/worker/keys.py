"""CURVE keys: who may talk to a host. Torch-free.

CurveZMQ (rfc.zeromq.org/spec/26) encrypts and authenticates each connection; the host lets in the
public keys of its list alone (ZAP, rfc.zeromq.org/spec/27). Keys travel by standard input or by
files that only their owner may read, never in arguments, which every user of a machine can see.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from napari_coseg.imaging.files import atomic_path
from napari_coseg.types import CosegError

#: ZAP domain of hosts.
DOMAIN = "napari-coseg"


@dataclass(frozen=True)
class KeyPair:
    """A public and a secret key, each 40 characters of Z85."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> KeyPair:
        """Make a pair."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())

    def __repr__(self) -> str:
        # A secret must not reach a log.
        return f"KeyPair(public={self.public!r})"


@dataclass(frozen=True)
class Endpoint:
    """Where a host is, and which key it must show.

    Attributes
    ----------
    address : str
        As ZeroMQ has it, for example ``"tcp://127.0.0.1:40123"``.
    public : str
        The host's public key.
    shelf : Path or None
        Folder for large arrays, of a host on the same machine that was started with it.
    """

    address: str
    public: str
    shelf: Path | None = None


def is_key(text: Any) -> bool:
    """Whether a value has the form of a key."""
    if not isinstance(text, str) or len(text) != 40:
        return False
    try:
        z85.decode(text.encode())
    except (ValueError, KeyError, UnicodeEncodeError):
        return False
    return True


def write_pair(path: Path, keys: KeyPair) -> None:
    """Write a pair to a file that only its owner may read."""
    with atomic_path(path) as part:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"public": keys.public, "secret": keys.secret}, file)


def read_pair(path: Path) -> KeyPair:
    """Read a pair.

    Raises
    ------
    CosegError
        If the file is missing, no pair, or may be read by other users.
    """
    values = _read(path)
    if not is_key(values.get("public")) or not is_key(values.get("secret")):
        raise CosegError(f"{path} holds no pair of keys.")
    if sys.platform != "win32" and path.stat().st_mode & 0o077:
        raise CosegError(f"{path} can be read by other users: run chmod 600 on it.")
    return KeyPair(values["public"], values["secret"])


def write_invitation(path: Path, endpoint: Endpoint, keys: KeyPair) -> None:
    """Write what a client needs to reach a host, to a file that only its owner may read."""
    with atomic_path(path) as part:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(
                {
                    "address": endpoint.address,
                    "host": endpoint.public,
                    "public": keys.public,
                    "secret": keys.secret,
                },
                file,
                indent=2,
            )


def read_invitation(path: Path) -> tuple[Endpoint, KeyPair]:
    """Read what `write_invitation` wrote.

    Raises
    ------
    CosegError
        If the file is missing, of another kind, or may be read by other users.
    """
    values = _read(path)
    keys = read_pair(path)
    if not isinstance(values.get("address"), str) or not is_key(values.get("host")):
        raise CosegError(f"{path} does not say where a host is: make it with napari-coseg serve.")
    return Endpoint(values["address"], values["host"]), keys


class ClientFolder:
    """Public keys of the clients whose files lie in a folder; looked up anew each time.

    So a client that is invited, or whose file is deleted, needs no new start of the host.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, key: object) -> bool:
        return key in self._keys()

    def __len__(self) -> int:
        return len(self._keys())

    def _keys(self) -> set[str]:
        found = set()
        for path in self._folder.glob("*.json"):
            # A file that is being changed, or is broken, lets nobody in and keeps nobody out.
            with contextlib.suppress(CosegError, OSError):
                found.add(read_pair(path).public)
        return found


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CosegError(f"There is no key file {path}.") from error
    except (OSError, ValueError) as error:
        raise CosegError(f"{path} cannot be read as a key file.") from error
    if not isinstance(values, dict):
        raise CosegError(f"{path} is no key file.")
    return values

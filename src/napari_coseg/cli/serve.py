"""``napari-coseg serve``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from napari_coseg.types import CosegError

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def serve(
    address: Annotated[
        str, typer.Option(help="Where to listen; tcp://0.0.0.0:5577 takes other machines too.")
    ] = "tcp://127.0.0.1:5577",
    invite: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write a key file for a client of this name, and stop."),
    ] = None,
    public: Annotated[
        str | None,
        typer.Option(help="With --invite: how clients reach this machine, tcp://NAME:5577."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Folder of the keys; by default in your own settings.")
    ] = None,
) -> None:
    """Run the model worker for napari on other machines.

    Each client needs a key file, which --invite writes: copy it to the client's machine and name
    it there in napari's preferences (Co-Seg). Nobody without one can connect.
    """
    from napari_coseg.worker.keys import (
        ClientFolder,
        Endpoint,
        KeyPair,
        read_pair,
        write_invitation,
        write_pair,
    )

    folder = keys or platformdirs.user_config_path("napari-coseg") / "serve"
    clients = folder / "clients"
    clients.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = folder / "host.json"
    if not own.exists():
        write_pair(own, KeyPair.new())
    pair = read_pair(own)
    if invite is not None:
        if not re.match(_NAME, invite):
            raise CosegError(f"A client's name has letters, digits, dots and dashes: {invite!r}.")
        path = clients / f"{invite}.json"
        if path.exists():
            raise CosegError(f"{path} is there already: choose another name, or delete it.")
        write_invitation(path, Endpoint(public or address, pair.public), KeyPair.new())
        print(
            f"Wrote {path}. It is as secret as a password: copy it to the client's machine by a "
            "safe way, and name it there in napari's preferences, Co-Seg, Remote host."
        )
        return
    allowed = ClientFolder(clients)
    if not len(allowed):
        raise CosegError("Nobody may connect yet: make a key file with --invite NAME first.")
    import zmq

    from napari_coseg.worker.engine import Engine
    from napari_coseg.worker.host import Host

    try:
        host = Host(pair, allowed, address, engine=Engine(spare_core=False), stay=True)
    except zmq.ZMQError as error:
        raise CosegError(f"Cannot listen at {address}: {error}.") from error
    print(
        f"Serving at {host.endpoint.address} for {len(allowed)} clients. Ctrl-C ends.", flush=True
    )
    host.run()

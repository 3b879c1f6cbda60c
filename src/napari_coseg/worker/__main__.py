"""The host's process: ``python -P -m napari_coseg.worker``, started by `launcher`.

The first line of standard input is JSON with the client's public key, whether torch is to be
imported before anything is asked for, and the folder for large arrays; the first line of standard
output is JSON with the address and the host's public key. Afterwards standard input stays open as
long as the client lives: its end is the host's end, however the client went.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from napari_coseg.worker.collecting import collect_seldom
from napari_coseg.worker.host import Host
from napari_coseg.worker.keys import KeyPair, is_key
from napari_coseg.worker.shelf import remove_folder
from napari_coseg.worker.waiting import share_cores


def _leave_with_client(shelf: Path | None) -> None:
    # Blocks until the client closes its end, or the system does so for it.
    while sys.stdin.buffer.read(4096):
        pass
    # A client that was killed could not.
    remove_folder(shelf)
    os._exit(0)


def main() -> int:
    """Run a host for one client."""
    share_cores()
    collect_seldom()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # Ctrl-C in a terminal goes to the client's whole group; the client says what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        words = json.loads(sys.stdin.buffer.readline())
        client, warm = words.get("client"), bool(words.get("warm"))
        shelf = Path(words["shelf"]) if words.get("shelf") else None
    except (ValueError, AttributeError):
        client, warm, shelf = None, False, None
    if not is_key(client):
        print("This is the model worker of napari-coseg, which starts it itself.", file=sys.stderr)
        return 2
    host = Host(KeyPair.new(), [client], warm=warm, shelf=shelf)
    report = {"address": host.endpoint.address, "public": host.endpoint.public}
    print(json.dumps(report), flush=True)
    threading.Thread(target=_leave_with_client, args=(shelf,), name="stdin", daemon=True).start()
    host.run()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Without a wait for threads of libraries that may still be at work.
    os._exit(code)

"""Starts the host's process and ends it. Torch-free."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

import psutil

from napari_coseg.types import CosegError
from napari_coseg.worker.keys import Endpoint, KeyPair, is_key
from napari_coseg.worker.shelf import make_folder, remove_folder

_log = logging.getLogger(__name__)

#: Seconds until a host must have reported; a cold disk makes Python's start slow.
START_TIME = 60.0
_NICENESS = 5
# A spare process is kept where so many bytes of memory are free.
_SPARE_MEMORY = 4 << 30


class _Process:
    """A host's process, from its start to its end.

    Parameters
    ----------
    keys : KeyPair
        Of the one client that it serves.
    warm : bool
        Whether it imports torch before it is asked for anything.
    """

    def __init__(self, keys: KeyPair, *, warm: bool = False) -> None:
        self._last_words: deque[str] = deque(maxlen=20)
        lower = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # Windows alone has it
        # A new session: Ctrl-C in the terminal of a script is for the script.
        self._process = process = subprocess.Popen(
            # -P: a file torch.py in the folder where a person works must not be imported.
            [sys.executable, "-P", "-m", "napari_coseg.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=lower,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stderr is not None
        _lower_priority(process.pid)
        threading.Thread(target=self._listen, args=(process.stderr,), daemon=True).start()
        self._shelf = make_folder()
        shelf = str(self._shelf) if self._shelf is not None else None
        words = {"client": keys.public, "warm": warm, "shelf": shelf}
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(words).encode() + b"\n")
            process.stdin.flush()

    def report(self) -> Endpoint:
        """Wait for its report.

        Raises
        ------
        CosegError
            If it ends, or says nothing, before it is there; it is killed then.
        """
        process = self._process
        assert process.stdout is not None
        # Ends the wait for a report that never comes.
        watch = threading.Timer(START_TIME, process.kill)
        watch.daemon = True
        watch.start()
        try:
            report = json.loads(process.stdout.readline() or b"null")
        except (OSError, ValueError):
            report = None
        finally:
            watch.cancel()
        if not isinstance(report, dict) or not is_key(report.get("public")):
            self.kill()
            raise CosegError(f"The model worker does not start: {self.last_words()}")
        threading.Thread(target=self._listen, args=(process.stdout,), daemon=True).start()
        return Endpoint(str(report["address"]), str(report["public"]), self._shelf)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        return " ".join(list(self._last_words)[-3:]) or "it said nothing."

    def kill(self) -> None:
        process = self._process
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        remove_folder(self._shelf)

    def _listen(self, stream: IO[bytes]) -> None:
        # A pipe that nobody empties would stop the host once it is full.
        with contextlib.suppress(OSError, ValueError):
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                self._last_words.append(text)
                _log.debug("worker: %s", text)


class LocalHost:
    """A host on this machine, at lower priority, that lives no longer than this process.

    Attributes
    ----------
    keys : KeyPair
        The client's; made here, known to this host alone.
    """

    #: A host of ours can be killed and started again.
    can_restart = True

    def __init__(self) -> None:
        self.keys = KeyPair.new()
        self._process: _Process | None = None
        self._spare: _Process | None = None
        self._words = ""

    def start(self) -> Endpoint:
        """Start the process, or take the spare one, and wait for its report.

        Raises
        ------
        CosegError
            If it ends, or says nothing, before it is there.
        """
        self.kill()
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                # Its report stands in the pipe even when it has gone since.
                endpoint = spare.report()
            except CosegError:
                endpoint = None
            if endpoint is not None and spare.alive:
                self._process = spare
                return endpoint
            spare.kill()
            _log.debug("The spare model worker had gone: %s", spare.last_words())
        self._process = _Process(self.keys)
        try:
            return self._process.report()
        except CosegError:
            self.kill()
            raise

    def keep_spare(self) -> None:
        """Have a second process ready, torch imported, in case that the first one is lost.

        It takes about half a gigabyte, so that a machine that is short of memory has none.
        Returns at once.
        """
        # One that has gone by itself would go again.
        if self._spare is not None or psutil.virtual_memory().available < _SPARE_MEMORY:
            return
        try:
            self._spare = _Process(self.keys, warm=True)
        except OSError as error:
            _log.debug("There is no spare model worker: %s", error)

    @property
    def pid(self) -> int | None:
        """Number of the process, None where none runs."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    @property
    def spare_pid(self) -> int | None:
        """Number of the spare process, None where there is none."""
        return self._spare.pid if self._spare is not None else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.alive

    def last_words(self) -> str:
        """Return the end of what it said on standard error."""
        return self._process.last_words() if self._process is not None else self._words

    def kill(self) -> None:
        """End the process at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            self._words = process.last_words()

    def close(self) -> None:
        """End the process, and the spare one."""
        self.kill()
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.kill()


class RemoteHost:
    """A host that runs elsewhere (``napari-coseg serve``).

    Parameters
    ----------
    endpoint : Endpoint
    keys : KeyPair
        The client's, which the host must know.
    """

    can_restart = False

    def __init__(self, endpoint: Endpoint, keys: KeyPair) -> None:
        self.keys = keys
        self._endpoint = endpoint

    def start(self) -> Endpoint:
        """Return where it is."""
        return self._endpoint

    @property
    def alive(self) -> bool:
        """What can be known without asking it."""
        return True

    def last_words(self) -> str:
        """Return where it was looked for."""
        return f"no answer from {self._endpoint.address}."

    def keep_spare(self) -> None:
        """Do nothing: it is not ours."""

    def kill(self) -> None:
        """Do nothing: it is not ours."""

    def close(self) -> None:
        """Do nothing: it is not ours."""


def _lower_priority(pid: int) -> None:
    if sys.platform != "win32":
        # Where the system forbids it, the worker is no worse than any other program.
        with contextlib.suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, pid, own + _NICENESS)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            # It does not take the processor from a window that has just woken up.
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
        # Desktops share the processor among sessions first, and a session of its own would have
        # as much as napari's whatever its niceness (sched(7), autogroup).
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(_NICENESS), encoding="ascii")

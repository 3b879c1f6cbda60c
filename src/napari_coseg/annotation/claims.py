"""Who has a case of a shared queue, and what is published of it: a chain of files a case.

Each step of a case, taken, published, given back, is a file ``KEY-TURN.json`` with the next
number, and the file with the highest number counts. A file is made once (`create_once`), so of
two programs that want to make the same step one alone succeeds: who publishes cannot do so after
somebody else has taken the case over, not even in the moment between looking and writing. No file
is ever changed.

Whether the program that has a case still lives is `claim_watch`'s.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_coseg.annotation.queue_store import FAILED, STATUSES, TO_DO
from napari_coseg.annotation.share_files import FORMAT, create_once
from napari_coseg.annotation.snapshots import Snapshot
from napari_coseg.types import CosegError

#: Steps of a chain that are kept behind its last one.
_KEPT = 8
_NAME = re.compile(r"([0-9a-f]+)-([0-9]{9})\.json")


@dataclass(frozen=True)
class Published:
    """What all know of a case.

    Attributes
    ----------
    status : str
    note : str
    seconds : float
        How long people worked at it.
    labels : mapping of str to Snapshot
        By ``"objects"`` and ``"regions"``; what is missing was never begun.
    by : str
        Name of who published it.
    """

    status: str = TO_DO
    note: str = ""
    seconds: float = 0.0
    labels: Mapping[str, Snapshot] = field(default_factory=dict)
    by: str = ""


@dataclass(frozen=True)
class Step:
    """One step of a case.

    Attributes
    ----------
    turn : int
        Its number, from 1; 0 is a case that nobody ever took.
    token : str
        Random, of the claim; empty where nobody has the case.
    seat, name : str
        Of the program that made the step, and what its person is called.
    state : Published
    old : tuple of str
        Files of labels that were published before these.
    closed : str
        Token of the claim that ended with this step.
    """

    turn: int = 0
    token: str = ""
    seat: str = ""
    name: str = ""
    state: Published = field(default_factory=Published)
    old: tuple[str, ...] = ()
    closed: str = ""


def chain_key(case_key: str) -> str:
    """Return what a case is known by on the share, however a system spells its path."""
    plain = unicodedata.normalize("NFC", case_key)
    return hashlib.blake2b(plain.encode(), digest_size=8).hexdigest()


class Chains:
    """The chains of all cases, in one folder.

    Parameters
    ----------
    folder : Path
        It must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def turns(self) -> dict[str, list[int]]:
        """Return the numbers of the steps of each case, in their order.

        Raises
        ------
        OSError
            If the folder is gone.
        """
        found: dict[str, list[int]] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match:
                    found.setdefault(match[1], []).append(int(match[2]))
        return {key: sorted(turns) for key, turns in found.items()}

    def read(self, key: str, turns: list[int]) -> tuple[Step, bool]:
        """Return the last step of a case.

        Parameters
        ----------
        key : str
        turns : list of int
            Its steps.

        Returns
        -------
        Step
        bool
            Whether it could be read. A file that is not whole yet, or never became so since its
            program died, is a claim of nobody known: the state is that of the step before.

        Raises
        ------
        OSError
            If the folder is gone.
        CosegError
            If it was made by a newer version.
        """
        for turn in reversed(turns):
            try:
                step = _from_json(self._path(key, turn).read_bytes(), turn)
            except FileNotFoundError:
                # Cleared away meanwhile, with the whole folder or since there is a later one.
                self._folder.stat()
                continue
            if step is not None:
                whole = turn == turns[-1]
                unknown = dataclasses.replace(step, turn=turns[-1], token="?", seat="", name="?")
                return (step, True) if whole else (unknown, False)
        return (Step(turns[-1], "?", "", "?"), False) if turns else (Step(), True)

    def last(self, key: str) -> tuple[Step, bool]:
        """Return the last step of a case as it is now; as `read`."""
        return self.read(key, self.turns().get(key, []))

    def closing(self, key: str, token: str) -> Step | None:
        """Return the step that ended a claim, None where it is not known any more.

        Raises
        ------
        OSError
            If the folder is gone.
        """
        for turn in reversed(self.turns().get(key, [])):
            step, whole = self.read(key, [turn])
            if whole and step.closed == token:
                return step
        return None

    def add(self, key: str, step: Step) -> bool:
        """Make the next step of a case, unless somebody else did; whether it was made.

        Raises
        ------
        OSError
            If the folder is gone or full. The step may or may not be made then.
        """
        path = self._path(key, step.turn)
        if not create_once(path, _to_json(step)):
            return False
        turns = self.turns().get(key, [])
        if turns and turns[-1] >= step.turn + _KEPT:
            # This program slept for long: the step had been made, and was cleared away since.
            with contextlib.suppress(OSError):
                path.unlink()
            return False
        for turn in turns:
            if turn <= step.turn - _KEPT:
                with contextlib.suppress(OSError):
                    self._path(key, turn).unlink()
        return True

    def _path(self, key: str, turn: int) -> Path:
        return self._folder / f"{key}-{turn:09}.json"


def _to_json(step: Step) -> bytes:
    return json.dumps({"format": FORMAT, **dataclasses.asdict(step)}).encode()


def _from_json(data: bytes, turn: int) -> Step | None:
    """Return a step, None where the file is not whole."""
    try:
        plain = json.loads(data)
        if int(plain["format"]) > FORMAT:
            raise CosegError(
                "Somebody uses a newer napari-coseg with this shared queue: update napari-coseg."
            )
        step = _step(plain)
    except (ValueError, TypeError, KeyError, UnicodeDecodeError):
        return None
    return step if step.turn == turn else None


def _step(plain: Mapping[str, Any]) -> Step:
    state = plain["state"]
    labels = {str(role): Snapshot(**told) for role, told in state["labels"].items()}
    status = str(state["status"])
    if status not in STATUSES or status == FAILED:
        raise ValueError(status)
    return Step(
        int(plain["turn"]),
        str(plain["token"]),
        str(plain["seat"]),
        str(plain["name"]),
        Published(status, str(state["note"]), float(state["seconds"]), labels, str(state["by"])),
        tuple(str(name) for name in plain["old"]),
        str(plain["closed"]),
    )

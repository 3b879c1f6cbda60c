"""What one program remembers, on its own disk, of its part in a shared queue."""

from __future__ import annotations

import dataclasses
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_coseg.annotation.share_files import FORMAT
from napari_coseg.annotation.snapshots import Snapshot
from napari_coseg.imaging.files import atomic_path
from napari_coseg.types import CosegError

FILE = "shared.json"
#: A claim was asked for and may have been got; the case is open, or was when the program died; it
#: was left, and waits to be published.
ASKED, HELD, LEFT = "asked", "held", "left"


@dataclass(frozen=True)
class Known:
    """What is remembered of a case.

    Attributes
    ----------
    token : str
        Of the claim; empty where there is none.
    phase : str
        ``"asked"``, ``"held"`` or ``"left"``, of the claim.
    base : dict of str to Snapshot, or None
        What the journals on this disk came from or were published as. None where that is not
        known: they were drawn before the queue was shared.
    """

    token: str = ""
    phase: str = ""
    base: dict[str, Snapshot] | None = None


class Ledger:
    """The file of what is remembered; every change is on the disk when the call returns.

    Parameters
    ----------
    home : Path
        Folder of the queue's own files, which one program at a time uses.
    share_id : str
        Of the share. Where it is another one than before, what was remembered of claims counts for
        nothing, and labels on this disk are unpublished work.

    Attributes
    ----------
    seat : str
        By which this program is known on the share.
    name : str
        What its person is called there; empty where nobody said.

    Raises
    ------
    CosegError
        If the file cannot be read or written.
    """

    def __init__(self, home: Path, share_id: str) -> None:
        self._path = home / FILE
        self._share = share_id
        self._cases: dict[str, Known] = {}
        self.seat, self.name = secrets.token_hex(8), ""
        if self._path.exists():
            try:
                plain = json.loads(self._path.read_text(encoding="utf-8"))
                self._take(plain)
            except OSError as error:
                raise CosegError(f"{self._path} cannot be read ({error.strerror}).") from error
            except (ValueError, TypeError, KeyError) as error:
                raise CosegError(
                    f"The file {self._path} is damaged: move it away and open the folder again. "
                    "Labels on this disk that differ from those of the others are kept as copies "
                    "then."
                ) from error
        self._write()

    def case(self, key: str) -> Known:
        """Return what is remembered of a case."""
        return self._cases.get(key, Known())

    def claims(self) -> dict[str, Known]:
        """Return the cases that this program has or asked for."""
        return {key: known for key, known in self._cases.items() if known.token}

    def put(self, key: str, known: Known) -> None:
        """Remember something of a case.

        Raises
        ------
        CosegError
            If it cannot be written.
        """
        if known != self.case(key):
            self._cases[key] = known
            self._write()

    def rename(self, name: str) -> None:
        """Remember what the person is called."""
        if name != self.name:
            self.name = name
            self._write()

    def _take(self, plain: dict[str, Any]) -> None:
        if int(plain["format"]) > FORMAT:
            raise CosegError(
                f"{self._path} was made by a newer napari-coseg; update napari-coseg to open it."
            )
        self.seat, self.name = str(plain["seat"]), str(plain["name"])
        if plain["share"] != self._share:
            return
        for key, told in plain["cases"].items():
            base = told["base"]
            if base is not None:
                base = {str(role): Snapshot(**one) for role, one in base.items()}
            self._cases[key] = Known(str(told["token"]), str(told["phase"]), base)

    def _write(self) -> None:
        plain = {
            "format": FORMAT,
            "share": self._share,
            "seat": self.seat,
            "name": self.name,
            "cases": {key: dataclasses.asdict(known) for key, known in self._cases.items()},
        }
        try:
            with atomic_path(self._path) as part:
                part.write_text(json.dumps(plain), encoding="utf-8")
        except OSError as error:
            raise CosegError(f"{self._path} cannot be written ({error.strerror}).") from error

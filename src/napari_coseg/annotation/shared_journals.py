"""The journals of a shared queue on one's own disk, and what of them is on the share."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from napari_coseg.annotation.claims import Published, chain_key
from napari_coseg.annotation.places import SUFFIX
from napari_coseg.annotation.queue_places import labels_file
from napari_coseg.annotation.share_files import Share, create_once
from napari_coseg.annotation.shared_ledger import Ledger
from napari_coseg.annotation.snapshots import (
    Snapshot,
    copy_journal,
    fetch_snapshot,
    mark_of,
    put_snapshot,
    remove_journal,
)
from napari_coseg.annotation.suggestions import is_suggestion

ROLES = ("objects", "regions")


class SharedJournals:
    """Brings journals, which nobody may have open, to the share and from it.

    Errors are those of `put_snapshot` and `fetch_snapshot`.

    Parameters
    ----------
    share : Share
    home : Path
        Folder of the queue's own files on this machine.
    ledger : Ledger
    """

    def __init__(self, share: Share, home: Path, ledger: Ledger) -> None:
        self._share = share
        self._home = home
        self._ledger = ledger

    def marks(self, case_key: str) -> dict[str, str]:
        """Return what changes with the journals of a case; empty texts where nothing was drawn."""
        return {role: mark_of(labels_file(self._home, case_key, role)) for role in ROLES}

    def is_work(self, case_key: str, role: str) -> bool:
        """Whether a journal holds more than what a model suggested."""
        return not is_suggestion(labels_file(self._home, case_key, role))

    def publish(self, case_key: str, base: dict[str, Snapshot] | None) -> dict[str, Snapshot]:
        """Copy what changed to the share; what is to be published."""
        labels = {}
        for role in ROLES:
            journal = labels_file(self._home, case_key, role)
            mark = mark_of(journal)
            had = (base or {}).get(role)
            if had is not None and had.file and mark in ("", had.mark):
                labels[role] = had
            elif mark:
                labels[role] = put_snapshot(
                    journal, self._share.labels, chain_key(case_key), role, mark
                )
        return labels

    def bring(
        self, case_key: str, state: Published, base: dict[str, Snapshot] | None
    ) -> dict[str, Snapshot] | None:
        """Bring the journals to what is published; what they come from then.

        Work on this disk that nobody knows of, which there should not be, becomes a copy first;
        from before the queue was shared, it stays where nothing else was published. What a model
        suggested here, and nobody has touched, is no work.
        """
        marks = self.marks(case_key)
        had = base or {}
        if base is None and not state.labels and any(marks.values()):
            return None
        unknown = [
            role
            for role in ROLES
            if self.is_work(case_key, role)
            and marks[role]
            not in ("", *(one[role].mark for one in (had, state.labels) if role in one))
        ]
        if unknown:
            self.copy(case_key, secrets.token_hex(4), None)
        for role in ROLES:
            journal = labels_file(self._home, case_key, role)
            wanted = state.labels.get(role)
            if wanted is None:
                remove_journal(journal)
            elif had.get(role) != wanted or marks[role] != wanted.mark:
                fetch_snapshot(wanted, self._share.labels, journal)
        return dict(state.labels)

    def copy(self, case_key: str, mark: str, facts: Published | None) -> Path:
        """Keep the journals of this disk in ``conflicts``; the file that tells of it."""
        stem = f"{chain_key(case_key)}-{self._ledger.seat}-{mark}"
        files = {}
        for role in ROLES:
            journal = labels_file(self._home, case_key, role)
            if mark_of(journal):
                files[role] = f"{stem}.{role}{SUFFIX}"
                copy_journal(journal, self._share.conflicts / files[role])
        about: dict[str, Any] = {"case": case_key, "name": self._ledger.name, "labels": files}
        if facts is not None:
            about |= {"status": facts.status, "note": facts.note, "seconds": facts.seconds}
        path = self._share.conflicts / f"{stem}.json"
        create_once(path, json.dumps(about, indent=2, ensure_ascii=False).encode())
        return path

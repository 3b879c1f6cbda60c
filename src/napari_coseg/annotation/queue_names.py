"""What the cases of a queue are called: by their files, or by numbers where names are hidden."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from napari_coseg.annotation.queue_cases import case_stem
from napari_coseg.annotation.queue_store import QueueCase

#: Name of the fact in a queue's file.
ORDER = "order"


class HiddenOrder:
    """The shuffled order of cases, in which "Case 7" is the seventh.

    A case keeps its number: what is new in the folder comes to the end, shuffled among itself.

    Parameters
    ----------
    seed : str
        Of the queue.
    kept : str or None
        The order as `text` gave it, None where there is none yet.
    cases : iterable of QueueCase
        All of them.
    """

    def __init__(self, seed: str, kept: str | None, cases: Iterable[QueueCase]) -> None:
        self._seed = seed
        self._places: dict[int, int] = {}
        if kept is not None:
            for number in json.loads(kept):
                self._places.setdefault(int(number), len(self._places) + 1)
        self.take_in(cases)

    @property
    def text(self) -> str:
        """The order, to be kept."""
        return json.dumps(sorted(self._places, key=self._places.__getitem__))

    def take_in(self, cases: Iterable[QueueCase]) -> None:
        """Give those cases a number that have none."""
        new = [case for case in cases if case.id not in self._places]
        new.sort(key=lambda case: random.Random(f"{self._seed}/{case.key}").random())
        for case in new:
            self._places[case.id] = len(self._places) + 1

    def place(self, number: int) -> int:
        """Return the place of a case, from 1."""
        return self._places[number]

    def sorted(self, cases: Iterable[QueueCase]) -> list[QueueCase]:
        """Return cases in this order."""
        return sorted(cases, key=lambda case: self._places[case.id])


def case_name(case: QueueCase, order: HiddenOrder | None) -> str:
    """Return what a case is called: "Case 7", which tells nothing of the file, by an order."""
    return case_stem(case.key) if order is None else f"Case {order.place(case.id)}"


def case_names(cases: Mapping[int, QueueCase], order: HiddenOrder | None) -> dict[int, str]:
    """Return what all cases are called, in their order."""
    listed: Sequence[QueueCase] = list(cases.values())
    listed = listed if order is None else order.sorted(listed)
    return {case.id: case_name(case, order) for case in listed}


def masked(reason: str, path: Path, key: str, name: str) -> str:
    """Return a sentence about a case's file with the case's name in the place of the file's."""
    for told in (str(path), key, path.name, case_stem(path.name)):
        reason = reason.replace(told, name)
    return reason

"""Threads that wait leave their core to others."""

from __future__ import annotations

import os

import pytest

from napari_coseg.worker.waiting import TURNS, share_cores


def test_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", environ := {})
    share_cores()
    assert environ == {"GOMP_SPINCOUNT": str(TURNS)}


@pytest.mark.parametrize("own", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_a_person_decides(own: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", environ := dict(own))
    share_cores()
    assert environ == own

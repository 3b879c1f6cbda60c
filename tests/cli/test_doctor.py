"""`napari-coseg doctor`: what it tells, and that a fault is told and not passed over."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_coseg
from napari_coseg.cli import doctor_facts, doctor_test
from napari_coseg.cli.main import main
from napari_coseg.types import Mask
from napari_coseg.weights.catalogue import FOLDER_VARIABLE, bundled_models, sha256_of
from napari_coseg.worker.waiting import TURNS

TOLD = """napari: 0.9.2
Qt: 6.11.0

OpenGL:
  - GL version:  4.5 (Compatibility Profile) Mesa 22.3.6
  - triangle not installed

Settings path:
  - /home/anna/.config/napari/settings.yaml

Launch command:
  - secret.py

Plugins:
  - napari-svg: 0.2.1 (2 contributions)
"""


def test_versions() -> None:
    facts = dict(doctor_facts.package_facts())
    assert facts["napari-coseg"] == napari_coseg.__version__
    assert facts["torch"] == torch.__version__.partition("+")[0]
    assert "napari" in facts
    assert "mypy" not in facts


def test_variables_that_a_person_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", str(TURNS))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = dict(doctor_facts.machine_facts())
    assert facts["OMP_NUM_THREADS"] == "3"
    assert "GOMP_SPINCOUNT" not in facts
    assert float(facts["memory"].split()[0]) > 0


def test_models_and_a_broken_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    facts = dict(doctor_facts.model_facts())
    for name, path in bundled_models().items():
        assert facts[name].endswith(sha256_of(path))
    assert facts["broken"].startswith("yours, cannot be used: ")


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")


@pytest.mark.usefixtures("display")
def test_what_napari_tells_is_sorted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_facts, "_ASK_NAPARI", f"print({TOLD!r})")
    facts, opened = doctor_facts.napari_facts()
    assert opened
    assert facts == [
        ("napari", "0.9.2"),
        ("Qt", "6.11.0"),
        ("GL version", "4.5 (Compatibility Profile) Mesa 22.3.6"),
        ("triangle not installed", ""),
        ("napari-svg", "0.2.1 (2 contributions)"),
    ]


@pytest.mark.usefixtures("display")
def test_a_qt_that_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "import os, sys; print('could not connect to display', file=sys.stderr); os._exit(134)"
    monkeypatch.setattr(doctor_facts, "_ASK_NAPARI", words)
    facts, opened = doctor_facts.napari_facts()
    assert not opened
    assert facts[0][1].startswith("FAILED: it ended with 134")
    assert ("", "could not connect to display") in facts


@pytest.mark.skipif(sys.platform != "linux", reason="displays have names on Linux")
def test_a_server_without_a_display_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor_facts, "_ASK_NAPARI", "raise SystemExit(1)")
    facts, opened = doctor_facts.napari_facts()
    assert opened
    assert "there is no display" in facts[0][1]


def test_the_persons_name_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/anna"))
    assert doctor_facts.without_home("/home/anna/models/a, /data") == "~/models/a, /data"


class FakeClient:
    """A worker that starts, loads everything, and says that every pixel is an object."""

    def __init__(self, host: object, told: object) -> None:
        self.closed = False

    def describe(self) -> Future[Any]:
        return _now({"device_name": "CPU", "device": "cpu", "torch": "2", "threads": 1})

    def load(self, model: str, device: str) -> Future[Any]:
        return _now({})

    def segment(self, source: Any, wanted: Any) -> Any:
        raise MemoryError("no room")

    def prompt(self, source: Any, prompts: Any, **more: Any) -> Any:
        mask = Mask((0, 0), np.ones(source.shape, bool))
        return _Answered(_now([_Masked(mask)]))

    def close(self) -> None:
        self.closed = True


class _Answered:
    def __init__(self, future: Future[Any]) -> None:
        self.future = future


class _Masked:
    def __init__(self, mask: Mask) -> None:
        self.mask = mask


def _now(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def test_faults_are_told_and_the_program_leaves_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("napari_coseg.worker.client.Client", FakeClient)
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--no-window"])
    assert left.value.code == 1
    told = capsys.readouterr().out
    assert "FAILED: MemoryError: no room" in told
    assert f"below {doctor_test.LEAST}: the device computes wrong" in told


def test_without_the_test_and_the_window(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--no-window", "--no-test"])
    assert left.value.code == 0
    assert "\nTest\n" not in capsys.readouterr().out

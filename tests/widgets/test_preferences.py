"""The preferences page: read, and used."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from napari_coseg.types import CosegError
from napari_coseg.weights.catalogue import FOLDER_VARIABLE
from napari_coseg.widgets import preferences
from napari_coseg.widgets.preferences import Preferences, chosen_host, read_preferences
from napari_coseg.worker.keys import Endpoint, KeyPair, write_invitation
from napari_coseg.worker.launcher import LocalHost, RemoteHost


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What napari holds of our page."""
    worker = SimpleNamespace(device="auto", model_folder="", remote_host="")
    settings = SimpleNamespace(worker=worker)
    monkeypatch.setattr(preferences, "get_plugin_settings", lambda name: settings)
    return worker


def test_defaults_where_napari_does_not_know_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> Any:
        raise KeyError(name)

    monkeypatch.setattr(preferences, "get_plugin_settings", unknown)
    assert read_preferences() == Preferences()


def test_napari_offers_the_page() -> None:
    from napari.settings import get_plugin_settings

    page = get_plugin_settings("napari-coseg").worker
    assert page.device == "auto"
    with pytest.raises(ValueError, match="allowed"):
        page.device = "toaster"


def test_a_remote_host(page: Any, tmp_path: Path) -> None:
    assert isinstance(chosen_host(), LocalHost)
    page.remote_host = str(tmp_path / "missing.json")
    with pytest.raises(CosegError, match="no key file"):
        chosen_host()
    keys = KeyPair.new()
    write_invitation(tmp_path / "a.json", Endpoint("tcp://gpu:1", KeyPair.new().public), keys)
    page.remote_host = f" {tmp_path / 'a.json'} "
    host = chosen_host()
    assert isinstance(host, RemoteHost)
    assert host.keys == keys


def test_the_environment_counts_more_than_the_page(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv(FOLDER_VARIABLE, "/of/the/environment")
    page.model_folder = "/of/the/page"
    preferences.use_model_folder(read_preferences())
    assert os.environ[FOLDER_VARIABLE] == "/of/the/environment"
    monkeypatch.delenv(FOLDER_VARIABLE)
    preferences.use_model_folder(read_preferences())
    assert os.environ[FOLDER_VARIABLE] == "/of/the/page"
    monkeypatch.delenv(FOLDER_VARIABLE)

"""What a person set on the plugin's page of napari's preferences."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari.settings import get_plugin_settings

from napari_coseg.weights.catalogue import FOLDER_VARIABLE
from napari_coseg.worker.keys import read_invitation
from napari_coseg.worker.launcher import LocalHost, RemoteHost


@dataclass(frozen=True)
class Preferences:
    """The page's fields; an empty one means the default."""

    device: str = "auto"
    model_folder: str = ""
    remote_host: str = ""


def read_preferences() -> Preferences:
    """Read the page; where napari does not know the plugin (a test, a script), its defaults."""
    try:
        page = get_plugin_settings("napari-coseg").worker
    except (KeyError, AttributeError):
        return Preferences()
    return Preferences(page.device, page.model_folder.strip(), page.remote_host.strip())


#: Keys of the Prompt dock, as napari writes them: those that napari itself leaves free.
PROMPT_KEYS = {
    "tool": "Q",
    "sign": "W",
    "commit": "G",
    "discard": "Escape",
    "hide": "H",
    "undo": "U Control-Z",
    "redo": "Shift-U Control-Shift-Z",
    "previous": "J",
    "next": "K",
    "new": "N",
    "propagate": "Control-Shift-Enter",
}


def prompt_keys() -> dict[str, str]:
    """Return the keys of the Prompt dock, as set on the page."""
    try:
        page = get_plugin_settings("napari-coseg").keys
    except (KeyError, AttributeError):
        return dict(PROMPT_KEYS)
    return {name: str(getattr(page, name, key)).strip() for name, key in PROMPT_KEYS.items()}


def use_model_folder(preferences: Preferences) -> None:
    """Look for models where the person keeps them; the environment's word counts more."""
    if preferences.model_folder:
        os.environ.setdefault(FOLDER_VARIABLE, preferences.model_folder)


def chosen_host() -> LocalHost | RemoteHost:
    """Return who is to do the work.

    Raises
    ------
    CosegError
        If the key file of the remote host cannot be used.
    """
    preferences = read_preferences()
    if not preferences.remote_host:
        return LocalHost()
    return RemoteHost(*read_invitation(Path(preferences.remote_host).expanduser()))

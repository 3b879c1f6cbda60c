"""Keys of a dock: bound on the viewer and on layers, since napari ignores those of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from app_model.types import KeyBinding
from napari.settings import get_settings

if TYPE_CHECKING:
    import napari.viewer


class Shortcuts:
    """Binds actions to keys as long as it lives.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    keys : mapping of str to str
        Key of each action, as napari writes it: ``"G"``, ``"Control-Z"``; several are separated
        by spaces.
    actions : mapping of str to callable
        What each does. One that returns False leaves the key to whoever else has it.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        keys: Mapping[str, str],
        actions: Mapping[str, Callable[[], Any]],
    ) -> None:
        self._viewer = viewer
        self._actions = {key: actions[name] for name, text in keys.items() for key in text.split()}
        self._layers: list[Any] = []
        self._bind(viewer)

    def bind(self, layer: Any) -> None:
        """Bind the keys on a layer too: an active layer's own keys come before the viewer's."""
        if layer not in self._layers:
            self._bind(layer)
            self._layers.append(layer)

    def release(self, layer: Any) -> None:
        """Give a layer its own keys back."""
        if layer in self._layers:
            self._layers.remove(layer)
            self._free(layer)

    def let_go(self) -> None:
        """Give all keys back."""
        for layer in list(self._layers):
            self.release(layer)
        self._free(self._viewer)

    def _bind(self, holder: Any) -> None:
        for key, action in self._actions.items():
            holder.bind_key(key, _pressed(action), overwrite=True)

    def _free(self, holder: Any) -> None:
        for key in self._actions:
            holder.bind_key(key, None, overwrite=True)


def _pressed(action: Callable[[], Any]) -> Callable[[Any], None]:
    def press(holder: Any) -> None:
        action()

    return press


def collisions(keys: Mapping[str, str], chosen: Mapping[str, str]) -> list[str]:
    """Say in a sentence each which keys are wanted twice, or are napari's own.

    Parameters
    ----------
    keys : mapping of str to str
        As in `Shortcuts`.
    chosen : mapping of str to str
        Those of them that a person has set: a default that napari uses elsewhere is meant so.
    """
    taken: dict[str, str] = {}
    told = []
    for action, bindings in get_settings().shortcuts.shortcuts.items():
        for binding in bindings:
            taken.setdefault(_plain(str(binding)), action.split(":")[-1].replace("_", " "))
    ours: dict[str, str] = {}
    for name, text in keys.items():
        for key in text.split():
            try:
                plain = _plain(key)
            except (ValueError, KeyError):
                told.append(f"{key!r}, for {name}, is no key.")
                continue
            if plain in ours:
                told.append(f"{key} is wanted for {ours[plain]} and for {name}.")
            elif plain in taken and name in chosen:
                told.append(f"{key}, for {name}, is napari's key for {taken[plain]}.")
            ours.setdefault(plain, name)
    return told


def _plain(key: str) -> str:
    return str(KeyBinding.from_str(key.replace("Control", "Ctrl").replace("-", "+")))

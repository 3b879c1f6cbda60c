"""Which image, which plane of it, and which layer objects go into."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Qt, Signal

from napari_coseg.annotation.identity import ImageIdentity, identify
from napari_coseg.annotation.places import SUFFIX, Place, journal_place
from napari_coseg.imaging.source import ImageSource
from napari_coseg.layers.areas import plane_index
from napari_coseg.layers.composite import Composite, can_mix, same_look
from napari_coseg.layers.crowds import PICTURE
from napari_coseg.layers.drawing import objects_layer, too_many_axes
from napari_coseg.layers.placing import place_of
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.preview import PREVIEW_ROLE
from napari_coseg.layers.results import role_of
from napari_coseg.layers.sheet import Alignment
from napari_coseg.layers.volume_layers import has_window
from napari_coseg.types import CosegError
from napari_coseg.widgets.planning import stack_of
from napari_coseg.widgets.prompt_target import Target, journal_of

if TYPE_CHECKING:
    import napari.viewer


class PromptPlace(QObject):
    """The image that prompts are on, and the layers for its objects.

    Attributes
    ----------
    found : Signal
        The image is known by its pixels now, and so is whether there is earlier work on it.
    """

    found = Signal()
    _identified = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._readers = ThreadPoolExecutor(1, "identity")
        self.image: Any = None
        self.stack: Stack | None = None
        # The same along its own axes, where the view shows others.
        self._plain: Stack | None = None
        self.index: tuple[int, ...] = ()
        self.identity: ImageIdentity | None = None
        self.folder: Path | None = None
        self.trouble = ""
        self._given: set[Path] = set()
        self._parts: tuple[Any, ...] = ()
        self._where: tuple[Any, ...] = ()
        self._pixels: Any = None
        self._asked: Future[ImageIdentity] | None = None
        self._placed: tuple[tuple[ImageIdentity, Path | None, Path | None], Place] | None = None
        # Later in any case: a small image is known before this thread goes on, and who looks at it
        # is not done with that.
        self._identified.connect(self._on_identified, Qt.ConnectionType.QueuedConnection)

    def look_at(self, choice: Any) -> None:
        """Look at another image.

        Parameters
        ----------
        choice : Image layer, ChannelGroup or None
        """
        self.image, self.stack, self.identity, self.trouble = None, None, None, ""
        self._asked = self._plain = None
        if choice is None:
            return
        try:
            stack = _stack_of(choice)
        except CosegError as error:
            self.trouble = str(error)
            return
        self._parts = _parts_of(choice)
        self.image = self._parts[0]
        self.stack = self._plain = stack
        self._where = place_of(self.image)
        self._pixels = _finest(self.image)
        # Said at once, and not when the first object is to be kept; a layer may be chosen for it.
        self.trouble = too_many_axes(stack)
        self.follow()
        level = stack.levels[0]
        # Pixels may lie on a disk or behind a network: the GUI does not wait for them.
        asked = self._readers.submit(identify, level)
        self._asked = asked
        asked.add_done_callback(self._tell)

    def stands(self, choice: Any) -> bool:
        """Whether a choice is the same image still, though it may look otherwise or lie elsewhere.

        Channels of one picture are: whichever of them are shown, objects lie on the same pixels.
        """
        if choice is None or self._plain is None or self.image not in self._viewer.layers:
            return False
        parts = _parts_of(choice)
        shared = any(part in self._parts for part in parts)
        if not shared or _finest(self.image) is not self._pixels:
            return False
        try:
            stack = _stack_of(choice)
        except CosegError:
            return False
        return (
            stack.spatial == self._plain.spatial
            and stack.axes == self._plain.axes
            and stack.shape == self._plain.shape
            and (self.image in parts or place_of(parts[0]) == place_of(self.image))
        )

    def look_again(self, choice: Any) -> tuple[bool, bool]:
        """Look again at the image that stands.

        Returns
        -------
        pair of bool
            Whether prompts read other values now, and whether the image lies elsewhere.
        """
        before, where = self._plain, self._where
        assert before is not None
        # The layer by which the image is known stays, even where it is not shown now.
        self._parts, self._plain = _parts_of(choice), _stack_of(choice)
        self.stack = self._as_shown(self._plain)
        self._where = place_of(self.image)
        return not same_look(before, self._plain), where != self._where

    def follow(self) -> bool:
        """Look at the plane that the sliders are at; return whether it is another one."""
        if self._plain is None or self.stack is None:
            return False
        before = self.index, self.stack.spatial
        self.stack = self._as_shown(self._plain)
        self.index = plane_index(
            self.image, self._viewer.dims.point, self.stack.axes, self.stack.leading
        )
        return (self.index, self.stack.spatial) != before

    def _as_shown(self, stack: Stack) -> Stack:
        """Return a volume as pictures along the axis that the view's slider goes through."""
        dims, more = self._viewer.dims, self._viewer.dims.ndim - self.image.ndim
        shown = tuple(sorted(axis - more for axis in dims.displayed))
        if len(shown) != 2 or shown[0] < 0 or stack.channel in shown:
            return stack
        try:
            return stack.turned(self.image, shown)
        except CosegError:
            # Nothing can be drawn on pixels that are not square: the canvas says so.
            return stack

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        assert self.stack is not None
        return self.stack.shape

    def source(self) -> ImageSource:
        """Return the plane as the worker reads it: coarser where that is enough."""
        assert self.stack is not None
        return self.stack.pyramid(self.index)

    def sheets(self) -> list[Any]:
        """Return layers of the viewer that objects could go into."""
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels)
            and role_of(layer) not in ("regions", PICTURE, PREVIEW_ROLE)
        ]

    def journal(self) -> Place:
        """Return where the journal of this image lives.

        Raises
        ------
        CosegError
            If that is not known yet, or it can be nowhere.
        """
        if self.identity is None:
            known = "" if self.stack is None else too_many_axes(self.stack)
            trouble = "" if self.trouble == known else self.trouble
            raise CosegError(trouble or "The image is still being read: try again.")
        key = (self.identity, self._file(), self.folder)
        if self._placed is None or self._placed[0] != key:
            # Looking tries the folder out, on the disk: once, and not with every commit.
            self._placed = (key, journal_place(*key))
        return self._placed[1]

    def earlier(self) -> list[Path]:
        """Return journals of earlier work on this image, the last one first."""
        try:
            place = self.journal()
        except CosegError:
            return []
        stem = place.path.name.removesuffix(SUFFIX)
        try:
            known = [
                path
                for path in place.path.parent.glob(f"*{SUFFIX}")
                if path == place.path or path.name.startswith(f"{stem}.")
            ]
            return sorted(known, key=lambda path: path.stat().st_mtime, reverse=True)
        except OSError:
            return []

    def holder(self, path: Path) -> Any:
        """Return the layer of the viewer that was used with a journal, None where none was."""
        return next((layer for layer in self.sheets() if journal_of(layer) == path), None)

    def prepare(self, path: Path | None, layer: Any = None) -> Target:
        """Return a layer for objects, which is still to be read.

        Parameters
        ----------
        path : Path or None
            Journal of earlier work; None goes on with the layer's own, or begins a new one.
        layer : Labels layer, optional
            That objects go into; a new one by default.

        Raises
        ------
        CosegError
            If the layer cannot be used, or there is no place for the journal.
        """
        if self.stack is None:
            raise CosegError(self.trouble or "Open an image first.")
        place = self.journal()
        if path is not None and layer is None:
            layer = self.holder(path)
        known = None if layer is None else journal_of(layer)
        chosen = path or (known if known in self.earlier() else None) or self._free(place.path)
        made = layer if layer is not None else objects_layer(self.image, self.stack)
        assert self.identity is not None
        return Target(made, chosen, self.identity)

    def show(self, target: Target) -> None:
        """Put a new layer into the viewer."""
        layers = self._viewer.layers
        if target.layer not in layers:
            # Below what is drawn for the next object, so that this is seen.
            above = [i for i, la in enumerate(layers) if role_of(la) == PREVIEW_ROLE]
            layers.insert(above[0] if above else len(layers), target.layer)

    def alignment(self, target: Target, index: tuple[int, ...] | None = None) -> Alignment:
        """Return where a plane, by default the one that is seen, lies on the target's layer.

        Raises
        ------
        CosegError
            If its pixels are others.
        """
        assert self.stack is not None
        return target.alignment(self.image, self.stack, self.index if index is None else index)

    def offset(self, layer: Any) -> tuple[float, ...]:
        """Return where the image's first pixel lies in a layer."""
        if self.image is None or layer.ndim > self.image.ndim:
            return ()
        world = np.asarray(self.image.data_to_world((0,) * self.image.ndim), float)
        return tuple(np.round(layer.world_to_data(world[-layer.ndim :]), 2).tolist())

    def let_go(self) -> None:
        """End what is under way."""
        self._asked = None
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _file(self) -> Path | None:
        path = getattr(getattr(self.image, "source", None), "path", None)
        return Path(path) if path and Path(path).exists() else None

    def _free(self, path: Path) -> Path:
        """Return a name that no other work has, even where its file is still to be made."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        stem = path.name.removesuffix(SUFFIX)
        chosen, number = path, 0
        while chosen.exists() or chosen in self._given:
            number += 1
            more = f"-{number}" if number > 1 else ""
            chosen = path.with_name(f"{stem}.{stamp}{more}{SUFFIX}")
        self._given.add(chosen)
        return chosen

    def _tell(self, future: Future[ImageIdentity]) -> None:
        try:
            self._identified.emit(future)
        except RuntimeError:  # the dock was closed meanwhile
            return

    def _on_identified(self, future: Future[ImageIdentity]) -> None:
        if future is not self._asked or future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.identity = future.result()
        else:
            self.trouble = str(error)
        self.found.emit()


def _parts_of(choice: Any) -> tuple[Any, ...]:
    """Return the layers of a choice, the lowest first."""
    return tuple(choice.layers) if hasattr(choice, "layers") else (choice,)


def _finest(layer: Any) -> Any:
    """Return the pixels of a layer, of a pyramid the finest."""
    return layer.data[0] if layer.multiscale else layer.data


def _stack_of(choice: Any) -> Stack:
    """Return a choice as pixels; channels are mixed, and volumes have the window that is shown.

    Raises
    ------
    CosegError
        If it is no image, or its pixels are not square.
    """
    stack = stack_of(choice, mix=False)
    if hasattr(choice, "layers"):
        return stack
    if can_mix(stack):
        return stack_of(choice, mix=True)
    return Composite.of_grey(choice) if has_window(choice) else stack

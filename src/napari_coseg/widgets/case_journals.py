"""Which layer of the open case is under which journal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal

from napari_coseg.annotation.identity import ImageIdentity
from napari_coseg.types import CosegError
from napari_coseg.widgets.held_layers import HeldCase, forget, hold
from napari_coseg.widgets.kept_layer import KeptLayer
from napari_coseg.widgets.kept_regions import KeptRegions, check_regions
from napari_coseg.widgets.prompt_target import Target

#: What a case keeps: the role of its layers in a run, and the name of the journal.
JOURNALS = {"instances": "objects", "regions": "regions"}


class CaseJournals(QObject):
    """The layers of a case, each under its journal; its objects are lent to other docks.

    Parameters
    ----------
    image : Image layer
        Of the case.
    identity : ImageIdentity
        Of the image.
    paths : dict of str to Path
        Journals of the "objects" and of the "regions".
    renew : callable
        As in `HeldCase`.

    Attributes
    ----------
    kept : dict of str to KeptLayer
        By role, "instances" and "regions"; those that are open.
    saving : Signal
        False while something waits to be written, True when all is on the disk.
    trouble : Signal
        A sentence why nothing can be written, or None once it can again.
    """

    saving = Signal(bool)
    trouble = Signal(object)

    def __init__(
        self,
        image: Any,
        identity: ImageIdentity,
        paths: dict[str, Path],
        renew: Callable[[], Target],
    ) -> None:
        super().__init__()
        self._image = image
        self._identity = identity
        self._paths = paths
        self.kept: dict[str, KeptLayer] = {}
        self._held = HeldCase(image, renew)
        hold(self._held)

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever drawn here, nor put in, nor taken back, nor is being drawn."""
        if "instances" not in self.kept or self._held.busy:
            return False
        self.look_again()
        cases = [kept.case for kept in self.kept.values()]
        return not any(case.objects or case.undo_name or case.redo_name for case in cases)

    def path(self, role: str) -> Path:
        """Return where the journal of a role is."""
        return self._paths[JOURNALS[role]]

    def make(self, role: str, layer: Any, instead: bool) -> KeptLayer:
        """Return a layer with a journal that is not open yet.

        Parameters
        ----------
        role : {"instances", "regions"}
        layer : Labels layer
        instead : bool
            Whether its pixels take the place of what the journal holds.

        Raises
        ------
        CosegError
            If the layer cannot be kept.
        """
        if tuple(layer.data.shape) != self._shape:
            raise CosegError(f"{layer.name} does not lie on all of the image, so it is not kept.")
        if role == "instances":
            return Target(layer, self.path(role), self._identity, instead=instead)
        check_regions(layer)
        return KeptRegions(layer, self.path(role), self._identity, instead=instead)

    def keep(self, role: str, kept: KeptLayer) -> None:
        """Hear from now on what is drawn on a layer whose journal is open."""
        self.kept[role] = kept
        kept.saving.connect(self.saving)
        kept.trouble.connect(self.trouble)
        kept.layer.events.data.connect(self._on_data)
        if isinstance(kept, Target):
            self._held.change(kept)

    def leave(self, role: str) -> bool:
        """Close a journal; whether all is on the disk."""
        return self._forget(role).let_go()

    def look_again(self) -> None:
        """Make edits of what was written into the layers without a word."""
        for kept in self.kept.values():
            kept.look_again()

    def lend_no_more(self) -> None:
        """Let other docks let go of the objects."""
        forget(self._held)

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self._image.data.shape[: self._image.ndim])

    def _forget(self, role: str) -> KeptLayer:
        kept = self.kept.pop(role)
        if role == "instances":
            self._held.change(None)
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            kept.layer.events.data.disconnect(self._on_data)
        return kept

    def _on_data(self, event: Any) -> None:
        """Take in that a layer was handed other pixels."""
        for role, kept in list(self.kept.items()):
            if kept.layer != event.source or kept.sheet.writing:
                continue
            words = "they have another size or type"
            try:
                if kept.take_pixels():
                    continue
            except CosegError as error:
                words = str(error)
            if kept.layer.data.shape != self._shape:
                self._forget(role).abandon()
            show_warning(f"The new pixels of {kept.layer.name} are not kept: {words}.")

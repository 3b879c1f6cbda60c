"""A case that is only looked at: its labels as layers that nothing can be drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_coseg.annotation.shared_copies import LostCopy
from napari_coseg.annotation.stored_labels import StoredLabels
from napari_coseg.types import CosegError
from napari_coseg.widgets.held_layers import HeldCase, forget, hold
from napari_coseg.widgets.prompt_target import Target
from napari_coseg.widgets.stored_layers import labels_on

if TYPE_CHECKING:
    import napari.viewer


@dataclass(frozen=True)
class Look:
    """Why a case is only looked at.

    Attributes
    ----------
    who : str
        Who has it, or drew the copy.
    copy : LostCopy or None
        The copy that is looked at; None for what is published.
    """

    who: str
    copy: LostCopy | None = None

    @property
    def words(self) -> str:
        """What the person reads as long as they look."""
        if self.copy is not None:
            return (
                f"Only to look at: the copy of what {self.who} drew. Nothing can be changed here."
            )
        return (
            f"Only to look at: {self.who} has this case. You see what was there when it was left "
            "last, and nothing can be changed."
        )


class CaseLook(QObject):
    """Labels of a case without a journal; as `CaseLabels` for who opens and closes cases.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image layer
        In the viewer.
    stored : mapping of str to StoredLabels
        By ``"objects"`` and ``"regions"``.
    mpp : float or None
        µm per pixel.
    look : Look
    """

    opened = Signal(object)
    saving = Signal(bool)
    trouble = Signal(object)
    said = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: Any,
        stored: Mapping[str, StoredLabels],
        mpp: float | None,
        look: Look,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self._stored = stored
        self._mpp = mpp
        self._look = look
        self._layers: list[Any] = []
        # Else the Prompt dock would make a layer and a journal of its own beside the image.
        self._held = HeldCase(image, self._refuse)
        hold(self._held)

    @property
    def layers(self) -> list[Any]:
        """The labels' layers that are still in the viewer."""
        return [layer for layer in self._layers if layer in self._viewer.layers]

    def open(self) -> None:
        """Show the labels; `opened` tells of it.

        Raises
        ------
        CosegError
            If they do not have the size of the image.
        """
        self._layers = [
            labels_on(self._image, self._stored[role], role == "regions", self._mpp)
            for role in ("regions", "objects")
            if role in self._stored
        ]
        for layer in self._layers:
            layer.name = f"{layer.name} (locked)"
            layer.data.flags.writeable = False
            self._viewer.layers.append(layer)
            layer.editable = False
        self.opened.emit(None)

    def look_again(self) -> None:
        """Nothing can have been drawn."""

    def wait(self, seconds: float) -> bool:
        """Nothing waits to be written."""
        return True

    def let_go(self) -> bool:
        """Lend nothing more; there is nothing to write."""
        forget(self._held)
        return True

    def _refuse(self) -> Target:
        raise CosegError(self._look.words)

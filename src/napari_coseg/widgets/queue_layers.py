"""The layers of the open case in the viewer: they come together, and go together."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.queue_images import CaseImage
from napari_coseg.layers.queue_layers import picture_image, volume_image
from napari_coseg.widgets.parts import wait_for
from napari_coseg.widgets.queue_labels import CaseLabels
from napari_coseg.widgets.queue_late import LateWork, warn_unsaved
from napari_coseg.widgets.queue_look import CaseLook

if TYPE_CHECKING:
    import napari.viewer

#: Milliseconds until the memory of layers that went is looked for.
_LATER = 1000


@contextlib.contextmanager
def _collected_once() -> Iterator[None]:
    """Let napari, which collects garbage with each layer that goes, look at nothing meanwhile.

    Each time would take some 150 ms, of the moment in which a person waits for the next case. Once
    for all of them is enough, a little later: until then their memory is not free.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        QTimer.singleShot(_LATER, gc.collect)


def image_layer(image: CaseImage, name: str) -> Any:
    """Return the image of a case as a layer."""
    if image.grid is None:
        return picture_image(image.pixels, name, image.mpp)
    return volume_image(image.pixels, image.grid, image.unit, name, image.window)


class CaseLayers(QObject):
    """Image and labels of a case.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image layer
        Not in the viewer yet.
    labels : CaseLabels or CaseLook
        On that image, not open yet.

    Attributes
    ----------
    image_gone : Signal
        A person took the image away.
    """

    image_gone = Signal()

    def __init__(
        self, viewer: napari.viewer.Viewer, image: Any, labels: CaseLabels | CaseLook
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self.labels = labels

    def show(self) -> None:
        """Show the image, in the middle of a volume, and then the labels.

        Raises
        ------
        CosegError
            As `CaseLabels.open`.
        """
        self._viewer.layers.append(self._image)
        self._viewer.layers.events.removed.connect(self._on_removed)
        if self._image.ndim == 3:
            self._viewer.dims.set_current_step(0, self._image.data.shape[0] // 2)
        self._viewer.reset_view()
        self.labels.open()

    def wait(self, seconds: float) -> bool:
        """Wait until everything that was drawn is on the disk; whether it is."""
        self.labels.look_again()
        return self.labels.wait(0.2) or wait_for(lambda: self.labels.wait(0), seconds)

    def take_away(self) -> None:
        """Take the layers out of the viewer; labels that are not on the disk stay there."""
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            self._viewer.layers.events.removed.disconnect(self._on_removed)
        layers = self.labels.layers
        self.labels.blockSignals(True)
        if self.labels.let_go():
            gone = [*layers, self._image]
        else:
            warn_unsaved(layers)
            gone = [self._image]
        with _collected_once():
            for layer in gone:
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)

    def write_late(self) -> None:
        """Leave the labels in the viewer until the disk takes them."""
        if isinstance(self.labels, CaseLabels):
            LateWork(self.labels)

    def _on_removed(self, event: Any) -> None:
        if event.value == self._image:
            self.image_gone.emit()

"""Commands of napari's menus that have to do with volumes."""

from __future__ import annotations

import napari
from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QApplication

from napari_coseg.layers.volume_layers import show_window
from napari_coseg.types import CosegError
from napari_coseg.widgets.volume_dialog import VolumeDialog

# Python's own reference: a window that nobody holds is gone at once.
_open: set[VolumeDialog] = set()


def open_volume() -> None:
    """Open the window for volumes and DICOM folders (File > IO Utilities)."""
    viewer = napari.current_viewer()
    if viewer is None:
        show_warning("Volumes are opened into a napari window: start napari first.")
        return
    dialog = VolumeDialog(viewer, QApplication.activeWindow())
    _open.add(dialog)
    dialog.finished.connect(lambda: _open.discard(dialog))
    dialog.show()


def window_automatic() -> None:
    """Show the selected volumes in their automatic window (Layers > Visualize)."""
    _show("")


def window_bone() -> None:
    """Show the selected volumes in the window of bone."""
    _show("bone")


def window_soft_tissue() -> None:
    """Show the selected volumes in the window of soft tissue."""
    _show("soft tissue")


def window_dental() -> None:
    """Show the selected volumes in the window of teeth."""
    _show("dental")


def _show(window: str) -> None:
    viewer = napari.current_viewer()
    selected = [] if viewer is None else [*viewer.layers.selection]
    images = [layer for layer in selected if isinstance(layer, Image)]
    if not images:
        show_warning("No image is selected: choose one in the list of layers.")
    for layer in images:
        try:
            show_window(layer, window)
        except CosegError as error:
            show_warning(f"{layer.name}: {error}")

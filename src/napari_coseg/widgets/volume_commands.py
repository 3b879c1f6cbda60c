"""Commands of napari's menus that have to do with volumes."""

from __future__ import annotations

import napari
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QApplication

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

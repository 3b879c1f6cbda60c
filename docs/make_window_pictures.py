"""Make the pictures of the docs that show napari's window. Needs a display (Xvfb will do).

xvfb-run -s "-screen 0 1400x900x24" python docs/make_window_pictures.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

PICTURES = Path(__file__).parent / "pictures"
SIZE = (1280, 800)
#: Seconds that a model may take to load and run.
PATIENCE = 300.0


def main() -> None:
    """Write ``segment-dock.jpg`` and ``evaluate-dock.jpg``."""
    PICTURES.mkdir(exist_ok=True)
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-coseg", "Segment")
    viewer.open_sample("napari-coseg", "generated-tile")
    truth = [viewer.layers["true regions"], viewer.layers["true nuclei"]]
    for layer in truth:
        layer.visible = False
    wait(1)
    dock.start()
    wait(PATIENCE, lambda: not dock.running)
    wait(1)
    viewer.window.resize(*SIZE)
    viewer.reset_view()
    wait(1)
    save(viewer, PICTURES / "segment-dock.jpg")
    _, evaluate = viewer.window.add_plugin_dock_widget("napari-coseg", "Evaluate", tabify=True)
    wait(1)
    evaluate.start()
    wait(PATIENCE, lambda: not evaluate.running)
    for layer in viewer.layers:
        layer.visible = layer is viewer.layers[0] or layer is viewer.layers[-1]
    viewer.window.resize(*SIZE)
    wait(1)
    save(viewer, PICTURES / "evaluate-dock.jpg")
    viewer.close()
    assert "torch" not in sys.modules


def wait(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Let the window live."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents()
        time.sleep(0.01)


def save(viewer: napari.Viewer, path: Path) -> None:
    """Save the window as JPEG: a palette would mix the colours of the classes up."""
    picture = Image.fromarray(viewer.screenshot(canvas_only=False)[..., :3])
    picture.save(path, quality=88, subsampling=0, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

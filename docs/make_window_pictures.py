"""Make the pictures of the docs that show napari's window. Needs a display (Xvfb will do).

xvfb-run -s "-screen 0 1400x900x24" python docs/make_window_pictures.py [--to FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

SIZE = (1280, 800)
#: Seconds that a model may take to load and run.
PATIENCE = 300.0


class Photographer:
    """Goes through the tutorial, and takes a picture of each step.

    Parameters
    ----------
    folder : Path
        Where the pictures go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*SIZE)
        self.docks: dict[str, Any] = {}

    def open(self, name: str) -> Any:
        """Open a dock beside the canvas."""
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-coseg", name, tabify=True)
        self.docks[name] = dock
        self.wait(1)
        return dock

    def segment(self) -> None:
        """Open the dock and a sample, run, look at the result."""
        dock = self.open("Segment")
        self.shot("tutorial-open")
        self.viewer.open_sample("napari-coseg", "generated-tile")
        for name in ("true regions", "true nuclei"):
            self.viewer.layers[name].visible = False
        self.settle()
        self.shot("tutorial-image")
        dock.start()
        self.wait(PATIENCE, lambda: dock.status.startswith("Tile 3") or not dock.running)
        self.shot("tutorial-running")
        self.wait(PATIENCE, lambda: not dock.running)
        self.settle()
        self.point_at(100, 100)
        self.shot("segment-dock")

    def look_closer(self) -> None:
        """Zoom in, switch a class off, colour by object."""
        results = self.docks["Segment"].results
        instances = self.viewer.layers[-1]
        group = results._legend.topLevelItem(1)
        kinds = instances.features["class"].value_counts()
        boxes = [group.child(i) for i in range(group.childCount())]
        first = max(boxes, key=lambda box: kinds.get(box.data(0, Qt.ItemDataRole.UserRole), 0))
        kind = first.data(0, Qt.ItemDataRole.UserRole)
        first.setCheckState(0, Qt.CheckState.Unchecked)
        camera = self.viewer.scene.camera
        zoom = camera.zoom
        camera.zoom = 2.5 * zoom
        self.wait(1)
        inside = instances.features[instances.features["class"] != kind]
        middle = inside["row"].sub(instances.data.shape[0] / 2).abs()
        middle += inside["column"].sub(instances.data.shape[1] / 2).abs()
        found = inside.loc[middle.idxmin()]
        self.point_at(found["row"], found["column"])
        self.shot("tutorial-class-off")
        first.setCheckState(0, Qt.CheckState.Checked)
        results._colour_by.setCurrentIndex(1)
        self.wait(1)
        self.shot("tutorial-by-object")
        results._colour_by.setCurrentIndex(0)
        camera.zoom = zoom

    def evaluate(self) -> None:
        """Compare with the truth."""
        dock = self.open("Evaluate")
        dock.start()
        self.wait(PATIENCE, lambda: not dock.running)
        for layer in self.viewer.layers:
            layer.visible = layer is self.viewer.layers[0] or layer is self.viewer.layers[-1]
        self.settle()
        self.shot("evaluate-dock")

    def light(self) -> None:
        """Take the result once more in napari's light theme."""
        self.viewer.theme = "light"
        for layer in self.viewer.layers:
            layer.visible = not layer.name.startswith("true") and not layer.name.endswith("errors")
        self.docks["Segment"].parent().raise_()
        self.settle()
        self.shot("segment-dock-light")

    def point_at(self, row: float, column: float) -> None:
        """Have the dock describe what lies there, as if the mouse did."""
        layer = self.viewer.layers[-1]
        place = layer.data_to_world((row, column))

        class Event:
            position = tuple(place)
            view_direction = None
            dims_displayed = (0, 1)

        self.docks["Segment"].results._on_mouse(self.viewer, Event())

    def settle(self) -> None:
        """Give the window its size and the image its place."""
        self.wait(1)
        self.viewer.window.resize(*SIZE)
        self.viewer.reset_view()
        self.wait(1)

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let the window live."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.01)

    def shot(self, name: str) -> None:
        """Save the window as JPEG: a palette would mix the colours of the classes up."""
        path = self.folder / f"{name}.jpg"
        picture = Image.fromarray(self.viewer.screenshot(canvas_only=False)[..., :3])
        picture.save(path, quality=85, subsampling=0, optimize=True)
        print(
            f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size / 1e3:.0f} kB"
        )


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "pictures")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    photographer = Photographer(folder)
    photographer.segment()
    photographer.look_closer()
    photographer.evaluate()
    photographer.light()
    photographer.viewer.close()
    assert "torch" not in sys.modules


if __name__ == "__main__":
    main()

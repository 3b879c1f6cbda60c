"""Make the pictures and the animation of the page "Boxes and clicks". Needs a display.

xvfb-run -s "-screen 0 1400x900x24" python docs/make_prompt_pictures.py [--to FOLDER]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from make_window_pictures import PATIENCE, Photographer
from PIL import Image
from skimage.measure import regionprops

#: Width of the animation in pixels, and milliseconds of a frame.
WIDTH, FRAME = 440, 350


class PromptPhotographer(Photographer):
    """Boxes nuclei of the generated tile, and takes pictures of it."""

    def open_tile(self) -> Any:
        """Open the sample and the dock, zoomed in to where nuclei are."""
        self.viewer.open_sample("napari-coseg", "generated-tile")
        for layer in list(self.viewer.layers)[1:]:
            layer.visible = False
        dock = self.open("Prompt")
        self.settle()
        self.shot("prompt-open")
        return dock

    def nuclei(self, count: int) -> list[Any]:
        """Return nuclei of the truth near each other, and look at them."""
        truth = self.viewer.layers["true nuclei"]
        known = [p for p in regionprops(np.asarray(truth.data)) if p.area > 60]
        middle = np.array(truth.data.shape) / 2
        first = min(known, key=lambda p: np.abs(np.array(p.centroid) - middle).sum())
        away = [float(np.abs(np.subtract(p.centroid, first.centroid)).sum()) for p in known]
        chosen = [known[i] for i in np.argsort(away)[:count]]
        centre = np.mean([p.centroid for p in chosen], axis=0)
        camera = self.viewer.scene.camera
        camera.center = tuple(np.asarray(truth.data_to_world(centre)))
        camera.zoom *= 5
        self.wait(1)
        return chosen

    def draw(self, dock: Any, nuclei: list[Any]) -> None:
        """Box them one after the other."""
        frames = []

        def frame(times: int = 1) -> None:
            taken = Image.fromarray(self.viewer.screenshot(canvas_only=True)[..., :3])
            size = (WIDTH, round(WIDTH * taken.height / taken.width))
            frames.extend([taken.resize(size, Image.Resampling.LANCZOS)] * times)

        # Its loading is not what the pictures are about.
        dock.asker.load().result(PATIENCE)
        dock.take("box")
        frame(2)
        for number, nucleus in enumerate(nuclei):
            row0, column0, row1, column1 = nucleus.bbox
            for part in (0.5, 1.0):
                end = (row0 + part * (row1 - row0), column0 + part * (column1 - column0))
                dock.canvas.rubber((row0, column0, *end))
                self.wait(0.1)
                frame()
            dock.canvas.boxed.emit((row0, column0, row1, column1))
            self.wait(PATIENCE, lambda: not dock.asker.waiting)
            self.wait(0.3)
            frame(2)
            if number == 0:
                self.shot("prompt-box")
        dock.drawing.commit()
        self.wait(0.5)
        frame(4)
        self.shot("prompt-objects")
        path = self.folder / "prompt.gif"
        # An octree keeps the few bright pixels of boxes and masks.
        small = [one.quantize(128, method=Image.Quantize.FASTOCTREE) for one in frames]
        small[0].save(
            path, save_all=True, append_images=small[1:], duration=FRAME, loop=0, optimize=True
        )
        print(f"{path.name}: {len(frames)} frames, {path.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "pictures")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as own:
        # No work of the person who runs this comes back, and none is left.
        os.environ["XDG_DATA_HOME"] = own
        photographer = PromptPhotographer(folder)
        dock = photographer.open_tile()
        photographer.draw(dock, photographer.nuclei(6))
        photographer.viewer.close()
    assert "torch" not in sys.modules


if __name__ == "__main__":
    main()

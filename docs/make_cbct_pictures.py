"""Make the pictures of the tutorial "A CBCT case". Needs a display, and some minutes.

xvfb-run -s "-screen 0 1400x900x24" python docs/make_cbct_pictures.py [--to FOLDER]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from make_window_pictures import PATIENCE, Photographer
from PIL import Image
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_coseg.datasets.synthetic_cbct import CbctSettings, SyntheticCbct, generate_cbct
from napari_coseg.widgets.volume_dialog import VolumeDialog

#: A volume that no training has, small enough for a minute on a laptop.
SEED, SETTINGS = 9100, CbctSettings(shape=(120, 164, 164), spacing=0.6, metal=0.0)


class CbctPhotographer(Photographer):
    """Goes through a case, and takes a picture of each step."""

    def open_series(self, folder: Path) -> None:
        """Open a DICOM folder as a person does."""
        dialog = VolumeDialog(self.viewer, self.viewer.window._qt_window)
        dialog.show()
        dialog.look_at(folder)
        self.wait(PATIENCE, lambda: not dialog.running)
        self.wait(0.5)
        window = self.viewer.screenshot(canvas_only=False)[..., :3]
        own = dialog.grab().toImage().convertToFormat(_rgb())
        size = (own.height(), own.width(), 3)
        line = np.frombuffer(own.constBits().asarray(own.sizeInBytes()), np.uint8)
        pixels = line.reshape(own.height(), -1)[:, : 3 * own.width()].reshape(size)
        together = Image.fromarray(window)
        together.paste(
            Image.fromarray(pixels),
            ((together.width - size[1]) // 2, (together.height - size[0]) // 3),
        )
        together.save(self.folder / "cbct-open.jpg", quality=85, subsampling=0, optimize=True)
        dialog.open_chosen()
        self.wait(PATIENCE, lambda: len(self.viewer.layers) > 0 and not dialog.running)
        dialog.close()

    def segment(self) -> None:
        """Run the model, look at a plane through teeth, and at all of them."""
        dock = self.open("Segment")
        self.settle()
        dock.start()
        self.wait(PATIENCE, lambda: not dock.running)
        teeth = self.viewer.layers[-1]
        planes = np.asarray(teeth.data > 0).sum(axis=(1, 2))
        self.viewer.dims.set_current_step(0, int(planes.argmax()))
        self.settle()
        self.shot("cbct-segment")
        others = [layer for layer in self.viewer.layers if layer is not teeth]
        for layer in others:
            layer.visible = False
        self.viewer.dims.ndisplay = 3
        self.settle()
        self.viewer.scene.camera.angles = (0, -30, 200)
        self.wait(1)
        self.shot("cbct-3d")
        self.viewer.dims.ndisplay = 2
        for layer in others:
            layer.visible = True

    def follow(self, made: SyntheticCbct) -> None:
        """Box a tooth on one plane, and have it followed."""
        # A series of DICOM goes from foot to head, a generated volume the other way.
        truth = made.instances[::-1]
        dock = self.open("Prompt")
        image = self.viewer.layers[0]
        self.viewer.layers.selection.active = image
        for layer in list(self.viewer.layers)[1:]:
            layer.visible = False
        self.wait(PATIENCE, lambda: dock.desk.place.identity is not None)
        dock.asker.load().result(PATIENCE)
        sizes = np.bincount(truth.ravel())
        sizes[0] = 0
        label = int(sizes.argmax())
        place = ndimage.find_objects(truth)[label - 1]
        plane = (place[0].start + place[0].stop) // 2
        self.viewer.dims.set_current_step(0, plane)
        self.settle()
        rows, columns = np.nonzero(truth[plane] == label)
        camera = self.viewer.scene.camera
        camera.zoom *= 2.5
        camera.center = tuple(
            np.asarray(image.data_to_world((plane, rows.mean(), columns.mean())))[1:]
        )
        dock.take("box")
        edges = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        dock.canvas.boxed.emit(tuple(map(float, edges)))
        self.wait(PATIENCE, lambda: not dock.asker.waiting)
        self.wait(0.5)
        dock.walks.toggle()
        self.wait(PATIENCE, lambda: not dock.walks.running)
        self.wait(1)
        self.shot("cbct-propagate")


def _rgb() -> Any:
    from qtpy.QtGui import QImage

    return QImage.Format.Format_RGB888


def write_series(folder: Path, made: SyntheticCbct) -> None:
    """Write a volume as a DICOM series, a file a plane."""
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    grid = made.grid
    series = "1.2.826.0.1.3680043.8.498.1"
    for number, plane in enumerate(made.image):
        picture = SimpleITK.GetImageFromArray(plane[None])
        place = grid.position((number, 0, 0))
        picture.SetSpacing((grid.spacing[2], grid.spacing[1], grid.spacing[0]))
        facts = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{series}.{number + 1}",
            "0008|0060": "CT",
            "0020|000d": "1.2.826.0.1.3680043.8.498",
            "0020|000e": series,
            "0020|0011": "2",
            "0020|0013": str(number + 1),
            "0020|0032": "\\".join(f"{v:g}" for v in place),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|1052": "0",
            "0028|1053": "1",
            "0028|1054": "HU",
        }
        for key, value in facts.items():
            picture.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{number:03d}.dcm"))
        writer.Execute(picture)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "pictures")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    made = generate_cbct(SEED, SETTINGS)
    with tempfile.TemporaryDirectory() as own:
        # No work of the person who runs this comes back, and none is left.
        os.environ["XDG_DATA_HOME"] = own
        series = Path(own) / "case"
        series.mkdir()
        write_series(series, made)
        photographer = CbctPhotographer(folder)
        photographer.open_series(series)
        photographer.segment()
        photographer.follow(made)
        photographer.viewer.close()
        QApplication.processEvents()
    assert "torch" not in sys.modules


if __name__ == "__main__":
    main()

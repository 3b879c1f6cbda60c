"""Make the pictures of the tutorial "A folder, case after case". Needs a display, and some minutes.

xvfb-run -s "-screen 0 1400x900x24" python docs/make_queue_pictures.py [--to FOLDER]

At its end it reads the exported data set again, as `napari-coseg train` does, and prints its files.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from make_window_pictures import PATIENCE, Photographer
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.claims import Published
from napari_coseg.annotation.identity import identify
from napari_coseg.annotation.queue_store import DONE
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.annotation.shared_opening import OpenedShared, open_shared
from napari_coseg.annotation.shared_queue import SharedQueue, TakenError
from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.synthetic_cbct import CbctSettings, SyntheticCbct, generate_cbct
from napari_coseg.imaging.volume_writing import write_volume

#: Volumes that no training has, small enough for half a minute each on a laptop.
SEED, COUNT = 9300, 6
SETTINGS = CbctSettings(shape=(96, 140, 140), spacing=0.6, metal=0.0)
_QUALITY = 80


class QueuePhotographer(Photographer):
    """Goes through a folder of volumes, and takes a picture of each step.

    Parameters
    ----------
    folder : Path
        Where the pictures go.
    root : Path
        Folder of the volumes.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        super().__init__(folder)
        self.root = root
        self.queue = self.open("Queue")

    def case(self, number: int) -> None:
        """Open a case as a click in the list does, and wait until it is there."""
        self.queue.open_case(number)
        self.wait(PATIENCE, lambda: not self.queue.desk.reading)
        self.wait(1)

    def begin(self) -> None:
        """Open the folder, and let the model look at the second case."""
        self.settle()
        self.queue.suggest.switch.setChecked(True)
        self.queue.open_folder(self.root)
        self.wait(PATIENCE, lambda: not self.queue.desk.reading)
        self.settle()
        self.wait(PATIENCE, lambda: "is ready" in self.queue.message)
        self.queue.form.note.setPlainText("Teeth out of the picture at the left")
        self.queue.flag()
        self.wait(1)
        self.shot("queue-open")

    def correct(self) -> None:
        """Go to the second case, which begins with a suggestion; confirm a tooth's number."""
        self.queue.step(True)
        self.wait(PATIENCE, lambda: not self.queue.desk.reading)
        self.settle()
        self.shot("queue-suggested")
        prompt = self.open("Prompt")
        self.wait(PATIENCE, lambda: prompt.desk.target is not None)
        objects = prompt.desk.target.case.objects.values()
        unsure = min((one for one in objects if one.fdi), key=lambda one: one.fdi_confidence)
        prompt.editing.go_to(unsure.label)
        prompt.take("select")
        prompt.editing.select([unsure.label])
        self.wait(1)
        self.shot("queue-tooth")
        field = prompt.form.tooth._number
        field.setCurrentIndex(field.findData(unsure.fdi))
        field.activated.emit(field.currentIndex())
        assert prompt.desk.target.case.objects[unsure.label].fdi_confidence == 1
        prompt.take(None)
        self.queue.parent().raise_()

    def finish(self, count: int) -> None:
        """Mark cases as done, each with what was suggested."""
        for _ in range(count):
            self.wait(PATIENCE, lambda: not self.queue.suggest.busy)
            self.queue.finish()
            self.wait(PATIENCE, lambda: not self.queue.desk.reading)
            self.wait(PATIENCE, lambda: "is ready" in self.queue.message)

    def share(self) -> None:
        """Share the queue."""
        self.queue.suggest.switch.setChecked(False)
        self.queue.share("Ada")
        self.wait(PATIENCE, lambda: not self.queue.desk.reading)

    def shot(self, name: str) -> None:
        """Save the window, smaller than usual."""
        self.save(name, Image.fromarray(self.viewer.screenshot(canvas_only=False)[..., :3]))

    def save(self, name: str, picture: Image.Image) -> None:
        """Save a picture as JPEG."""
        path = self.folder / f"{name}.jpg"
        picture.save(path, quality=_QUALITY, subsampling=0, optimize=True)
        print(
            f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size / 1e3:.0f} kB"
        )

    def copies(self) -> None:
        """Take the list of copies, over the window."""
        dialog = self.queue._copies
        self.queue._show_copies()
        dialog.resize(560, 240)
        self.wait(1)
        window = Image.fromarray(self.viewer.screenshot(canvas_only=False)[..., :3])
        own = self.folder / "queue-copies-own.png"
        dialog.grab().save(str(own))
        with Image.open(own) as picture:
            own_picture = picture.convert("RGB")
        own.unlink()
        window.paste(own_picture, ((window.width - own_picture.width) // 2, window.height // 4))
        dialog.close()
        self.save("queue-copies", window)

    def export(self, folder: Path) -> None:
        """Write what is done as a data set of nnU-Net."""
        self.queue.exporting.write(folder, "nnunet")
        self.wait(PATIENCE, lambda: not self.queue.exporting.busy)
        self.wait(PATIENCE, lambda: not self.queue.desk.reading)
        self.wait(1)


def drawn(who: OpenedShared, number: int, made: SyntheticCbct) -> None:
    """Give a case that somebody has the labels that were generated with it."""
    rows = made.teeth.to_dict("records")
    known = {
        int(row["label"]): ObjectRecord(
            int(row["label"]), 1, fdi=int(row["fdi"]), fdi_confidence=1.0
        )
        for row in rows
    }
    labels = made.instances.astype(np.uint16)
    path = who.project.journal(number, "objects")
    with Case.open(path, identify(made.image), labels, objects=known) as case:
        case.note("classes", json.dumps([["tooth", [230, 159, 0]]]))
        assert case.wait(60)


def taken(try_it: Callable[[], object], photographer: QueuePhotographer) -> None:
    """Try until a case is free: it is on its way to the share."""

    def free() -> bool:
        try:
            try_it()
        except TakenError:
            return False
        return True

    photographer.wait(PATIENCE, free)


def two_people(photographer: QueuePhotographer, made: list[SyntheticCbct], own: Path) -> None:
    """Let somebody else work at the last two cases, and be taken over in the last one."""
    dock = photographer.queue
    ben = open_shared(photographer.root, "Ben", home=own / "ben")
    one, other = COUNT - 1, COUNT
    first, second = (ben.project.case(number).key for number in (one, other))
    taken(lambda: ben.shared.take(first), photographer)
    drawn(ben, one, made[one - 1])
    ben.shared.leave(first, Published(DONE))
    ben.shared.take(first)
    dock.desk.sharing.look()
    photographer.wait(PATIENCE, lambda: dock.holders == {one: "Ben"})
    photographer.case(one)
    photographer.settle()
    photographer.shot("queue-look")
    taken(lambda: ben.shared.take(second), photographer)
    drawn(ben, other, made[other - 1])
    now = [0.0]
    (own / "cem" / "labels").mkdir(parents=True)
    cem = SharedQueue(ben.shared.share, own / "cem", name="Cem", clock=lambda: now[0])
    for _ in range(20):
        cem.look()
        now[0] += 20
    cem.take(second)
    ben.shared.leave(second, Published(DONE))
    cem.leave(second, Published(DONE))
    ben.shared.leave(first, Published(DONE))
    dock.desk.sharing.look()
    photographer.wait(PATIENCE, lambda: bool(dock.desk.sharing.copies))
    photographer.copies()
    (copy,) = dock.desk.sharing.copies
    dock.take_over(copy)
    photographer.wait(PATIENCE, lambda: not dock.desk.sharing.copies)
    photographer.wait(2)
    ben.project.close()


def main() -> None:
    """Take all pictures, and read what was exported."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "pictures")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    made = [generate_cbct(SEED + number, SETTINGS) for number in range(COUNT)]
    with tempfile.TemporaryDirectory() as name:
        own = Path(name)
        # No work of the person who runs this comes back, and none is left.
        os.environ["XDG_DATA_HOME"] = name
        root = own / "scans"
        root.mkdir()
        for number, one in enumerate(made, 1):
            write_volume(root / f"scan_{number:02}.nii.gz", one.image, one.grid)
        photographer = QueuePhotographer(folder, root)
        photographer.begin()
        photographer.correct()
        photographer.finish(2)
        photographer.share()
        two_people(photographer, made, own)
        out = own / "Dataset101_teeth"
        photographer.export(out)
        photographer.shot("queue-export")
        for path in sorted(out.rglob("*")):
            print(path.relative_to(out))
        data = FolderDataset(out)
        read = data.read(data.items[len(data.items) // 2])
        assert read.instances is not None
        print(f"{len(data.items)} planes, classes {data.region_classes.names}, ", end="")
        print(f"{data.instance_classes.names}; {len(np.unique(read.instances)) - 1} teeth in one")
        photographer.viewer.close()
        QApplication.processEvents()
    assert "torch" not in sys.modules


if __name__ == "__main__":
    main()

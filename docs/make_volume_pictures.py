"""Make the picture of coseg-lite-dental's card: a generated volume, its truth, what is found.

    python docs/make_volume_pictures.py [--out docs/pictures]

Takes about two minutes of two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from napari_coseg.datasets.synthetic_cbct import SyntheticCbct, generate_cbct
from napari_coseg.imaging.overlay import overlay
from napari_coseg.imaging.planes import plane_picture
from napari_coseg.imaging.volume_result import VolumeResult
from napari_coseg.imaging.volumes import Volume
from napari_coseg.imaging.windows import automatic_window
from napari_coseg.inference.volumes import segment_volume
from napari_coseg.types import ClassTable
from napari_coseg.weights.loading import load_model

PLANES = (50, 80, 120, 150)
#: One colour a tooth, so that neighbours are told apart.
_COLOURS = 8


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    parser.add_argument("--seed", type=int, default=9000)
    arguments = parser.parse_args()
    made = generate_cbct(arguments.seed)
    found = segment_volume(Volume(made.image, made.grid), load_model("coseg-lite-dental"))
    lines = [line(made, found, plane) for plane in PLANES]
    arguments.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(lines)).save(arguments.out / "dental-planes.jpg", quality=85)


def line(made: SyntheticCbct, found: VolumeResult, plane: int) -> npt.NDArray[np.uint8]:
    """Lay a plane, its truth and what is found beside one another."""
    picture = plane_picture(made.image, plane, automatic_window(made.image))
    assert found.regions is not None
    assert found.instances is not None
    shown = [
        overlay(
            picture,
            regions[plane],
            _numbered(instances[plane]),
            _TABLE,
            found.region_classes,
            _TEETH,
        )
        for regions, instances in (
            (made.regions, made.instances),
            (found.regions, found.instances),
        )
    ]
    return np.concatenate([picture, *shown], 1)


def _numbered(instances: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Ids as they are: the table below has enough of them."""
    return np.minimum(instances, len(_TABLE)).astype(np.int32)


_TEETH = ClassTable.from_names([f"colour {i}" for i in range(_COLOURS)])
_TABLE = pd.DataFrame(
    {"label": range(1, 201), "class": [1 + i % _COLOURS for i in range(200)]},
)


if __name__ == "__main__":
    main()

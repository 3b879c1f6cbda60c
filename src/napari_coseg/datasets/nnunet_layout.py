"""What nnU-Net v2 wants of a data set that is written for it: folders, ids and channels.

Format: ``documentation/dataset_format.md`` and ``ignore_label.md`` of nnU-Net v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.windows import HOUNSFIELD
from napari_coseg.types import IGNORE

#: Folders of the training part: what nnU-Net looks at, and our own labels beside it.
FOLDERS = {
    "images": "imagesTr",
    "labels": "labelsTr",
    "regions": "regionsTr",
    "region_instances": "regionInstancesTr",
    "instances": "instancesTr",
    "classes": "classesTr",
}
#: Endings of volumes that nnU-Net's reader takes.
ENDINGS = (".nii.gz", ".mha", ".nrrd")
#: Grey values below which a volume without a unit is taken for one in HU: they are air there.
_AIR = -500


def is_hounsfield(voxels: npt.NDArray[Any], unit: str) -> bool:
    """Whether grey values mean the same in all volumes, as far as one can see."""
    return unit == HOUNSFIELD or bool(voxels.min() < _AIR)


def semantic_labels(
    parts: Mapping[str, npt.NDArray[Any]], regions: int, kinds: int
) -> tuple[npt.NDArray[Any], bool]:
    """Return one id a pixel: regions 1 to n, then the classes of objects, which lie over them.

    Parameters
    ----------
    parts : mapping of str to ndarray of int
        Those of ``regions``, ``instances`` and ``classes`` that there are, of one shape. Class 255
        is what training leaves out. Objects without a class are of the only one where there is
        one, and else left out as well.
    regions, kinds : int
        How many classes of areas and of objects there are.

    Returns
    -------
    labels : ndarray of uint8 or uint16
    ignored : bool
        Whether some pixels are left out: they have the id after the last class.
    """
    ignored = regions + kinds + 1
    first = parts["regions"] if "regions" in parts else np.zeros_like(parts["instances"])
    labels = first.astype(np.uint16)
    labels[first == IGNORE] = ignored
    if "instances" in parts:
        inside = parts["instances"] > 0
        classes = parts.get("classes")
        own = np.zeros(int(inside.sum()), np.uint16) if classes is None else classes[inside]
        own = np.where(own == 0, 1 if kinds == 1 else IGNORE, own).astype(np.uint16)
        labels[inside] = np.where(own == IGNORE, ignored, own + regions)
    marked = bool((labels == ignored).any())
    return (labels.astype(np.uint8) if ignored < 256 else labels), marked

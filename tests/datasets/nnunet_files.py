"""Miniature folders of nnU-Net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

SHAPE = (3, 12, 14)


def write_volume(path: Path, voxels: npt.NDArray[Any], side: float = 0.3) -> None:
    """Write a volume of cubes of `side` mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((side, side, side))
    SimpleITK.WriteImage(image, str(path))


def grey(seed: int = 0) -> npt.NDArray[np.int16]:
    """Make the voxels of a case."""
    return np.random.default_rng(seed).integers(-500, 2000, SHAPE).astype(np.int16)


def about(root: Path, labels: dict[str, Any], **more: Any) -> None:
    """Write ``dataset.json``."""
    root.mkdir(parents=True, exist_ok=True)
    said = {"channel_names": {"0": "CBCT"}, "labels": {"background": 0, **labels}}
    said |= {"numTraining": 2, "file_ending": ".mha"} | more
    (root / "dataset.json").write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")

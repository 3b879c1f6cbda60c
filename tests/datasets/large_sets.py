"""Miniatures of SA-Med2D-20M and IMed-361M, in the layout that they are published in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import sparse

SHAPE = (24, 32)


def write_sa_med2d(folder: Path, cases: int = 6, slices: int = 2) -> Path:
    """Cases of two datasets, each slice with an organ, a part of it and a lesion beside it."""
    root = folder / "SAMed2Dv1"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    random = np.random.default_rng(0)
    listed: dict[str, list[str]] = {}
    for case in range(cases):
        dataset = ("AbdomenCT1K", "BraTS2013")[case % 2]
        for number in range(slices):
            name = f"ct_00--{dataset}--Case_{case:05d}--x_{number:04d}"
            pixels = random.integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / f"{name}.png")
            masks = []
            for kind, mask in enumerate(three_masks()):
                path = f"masks/{name}--{kind:04d}_000.png"
                Image.fromarray(mask.astype(np.uint8) * 255).save(root / path)
                masks.append(path)
            listed[f"images/{name}.png"] = masks
    write_list(root, listed)
    classes = {"organ": "0000", "union_part": "0001", "lesion": "0002"}
    (root / "SAMed2D_v1_class_mapping_id.json").write_text(
        json.dumps({"AbdomenCT1K": classes, "BraTS2013": classes}), encoding="utf-8"
    )
    return root


def write_list(root: Path, listed: dict[str, list[str]]) -> None:
    """Write the list of images and masks."""
    (root / "SAMed2D_v1.json").write_text(json.dumps(listed), encoding="utf-8")


def read_list(root: Path) -> dict[str, list[str]]:
    """Read the list of images and masks."""
    found: dict[str, list[str]] = json.loads((root / "SAMed2D_v1.json").read_text("utf-8"))
    return found


def three_masks() -> list[np.ndarray]:
    """Return an organ, a part inside of it, and a lesion beside it."""
    masks = [np.zeros(SHAPE, bool) for _ in range(3)]
    masks[0][4:20, 4:20] = True
    masks[1][8:14, 8:14] = True
    masks[2][6:16, 22:30] = True
    return masks


def write_imed(folder: Path, names: tuple[str, ...] = ("BTCV", "ACDC")) -> Path:
    """Data sets with two volumes of two slices for training and one slice for test each."""
    random = np.random.default_rng(1)
    for name in names:
        root = folder / name
        for below in ("image", "label", "imask"):
            (root / below).mkdir(parents=True)
        parts: dict[str, list[dict[str, str]]] = {"training": [], "test": []}
        slices = [("training", v, s) for v in (1, 2) for s in (10, 20)] + [("test", 3, 10)]
        for part, volume, number in slices:
            stem = f"ABD_{volume:03d}_{number}"
            pixels = random.integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "image" / f"{stem}.png")
            stack = np.stack([*three_masks(), np.zeros(SHAPE, bool)])[..., None]
            label = f"label/x___{stem}.{stack.shape}.npz"
            matrix = sparse.csr_matrix(stack.reshape(len(stack), -1).astype(np.uint8))
            sparse.save_npz(root / label, matrix)
            ids = np.full((*SHAPE, 1), -1, np.int32)
            ids[:4], ids[20:] = 0, 5
            np.save(root / "imask" / f"x___{stem}.npy", ids)
            listed = {"image": f"image/{stem}.png", "label": label}
            parts[part].append(listed | {"imask": f"imask/x___{stem}.npy"})
        about = {
            "name": name,
            "labels": {"0": "background", "1": "organ", "2": "part", "3": "lesion", "4": "other"},
            "numTraining": len(parts["training"]),
            **parts,
        }
        (root / "dataset.json").write_text(json.dumps(about, indent=4), encoding="utf-8")
    return folder

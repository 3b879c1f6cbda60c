"""Miniature data sets in the exact layouts in which they are published, all of them generated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import io

#: Rows and columns of every picture.
SHAPE = (48, 64)

INFO = "Filename,Source,Split\n"
GRADES = "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\n"


def picture(seed: int, shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.uint8]:
    """Colours that differ from pixel to pixel and from seed to seed."""
    rng = np.random.default_rng(seed)
    return rng.integers(60, 250, (*shape, 3), np.uint8)


def objects(count: int, shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.int32]:
    """Squares of 8 x 8 pixels, 4 apart, with the ids 1, 2, ..."""
    labels = np.zeros(shape, np.int32)
    across = (shape[1] - 4) // 12
    for number in range(count):
        row, column = 4 + 12 * (number // across), 4 + 12 * (number % across)
        labels[row : row + 8, column : column + 8] = number + 1
    return labels


def save(path: Path, pixels: npt.NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def save_mat(path: Path, variables: Mapping[str, npt.NDArray[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        io.savemat(file, dict(variables), do_compression=True)
    return path


def nuclei_mat(path: Path, labels: npt.NDArray[Any], classes: Mapping[int, int]) -> Path:
    """Write a label of Lizard: ids in an order that is not theirs."""
    ids = sorted(classes, reverse=True)
    return save_mat(
        path,
        {
            "inst_map": labels.astype(np.int32),
            "id": np.array(ids, np.int32)[:, None],
            "class": np.array([classes[i] for i in ids], np.int32)[:, None],
            "bbox": np.zeros((len(ids), 4), np.int32),
            "centroid": np.zeros((len(ids), 2)),
        },
    )


def write_glas(root: Path) -> Path:
    """Five images of four patients, 8-bit BMP; ids with a gap, as there are in the set."""
    folder = root / "Warwick_QU_Dataset"
    lines = []
    for seed, (name, patient) in enumerate(
        [("train_1", 4), ("train_2", 4), ("train_10", 5), ("testA_1", 6), ("testB_1", 7)]
    ):
        glands = objects(3)
        glands[glands == 2] = 7
        save(folder / f"{name}.bmp", picture(seed))
        save(folder / f"{name}_anno.bmp", glands.astype(np.uint8))
        lines.append(f"{name},{patient}, benign, adenomatous\n")
    (folder / "Grade.csv").write_text(GRADES + "".join(lines), encoding="utf-8")
    return root


def write_crag(root: Path) -> Path:
    """Three images to train on and one of the test set, with the overlays that go with them."""
    folder = root / "CRAG_v2" / "CRAG"
    for seed, (part, name) in enumerate(
        [("train", "train_1"), ("train", "train_2"), ("train", "train_10"), ("valid", "test_1")]
    ):
        for kind, pixels in {
            "Images": picture(seed),
            "Overlay": picture(seed),
            "Annotation": objects(4).astype(np.uint8),
        }.items():
            save(folder / part / kind / f"{name}.png", pixels)
    return root


def write_lizard_nuclei(folder: Path, rows: Mapping[str, str]) -> Path:
    """Write labels of Lizard's names (with the images that they are of) and ``info.csv``."""
    for name in rows:
        nuclei_mat(folder / "Labels" / f"{name}.mat", objects(6), {n: n for n in range(1, 7)})
    text = "".join(
        f"{name},{source},{1 + n % 3}\n" for n, (name, source) in enumerate(rows.items())
    )
    (folder / "info.csv").write_text(INFO + text, encoding="utf-8")
    return folder


def write_lizard(root: Path) -> Path:
    """Six images in two folders: two cuts of one slide, and one image of each other source."""
    rows = {
        "dpath_1": "18-13347A_2019-05-08 01_31_58-lv1-14057-17758-5693-6244",
        "dpath_2": "18-13347A_2019-05-08 01_31_58-lv1-14057-17758-5693-6244_1",
        "dpath_10": "D201709874_2019-05-21 12_42_42-lv1-27679-18718-4109-3578",
        "glas_1": "testB_10",
        "consep_1": "test_14",
        "crag_1": "train_105",
    }
    write_lizard_nuclei(root / "lizard_labels" / "Lizard_Labels", rows)
    for seed, name in enumerate(rows):
        number = 2 if name.startswith(("dpath", "glas")) else 1
        folder = root / f"lizard_images{number}" / f"Lizard_Images{number}"
        save(folder / f"{name}.png", picture(seed))
    save(root / "overlay" / "Overlay" / "dpath_1.jpg", picture(9))
    return root


def consep_types(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Type of each pixel: that of nucleus n is n, from 1 to 7."""
    return np.where(labels > 0, (labels - 1) % 7 + 1, 0)


def write_consep(root: Path) -> Path:
    """Three images to train on and one of the test set; seven nuclei of seven types each."""
    folder = root / "CoNSeP"
    for seed, (part, name) in enumerate(
        [("Train", "train_1"), ("Train", "train_2"), ("Train", "train_10"), ("Test", "test_1")]
    ):
        save(folder / part / "Images" / f"{name}.png", picture(seed))
        save(folder / part / "Overlay" / f"{name}.png", picture(seed))
        labels = objects(7)
        save_mat(
            folder / part / "Labels" / f"{name}.mat",
            {
                # Floats, as MATLAB writes them.
                "inst_map": labels.astype(np.float64),
                "type_map": consep_types(labels).astype(np.float64),
                "inst_type": np.arange(1.0, 8.0)[:, None],
                "inst_centroid": np.zeros((7, 2)),
            },
        )
    (folder / "README.txt").write_text("the set's description", encoding="utf-8")
    return root


def pannuke_masks(count: int, side: int) -> npt.NDArray[np.float64]:
    """Ids that clash between the channels: 1 is in each of the first three."""
    labels = objects(5, (side, side))
    masks = np.zeros((count, side, side, 6))
    for channel, ids in enumerate([(1, 2), (3,), (4,), (), (5,)]):
        for number, own in enumerate(ids, 1):
            masks[:, labels == own, channel] = number
    masks[..., 5] = labels == 0
    return masks


def write_pannuke(root: Path, count: int = 3, side: int = 48) -> Path:
    """Three folds of a few patches, smaller than the published 256 x 256."""
    for fold in (1, 2, 3):
        images = root / f"Fold {fold}" / "images" / f"fold{fold}"
        masks = root / f"Fold {fold}" / "masks" / f"fold{fold}"
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        pixels = np.stack([picture(10 * fold + n, (side, side)) for n in range(count)])
        np.save(images / "images.npy", pixels.astype(np.float64))
        np.save(images / "types.npy", np.array((["Breast", "Colon", "Bile-duct"] * count)[:count]))
        np.save(masks / "masks.npy", pannuke_masks(count, side))
    return root


def write_dsb2018(root: Path) -> Path:
    """Three images with masks (RGBA, grey, RGB) and one of the test stage without."""
    names = ("00071198d059", "003cee89357d", "1b44d22643830cd4")
    grey = picture(1)[:, :, 0]
    clear = np.dstack([picture(0), np.full(SHAPE, 255, np.uint8)])
    for name, pixels in zip(names, (clear, grey, picture(2)), strict=True):
        save(root / "stage1_train" / name / "images" / f"{name}.png", pixels)
        for number in range(1, 5):
            mask = np.where(objects(4) == number, 255, 0).astype(np.uint8)
            save(root / "stage1_train" / name / "masks" / f"{name}{number:04d}.png", mask)
    save(root / "stage1_test" / "0114f484a16c" / "images" / "0114f484a16c.png", clear)
    return root

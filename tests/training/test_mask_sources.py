"""Where SyncSAM's masks come from: labels, segments of a picture, pasted shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy import ndimage

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.training.config import check_config
from napari_coseg.training.mask_items import SMALLEST, MaskItem, MaskSet, mask_item
from napari_coseg.training.prompt_config import MaskKind, PromptTrainingConfig
from napari_coseg.training.prompt_samples import (
    PSEUDO,
    REAL,
    SHAPE,
    TRUTH_STRIDE,
    PromptSamples,
    objects_of,
)
from napari_coseg.training.prompt_task import load_mask_sets
from napari_coseg.training.pseudo_masks import pseudo_masks
from napari_coseg.training.shape_masks import paste_shapes, random_shape

Bits = npt.NDArray[np.bool_]
BLOBS = ((40, 40, 18), (40, 120, 22), (120, 50, 14), (115, 115, 25))


def dice(one: Bits, two: Bits) -> float:
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


def blobs(side: int = 160) -> tuple[npt.NDArray[np.uint8], list[Bits]]:
    rows, columns = np.mgrid[:side, :side]
    discs = [np.hypot(rows - r, columns - c) < radius for r, c, radius in BLOBS]
    picture = np.full((side, side, 3), 190, np.uint8)
    for number, disc in enumerate(discs):
        picture[disc] = (40 + 25 * number, 90, 160 - 30 * number)
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), discs


def test_clear_blobs_are_found_as_pseudo_masks() -> None:
    picture, discs = blobs()
    found: set[int] = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        for bits in pseudo_masks(picture, 4, rng):
            scores = [dice(bits, disc) for disc in discs]
            assert max(scores) > 0.9, (seed, scores)
            found.add(int(np.argmax(scores)))
    assert found == set(range(len(discs)))


def test_pseudo_masks_are_apart_whole_and_as_many_as_asked() -> None:
    picture, _ = blobs()
    for seed in range(4):
        for count in (1, 3):
            masks = pseudo_masks(picture, count, np.random.default_rng(seed))
            assert len(masks) <= count
            assert not masks or np.sum(masks, axis=0).max() == 1
            for bits in masks:
                assert (ndimage.binary_fill_holes(bits) == bits).all()
                assert not bits[[0, -1]].any()
                assert not bits[:, [0, -1]].any()


def test_a_flat_picture_has_no_pseudo_mask() -> None:
    flat = np.full((96, 96, 3), 130, np.uint8)
    for seed in range(4):
        assert pseudo_masks(flat, 3, np.random.default_rng(seed)) == []
    ramp = np.repeat(np.linspace(60, 200, 96).astype(np.uint8)[:, None, None], 96, 1).repeat(3, 2)
    assert pseudo_masks(ramp, 3, np.random.default_rng(0)) == []


@pytest.mark.parametrize("fill", [0.02, 0.15, 0.5, 1.0])
def test_shapes_are_in_one_piece_and_of_their_size(fill: float) -> None:
    side = 96
    lengths = []
    for seed in range(60):
        bits = random_shape(side, fill, np.random.default_rng(seed))
        assert bits.shape == (side, side)
        assert bits.sum() >= 20
        assert ndimage.label(bits)[1] == 1
        lengths.append(max(bits.any(0).sum(), bits.any(1).sum()))
    if fill > 0.1:
        assert max(lengths) <= fill * side + 2
        assert np.median(lengths) >= 0.7 * fill * side


@pytest.mark.parametrize("grey", [0, 4, 128, 250, 255])
def test_what_is_pasted_can_be_seen(grey: int) -> None:
    """White cannot become brighter, nor black darker: shapes are seen there too."""
    rng = np.random.default_rng(0)
    base = np.clip(grey + rng.normal(0, 2, (96, 96, 3)), 0, 255).astype(np.uint8)
    other = np.clip(grey + rng.normal(0, 2, (96, 96, 3)), 0, 255).astype(np.uint8)
    for seed in range(10):
        picture, masks = paste_shapes(
            base, other, np.array([0.4, 0.3, 0.3, 0.2]), np.random.default_rng(seed)
        )
        assert masks
        assert np.sum(masks, axis=0).max() == 1
        outside = ~ndimage.binary_dilation(np.any(masks, axis=0), iterations=8)
        for bits in masks:
            # A core may look like what is outside; what is round it does not.
            depth = ndimage.distance_transform_edt(bits)
            shell = (depth > 2) & (depth <= 3.5)
            if depth.max() > 6:
                difference = picture[shell].mean() - picture[outside].mean()
                assert abs(difference) > 5, (seed, difference)
        assert np.abs(picture[outside].astype(int) - base[outside]).max() <= 1


def test_some_shapes_have_a_core_of_their_own() -> None:
    base = np.full((128, 128, 3), 60, np.uint8)
    other = np.full((128, 128, 3), 190, np.uint8)
    cores = 0
    for seed in range(60):
        picture, (bits,) = paste_shapes(base, other, np.array([0.6]), np.random.default_rng(seed))
        depth = ndimage.distance_transform_edt(bits)
        if depth.max() < 6:
            continue
        middle, shell = picture[depth >= 0.85 * depth.max()], picture[(depth > 2) & (depth <= 3.5)]
        cores += abs(float(middle.mean()) - float(shell.mean())) > 8
    # Four of ten, with room for chance.
    assert 12 <= cores <= 36


def test_some_shapes_are_cut_by_the_edge() -> None:
    cut = 0
    for seed in range(200):
        bits = random_shape(96, 0.5, np.random.default_rng(seed))
        edges = (bits[0], bits[-1], bits[:, 0], bits[:, -1])
        cut += any(edge.sum() > 4 for edge in edges)
    assert 4 <= cut <= 60


def test_the_smallest_shapes_are_there_too() -> None:
    flat = np.full((64, 64, 3), 100, np.uint8)
    for seed in range(40):
        masks = paste_shapes(flat, flat, np.array([0.01]), np.random.default_rng(seed))[1]
        assert len(masks) == 1
        # As the truth is sampled.
        assert masks[0][1::2, 1::2].any()


def folder(
    root: Path, picture: npt.NDArray[np.uint8], about: str = "", **labels: npt.NDArray[Any]
) -> FolderDataset:
    for kind, array in {"images": picture, **labels}.items():
        (root / kind).mkdir(parents=True)
        Image.fromarray(array).save(root / kind / "a.png")
    (root / "dataset.toml").write_text(f"mpp = 0.5\n{about}")
    return FolderDataset(root)


def read(dataset: FolderDataset, *kinds: MaskKind) -> MaskItem:
    return mask_item(MaskSet(dataset, dataset.items, kinds, 1.0), dataset.items[0])


def slow_objects(labels: npt.NDArray[Any]) -> dict[int, list[int]]:
    out = {}
    for number in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == number)
        if len(rows) >= SMALLEST:
            box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            out[int(number)] = [int(edge) for edge in box]
    return out


def test_objects_of_an_item(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((120, 150), np.uint16)
    for number in (3, 700, 65_000, 12, 40):
        row, column = rng.integers(0, 100, 2)
        labels[row : row + rng.integers(3, 20), column : column + rng.integers(3, 20)] = number
    labels[0, :5] = 9
    regions = np.zeros((120, 150), np.uint8)
    regions[10:40, 10:40] = regions[60:90, 60:90] = 1
    regions[40:55, 40:55] = 2
    regions[100:110, 100:110] = 255
    dataset = folder(
        tmp_path,
        np.zeros((120, 150, 3), np.uint8),
        'region_classes = ["a", "b"]',
        instances=labels,
        regions=regions,
    )
    item = read(dataset, "instances", "region_instances", "regions")
    # Region instances, which the set lacks, are passed over.
    assert len(item.labels) == 2
    assert item.shape == (120, 150)
    table = zip(item.kinds, item.ids, item.boxes, strict=True)
    found = {int(number): box.tolist() for kind, number, box in table if kind == 0}
    assert found == slow_objects(labels)
    assert 9 not in found
    boxes = sorted(b.tolist() for k, b in zip(item.kinds, item.boxes, strict=True) if k == 1)
    assert boxes == [[10, 10, 40, 40], [40, 40, 55, 55], [60, 60, 90, 90]]


def test_an_item_without_labels_has_no_object(tmp_path: Path) -> None:
    item = read(folder(tmp_path, np.zeros((50, 2000, 3), np.uint8)), "instances")
    assert len(item.ids) == len(item.labels) == 0
    assert item.boxes.shape == (0, 4)
    # Halved until its longer side is below twice 384.
    assert [level.size for level in item.levels] == [(2000, 50), (1000, 25), (500, 13)]


def test_other_objects_of_a_crop_lie_in_it_whole() -> None:
    ids = np.zeros((40, 40), np.int32)
    ids[0:10, 0:10] = 1
    ids[15:30, 15:30] = 2
    ids[32:38, 4:12] = 3
    ids[35:37, 35:37] = 4
    rng = np.random.default_rng(0)
    found = objects_of(ids, 1, 4, rng)
    assert (found[0] == (ids == 1)).all()
    # The small one is left out, and one that the border cuts may only be the first.
    assert {int(ids[bits][0]) for bits in found} == {1, 2, 3}
    assert {int(ids[bits][0]) for bits in objects_of(ids, 2, 4, rng)} == {2, 3}
    assert len(objects_of(ids, 1, 2, rng)) == 2
    assert {int(ids[bits][0]) for bits in objects_of(ids, 99, 4, rng)} == {2, 3}


def config(raw: dict[str, Any]) -> PromptTrainingConfig:
    checked = check_config(raw)
    assert isinstance(checked, PromptTrainingConfig)
    return checked


def drawn(raw: dict[str, Any], count: int = 60) -> PromptSamples:
    checked = config(raw)
    train, held = load_mask_sets(checked)
    return PromptSamples([*train, *held], checked, count)


def test_a_number_always_gives_the_same_sample(prompt_config: dict[str, Any]) -> None:
    one, two = drawn(prompt_config), drawn(prompt_config)
    late = [two[i] for i in (5, 3)]
    for index, other in zip((5, 3), late, strict=True):
        for name, value in one[index].items():
            assert torch.equal(value, other[name]), name
    prompt_config["run"]["seed"] = 1
    assert not torch.equal(drawn(prompt_config)[5]["image"], late[0]["image"])


@pytest.mark.parametrize(
    ("mix", "sources"),
    [
        ({"pseudo": 0.0, "shapes": 0.0}, {REAL}),
        ({"pseudo": 0.0, "shapes": 1.0}, {SHAPE}),
        # Where nothing can be seen a shape stands in.
        ({"pseudo": 1.0, "shapes": 0.0}, {PSEUDO, SHAPE}),
        ({"pseudo": 0.3, "shapes": 0.3}, {REAL, PSEUDO, SHAPE}),
    ],
)
def test_mixtures(prompt_config: dict[str, Any], mix: dict[str, float], sources: set[int]) -> None:
    prompt_config["mix"] = mix
    samples = drawn(prompt_config)
    seen = set()
    for index in range(16):
        sample = samples[index]
        seen.add(int(sample["source"]))
        most = prompt_config["interaction"]["masks"]
        assert sample["image"].shape == (64, 64, 3)
        assert sample["image"].dtype == sample["masks"].dtype == torch.uint8
        assert sample["masks"].shape == (most, 32, 32)
        assert sample["valid"].any()
        # What is padded is empty and not valid; what is valid is not empty.
        assert torch.equal(sample["valid"], sample["masks"].flatten(1).any(1))
        assert sample["masks"].max() == 1
    assert seen <= sources
    assert seen >= sources - {SHAPE} or len(sources) == 1


def coloured(root: Path, shape: tuple[int, int] = (300, 420)) -> Path:
    """An image on which each object has a colour of its own, which nothing else has."""
    labels = np.zeros(shape, np.uint16)
    picture = np.zeros((*shape, 3), np.uint8)
    rng = np.random.default_rng(1)
    number = 0
    for row in range(20, shape[0] - 50, 60):
        for column in range(10, shape[1] - 50, 60):
            number += 1
            rows, columns = rng.integers(20, 45, 2)
            place = (slice(row, row + rows), slice(column, column + columns))
            labels[place] = number
            picture[place] = (6 * number, 255 - 6 * number, 255)
    folder(root, picture, instances=labels)
    return root


PLAIN: dict[str, Any] = {
    **dict.fromkeys(("stain", "brightness", "blur", "noise", "jpeg", "colour"), 0.0)
}


@pytest.mark.parametrize("rotate", [True, False])
def test_masks_cover_the_objects_that_are_seen(
    tmp_path: Path, prompt_config: dict[str, Any], rotate: bool
) -> None:
    prompt_config["data"] = [{"path": coloured(tmp_path / "set")}]
    prompt_config["mix"] = {"pseudo": 0.0, "shapes": 0.0}
    prompt_config["augment"] = {**PLAIN, "rotate": rotate, "fill": [0.15, 0.7]}
    prompt_config["interaction"] = {"masks": 4}
    prompt_config["model"]["network"]["side"] = 128
    samples = drawn(prompt_config)
    several = 0
    for index in range(30):
        sample = samples[index]
        picture = sample["image"].numpy()
        assert int(sample["source"]) == REAL
        several += int(sample["valid"].sum()) > 1
        for bits in sample["masks"].numpy()[sample["valid"].numpy()].astype(bool):
            large = bits.repeat(TRUTH_STRIDE, 0).repeat(TRUTH_STRIDE, 1)
            inside = ndimage.binary_erosion(large, iterations=3)
            if not inside.any():
                continue
            colour = np.median(picture[inside], axis=0)
            of_object = (np.abs(picture.astype(int) - colour) <= 2).all(-1)
            assert of_object[inside].all()
            around = ndimage.binary_dilation(large, iterations=3)
            assert not of_object[~around].any()
            assert colour[2] == 255
    assert several > 5


def test_a_crop_may_be_larger_than_its_image(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    labels = np.zeros((30, 80), np.uint16)
    labels[5:25, 5:75] = 1
    picture = np.zeros((30, 80, 3), np.uint8)
    picture[labels > 0] = 255
    folder(tmp_path / "set", picture, instances=labels)
    prompt_config["data"] = [{"path": tmp_path / "set"}]
    prompt_config["mix"] = {"pseudo": 0.0, "shapes": 0.0}
    prompt_config["augment"] = {**PLAIN, "rotate": False, "fill": [0.3, 0.5]}
    samples = drawn(prompt_config)
    for index in range(6):
        sample = samples[index]
        # Grey outside, as prediction fills it.
        assert (sample["image"].numpy() == 128).all(-1).mean() > 0.3
        truth = sample["masks"][0].numpy().astype(bool)
        seen = (sample["image"].numpy()[1::2, 1::2] > 200).all(-1)
        assert dice(truth, seen) > 0.9


def test_the_object_fills_what_it_should(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    prompt_config["data"] = [{"path": coloured(tmp_path / "set")}]
    prompt_config["mix"] = {"pseudo": 0.0, "shapes": 0.0}
    prompt_config["interaction"] = {"masks": 1}
    prompt_config["augment"] = {**PLAIN, "rotate": False, "fill": [0.4, 0.4]}
    samples = drawn(prompt_config)
    for index in range(10):
        truth = samples[index]["masks"][0]
        longest = max(int(truth.any(0).sum()), int(truth.any(1).sum()))
        assert abs(longest / len(truth) - 0.4) < 0.08


def test_items_without_objects_still_serve(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    folder(tmp_path / "set", blobs()[0])
    prompt_config["data"] = [{"path": tmp_path / "set"}]
    prompt_config["mix"] = {"pseudo": 0.0, "shapes": 0.0}
    samples = drawn(prompt_config)
    assert all(int(samples[i]["source"]) == SHAPE for i in range(4))

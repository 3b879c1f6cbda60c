"""Generated tiles: what their truth promises."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label as connected

from napari_coseg.datasets.synthetic_histology import (
    TILES_A_SLIDE,
    SyntheticTile,
    generate_tile,
    write_dataset,
)
from napari_coseg.types import CosegError

ARRAYS = ("image", "regions", "region_instances", "instances", "classes")


@pytest.fixture(scope="module")
def tiles() -> list[SyntheticTile]:
    return [generate_tile(seed, (256, 256)) for seed in range(10, 16)]


def test_equal_seeds_give_equal_tiles() -> None:
    np.random.seed(1)  # noqa: NPY002 - the state that must not matter
    first = generate_tile(3, (96, 128))
    np.random.seed(2)  # noqa: NPY002
    second = generate_tile(3, (96, 128))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    other = generate_tile(4, (96, 128))
    assert (first.image != other.image).any()
    assert (first.instances != other.instances).any()


def test_the_global_random_state_is_left_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generate_tile(0, (64, 64))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("shape", "mpp"),
    [((64, 64), 0.5), ((16, 16), 0.25), ((48, 160), 1.0), ((257, 131), 0.5), ((64, 64), 2.0)],
)
def test_shapes_and_dtypes(shape: tuple[int, int], mpp: float) -> None:
    tile = generate_tile(7, shape, mpp)
    assert tile.image.shape == (*shape, 3)
    assert tile.image.dtype == np.uint8
    for name, dtype in (
        ("regions", np.uint8),
        ("region_instances", np.int32),
        ("instances", np.int32),
        ("classes", np.uint8),
    ):
        assert getattr(tile, name).shape == shape
        assert getattr(tile, name).dtype == dtype
    assert tile.mpp == mpp


def test_ids_are_consecutive(tiles: list[SyntheticTile]) -> None:
    for tile in tiles:
        for labels in (tile.instances, tile.region_instances):
            ids = np.unique(labels)
            np.testing.assert_array_equal(ids, np.arange(ids.size))


def test_truth_agrees_with_itself(tiles: list[SyntheticTile]) -> None:
    for tile in tiles:
        np.testing.assert_array_equal(tile.regions > 0, tile.region_instances > 0)
        np.testing.assert_array_equal(tile.classes > 0, tile.instances > 0)
        pairs = np.unique(np.stack([tile.instances, tile.classes]).reshape(2, -1), axis=1)
        assert pairs.shape[1] == tile.instances.max() + 1, "one class an object"
        assert tile.classes.max() <= len(tile.instance_classes)
        pieces = connected(tile.instances, connectivity=2).max()
        assert pieces == tile.instances.max(), "each nucleus is one piece"


def test_there_is_something_of_each_kind(tiles: list[SyntheticTile]) -> None:
    counts = sum(np.bincount(_class_of_objects(tile), minlength=4) for tile in tiles)
    assert (counts[1:] > 30).all()
    share = np.mean([tile.regions.mean() for tile in tiles])
    assert 0.15 < share < 0.7
    assert any(tile.region_instances.max() > 1 for tile in tiles)


def test_touching_glands_are_told_apart() -> None:
    touching = 0
    for seed in range(30, 36):
        glands = generate_tile(seed, (256, 256), 1.0).region_instances
        merged = connected(glands > 0, connectivity=2).max()
        touching += int(glands.max() - merged > 0)
    assert touching >= 2


def test_epithelial_nuclei_lie_in_glands_and_spindles_outside(tiles: list[SyntheticTile]) -> None:
    inside = np.zeros(4)
    total = np.zeros(4)
    for tile in tiles:
        kinds = tile.classes.ravel()
        inside += np.bincount(kinds, weights=tile.regions.ravel(), minlength=4)
        total += np.bincount(kinds, minlength=4)
    part = inside / total
    assert part[2] > 0.97
    assert part[3] < 0.05
    assert 0.0 < part[1] < 0.3, "some lymphocytes lie between epithelial cells"


def test_size_alone_does_not_tell_the_class(tiles: list[SyntheticTile]) -> None:
    areas: dict[int, list[float]] = {1: [], 2: [], 3: []}
    for tile in tiles:
        sizes = np.bincount(tile.instances.ravel())[1:]
        for kind, size in zip(_class_of_objects(tile), sizes, strict=True):
            areas[int(kind)].append(size * tile.mpp**2)
    for first, second in ((1, 2), (2, 3)):
        low, high = np.percentile(areas[first], [10, 90])
        overlap = np.mean([(low < area < high) for area in areas[second]])
        assert overlap > 0.25


def test_nuclei_are_darker_than_what_surrounds_them_but_not_separable(
    tiles: list[SyntheticTile],
) -> None:
    for tile in tiles:
        red = tile.image[..., 0].astype(float)
        nuclei, rest = red[tile.instances > 0], red[tile.instances == 0]
        assert nuclei.mean() < rest.mean() - 30
        # The best threshold on the dye's strongest channel leaves errors.
        cut = np.arange(60, 240, 5)
        wrong = [(nuclei > value).mean() + (rest <= value).mean() for value in cut]
        assert min(wrong) > 0.05


def test_nuclei_keep_their_size_in_micrometres() -> None:
    medians = {}
    for mpp in (0.25, 0.5):
        sizes: list[int] = []
        for seed in range(50, 54):
            tile = generate_tile(seed, (round(80 / mpp), round(80 / mpp)), mpp)
            core = tile.instances[4:-4, 4:-4]
            sizes.extend(np.bincount(tile.instances.ravel())[np.unique(core)[1:]])
        medians[mpp] = np.median(sizes)
    # Twice as large in each direction.
    assert 3.2 < medians[0.25] / medians[0.5] < 5.0
    diameter = 2 * np.sqrt(medians[0.25] / np.pi) * 0.25
    assert 3.0 < diameter < 7.0, "CoNSeP's median is 4.1 µm"


def test_stain_differs_between_slides_and_is_shared_within_one() -> None:
    def mean_colour(seed: int, stain_seed: int | None = None) -> np.ndarray:
        tile = generate_tile(seed, (128, 128), stain_seed=stain_seed)
        return tile.image[tile.instances > 0].mean(axis=0)

    alone = np.array([mean_colour(seed) for seed in range(60, 66)])
    shared = np.array([mean_colour(seed, 60) for seed in range(60, 66)])
    assert alone.std(axis=0).max() > 1.3 * shared.std(axis=0).max()


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": -1},
        {"shape": (8, 64)},
        {"shape": (64,)},
        {"mpp": 0.0},
        {"mpp": float("nan")},
        {"stain_seed": -2},
    ],
)
def test_bad_arguments_are_told(arguments: dict[str, object]) -> None:
    with pytest.raises(CosegError):
        generate_tile(**arguments)  # type: ignore[arg-type]


def test_write_dataset_round_trip(tmp_path: Path) -> None:
    count = TILES_A_SLIDE + 1
    names = write_dataset(tmp_path / "set", count, seed=9, shape=(64, 80), mpp=0.5)
    assert len(names) == count
    with (tmp_path / "set" / "dataset.toml").open("rb") as file:
        description = tomllib.load(file)
    assert description["mpp"] == 0.5
    assert description["region_classes"] == ["gland"]
    assert description["instance_classes"] == ["inflammatory", "epithelial", "spindle"]
    assert set(description["group"]) == set(names)
    assert len(set(description["group"].values())) == 2
    for index, name in enumerate(names):
        stain_seed = 9 + index // TILES_A_SLIDE * TILES_A_SLIDE
        tile = generate_tile(9 + index, (64, 80), 0.5, stain_seed=stain_seed)
        for folder, array, dtype in (
            ("images", tile.image, np.uint8),
            ("regions", tile.regions, np.uint8),
            ("region_instances", tile.region_instances, np.uint16),
            ("instances", tile.instances, np.uint16),
            ("classes", tile.classes, np.uint8),
        ):
            stored = np.asarray(Image.open(tmp_path / "set" / folder / f"{name}.png"))
            assert stored.dtype == dtype
            np.testing.assert_array_equal(stored, array)


def test_write_dataset_refuses_no_tile(tmp_path: Path) -> None:
    with pytest.raises(CosegError):
        write_dataset(tmp_path / "set", 0)
    assert not (tmp_path / "set").exists()


def test_a_tile_takes_seconds_at_most() -> None:
    started = time.process_time()
    generate_tile(1)
    assert time.process_time() - started < 5.0


def _class_of_objects(tile: SyntheticTile) -> np.ndarray:
    kinds = np.zeros(int(tile.instances.max()) + 1, np.int64)
    kinds[tile.instances.ravel()] = tile.classes.ravel()
    return kinds[1:]

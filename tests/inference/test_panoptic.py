from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.instances import InstanceSettings
from napari_coseg.inference.panoptic import segment_image
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancelled
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.types import OBJECT_COLUMNS, CosegError, PanopticResult
from tests.inference.fake import TINY, FakeModel, ReadingNetwork, Truth, card, picture, same_objects


def settings(**values: object) -> PredictSettings:
    return PredictSettings(**{"overlap": 16, "halo": 24, "padding": "reflect", **values})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return picture(300, 420, 150)


@pytest.fixture(scope="module")
def whole(truth: Truth) -> PanopticResult:
    return segment_image(truth.image, FakeModel(), mpp=0.25, settings=settings())


def overlap(found: np.ndarray, true: np.ndarray) -> dict[int, tuple[int, float]]:
    """For each true object the object found at most of its pixels, and their IoU."""
    result = {}
    for label in range(1, int(true.max()) + 1):
        inside = true == label
        best = int(np.bincount(found[inside]).argmax())
        result[label] = (best, (inside & (found == best)).sum() / (inside | (found == best)).sum())
    return result


def test_perfect_maps_give_the_objects_back(truth: Truth, whole: PanopticResult) -> None:
    assert whole.instances is not None
    assert whole.regions is not None
    assert len(whole.objects) == len(truth.classes) > 80
    found = overlap(whole.instances, truth.labels)
    assert len({label for label, _ in found.values()}) == len(truth.classes)
    assert min(iou for _, iou in found.values()) > 0.8
    classes = dict(zip(whole.objects["label"], whole.objects["class"], strict=True))
    assert all(classes[found[label][0]] == kind for label, kind in truth.classes.items())
    assert (whole.regions != truth.regions).mean() < 0.03
    parents = dict(zip(whole.objects["label"], whole.objects["region"], strict=True))
    for label, (mine, _) in found.items():
        inside = truth.regions[truth.labels == label].mean()
        if inside in (0.0, 1.0) and parents[mine] != inside:
            # Regions run at a quarter of the resolution: their border lies within 4 pixels.
            rows, columns = np.nonzero(truth.labels == label)
            around = truth.regions[
                max(0, rows.min() - 8) : rows.max() + 9,
                max(0, columns.min() - 8) : columns.max() + 9,
            ]
            assert 0 < around.mean() < 1


def test_the_table_tells_the_facts_of_the_label_image(whole: PanopticResult) -> None:
    assert whole.instances is not None
    objects = whole.objects
    assert tuple(objects.columns[: len(OBJECT_COLUMNS)]) == OBJECT_COLUMNS
    np.testing.assert_array_equal(objects["label"], np.arange(1, whole.instances.max() + 1))
    for entry in objects.itertuples():
        rows, columns = np.nonzero(whole.instances == entry.label)
        assert entry.area_px == len(rows)
        assert entry.area_um2 == pytest.approx(len(rows) / 16)
        assert (entry.row, entry.column) == pytest.approx((rows.mean(), columns.mean()))
        box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert (entry.row0, entry.column0, entry.row1, entry.column1) == box
        assert 0.5 < entry.score <= 1
        assert entry.class_name in ("round", "long")
        assert entry.region_name == ("background", "gland")[entry.region]
    order = objects[["row0", "column0"]].to_numpy().tolist()
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("block", "halo", "more"),
    [
        (64, 24, {}),
        (101, 24, {"batch": 4}),
        (101, 24, {"workers": 2}),
        (90, 0, {}),
        (2048, 24, {"cache_bytes": 0}),
    ],
)
def test_blocks_do_not_change_the_result(
    truth: Truth, whole: PanopticResult, block: int, halo: int, more: dict[str, object]
) -> None:
    asked = settings(block=block, halo=halo, **more)
    result = segment_image(truth.image, FakeModel(), mpp=0.25, settings=asked)
    np.testing.assert_array_equal(result.instances, whole.instances)
    np.testing.assert_array_equal(result.regions, whole.regions)
    pd.testing.assert_frame_equal(result.objects, whole.objects, rtol=1e-9)


@pytest.mark.parametrize("block", [90, 2048])
def test_doubtful_objects_are_left_out(truth: Truth, whole: PanopticResult, block: int) -> None:
    least = float(whole.objects["score"].median())
    instances = InstanceSettings(min_score=least)
    asked = settings(block=block, instances=instances)
    result = segment_image(truth.image, FakeModel(), mpp=0.25, settings=asked)
    sure = whole.objects[whole.objects["score"] >= least]
    assert 0 < len(sure) < len(whole.objects)
    # The others are as they were; numbers leave no gap.
    numbers = np.zeros(len(whole.objects) + 1, np.int32)
    numbers[sure["label"]] = np.arange(1, len(sure) + 1)
    assert whole.instances is not None
    np.testing.assert_array_equal(result.instances, numbers[whole.instances])
    expected = sure.assign(label=numbers[sure["label"]].astype(np.int64)).reset_index(drop=True)
    pd.testing.assert_frame_equal(result.objects, expected, rtol=1e-9)


def test_an_object_larger_than_the_halo_is_whole_and_once() -> None:
    large = picture(260, 260, 12, seed=3, radius=60)
    one = segment_image(large.image, FakeModel(), mpp=0.25, settings=settings())
    asked = settings(block=64, halo=8, max_halo=256)
    many = segment_image(large.image, FakeModel(), mpp=0.25, settings=asked)
    assert one.instances is not None
    assert many.instances is not None
    assert same_objects(many.instances, one.instances)
    assert one.instances.max() >= 3


@pytest.mark.parametrize("factor", [2, 3])
def test_each_task_runs_at_its_own_scale(truth: Truth, whole: PanopticResult, factor: int) -> None:
    fine = np.kron(truth.image, np.ones((factor, factor, 1), np.uint8))
    network = ReadingNetwork()
    asked = settings(block=160)
    result = segment_image(fine, FakeModel(network), mpp=0.25 / factor, settings=asked)
    assert result.instances is not None
    assert result.regions is not None
    assert result.instances.shape == fine.shape[:2]
    enlarged = np.kron(truth.labels, np.ones((factor, factor), np.int32))
    found = overlap(result.instances, enlarged)
    assert np.mean([iou > 0.7 for _, iou in found.values()]) > 0.95
    places = result.objects.set_index("label")[["row", "column"]]
    for label, (mine, _) in found.items():
        centre = np.argwhere(enlarged == label).mean(0)
        assert np.abs(places.loc[mine] - centre).max() < factor
    # The network's own edges are worth a pixel at its scale, whatever the image's.
    areas = result.objects["area_um2"].sum(), whole.objects["area_um2"].sum()
    assert areas[0] == pytest.approx(areas[1], rel=0.3)
    assert whole.regions is not None
    shrunk = result.regions[factor // 2 :: factor, factor // 2 :: factor]
    assert (shrunk != whole.regions).mean() < 0.01
    # As many tiles as the picture has at the model's scale.
    assert network.tiles == (6 * 9) + (2 * 2)


def test_coarse_images_are_enlarged_for_the_model(truth: Truth) -> None:
    coarse = np.ascontiguousarray(truth.image[::2, ::2])
    result = segment_image(coarse, FakeModel(), mpp=0.5, settings=settings(block=100))
    assert result.instances is not None
    assert result.instances.shape == coarse.shape[:2]
    present = np.unique(result.instances)
    np.testing.assert_array_equal(present, np.arange(len(result.objects) + 1))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (5, 3), (64, 64), (65, 63)])
@pytest.mark.parametrize("mpp", [0.1, 0.25, 1.0])
def test_small_and_odd_shapes(shape: tuple[int, int], mpp: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    result = segment_image(image, FakeModel(), mpp=mpp, settings=settings(block=300))
    assert result.regions is not None
    assert result.instances is not None
    assert result.regions.shape == result.instances.shape == shape
    assert result.regions.dtype == np.uint8
    assert result.instances.dtype == np.int32
    assert len(result.objects) == result.instances.max()


def test_one_colour_has_no_objects() -> None:
    result = segment_image(np.zeros((100, 100, 3), np.uint8), FakeModel(), mpp=0.25)
    assert result.instances is not None
    assert not result.instances.any()
    assert len(result.objects) == 0
    assert list(result.objects.columns[: len(OBJECT_COLUMNS)]) == list(OBJECT_COLUMNS)


def test_an_unknown_pixel_size_is_assumed_and_told(
    truth: Truth, whole: PanopticResult, caplog: pytest.LogCaptureFixture
) -> None:
    source = ArraySource(truth.image, name="tile_7")
    result = segment_image(source, FakeModel(), settings=settings())
    np.testing.assert_array_equal(result.instances, whole.instances)
    assert result.mpp is None
    assert result.objects["area_um2"].isna().all()
    told = "No pixel size in tile_7: assuming 0.25 µm, from the model."
    assert result.metadata["notes"] == [told]
    assert [record.message for record in caplog.records] == [told]
    assert (result.metadata["mpp"], result.metadata["mpp_origin"]) == (0.25, "assumed")


def test_the_images_own_pixel_size_is_used(truth: Truth) -> None:
    result = segment_image(ArraySource(truth.image, mpp=0.25), FakeModel(), settings=settings())
    assert (result.mpp, result.metadata["mpp_origin"]) == (0.25, "image")
    assert result.metadata["notes"] == []


@pytest.mark.parametrize("mpp", [0.0, -1.0, math.nan, math.inf])
def test_a_senseless_pixel_size_is_refused(mpp: float) -> None:
    with pytest.raises(CosegError, match="positive number of µm"):
        segment_image(np.zeros((8, 8, 3), np.uint8), FakeModel(), mpp=mpp)


def test_a_model_of_one_task_runs_that_one(truth: Truth, whole: PanopticResult) -> None:
    no_regions = card().model_copy(update={"region_classes": (), "region_mpp": None})
    result = segment_image(
        truth.image, FakeModel(card=no_regions), mpp=0.25, settings=settings(block=100)
    )
    assert result.regions is None
    np.testing.assert_array_equal(result.instances, whole.instances)
    assert set(result.objects["region"]) == {0}
    assert set(result.objects["region_name"]) == {""}
    no_objects = card().model_copy(update={"instance_classes": (), "instance_mpp": None})
    result = segment_image(
        truth.image, FakeModel(card=no_objects), mpp=0.25, settings=settings(block=100)
    )
    assert result.instances is None
    np.testing.assert_array_equal(result.regions, whole.regions)
    assert len(result.objects) == 0


def test_region_specks_can_be_removed_whatever_the_blocks(truth: Truth) -> None:
    image = truth.image.copy()
    image[8:48, 372:412, 2] = 128  # 1,600 px = 100 µm² of region
    kept = segment_image(image, FakeModel(), mpp=0.25, settings=settings())
    gone = segment_image(image, FakeModel(), mpp=0.25, settings=settings(min_region_um2=150.0))
    blocks = settings(min_region_um2=150.0, block=97)
    other = segment_image(image, FakeModel(), mpp=0.25, settings=blocks)
    assert kept.regions is not None
    assert gone.regions is not None
    assert kept.regions[26:30, 390:394].all()
    assert not gone.regions[:60, 360:].any()
    np.testing.assert_array_equal(gone.regions, other.regions)


def test_progress_counts_all_tiles_and_cancel_stops(truth: Truth) -> None:
    seen: list[tuple[int, int]] = []
    segment_image(
        truth.image,
        FakeModel(),
        mpp=0.25,
        settings=settings(block=100),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] == 6 * 9 + 2 * 2
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    seen.clear()
    with pytest.raises(Cancelled):
        segment_image(
            truth.image,
            FakeModel(),
            mpp=0.25,
            settings=settings(),
            progress=lambda done, total: seen.append((done, total)),
            cancel=lambda: len(seen) >= 3,
        )
    assert len(seen) == 3


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_no_bit(truth: Truth, threads: int) -> None:
    torch.manual_seed(0)
    image = truth.image[:150, :130]
    model = FakeModel(CosegNetwork(TINY).eval())
    before = torch.get_num_threads()
    results = []
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            asked = settings(block=80)
            results.append(segment_image(image, model, mpp=0.25, settings=asked))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    one, several = results
    np.testing.assert_array_equal(one.regions, several.regions)
    np.testing.assert_array_equal(one.instances, several.instances)
    pd.testing.assert_frame_equal(one.objects, several.objects, check_exact=True)

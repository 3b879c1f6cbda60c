from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_result import VolumeResult
from napari_coseg.imaging.volume_turning import Turning
from napari_coseg.imaging.volumes import Volume
from napari_coseg.inference import volume_scouting
from napari_coseg.inference.stream import Cancelled
from napari_coseg.inference.volume_scouting import scout_planes
from napari_coseg.inference.volume_stream import VolumeStream
from napari_coseg.inference.volumes import object_facts, segment_volume
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.weights.card import classes_of
from tests.inference.fake_volumes import (
    DOWN,
    SETTINGS,
    GreyNetwork,
    dice,
    jaws,
    volume_card,
    volume_model,
)

VOLUME, REGIONS, TEETH = jaws()
#: Classes that are no jaws: nothing is turned, voted or scouted.
PLAIN = classes_of(ClassTable.from_names(["bone", "cartilage"]))


@pytest.fixture(scope="module")
def result() -> VolumeResult:
    return segment_volume(VOLUME, volume_model(), settings=SETTINGS)


def network_of(model: object) -> GreyNetwork:
    network = model.network  # type: ignore[attr-defined]
    assert isinstance(network, GreyNetwork)
    return network


def test_regions_and_teeth_are_found(result: VolumeResult) -> None:
    assert result.regions is not None
    assert result.instances is not None
    assert result.regions.dtype == np.uint8
    assert result.instances.dtype == np.int32
    for jaw in (1, 2):
        assert dice(result.regions == jaw, np.equal(REGIONS, jaw)) > 0.9
    assert dice(result.instances > 0, TEETH > 0) > 0.9
    assert result.instances.max() == len(result.objects) == 6
    for label in range(1, 7):
        assert len(set(np.unique(TEETH[result.instances == label])) - {0}) == 1
    assert set(result.objects["class_name"]) == {"tooth"}
    assert (result.objects["score"] > 0.8).all()
    told = result.metadata
    assert told["planes"] == [25, 25]
    assert told["window"] == [0, 255]
    assert told["settings"]["padding"] == "black"
    assert told["model"] == "grey-reader"


def test_channels_are_planes_a_millimetre_apart() -> None:
    """A plane's grey value is its number, so that the channels say where they were taken."""
    voxels = np.zeros((20, 32, 32), np.int16)
    voxels += 10 * np.arange(20, dtype=np.int16)[:, None, None] + 50
    grid = VolumeGrid((20, 32, 32), (0.8, 0.4, 0.4), direction=DOWN)
    model = volume_model(64, region_classes=PLAIN)
    segment_volume(Volume(voxels, grid), model, settings=SETTINGS)
    middles = {tuple(int(v) for v in tile[:, 32, 32]) for tile in network_of(model).seen}
    # 1 mm is one and a quarter planes; at the ends the last plane repeats.
    inside = {(10 * z + 37, 10 * z + 50, 10 * z + 62) for z in range(2, 18)}
    assert inside <= middles
    assert {(50, 50, 62), (50, 60, 72), (217, 230, 240), (227, 240, 240)} <= middles
    # Around the volume is black, in training as here.
    assert all((tile[:, 0] == 0).all() for tile in network_of(model).seen)


def test_both_tasks_share_an_encoding_where_their_scale_is_one() -> None:
    model = volume_model()
    segment_volume(VOLUME, model, settings=SETTINGS)
    assert network_of(model).tasks == {("regions", "instances")}
    apart = volume_model(region_mpp=800)
    result = segment_volume(VOLUME, apart, settings=SETTINGS)
    assert network_of(apart).tasks == {("regions",), ("instances",)}
    assert result.regions is not None
    assert dice(result.regions > 0, REGIONS > 0) > 0.85


@pytest.mark.parametrize("spacing", [(0.2, 0.5, 0.3), (1.0, 0.6, 0.25)])
def test_voxels_of_any_shape(spacing: tuple[float, float, float]) -> None:
    shape = tuple(round(mm / s) for mm, s in zip((20, 36, 44), spacing, strict=True))
    volume, regions, teeth = jaws(shape, spacing)  # type: ignore[arg-type]
    result = segment_volume(volume, volume_model(), settings=SETTINGS)
    assert result.regions is not None
    assert result.instances is not None
    assert dice(result.regions > 0, regions > 0) > 0.88
    assert dice(result.instances > 0, teeth > 0) > 0.85
    seen, all_ = result.metadata["planes"]
    # Planes that are half as thick as the model's pixel are seen every second time.
    assert (seen, all_) == ((51, 100) if spacing[0] == 0.2 else (shape[0], shape[0]))


@pytest.mark.parametrize("orientation", ["SPL", "LIP"])
def test_jaws_are_seen_axial_however_they_are_stored(
    orientation: str, result: VolumeResult
) -> None:
    turning = Turning.to(VOLUME.grid, orientation)
    grid = turning.grid(VOLUME.grid)
    assert grid.orientation == orientation
    stored = Volume(np.ascontiguousarray(turning.seen(VOLUME.voxels)), grid)
    other = segment_volume(stored, volume_model(), settings=SETTINGS)
    assert other.metadata["seen"] == "IPL"
    assert other.regions is not None
    assert other.instances is not None
    assert result.instances is not None
    np.testing.assert_array_equal(turning.stored(other.regions), result.regions)
    np.testing.assert_array_equal(turning.stored(other.instances), result.instances)
    assert other.grid == grid
    # The table is in the stored axes.
    boxes = other.objects.set_index("label")
    at = np.argwhere(other.instances == 1)
    assert boxes.loc[1, ["plane0", "row0", "column0"]].tolist() == at.min(0).tolist()


def test_other_models_see_planes_as_they_are_stored() -> None:
    turning = Turning.to(VOLUME.grid, "LIP")
    stored = Volume(np.ascontiguousarray(turning.seen(VOLUME.voxels)), turning.grid(VOLUME.grid))
    result = segment_volume(stored, volume_model(region_classes=PLAIN), settings=SETTINGS)
    assert result.metadata["seen"] == "LIP"


def test_turning_keeps_every_voxel_where_it_is() -> None:
    grid = VolumeGrid((3, 4, 5), (2.0, 0.5, 0.7), (1.0, 2.0, 3.0), DOWN)
    voxels = np.arange(60).reshape(grid.shape)
    for orientation in ("IPL", "SAR", "LIP", "PRS"):
        turning = Turning.to(grid, orientation)
        seen, new = turning.seen(voxels), turning.grid(grid)
        assert new.orientation == orientation
        assert new.shape == seen.shape
        for index in ((0, 0, 0), (1, 2, 2), tuple(n - 1 for n in seen.shape)):
            old = np.unravel_index(seen[index], voxels.shape)
            assert new.position(index) == pytest.approx(grid.position(old))
        np.testing.assert_array_equal(turning.stored(seen), voxels)


def test_air_is_not_looked_at() -> None:
    voxels = np.zeros((12, 200, 200), np.int16)
    voxels[4:8, 20:50, 30:60] = 240
    grid = VolumeGrid((12, 200, 200), (1.0, 0.4, 0.4), direction=DOWN)
    model = volume_model(region_classes=PLAIN)
    result = segment_volume(Volume(voxels, grid), model, settings=SETTINGS)
    # Planes 3 to 8 have something in one of their channels, and it fits into a tile.
    assert network_of(model).tiles == result.metadata["tiles"] == 6
    assert result.instances is not None
    assert dice(result.instances > 0, voxels > 0) > 0.95


def test_scouts_leave_out_what_is_far_from_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (100, 60, 60)
    voxels = np.full(shape, 60, np.int16)
    voxels[60:90, 20:40, 20:40] = 240
    grid = VolumeGrid(shape, (1.0, 0.4, 0.4), direction=DOWN)
    found = segment_volume(Volume(voxels, grid), volume_model(), settings=SETTINGS)
    monkeypatch.setattr(volume_scouting, "APART", 1.0)
    whole = segment_volume(Volume(voxels, grid), volume_model(), settings=SETTINGS)
    np.testing.assert_array_equal(found.instances, whole.instances)
    assert whole.metadata["tiles"] == 100
    # 14 scouts, and the planes next to those that show the object.
    assert 14 + 30 < found.metadata["tiles"] < 65


def test_scouts_that_see_nothing_leave_nothing_out() -> None:
    voxels = np.full((30, 40, 40), 60, np.int16)
    voxels[10:15, 10:30, 10:30] = 240
    grid = VolumeGrid((30, 40, 40), (1.0, 0.4, 0.4), direction=DOWN)
    assert not {10, 11, 12, 13, 14} & set(scout_planes(range(30), 1.0))
    result = segment_volume(Volume(voxels, grid), volume_model(), settings=SETTINGS)
    assert result.metadata["tiles"] == 30
    assert result.instances is not None
    assert result.instances.max() == 1


def test_scouts_are_no_further_apart_than_said() -> None:
    for spacing in (0.3, 0.4, 2.0, 3.0, 7.9):
        chosen = scout_planes(range(0, 101, 2), spacing)
        assert chosen[0] == 0
        assert chosen[-1] == 100
        assert max(np.diff(chosen)) * spacing <= max(volume_scouting.APART, 2 * spacing) + 1e-6
    assert scout_planes([0], 1.0) == [0]
    assert scout_planes([0, 1], 1.0) == [0, 1]


def test_results_do_not_depend_on_threads(result: VolumeResult) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        other = segment_volume(VOLUME, volume_model(), settings=SETTINGS)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(other.regions, result.regions)
    np.testing.assert_array_equal(other.instances, result.instances)


def test_progress_counts_planes_and_work_can_be_cancelled() -> None:
    seen: list[tuple[int, int]] = []
    segment_volume(
        VOLUME, volume_model(), settings=SETTINGS, progress=lambda *told: seen.append(told)
    )
    assert seen[-1] == (25, 25)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    model = volume_model()
    with pytest.raises(Cancelled):
        segment_volume(
            VOLUME, model, settings=SETTINGS, cancel=lambda: network_of(model).tiles > 10
        )
    assert network_of(model).tiles < 20


def test_doubtful_objects_leave_no_gap() -> None:
    volume, _, _ = jaws()
    voxels = volume.voxels.copy()
    # A tooth that is hardly there: the network's score for it is lower.
    voxels[TEETH == 2] = 203
    settings = SETTINGS.for_model(volume_card())
    assert settings.instances is not None
    kept = replace(settings, instances=replace(settings.instances, min_score=0.999))
    none = segment_volume(Volume(voxels, volume.grid), volume_model(), settings=kept)
    assert none.instances is not None
    assert none.instances.max() == len(none.objects) == 0


def test_facts_of_objects_are_those_of_their_components() -> None:
    instances = np.zeros((3, 4, 4), np.int32)
    instances[0, 0, 0] = instances[1, 0, 0] = 1
    instances[2, 3, 3] = 2
    components = pd.DataFrame(
        {
            "plane": [0, 1, 2, 2],
            "row": [0, 0, 3, 1],
            "column": [0, 0, 3, 1],
            "class": [1, 2, 1, 2],
            "score": [0.5, 0.9, 0.7, 0.2],
            "class_score": 1.0,
            "area_px": [10, 30, 5, 99],
        }
    )
    facts = object_facts(components, instances)
    assert facts.loc[1, "class"] == 2
    assert facts.loc[1, "score"] == pytest.approx(0.8)
    assert facts.loc[2].tolist() == [1, 0.7]
    instances[0, 2:, 2:] = 3
    assert np.isnan(object_facts(components, instances).loc[3, "score"])
    assert object_facts(components.iloc[:0], np.zeros((1, 2, 2), np.int32)).empty


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 40, 40)])
def test_few_planes(shape: tuple[int, int, int]) -> None:
    voxels = np.full(shape, 60, np.int16)
    grid = VolumeGrid(shape, (4.0, 0.4, 0.4), direction=DOWN)
    result = segment_volume(Volume(voxels, grid), volume_model(), settings=SETTINGS)
    assert result.objects.empty
    assert "4 mm apart" in result.metadata["notes"][0]


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(CosegError, match="segments pictures"):
        segment_volume(VOLUME, volume_model(planes=None))
    with pytest.raises(CosegError, match="segments volumes"):
        volume_card().expect_input(volume=False)
    far = Volume(VOLUME.voxels, replace(VOLUME.grid, spacing=(0.4, 400.0, 400.0)))
    with pytest.raises(CosegError, match=r"too far from the model's 0\.4 mm"):
        segment_volume(far, volume_model())
    with pytest.raises(CosegError, match="lower and an upper"):
        replace(SETTINGS, window=(3.0, 3.0))


def test_a_model_without_regions() -> None:
    model = volume_model(region_classes=(), region_mpp=None)
    result = segment_volume(VOLUME, model, settings=SETTINGS)
    assert result.regions is None
    assert result.instances is not None
    assert dice(result.instances > 0, TEETH > 0) > 0.9
    assert network_of(model).tasks == {("instances",)}


def test_small_parts_of_regions_go() -> None:
    voxels = np.full((4, 60, 60), 60, np.int16)
    voxels[:, 10:40, 10:40] = 110
    voxels[:, 48:54, 48:54] = 160
    grid = VolumeGrid((4, 60, 60), (1.0, 0.4, 0.4), direction=DOWN)
    model = volume_model(region_classes=PLAIN)
    stream = VolumeStream(
        voxels, grid, (0, 255), model, replace(SETTINGS, min_region_um2=2e7).for_model(model.card)
    )
    regions = np.zeros(voxels.shape, np.uint8)
    stream.run(regions, None)
    assert set(np.unique(regions)) == {0, 1}

"""Jaws by a vote in three dimensions, and numbers by the place along the arch."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.datasets.synthetic_cbct import CbctSettings, SyntheticCbct, generate_cbct
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_objects import volume_objects
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.inference.fdi import FDI_COLUMNS, propose_fdi
from napari_coseg.inference.jaw_votes import jaw_of_objects, vote_jaws
from napari_coseg.types import ClassTable, CosegError

REGIONS = ClassTable.from_names(["upper jaw", "lower jaw", "pharynx"])
TEETH = ClassTable.from_names(["tooth"])


@pytest.fixture(scope="module")
def mouth() -> SyntheticCbct:
    """A mouth without some teeth, with impacted ones."""
    return generate_cbct(3, CbctSettings(shape=(120, 164, 164), spacing=0.6, metal=0.0, clean=True))


def test_planes_of_the_wrong_jaw_are_put_right() -> None:
    regions = np.zeros((40, 20, 20), np.uint8)
    regions[:18, 4:16, 4:16] = 1
    regions[20:, 4:16, 4:16] = 2
    regions[30:34, 0:2, :] = 3
    truth = regions.copy()
    regions[6:9, 4:16, 4:16] = 2
    regions[28, 4:16, 4:10] = 1
    vote_jaws(regions, 1, 2, 0.4)
    assert np.array_equal(regions, truth)


def test_a_border_between_two_jaws_that_touch_stays() -> None:
    regions = np.zeros((40, 20, 20), np.uint8)
    regions[:20, 4:16, 4:16] = 1
    regions[20:, 4:16, 4:16] = 2
    truth = regions.copy()
    vote_jaws(regions, 1, 2, 0.4)
    assert np.array_equal(regions, truth)
    nothing = np.zeros((4, 5, 6), np.uint8)
    vote_jaws(nothing, 1, 2, 0.4)
    assert not nothing.any()


def test_teeth_have_their_jaw_and_their_number(mouth: SyntheticCbct) -> None:
    found = propose_fdi(mouth.instances, mouth.regions, mouth.grid, 1, 2)
    assert list(found.columns) == list(FDI_COLUMNS)
    assert (found["jaw"].to_numpy() == mouth.teeth["jaw"].to_numpy()).all()
    assert (found["fdi"].to_numpy() == mouth.teeth["fdi"].to_numpy()).mean() > 0.9
    given = found["fdi"][found["fdi"] > 0]
    assert given.is_unique
    assert found["fdi_confidence"].between(0, 1).all()


def test_pieces_do_not_take_the_numbers_of_a_jaw(mouth: SyntheticCbct) -> None:
    before = propose_fdi(mouth.instances, mouth.regions, mouth.grid, 1, 2)
    instances = mouth.instances.copy()
    last = int(instances.max())
    # Crumbs beside teeth, so that a jaw has more objects than places.
    for number, label in enumerate(range(1, last + 1), last + 1):
        plane, row, column = (int(np.median(axis)) for axis in np.nonzero(instances == label))
        instances[plane : plane + 2, row : row + 2, column : column + 2] = number
    found = propose_fdi(instances, mouth.regions, mouth.grid, 1, 2)
    assert (before["fdi"] > 0).mean() > 0.9
    teeth = found["label"] <= last
    same = found.loc[teeth, "fdi"].to_numpy() == before["fdi"].to_numpy()
    assert same.mean() > 0.8


def test_a_sliver_of_a_tooth_takes_no_place_in_its_row(mouth: SyntheticCbct) -> None:
    before = propose_fdi(mouth.instances, mouth.regions, mouth.grid, 1, 2).set_index("label")
    instances = mouth.instances.copy()
    last = int(instances.max())
    # One side of a lateral incisor, from its edge to its root.
    tooth = int(before.index[before["fdi"] == 22][0])
    columns = np.nonzero(instances == tooth)[2]
    inside = instances == tooth
    inside[..., int(np.quantile(columns, 0.2)) :] = False
    instances[inside] = last + 1
    found = propose_fdi(instances, mouth.regions, mouth.grid, 1, 2).set_index("label")
    assert (found.loc[before.index, "fdi"] == before["fdi"]).all()


def test_the_way_the_planes_run_does_not_matter(mouth: SyntheticCbct) -> None:
    straight = propose_fdi(mouth.instances, mouth.regions, mouth.grid, 1, 2)
    # Sagittal planes from left to right, and rows from foot to head.
    turned = [v.transpose(2, 0, 1)[::-1, ::-1] for v in (mouth.instances, mouth.regions)]
    planes, rows, columns = turned[0].shape
    old = mouth.grid
    grid = VolumeGrid(
        (planes, rows, columns),
        old.spacing,
        old.position((rows - 1, 0, planes - 1)),
        ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    )
    other = propose_fdi(turned[0], turned[1], grid, 1, 2)
    assert (straight["fdi"] == other["fdi"]).all()


def test_without_bone_no_jaw_is_claimed(mouth: SyntheticCbct) -> None:
    empty = np.zeros_like(mouth.regions)
    jaws = jaw_of_objects(mouth.instances, empty, mouth.grid, 1, 2)
    assert set(jaws.jaw) == {""}
    assert not jaws.confidence.any()
    found = propose_fdi(mouth.instances, empty, mouth.grid, 1, 2)
    assert (found["fdi"] == 0).all()


def test_facts_of_a_ball() -> None:
    spacing = (0.5, 0.4, 0.4)
    shape = (40, 44, 48)
    z, y, x = (
        np.arange(n).reshape([-1 if i == a else 1 for i in range(3)]) * s
        for a, (n, s) in enumerate(zip(shape, spacing, strict=True))
    )
    ball = (z - 10) ** 2 + (y - 8) ** 2 + (x - 9.2) ** 2 <= 36
    instances = np.where(ball, 7, 0).astype(np.int32)
    regions = np.full(shape, 2, np.uint8)
    regions[ball] = 0
    grid = VolumeGrid(shape, spacing)
    (row,) = volume_objects(instances, regions, grid, REGIONS, TEETH).to_dict("records")
    assert tuple(row) == VOLUME_COLUMNS
    assert row["label"] == 7
    assert row["volume_vx"] == ball.sum()
    assert row["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.02)
    # Voxels' faces would be half as much again.
    assert row["surface_mm2"] == pytest.approx(4 * np.pi * 36, rel=0.12)
    assert (row["plane"], row["row"], row["column"]) == pytest.approx((20, 20, 23), abs=0.05)
    assert (row["plane0"], row["plane1"]) == (8, 33)
    assert row["region_name"] == "lower jaw"
    assert (row["class_name"], row["score"], row["fdi"], row["jaw"]) == ("tooth", 1.0, 0, "")


def test_scores_classes_and_faults() -> None:
    instances = np.zeros((6, 8, 8), np.int32)
    instances[1:3, 1:4, 1:4], instances[3:5, 5:7, 5:7] = 1, 3
    grid = VolumeGrid((6, 8, 8), (1.0, 1.0, 1.0))
    foreground = np.full(instances.shape, 51, np.uint8)
    table = volume_objects(instances, None, grid, REGIONS, TEETH, foreground=foreground)
    assert table["score"].to_list() == pytest.approx([0.2, 0.2])
    assert table["region"].to_list() == [0, 0]
    given = np.array([0, 0.5, 0.0, 0.25])
    table = volume_objects(instances, None, grid, REGIONS, TEETH, scores=given)
    assert table["score"].to_list() == [0.5, 0.25]
    empty = volume_objects(np.zeros_like(instances), None, grid, REGIONS, TEETH)
    assert len(empty) == 0
    assert tuple(empty.columns) == VOLUME_COLUMNS
    with pytest.raises(CosegError, match="regions"):
        volume_objects(instances, np.zeros((1, 1, 1), np.uint8), grid, REGIONS, TEETH)

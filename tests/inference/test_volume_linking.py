"""Objects from the components of planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from napari_coseg.inference.volume_linking import LinkSettings, link_planes
from napari_coseg.types import CosegError

Labels = npt.NDArray[np.int32]
SPACING = (0.5, 0.5, 0.5)


def components_of(truth: Labels) -> Labels:
    """In each plane the connected parts of each object, as a perfect network would see them."""
    found = np.zeros(truth.shape, np.int32)
    for plane, out in zip(truth, found, strict=True):
        count = 0
        for label in np.unique(plane[plane > 0]):
            parts, more = ndimage.label(plane == label)
            out[parts > 0] = parts[parts > 0] + count
            count += more
    return found


def oval(shape: tuple[int, int], row: float, column: float, high: float, wide: float) -> Any:
    """An ellipse, its half sides in pixels."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - row) / high) ** 2 + ((columns - column) / wide) ** 2 <= 1


def molar(volume: Labels, label: int, top: int, column: float, *, up: bool) -> None:
    """Two roots of 16 planes under a crown of 20, 9 x 9 mm; roots up as in an upper jaw or not."""
    for step in range(36):
        plane = top + step if up else top + 35 - step
        if step < 16:
            for side in (-1, 1):
                drawn = oval(volume.shape[1:], 20, column + 5 * side, 4 + step / 8, 3)
                volume[plane][drawn] = label
        else:
            part = min(1.0, 0.4 + 0.12 * (36 - step))
            volume[plane][oval(volume.shape[1:], 20, column, 9 * part, 9 * part)] = label


@pytest.fixture
def jaws() -> Labels:
    """Two upper molars beside each other that nearly touch, on two lower ones."""
    truth = np.zeros((76, 40, 60), np.int32)
    for label, column in ((1, 17), (2, 37)):
        molar(truth, label, 2, column, up=True)
        molar(truth, label + 2, 38, column + 1, up=False)
    return truth


def same(found: Labels, truth: Labels, least: float = 1.0) -> bool:
    """Whether each object has a partner with at least this IoU, and none is left over."""
    labels = [int(v) for v in np.unique(truth[truth > 0])]
    if found.max() != len(labels):
        return False
    return all(
        max(
            np.count_nonzero((truth == label) & (found == other))
            / np.count_nonzero((truth == label) | (found == other))
            for other in range(1, len(labels) + 1)
        )
        >= least
        for label in labels
    )


@pytest.mark.parametrize("flipped", [False, True])
def test_roots_join_in_their_crown_and_jaws_stay_apart(jaws: Labels, flipped: bool) -> None:
    truth = jaws[::-1].copy() if flipped else jaws
    found = components_of(truth)
    assert link_planes(found, SPACING) == 4
    # The blunt ends of the crowns lie on each other: only the waist there parts them.
    assert same(found, truth)


def test_ids_follow_the_first_voxels(jaws: Labels) -> None:
    found = components_of(jaws)
    link_planes(found, SPACING)
    first = [int(np.flatnonzero(found == label)[0]) for label in range(1, 5)]
    assert first == sorted(first)


@pytest.mark.parametrize("planes", [range(24, 28), [22, 26, 27, 31]])
def test_merged_crowns_are_cut_by_the_planes_where_they_are_apart(
    jaws: Labels, planes: Any
) -> None:
    found = components_of(jaws)
    for plane in planes:
        found[plane] = ndimage.label(ndimage.binary_dilation(jaws[plane] > 0))[0]
        assert found[plane].max() == 1
    link_planes(found, SPACING)
    assert same(found, jaws, 0.95)


def test_crowns_merged_up_to_their_end_are_cut_by_their_rows(jaws: Labels) -> None:
    truth = np.where(np.arange(76)[:, None, None] < 38, jaws, 0).astype(np.int32)
    found = components_of(truth)
    for plane in range(29, 38):
        found[plane] = ndimage.label(ndimage.binary_dilation(truth[plane] > 0))[0]
    assert link_planes(found, SPACING) == 2
    assert same(found, truth, 0.9)


def test_lost_planes_are_bridged_and_filled(jaws: Labels) -> None:
    found = components_of(jaws)
    found[[8, 16, 25, 26, 60]] = 0
    link_planes(found, SPACING)
    assert same(found, jaws, 0.97)
    assert (found[25] > 0).sum() > 0.9 * (jaws[25] > 0).sum()


def test_a_longer_gap_parts_an_object(jaws: Labels) -> None:
    one = np.where(jaws == 1, jaws, 0)
    found = components_of(one)
    found[22:27] = 0
    assert link_planes(found, SPACING) > 1
    found = components_of(one)
    found[22:27] = 0
    assert link_planes(found, SPACING, LinkSettings(gap=2.5)) == 1


def test_debris_goes_and_an_empty_volume_stays_empty(jaws: Labels) -> None:
    found = components_of(jaws)
    found[5:7, 2:5, 2:5] = 99
    found[40, 36:, 50:] = 98
    assert link_planes(found, SPACING) == 4
    nothing = np.zeros((4, 8, 8), np.int32)
    assert link_planes(nothing, SPACING) == 0
    assert link_planes(np.zeros((0, 8, 8), np.int32), SPACING) == 0


def test_views_are_changed_in_place(jaws: Labels) -> None:
    plain = components_of(jaws)
    store = np.ascontiguousarray(plain.transpose(2, 1, 0))
    view = store.transpose(2, 1, 0)
    link_planes(plain, SPACING)
    link_planes(view, SPACING)
    assert np.array_equal(store.transpose(2, 1, 0), plain)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(CosegError, match="int32"):
        link_planes(np.zeros((2, 2, 2), np.int64), SPACING)  # type: ignore[arg-type]
    with pytest.raises(CosegError, match="spacing"):
        link_planes(np.zeros((2, 2, 2), np.int32), (0.0, 1.0, 1.0))
    with pytest.raises(CosegError, match="negative"):
        link_planes(np.full((2, 2, 2), -1, np.int32), SPACING)
    with pytest.raises(CosegError, match="gap"):
        LinkSettings(gap=-1)

"""The image of errors."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.metrics.errors import (
    CONFUSED,
    MATCHED,
    MISSED,
    SPURIOUS,
    object_errors,
    region_errors,
)
from napari_coseg.types import CosegError


def row(text: str) -> np.ndarray:
    """One pixel a letter; a dot is background."""
    return np.array([[0 if c == "." else ord(c) for c in text]])


@pytest.mark.parametrize(
    ("truth", "prediction", "codes", "counts"),
    [
        # A match that is a pixel too wide is a match.
        ("aaaa..", "bbbbb.", "11111.", (1, 0, 0, 0)),
        ("aaaa..", "......", "2222..", (0, 1, 0, 0)),
        ("......", "bbbb..", "3333..", (0, 0, 1, 0)),
        # Two halves, and two in one.
        ("aaaa", "bbcc", "4444", (0, 0, 0, 1)),
        ("aabb", "cccc", "4444", (0, 0, 0, 2)),
        # Too little overlap: missed and spurious, and where they meet it is spurious.
        ("aaaa....", "..bbbb..", "223333..", (0, 1, 1, 0)),
        # A matched object with a crumb inside: the crumb is the second piece.
        ("aaaaaa", "bbbbbc", "111114", (1, 0, 0, 0)),
        ("....", "....", "....", (0, 0, 0, 0)),
    ],
)
def test_objects(truth: str, prediction: str, codes: str, counts: tuple[int, ...]) -> None:
    errors = object_errors(row(truth), row(prediction))
    assert errors.labels.dtype == np.uint8
    assert "".join("." if c == 0 else str(c) for c in errors.labels[0]) == codes
    found = tuple(errors.counts[c] for c in (MATCHED, MISSED, SPURIOUS, CONFUSED))
    assert found == counts


def test_ids_may_be_huge_and_in_volumes() -> None:
    truth = np.zeros((3, 4, 5), np.int64)
    truth[1, 1:3, 1:3] = 4_000_000_000
    errors = object_errors(truth, truth)
    assert (errors.labels == (truth > 0)).all()
    assert errors.counts[MATCHED] == 1


def test_regions() -> None:
    truth = np.array([[0, 1, 1, 2, 0, 255]])
    prediction = np.array([[0, 1, 0, 1, 2, 1]])
    errors = region_errors(truth, prediction)
    assert errors.labels.tolist() == [[0, MATCHED, MISSED, CONFUSED, SPURIOUS, 0]]
    assert errors.counts == {MATCHED: 1, MISSED: 1, SPURIOUS: 1, CONFUSED: 1}


def test_shapes_must_agree() -> None:
    for compare in (object_errors, region_errors):
        with pytest.raises(CosegError, match=r"shape|size|pixels"):
            compare(np.zeros((2, 2), int), np.zeros((2, 3), int))

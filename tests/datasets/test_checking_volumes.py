"""What `data check` says of volumes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import label as connected

from napari_coseg.datasets.check_page import CheckPage
from napari_coseg.datasets.checking import DatasetCheck, check_dataset, content_text
from napari_coseg.datasets.opening import open_dataset
from napari_coseg.datasets.pieces import Pieces
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_volume

SHAPE = (5, 20, 22)
GRID = VolumeGrid(SHAPE, (0.5, 0.4, 0.3))
FEET_FIRST = VolumeGrid(SHAPE, (0.5, 0.4, 0.3), direction=((0, 0, -1), (0, 1, 0), (1, 0, 0)))


def save(root: Path, kind: str, name: str, voxels: np.ndarray, grid: VolumeGrid = GRID) -> None:
    (root / kind).mkdir(exist_ok=True)
    write_volume(root / kind / f"{name}.nii.gz", voxels, grid)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    root.mkdir()
    text = 'spacing = [0.5, 0.4, 0.3]\nregion_classes = ["jaw", "pharynx"]\n'
    (root / "dataset.toml").write_text(text + 'instance_classes = ["tooth"]\n', encoding="utf-8")
    jaw = np.zeros(SHAPE, np.uint8)
    jaw[0:2, :4], jaw[3:, 10:12] = 1, 1
    teeth = np.zeros(SHAPE, np.uint16)
    teeth[:3, 2:5, 2:5], teeth[4, 2:5, 2:5], teeth[1, 9, 9] = 11, 11, 48
    kinds = (teeth > 0).astype(np.uint8)
    for number, name in enumerate("ab"):
        voxels = np.random.default_rng(number).integers(0, 900, SHAPE).astype(np.int16)
        save(root, "images", name, voxels)
        save(root, "regions", name, jaw * (name == "a"))
        save(root, "instances", name, teeth * (name == "a"))
        save(root, "classes", name, kinds * (name == "a"))
    return root


def found(root: Path) -> DatasetCheck:
    return check_dataset(open_dataset(root))


def said(check: DatasetCheck, kind: str) -> dict[str, tuple[str, ...]]:
    return {one.what: one.names for one in check.findings() if one.kind == kind}


def test_what_a_volume_holds(root: Path) -> None:
    check = found(root)
    whole, empty = check.volumes
    assert (whole.name, whole.shape, empty.name) == ("a", SHAPE, "b")
    assert whole.grid is not None
    assert whole.grid.orientation == "SPL"
    assert whole.grid.spacing == pytest.approx((0.5, 0.4, 0.3))
    jaw, tooth = whole.regions["jaw"], whole.objects["tooth"]
    assert jaw.voxels == 2 * 4 * 22 + 2 * 2 * 22
    assert jaw.mm3 == pytest.approx(jaw.voxels * math.prod(GRID.spacing))
    assert (jaw.pieces, jaw.objects) == (2, None)
    assert whole.regions["pharynx"].voxels == 0
    assert (tooth.voxels, tooth.objects, tooth.pieces) == (4 * 9 + 1, 2, 3)
    assert "tooth 2.22 mm³ in 2 objects, 3 pieces" in content_text(whole)
    assert said(check, "fault") == {}
    notes = said(check, "note")
    assert notes["1 volumes have labels with nothing drawn in them"] == ("b",)
    assert notes["1 objects are several pieces"] == ("11 of a",)
    assert notes["1 objects have fewer than 10 voxels"] == ("48 of a",)
    assert check.as_json()["volumes"][0]["orientation"] == "SPL"


def test_one_sentence_a_volume(root: Path) -> None:
    save(root, "regions", "a", np.zeros(SHAPE, np.uint8), FEET_FIRST)
    (root / "images" / "b.nii.gz").write_bytes((root / "images" / "b.nii.gz").read_bytes()[:-900])
    check = found(root)
    assert check.volumes == []
    faults = [(one.names, one.what) for one in check.findings() if one.kind == "fault"]
    assert [names for names, _ in faults] == [("a-z0000",), ("b-z0000",)]
    assert "not on the grid" in faults[0][1]


def test_volumes_that_differ(root: Path) -> None:
    for kind in ("images", "regions", "instances", "classes"):
        voxels = np.arange(math.prod(SHAPE)).reshape(SHAPE).astype(np.int16)
        save(root, kind, "b", voxels if kind == "images" else 0 * voxels, FEET_FIRST)
    notes = said(found(root), "note")
    assert notes["volumes have 2 orientations"] == ("SPL (1)", "IPL (1)")


def test_a_volume_of_one_grey_value(root: Path) -> None:
    save(root, "images", "b", np.full(SHAPE, 7, np.int16))
    assert said(found(root), "fault") == {"1 volumes are of one grey value": ("b",)}


def test_a_page_has_a_row_a_volume(root: Path) -> None:
    dataset = open_dataset(root)
    page = CheckPage(dataset, pictures=2)
    text = page.text(check_dataset(dataset, page.see))
    assert "<td>a</td><td>5 x 20 x 22</td><td>0.5 x 0.4 x 0.3 mm</td><td>SPL</td>" in text


@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_those_of_the_whole_volume(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, (6, 14, 15)) * (rng.random((6, 14, 15)) < 0.15 + 0.1 * seed)
    pieces = Pieces()
    for plane in labels:
        pieces.add(plane)
    whole = connected(labels, background=0, connectivity=3)
    firsts = np.unique(whole, return_index=True)[1]
    values = labels.ravel()[firsts]
    assert pieces.counts() == {n: int((values == n).sum()) for n in (1, 2, 3)}

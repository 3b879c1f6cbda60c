"""Generated CBCT volumes: what their truth promises."""

from __future__ import annotations

import csv
import tomllib
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import SimpleITK
from skimage.measure import label as connected

from napari_coseg.datasets import synthetic_cbct_folder
from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.synthetic_cbct import (
    CBCT_REGIONS,
    TOOTH_COLUMNS,
    CbctSettings,
    SyntheticCbct,
    generate_cbct,
)
from napari_coseg.datasets.synthetic_cbct_folder import write_cbct_folder
from napari_coseg.datasets.synthetic_dentition import draw_teeth
from napari_coseg.datasets.synthetic_grid import Grid
from napari_coseg.datasets.synthetic_intensities import scanner_intensities
from napari_coseg.datasets.synthetic_scanner import field_of_view
from napari_coseg.datasets.synthetic_sites import KINDS, plan_mouth
from napari_coseg.datasets.synthetic_skull import Skull, draw_table
from napari_coseg.imaging.volumes import read_volume
from napari_coseg.types import CosegError

#: Holds all teeth and both jaws.
WHOLE = CbctSettings(shape=(120, 164, 164), spacing=0.6, metal=0.0, clean=True)
SMALL = CbctSettings(shape=(32, 64, 72), spacing=0.6, metal=1.0)
VALID_FDI = {10 * quadrant + number for quadrant in (1, 2, 3, 4) for number in range(1, 9)}


@pytest.fixture(scope="module")
def clean() -> SyntheticCbct:
    """A mouth with a canine and a third molar that are impacted."""
    return generate_cbct(3, WHOLE)


@pytest.mark.parametrize("randomised", [False, True])
def test_equal_seeds_give_equal_volumes(randomised: bool) -> None:
    settings = replace(SMALL, randomised=randomised)
    np.random.seed(1)  # noqa: NPY002 - the state that must not matter
    first = generate_cbct(5, settings)
    np.random.seed(2)  # noqa: NPY002
    second = generate_cbct(5, settings)
    for name in ("image", "regions", "instances"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert first.teeth.equals(second.teeth)
    other = generate_cbct(6, settings)
    assert (first.image != other.image).any()
    assert (first.instances != other.instances).any()


def test_shapes_and_dtypes() -> None:
    volume = generate_cbct(5, SMALL)
    assert volume.image.shape == volume.regions.shape == volume.instances.shape == SMALL.shape
    assert (volume.image.dtype, volume.regions.dtype) == (np.int16, np.uint8)
    assert volume.instances.dtype == np.int32
    assert volume.grid.shape == SMALL.shape
    assert volume.grid.spacing == (0.6, 0.6, 0.6)
    # Down (the head is at plane 0), backwards, to the left.
    assert volume.grid.orientation == "IPL"
    assert volume.grid.superior == -1
    assert volume.grid.position([(n - 1) / 2 for n in SMALL.shape]) == pytest.approx((0, 0, 0))
    assert tuple(volume.teeth.columns) == TOOTH_COLUMNS
    # Corners of a plane lie outside of the cylinder that a scanner reconstructs.
    assert (volume.image[:, 0, 0] == -1000).all()
    assert not volume.instances[:, 0, 0].any()


def test_every_tooth_is_one_piece_with_its_number(clean: SyntheticCbct) -> None:
    labels = np.unique(clean.instances)
    assert list(clean.teeth["label"]) == list(range(1, len(clean.teeth) + 1))
    assert list(labels) == [0, *clean.teeth["label"]]
    assert connected(clean.instances, connectivity=1).max() == len(clean.teeth)
    numbers = set(clean.teeth["fdi"])
    assert len(numbers) == len(clean.teeth)
    assert numbers | set(clean.missing) == VALID_FDI
    assert not numbers & set(clean.missing)
    assert list(clean.teeth["fdi"]) == sorted(numbers)
    assert [KINDS[fdi % 10] for fdi in clean.teeth["fdi"]] == list(clean.teeth["kind"])
    assert set(clean.teeth["fdi"][clean.teeth["impacted"]]) == {13, 38}


def test_teeth_that_the_field_of_view_cuts_are_one_piece() -> None:
    volume = generate_cbct(2, CbctSettings(shape=(60, 70, 70), spacing=0.6))
    assert len(volume.teeth) > 3
    assert list(volume.teeth["label"]) == list(range(1, len(volume.teeth) + 1))
    assert list(np.unique(volume.instances)) == [0, *volume.teeth["label"]]
    assert connected(volume.instances, connectivity=1).max() == len(volume.teeth)


def test_pieces_without_a_label_are_not_drawn() -> None:
    grid = Grid((48, 64, 64), 0.6, (-4.0, 14.0, 8.0))
    mouth = plan_mouth(np.random.default_rng(2), missing=0.0, impacted=0.0, metal=0.0)
    seen = field_of_view(grid.shape[1:], grid.spacing) > 0
    teeth = draw_teeth(
        np.random.default_rng(3), mouth, grid, scanner_intensities(np.random.default_rng(4)), seen
    )
    drawn = (teeth.surface < 0) & seen
    np.testing.assert_array_equal(drawn, teeth.instances > 0)
    everything = draw_teeth(
        np.random.default_rng(3), mouth, grid, scanner_intensities(np.random.default_rng(4))
    )
    # Some pieces were there to be taken away.
    assert np.count_nonzero((everything.surface < 0) & seen) > np.count_nonzero(drawn)


def test_teeth_stand_where_their_numbers_say(clean: SyntheticCbct) -> None:
    middle = {int(k): p for k, p in zip(clean.teeth["fdi"], _centres(clean), strict=True)}
    planes = {fdi: place[0] for fdi, place in middle.items()}
    assert max(p for fdi, p in planes.items() if fdi < 30) < min(
        p for fdi, p in planes.items() if fdi > 30
    )
    for fdi, (_, row, column) in middle.items():
        mirrored = fdi + 10 if fdi // 10 in (1, 3) else fdi - 10
        if mirrored in middle and fdi // 10 in (1, 4) and 13 not in (fdi, mirrored):
            assert column < middle[mirrored][2]  # the patient's right is on the left
        if fdi % 10 == 7 and fdi - 6 in middle:
            assert row > middle[fdi - 6][1]  # molars behind incisors
    rows, jaws = clean.teeth["jaw"], {"upper": (1, 2), "lower": (3, 4)}
    assert all(fdi // 10 in jaws[jaw] for fdi, jaw in zip(clean.teeth["fdi"], rows, strict=True))


def test_sizes_are_those_of_teeth(clean: SyntheticCbct) -> None:
    counts = np.bincount(clean.instances.ravel())[1:]
    volumes = counts * np.prod(clean.grid.spacing)
    # mm3 of whole teeth, crown and roots.
    for kind, (least, most) in {
        "incisor": (120, 750),
        "canine": (300, 1000),
        "premolar": (250, 900),
        "molar": (450, 1800),
    }.items():
        found = volumes[(clean.teeth["kind"] == kind).to_numpy()]
        assert least < found.min() <= found.max() < most, kind


def test_the_spacing_changes_voxels_not_teeth() -> None:
    def mean_volume(spacing: float, shape: tuple[int, int, int]) -> float:
        volume = generate_cbct(8, CbctSettings(shape=shape, spacing=spacing, clean=True))
        incisors = volume.teeth["label"][volume.teeth["fdi"].isin([11, 21])]
        counts = np.bincount(volume.instances.ravel())[incisors.to_numpy()]
        return float(counts.mean() * spacing**3)

    coarse = mean_volume(0.6, (80, 120, 40))
    assert mean_volume(0.45, (106, 160, 54)) == pytest.approx(coarse, rel=0.1)


def test_grey_values_are_in_order(clean: SyntheticCbct) -> None:
    image, instances = clean.image, clean.instances
    bone = np.median(image[np.isin(clean.regions, (1, 2))])
    checked = 0
    for label in clean.teeth["label"][(clean.teeth["restoration"] == "")]:
        planes, rows, columns = np.nonzero(instances == label)
        values = image[planes, rows, columns]
        upper = clean.teeth["jaw"][label - 1] == "upper"
        if clean.teeth["impacted"][label - 1]:
            continue
        height = (planes if upper else -planes).astype(float)
        crown = height > np.quantile(height, 0.75)
        root = height < np.quantile(height, 0.5)
        dentine = np.median(values[root])
        assert np.quantile(values[crown], 0.9) > dentine + 200
        assert dentine > bone + 200
        checked += 1
    assert checked > 15
    # Nothing that is labelled tooth is mostly air.
    assert image[instances > 0].min() > -200


def test_the_pharynx_is_air_and_jaws_are_bone(clean: SyntheticCbct) -> None:
    assert CBCT_REGIONS.names == ("upper jaw", "lower jaw", "pharynx")
    throat = clean.image[clean.regions == 3]
    assert throat.size * np.prod(clean.grid.spacing) > 2000
    assert np.mean(throat < -300) > 0.99
    planes = [np.nonzero(clean.regions == region)[0].mean() for region in (1, 2)]
    assert planes[0] < planes[1]
    for region in (1, 2):
        assert np.mean(clean.image[clean.regions == region] > 0) > 0.9
    assert not (clean.regions[clean.instances > 0] > 0).any()


def test_missing_and_impacted_can_be_asked_for() -> None:
    few = replace(WHOLE, shape=(32, 48, 48), missing=0.0, impacted=0.0)
    assert not {fdi for fdi in generate_cbct(11, few).missing if fdi % 10 != 8}
    many = replace(few, missing=1.0)
    lost = [len(generate_cbct(seed, many).missing) for seed in range(3)]
    assert max(lost) > 16


def test_the_scanner_adds_faults_to_the_same_head() -> None:
    clean, scanned = generate_cbct(4, replace(SMALL, clean=True)), generate_cbct(4, SMALL)
    kept = scanned.instances > 0
    assert kept.any()
    # Labels are counted anew in the field of view: teeth are compared by their FDI numbers.
    numbers = [
        np.array([0, *volume.teeth["fdi"]])[volume.instances[kept]] for volume in (scanned, clean)
    ]
    np.testing.assert_array_equal(*numbers)
    # This mouth has metal, which any scanner's scale cuts off.
    assert scanned.image.max() == 3071 < clean.image.max()
    soft = (clean.image > 0) & (clean.image < 100) & (scanned.image > -1000)
    assert scanned.image[soft].std() > clean.image[soft].std() + 10


def test_randomised_volumes_differ_in_contrast() -> None:
    contrasts = []
    for seed in range(3):
        volume = generate_cbct(seed, replace(SMALL, randomised=True, metal=0.0))
        teeth = volume.image[volume.instances > 0].astype(float)
        rest = volume.image[(volume.instances == 0) & (volume.image > -900)].astype(float)
        contrasts.append(np.median(teeth) - np.median(rest))
    assert np.ptp(contrasts) > 200


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": (16, 64, 64)},
        {"shape": (64, 64)},
        {"shape": (64, 64, 2000)},
        {"spacing": 0.1},
        {"spacing": float("nan")},
        {"missing": -0.1},
        {"impacted": 1.5},
        {"metal": float("nan")},
    ],
)
def test_bad_settings_are_told(arguments: dict[str, Any]) -> None:
    with pytest.raises(CosegError, match=r"generated CBCT .*\.$"):
        CbctSettings(**arguments)


def test_bad_seeds_are_told(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match="negative"):
        generate_cbct(-1, SMALL)
    for seeds, words in (([], "at least one"), ([2, 2], "twice"), ([1, -4], "negative")):
        with pytest.raises(CosegError, match=words):
            write_cbct_folder(tmp_path / "set", seeds, SMALL)
    assert not (tmp_path / "set").exists()


def test_what_does_not_fit_into_memory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = replace(SMALL, shape=(32, 32, 32))
    write_cbct_folder(tmp_path, [1], tiny)
    free = SimpleNamespace(available=8_000_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    large = replace(SMALL, shape=(1024, 1024, 1024))
    words = r"1024 x 1024 x 1024 voxels needs 34\.\d GB of memory, and 8\.0 GB are free: .*\.$"
    with pytest.raises(CosegError, match=words):
        generate_cbct(1, large)
    with pytest.raises(CosegError, match=words):
        write_cbct_folder(tmp_path, [1], large)
    # The data set that was there is as it was.
    assert (tmp_path / "dataset.toml").exists()
    assert generate_cbct(1, tiny).image.shape == tiny.shape


def test_a_head_takes_the_memory_that_is_reckoned_with() -> None:
    settings = replace(SMALL, shape=(64, 96, 96), clean=True)
    tracemalloc.start()
    try:
        generate_cbct(4, settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 32 bytes a voxel, and some planes and boxes, which count in a volume as small as this.
    assert peak < 40 * np.prod(settings.shape)


def test_a_whole_head_has_more_round_its_mouth() -> None:
    settings = CbctSettings(
        shape=(64, 130, 120), spacing=0.6, metal=0.0, clean=True, whole_head=True
    )
    whole = generate_cbct(3, settings)
    jaws = generate_cbct(3, replace(settings, whole_head=False))
    # The same mouth.
    assert set(whole.teeth["fdi"]) | set(whole.missing) == VALID_FDI
    assert whole.missing == jaws.missing
    # Air of sinuses and cells is not the throat's, and bone of the skull no jaw's.
    assert np.mean(whole.image[whole.regions == 3] < -300) > 0.99
    for region in (1, 2):
        assert np.mean(whole.image[whole.regions == region] > 0) > 0.9
    # No cylinder: corners are as the rest.
    noisy = generate_cbct(3, replace(SMALL, whole_head=True))
    assert (noisy.image[:, 0, 0] > -1000).any()
    assert (generate_cbct(3, SMALL).image[:, 0, 0] == -1000).all()


def test_a_skull_is_closed_round_the_brain() -> None:
    y, x = np.meshgrid(np.arange(-30.0, 200.0, 2), np.arange(-90.0, 91.0, 2), indexing="ij")
    y, x = y.astype(np.float32), x.astype(np.float32)
    skull = Skull(np.random.default_rng(1), y, x)
    smooth = np.zeros_like(y)
    high = skull.plane(np.full_like(y, 110.0), smooth, smooth)
    inside, outside = high.brain < 0, high.head > 0
    assert inside.any()
    reached = connected(high.bone > 0, connectivity=1)
    assert not set(np.unique(reached[inside])) & set(np.unique(reached[outside]))
    # Eyes lie in the orbits, which no bone fills.
    eyes = skull.plane(np.full_like(y, skull.orbits[0]), smooth, smooth)
    assert (eyes.eye < 0).any()
    assert (eyes.orbit[eyes.eye < 0] < 0).mean() > 0.9
    assert (eyes.bone[eyes.orbit < 0] >= 0).all()
    # Below the base there is none of it.
    low = skull.plane(np.full_like(y, -20.0), smooth, smooth)
    assert not (low.bone < 0).any()
    assert not (low.brain < 0).any()


def test_half_of_the_heads_lie_on_a_table() -> None:
    tables = [draw_table(np.random.default_rng(seed)) for seed in range(12)]
    there = [table for table in tables if table is not None]
    assert 2 < len(there) < 10
    y, x = np.meshgrid(np.arange(0.0, 220.0), np.arange(-80.0, 81.0), indexing="ij")
    for table in there:
        sheet, foam = table.distance(y.astype(np.float32), x.astype(np.float32))
        assert (sheet < 0).any()
        # Nothing of it is where a head is.
        assert not ((sheet < 0) | (foam < 0))[y < 110].any()


def test_a_folder_holds_what_was_generated(tmp_path: Path) -> None:
    names = write_cbct_folder(tmp_path / "set", [5, 7], SMALL)
    assert names == ["cbct_0005", "cbct_0007"]
    volume = generate_cbct(7, SMALL)
    for part, array in (
        ("images", volume.image),
        ("regions", volume.regions),
        ("instances", volume.instances),
        ("classes", volume.instances > 0),
    ):
        stored = SimpleITK.ReadImage(str(tmp_path / "set" / part / "cbct_0007.nii.gz"))
        assert stored.GetSpacing() == pytest.approx(volume.grid.spacing)
        # Down the planes is down the patient: LPS as ITK has it.
        assert stored.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, -1))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(stored), array)
    about = tomllib.loads((tmp_path / "set" / "dataset.toml").read_text(encoding="utf-8"))
    assert about["spacing"] == [0.6, 0.6, 0.6]
    with (tmp_path / "set" / "teeth" / "cbct_0007.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["fdi"]) for row in rows] == list(volume.teeth["fdi"])
    with_grid = read_volume(tmp_path / "set" / "images" / "cbct_0007.nii.gz")
    assert with_grid.grid.difference(volume.grid) == ""
    read = FolderDataset(tmp_path / "set")
    assert len(read.items) == 2 * SMALL.shape[0]
    assert read.region_classes.names == CBCT_REGIONS.names
    plane = read.read(read.items[SMALL.shape[0] + 10])
    assert plane.instances is not None
    np.testing.assert_array_equal(plane.instances, volume.instances[10])
    assert len({item.group for item in read.items}) == 2


def test_a_folder_that_is_not_finished_is_no_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = replace(SMALL, shape=(32, 32, 32), metal=0.0)
    root = tmp_path / "set"
    write_cbct_folder(root, [1], tiny)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert before.pop(root / "dataset.toml")

    def fail(seed: int, settings: CbctSettings) -> SyntheticCbct:
        raise RuntimeError("a fault of the generator")

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_cbct_folder, "generate_cbct", fail)
        # Not "cannot be written": the folder is not at fault.
        with pytest.raises(RuntimeError, match=r"^a fault of the generator$"):
            write_cbct_folder(root, [1], tiny)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    (root / "teeth" / "cbct_0001.csv").unlink()
    (root / "teeth" / "cbct_0001.csv").mkdir()
    with pytest.raises(CosegError, match=r"cbct_0001\.csv.*folder"):
        write_cbct_folder(root, [1], tiny)
    assert not (root / "dataset.toml").exists()
    assert not list(root.rglob(".part-*"))
    with pytest.raises(CosegError, match=r"cannot be written .*choose a folder"):
        write_cbct_folder(root / "images" / "cbct_0001.nii.gz", [1], tiny)


def _centres(volume: SyntheticCbct) -> list[tuple[float, ...]]:
    return [
        tuple(float(axis.mean()) for axis in np.nonzero(volume.instances == label))
        for label in volume.teeth["label"]
    ]

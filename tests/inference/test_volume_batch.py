from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_opening import input_files, label_suffix, open_volume
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS
from napari_coseg.imaging.volume_writing import write_volume
from napari_coseg.imaging.volumes import read_label_volume, read_volume
from napari_coseg.inference.batch import JobResult, PredictionFolder
from napari_coseg.inference.jobs import find_jobs
from napari_coseg.inference.records import Fingerprint
from napari_coseg.types import CosegError
from tests.imaging.volume_files import write, write_dicom
from tests.inference.fake import FakeModel
from tests.inference.fake_volumes import DOWN, SETTINGS, volume_model

#: One tooth in a little flesh.
VOXELS = np.full((12, 40, 44), 60, np.int16)
VOXELS[:, :, :8] = 0
VOXELS[2:10, 12:28, 16:32] = 240
GRID = VolumeGrid(VOXELS.shape, (1.0, 0.4, 0.5), (1.5, -2.0, 30.0), DOWN)


def run(out: Path, *inputs: Path, model: FakeModel | None = None) -> dict[str, JobResult]:
    folder = PredictionFolder(out, model or volume_model(), SETTINGS)
    jobs = find_jobs(inputs, out, volumes=True)
    folder.check(jobs)
    return {result.job.name: result for result in folder.run(jobs)}


def outcomes(results: dict[str, JobResult]) -> dict[str, str]:
    return {name: result.outcome for name, result in results.items()}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.nii.gz", ".nii.gz"), ("a.nii", ".nii"), ("a.mha", ".mha"), ("a.nrrd", ".nrrd")],
)
def test_results_have_the_format_and_the_grid_of_the_volume(
    tmp_path: Path, name: str, suffix: str
) -> None:
    write_volume(tmp_path / name, VOXELS, GRID)
    results = run(tmp_path / "out", tmp_path / name)
    assert outcomes(results) == {"a": "done"}
    files = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    expected = {f"a_regions{suffix}", f"a_instances{suffix}", "a_objects.csv", "run.json"}
    assert files == expected
    # Refused where the grid is another.
    source = read_volume(tmp_path / name)
    teeth = read_label_volume(tmp_path / "out" / f"a_instances{suffix}", source.grid)
    read_label_volume(tmp_path / "out" / f"a_regions{suffix}", source.grid)
    assert teeth.voxels.dtype == np.int32
    assert ((teeth.voxels > 0) == (VOXELS == 240)).mean() > 0.98
    with (tmp_path / "out" / "a_objects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == VOLUME_COLUMNS
    assert len(rows) == 2
    facts = results["a"].facts
    assert facts["objects"] == 1
    assert facts["shape"] == list(VOXELS.shape)
    assert json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["images"]["a"]["result"]


def test_two_files_of_one_format_are_labelled_in_its_form_of_one(tmp_path: Path) -> None:
    write(tmp_path / "a.mhd", VOXELS)
    assert label_suffix(tmp_path / "a.mhd") == ".mha"
    assert sorted(path.name for path in input_files(tmp_path / "a.mhd")) == ["a.mhd", "a.raw"]
    before = Fingerprint.of(tmp_path / "a.mhd")
    changed = VOXELS.copy()
    changed[0, 0, 0] = 7
    write(tmp_path / "a.mhd", changed)
    assert not before.is_of(tmp_path / "a.mhd")
    assert Fingerprint.of(tmp_path / "a.mhd").is_of(tmp_path / "a.mhd")


def test_series_volumes_and_folders_of_them(tmp_path: Path) -> None:
    write_dicom(tmp_path / "cases" / "one", VOXELS)
    write_dicom(tmp_path / "cases" / "two" / "deeper", VOXELS)
    (tmp_path / "cases" / "empty").mkdir()
    (tmp_path / "files").mkdir()
    write_volume(tmp_path / "files" / "three.nii.gz", VOXELS, GRID)
    write_volume(tmp_path / "files" / "four.nrrd", VOXELS, GRID)
    out = tmp_path / "out"
    found = find_jobs([tmp_path / "cases", tmp_path / "files"], out, volumes=True)
    assert [job.name for job in found] == ["four", "one", "three", "two"]
    assert all(job.volume for job in found)
    (alone,) = find_jobs([tmp_path / "cases" / "one"], out, volumes=True)
    assert (alone.name, alone.volume) == ("one", True)
    done = run(out, tmp_path / "cases", tmp_path / "files")
    assert set(outcomes(done).values()) == {"done"}
    series = open_volume(tmp_path / "cases" / "one")
    read_label_volume(out / "one_instances.nii.gz", series.grid)
    again = run(out, tmp_path / "cases", tmp_path / "files")
    assert set(outcomes(again).values()) == {"skipped"}
    # What a desktop leaves in folders is no part of it.
    (tmp_path / "cases" / "one" / ".DS_Store").write_bytes(b"Bud1")
    again = run(out, tmp_path / "cases", tmp_path / "files")
    assert set(outcomes(again).values()) == {"skipped"}
    # A plane that is gone makes another volume.
    next((tmp_path / "cases" / "one").iterdir()).unlink()
    with pytest.raises(CosegError, match="of another image"):
        run(out, tmp_path / "cases")


def test_a_picture_of_a_series_stands_for_it(tmp_path: Path) -> None:
    first, *_ = write_dicom(tmp_path / "scan", VOXELS)
    (job,) = find_jobs([first], tmp_path / "out", volumes=True)
    assert job.volume
    assert open_volume(first).voxels.shape == VOXELS.shape
    assert label_suffix(first) == ".nii.gz"
    assert len(list(input_files(first))) == len(VOXELS)


def test_a_picture_beside_a_series_is_not_taken_for_it(tmp_path: Path) -> None:
    write_dicom(tmp_path / "scan", VOXELS)
    Image.new("RGB", (8, 8)).save(tmp_path / "scan" / "preview.jpg")
    with pytest.raises(CosegError, match="pictures and a DICOM series"):
        find_jobs([tmp_path / "scan"], tmp_path / "out", volumes=True)


def test_bad_volumes_do_not_stop_the_others(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_volume(source / "good.nii.gz", VOXELS, GRID)
    whole = (source / "good.nii.gz").read_bytes()
    (source / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    write(source / "flat.nrrd", VOXELS[0])
    raw = bytearray(gzip.decompress(whole))
    raw[80:92] = bytes(12)
    (source / "zero.nii").write_bytes(bytes(raw))
    holes = VOXELS.astype(np.float32)
    holes[0, 0, 0] = np.nan
    write(source / "nan.mha", holes)
    write_dicom(source / "series", VOXELS[:1])
    Image.fromarray(VOXELS[3].astype(np.uint8)).save(source / "picture.png")
    results = run(tmp_path / "out", source, source / "series", source / "gone.nii")
    assert outcomes(results) == {
        "cut": "failed",
        "flat": "failed",
        "gone": "failed",
        "good": "done",
        "nan": "done",
        "picture": "failed",
        "series": "failed",
        "zero": "failed",
    }
    assert "no numbers" in " ".join(results["nan"].facts["notes"])
    assert "segments volumes, and this is a picture" in results["picture"].error
    with (tmp_path / "out" / "failures.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 7
    for result in results.values():
        assert "Unexpected" not in result.error


def test_models_and_inputs_of_two_kinds(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", VOXELS, GRID)
    results = run(tmp_path / "out", tmp_path / "a.nii.gz", model=FakeModel())
    assert "segments pictures, and this is a volume" in results["a"].error
    with pytest.raises(CosegError, match="leave the pixel size out"):
        PredictionFolder(tmp_path / "out", volume_model(), SETTINGS, 0.25)


def test_results_without_a_record_are_not_overwritten(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", VOXELS, GRID)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_regions.mha").write_bytes(b"mine")
    with pytest.raises(CosegError, match="no record"):
        run(tmp_path / "out", tmp_path / "a.nii.gz")
    # With --overwrite, which is to leave the check out, other formats go too.
    jobs = find_jobs([tmp_path / "a.nii.gz"], tmp_path / "out", volumes=True)
    list(PredictionFolder(tmp_path / "out", volume_model(), SETTINGS).run(jobs))
    assert not (tmp_path / "out" / "a_regions.mha").exists()
    other = PredictionFolder(tmp_path / "out", volume_model(), replace(SETTINGS, window=(0, 99)))
    with pytest.raises(CosegError, match="window"):
        other.check(jobs)


def test_our_own_results_are_no_input(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", VOXELS, GRID)
    assert outcomes(run(tmp_path, tmp_path)) == {"a": "done"}
    assert outcomes(run(tmp_path, tmp_path)) == {"a": "skipped"}


def test_pictures_alone_are_looked_for_where_volumes_are_not(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", VOXELS, GRID)
    with pytest.raises(CosegError, match="no image in it"):
        find_jobs([tmp_path], tmp_path / "out")
    (tmp_path / "none").mkdir()
    with pytest.raises(CosegError, match="nor a DICOM series"):
        find_jobs([tmp_path / "none"], tmp_path / "out", volumes=True)

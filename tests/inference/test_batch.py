from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_coseg.imaging import result_files
from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.result_files import result_paths
from napari_coseg.imaging.source import open_image
from napari_coseg.imaging.tables import read_objects
from napari_coseg.inference import canvas
from napari_coseg.inference.batch import JobResult, PredictionFolder
from napari_coseg.inference.files import predict_file
from napari_coseg.inference.jobs import find_jobs, shard_of
from napari_coseg.inference.panoptic import segment_image
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancelled
from napari_coseg.types import CosegError
from tests.inference.fake import FakeModel, ReadingNetwork, card, picture

SETTINGS = PredictSettings(overlap=16, halo=24, block=100)
TRUTH = picture(130, 170, 30)


def images(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(TRUTH.image, index * 8, 0)).save(path)
    return folder


def folder_of(out: Path, model: FakeModel | None = None, **more: object) -> PredictionFolder:
    mpp = more.pop("mpp", 0.25)
    settings = replace(SETTINGS, **more)  # type: ignore[arg-type]
    return PredictionFolder(out, model or FakeModel(), settings, mpp)  # type: ignore[arg-type]


def run(folder: PredictionFolder, *inputs: Path) -> list[JobResult]:
    jobs = find_jobs(inputs, folder.out)
    folder.check(jobs)
    return list(folder.run(jobs))


def outcomes(results: list[JobResult]) -> dict[str, str]:
    return {result.job.name: result.outcome for result in results}


def run_json(out: Path) -> dict:
    return json.loads((out / "run.json").read_text("utf-8"))


def leftovers(out: Path) -> list[str]:
    return [path.name for path in out.rglob("*") if path.name.startswith(".")]


def test_files_hold_the_result(tmp_path: Path) -> None:
    path = images(tmp_path, "a.png") / "a.png"
    facts = predict_file(path, tmp_path / "a", FakeModel(), mpp=0.25, settings=SETTINGS)
    expected = segment_image(TRUTH.image, FakeModel(), mpp=0.25, settings=SETTINGS)
    assert expected.instances is not None
    regions, instances, objects, outlines = result_paths(tmp_path / "a")
    np.testing.assert_array_equal(read_labels(instances), expected.instances)
    np.testing.assert_array_equal(read_labels(regions), expected.regions)
    with open_image(instances) as source:
        assert source.mpp == pytest.approx(0.25)
    table = read_objects(objects)
    np.testing.assert_array_equal(table["label"], expected.objects["label"])
    np.testing.assert_array_equal(table["area_px"], expected.objects["area_px"])
    features = json.loads(outlines.read_text("utf-8"))["features"]
    kinds = [feature["properties"]["objectType"] for feature in features]
    assert kinds.count("detection") == len(table) == facts["objects"] > 10
    assert kinds.count("annotation") >= 1
    assert facts["shape"] == [130, 170]
    assert facts["seconds"]["network"] > 0


def test_labels_on_disk_while_working_give_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path, "a.png") / "a.png"
    (tmp_path / "disk").mkdir()
    predict_file(path, tmp_path / "a", FakeModel(), mpp=0.25, settings=SETTINGS)
    monkeypatch.setattr(canvas, "IN_MEMORY_BYTES", 0)
    predict_file(path, tmp_path / "disk" / "a", FakeModel(), mpp=0.25, settings=SETTINGS)
    for first, second in zip(
        result_paths(tmp_path / "a"), result_paths(tmp_path / "disk" / "a"), strict=True
    ):
        assert first.read_bytes() == second.read_bytes()
    assert len(list((tmp_path / "disk").iterdir())) == 4


def test_unknown_pixel_sizes_are_not_written_as_known(tmp_path: Path) -> None:
    path = images(tmp_path, "a.png") / "a.png"
    facts = predict_file(path, tmp_path / "a", FakeModel(), settings=SETTINGS)
    assert facts["notes"] == ["No pixel size in a.png: assuming 0.25 µm, from the model."]
    with open_image(tmp_path / "a_instances.tif") as source:
        assert source.mpp is None
    assert read_objects(tmp_path / "a_objects.csv")["area_um2"].isna().all()


def test_a_second_run_skips_what_is_done(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    assert outcomes(run(folder_of(out), source)) == {"a": "done", "b": "done"}
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.tif")}
    # Another batch, block or device changes speed only.
    assert outcomes(run(folder_of(out, block=60, batch=2), source)) == {
        "a": "skipped",
        "b": "skipped",
    }
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.tif")} == before
    (out / "b.geojson").unlink()
    assert outcomes(run(folder_of(out), source)) == {"a": "skipped", "b": "done"}
    assert set(run_json(out)["images"]) == {"a", "b"}


def test_run_json_tells_model_classes_and_settings(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    run(folder_of(out), source)
    told = run_json(out)
    assert told["model"] == "reader"
    assert told["model_sha256"] == "ab" * 32
    assert [entry["name"] for entry in told["region_classes"]] == ["gland"]
    assert [entry["name"] for entry in told["instance_classes"]] == ["round", "long"]
    assert len(told["instance_classes"][0]["colour"]) == 3
    assert told["settings"]["overlap"] == 16
    assert told["images"]["a"]["result"]["device"] == "cpu"
    assert told["images"]["a"]["status"] == "done"
    assert told["failures"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": FakeModel(sha256="cd" * 32)}, "another model"),
        ({"tta": True}, r"other settings \(tta\)"),
        ({"mpp": 0.5}, r"other settings \(mpp\)"),
    ],
)
def test_results_of_others_are_not_mixed(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    source, out = images(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    run(folder_of(out), source)
    before = (out / "a_instances.tif").read_bytes()
    other = folder_of(out, **change)  # type: ignore[arg-type]
    jobs = find_jobs([source], out)
    with pytest.raises(CosegError, match=f"{said}, for example a: .*--overwrite"):
        other.check(jobs)
    assert (out / "a_instances.tif").read_bytes() == before
    assert outcomes(list(other.run(jobs))) == {"a": "done", "b": "done"}
    other.check(jobs)


def test_another_model_is_refused_for_new_images_too(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder_of(out), images(tmp_path / "in", "a.png"))
    other = folder_of(out, FakeModel(sha256="cd" * 32))
    with pytest.raises(CosegError, match="another model"):
        other.check(find_jobs([images(tmp_path / "new", "c.png")], out))


def test_another_image_of_that_name_is_refused(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    run(folder_of(out), source)
    # The same content elsewhere is the same image.
    copy = images(tmp_path / "copy", "a.png")
    assert outcomes(run(folder_of(out), copy)) == {"a": "skipped"}
    Image.fromarray(TRUTH.image[:100]).save(source / "a.png")
    with pytest.raises(CosegError, match="results called a of another image"):
        run(folder_of(out), source)


def test_files_of_unknown_origin_are_not_replaced(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    out.mkdir()
    (out / "a_objects.csv").write_text("mine", "utf-8")
    with pytest.raises(CosegError, match="no record of their making"):
        run(folder_of(out), source)
    assert (out / "a_objects.csv").read_text("utf-8") == "mine"


def test_a_failure_does_not_end_the_run(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png", "c.png"), tmp_path / "out"
    (source / "b.png").write_text("no picture", "utf-8")
    results = run(folder_of(out), source, source / "missing.png")
    expected = {"a": "done", "b": "failed", "c": "done", "missing": "failed"}
    assert outcomes(results) == expected
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "error"]
    assert [Path(row[0]).name for row in rows[1:]] == ["b.png", "missing.png"]
    assert "not an image" in rows[1][1]
    assert not list(out.glob("b*"))
    assert not leftovers(out)
    # Mended, it is done, and the list of failures goes.
    images(tmp_path / "in", "b.png", "missing.png")
    again = run(folder_of(out), source)
    assert outcomes(again) == {"a": "skipped", "b": "done", "c": "skipped", "missing": "done"}
    assert not (out / "failures.csv").exists()


def test_an_unexpected_error_is_a_failure_with_a_traceback(tmp_path: Path) -> None:
    class Broken(ReadingNetwork):
        def forward(self, images: torch.Tensor, tasks: object) -> None:  # type: ignore[override]
            raise ZeroDivisionError("oh")

    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    (result,) = run(folder_of(out, FakeModel(Broken())), source)
    assert result.outcome == "failed"
    assert "Unexpected ZeroDivisionError: oh" in result.error
    assert "Traceback" in run_json(out)["images"]["a"]["traceback"]


class Interrupted(ReadingNetwork):
    def forward(self, images: torch.Tensor, tasks: list[str]) -> object:  # type: ignore[override]
        if self.tiles > 3:
            raise KeyboardInterrupt
        return super().forward(images, tasks)


def test_breaking_off_leaves_nothing_half_written(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(folder_of(out, FakeModel(Interrupted())), source)
    assert not list(out.glob("a*"))
    assert not leftovers(out)
    assert run_json(out)["images"]["a"]["status"] == "started"
    assert outcomes(run(folder_of(out), source)) == {"a": "done", "b": "done"}


def test_half_a_file_of_a_killed_run_goes(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(folder_of(out, FakeModel(Interrupted())), source)
    killed = (
        "import os, sys\n"
        "from napari_coseg.imaging.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as part:\n"
        "    part.write_bytes(b'half')\n"
        "    os._exit(9)\n"
    )
    # The other image may be another shard's, which is at work on it.
    for target in (out / "a_regions.tif", out / "records" / "a.json", out / "b_regions.tif"):
        subprocess.run([sys.executable, "-c", killed, str(target)], check=False)
    assert len(leftovers(out)) == 3
    assert outcomes(run(folder_of(out), source)) == {"a": "done"}
    assert len(leftovers(out)) == 1


def test_a_write_that_fails_leaves_none_of_the_four_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = images(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"

    def full(path: Path, *rest: object, **more: object) -> None:
        path.write_text("half", "utf-8")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(result_files, "write_geojson", full)
        # What follows would be computed in vain: the run ends.
        with pytest.raises(CosegError, match="disk is full"):
            run(folder_of(out), source)
    assert not list(out.glob("a*"))
    assert not list(out.glob("b*"))
    assert not leftovers(out)
    assert outcomes(run(folder_of(out), source)) == {"a": "done", "b": "done"}


def test_cancelling_ends_the_run(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    folder = folder_of(out)
    with pytest.raises(Cancelled):
        list(folder.run(find_jobs([source], out), cancel=lambda: True))
    assert not list(out.glob("a*"))


def test_equal_names_in_two_folders(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "x/a.png", "y/a.png"), tmp_path / "out"
    results = run(folder_of(out), source / "x", source / "y")
    assert outcomes(results) == {"x/a": "done", "y/a": "done"}
    first = read_labels(out / "x" / "a_instances.tif")
    second = read_labels(out / "y" / "a_instances.tif")
    assert (first != second).any()
    assert outcomes(run(folder_of(out), source / "x", source / "y")) == {
        "x/a": "skipped",
        "y/a": "skipped",
    }


def test_shards_share_one_folder(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", *(f"{i}.png" for i in range(5))), tmp_path / "out"
    jobs = find_jobs([source], out)
    done: list[str] = []
    running = []
    for index in (1, 2):
        folder = folder_of(out)
        part = shard_of(jobs, index, 2)
        folder.check(part)
        running.append(folder.run(part))
    # Both at once, image by image.
    while running:
        for results in list(running):
            result = next(results, None)
            if result is None:
                running.remove(results)
            else:
                done.append(result.job.name)
    assert sorted(done) == list("01234")
    assert {name: r["status"] for name, r in run_json(out)["images"].items()} == dict.fromkeys(
        "01234", "done"
    )


def test_a_model_without_a_task_writes_no_file_for_it(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    run(folder_of(out), source)
    lone = card().model_copy(update={"instance_classes": (), "instance_mpp": None})
    other = folder_of(out, FakeModel(card=lone, sha256="cd" * 32))
    list(other.run(find_jobs([source], out)))
    assert sorted(path.name for path in out.glob("a*")) == ["a.geojson", "a_regions.tif"]


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="the superuser may write everywhere",
)
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    source, out = images(tmp_path / "in", "a.png"), tmp_path / "out"
    out.mkdir(mode=0o500)
    with pytest.raises(CosegError):
        run(folder_of(out), source)

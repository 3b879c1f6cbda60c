from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_coseg.cli.main import main
from napari_coseg.imaging.volume_writing import write_volume
from napari_coseg.weights import catalogue, loading
from tests.inference.fake import FakeModel, ReadingNetwork, picture
from tests.inference.fake_volumes import volume_model
from tests.inference.test_volume_batch import GRID, VOXELS

TRUTH = picture(100, 120, 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(TRUTH.image).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setattr(loading, "load_model", lambda name, device: fake)
    return fake


def predict(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["predict", *map(str, words), "--device", "cpu"])
    return int(left.value.code or 0)


def test_images_become_files(
    source: Path, tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(source, "--out", out, "--mpp", 0.25) == 0
    written = capsys.readouterr().out
    assert "not a medical device" in written
    assert "3 done" in written
    for name in "abc":
        for ending in ("_regions.tif", "_instances.tif", "_objects.csv", ".geojson"):
            assert (out / f"{name}{ending}").is_file()
    assert predict(source, "--out", out, "--mpp", 0.25) == 0
    assert "3 skipped" in capsys.readouterr().out


def test_an_assumed_pixel_size_is_told_once(
    source: Path, tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(source, "--out", tmp_path / "out") == 0
    written = capsys.readouterr().out
    assert written.count("No pixel size in a.png: assuming 0.25 µm, from the model.") == 1
    assert written.count("No pixel size") == 1
    assert "The same holds for 2 other images" in written


def test_pixels_that_are_no_numbers_are_told(
    tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("odd", "whole", "endless"):
        values = TRUTH.image.astype(np.float32) / 255
        if name != "whole":
            values[40:60] = np.nan if name == "odd" else np.inf
        tifffile.imwrite(folder / f"{name}.tif", values)
    assert predict(folder, "--out", tmp_path / "out") == 0
    written = capsys.readouterr().out
    assert written.count("odd.tif has pixels that are no numbers") == 1
    assert written.count("endless.tif has pixels that are no numbers") == 1
    assert "whole.tif has" not in written
    # What is told of each is no matter of the pixel size, which all three lack.
    assert written.count("No pixel size in") == 1
    assert "The same holds for 2 other images without a pixel size" in written


def test_a_failure_exits_with_1(
    source: Path, tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "b.png").write_bytes(b"")
    assert predict(source, "--out", tmp_path / "out") == 1
    written = capsys.readouterr()
    assert "b: " in written.err
    assert "is empty" in written.err
    assert "2 done, 1 failed" in written.out
    assert "failures.csv" in written.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard", "3/2"], "A shard is written i/n"),
        (["--mpp", "0"], "positive number of µm"),
        (["--mpp", "nan"], "positive number of µm"),
        (["--device", "cuda:99"], "no device cuda:99"),
        (["--device", "toaster"], "toaster is no device"),
    ],
)
def test_senseless_wishes_start_nothing(
    source: Path,
    tmp_path: Path,
    model: FakeModel,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        main(["predict", str(source), "--out", str(out), *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_missing_images_and_models_start_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(tmp_path / "none.png", "--out", out) == 2
    assert "does not exist" in capsys.readouterr().err
    assert predict(source, "--out", out, "--model", "no-such-model") == 2
    assert "no-such-model" in capsys.readouterr().err
    assert not out.exists()


def test_mixing_is_refused_and_can_be_forced(
    source: Path,
    tmp_path: Path,
    model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert predict(source, "--out", out) == 0
    other = FakeModel(sha256="cd" * 32)
    monkeypatch.setattr(loading, "load_model", lambda name, device: other)
    before = (out / "run.json").read_bytes()
    assert predict(source, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "run.json").read_bytes() == before
    assert predict(source, "--out", out, "--overwrite") == 0
    assert "3 done" in capsys.readouterr().out
    assert json.loads((out / "run.json").read_text("utf-8"))["model_sha256"] == "cd" * 32


def test_shards_do_their_part(
    source: Path, tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(source, "--out", out, "--shard", "1/2") == 0
    assert sorted(path.name for path in out.glob("*.geojson")) == ["a.geojson", "c.geojson"]
    assert predict(source, "--out", out, "--shard", "2/2") == 0
    assert len(list(out.glob("*.geojson"))) == 3
    assert set(json.loads((out / "run.json").read_text("utf-8"))["images"]) == {"a", "b", "c"}
    assert predict(source, "--out", out, "--shard", "4/4") == 0
    assert "No image in this part" in capsys.readouterr().out


def test_a_full_disk_ends_the_run_with_a_sentence(
    source: Path,
    tmp_path: Path,
    model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import errno

    from napari_coseg.imaging import result_files

    def full(path: Path, *rest: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(result_files, "write_objects", full)
    assert predict(source, "--out", tmp_path / "out") == 1
    assert "the disk is full" in capsys.readouterr().err


def test_ctrl_c_exits_with_130(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Interrupted(ReadingNetwork):
        def forward(self, *rest: object, **more: object) -> object:  # type: ignore[override]
            raise KeyboardInterrupt

    fake = FakeModel(Interrupted())
    monkeypatch.setattr(loading, "load_model", lambda name, device: fake)
    out = tmp_path / "out"
    assert predict(source, "--out", out) == 130
    assert "napari-coseg: stopped. 0 of 3 images are done" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["records", "run.json"]


def test_flips_are_averaged_on_wish(source: Path, tmp_path: Path, model: FakeModel) -> None:
    assert isinstance(model.network, ReadingNetwork)
    assert predict(source / "a.png", "--out", tmp_path / "one", "--mpp", 0.25) == 0
    plain = model.network.tiles
    assert predict(source / "a.png", "--out", tmp_path / "two", "--mpp", 0.25, "--tta") == 0
    assert model.network.tiles == 5 * plain
    assert json.loads((tmp_path / "two" / "run.json").read_text("utf-8"))["settings"]["tta"]


def test_the_number_of_pixels_agrees(source: Path, tmp_path: Path, model: FakeModel) -> None:
    from napari_coseg.imaging.labels import read_labels

    assert predict(source / "a.png", "--out", tmp_path, "--mpp", 0.25) == 0
    labels = read_labels(tmp_path / "a_instances.tif", expected_shape=TRUTH.labels.shape)
    assert ((labels > 0) == (TRUTH.labels > 0)).mean() > 0.95
    assert np.unique(labels).size == len(TRUTH.classes) + 1


def test_volumes_become_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.nii.gz", "b.nrrd"):
        write_volume(tmp_path / "in" / name, VOXELS, GRID)
    asked = []

    def load(name: str, device: object) -> FakeModel:
        asked.append(name)
        return volume_model()

    monkeypatch.setattr(loading, "load_model", load)
    out = tmp_path / "out"
    assert predict(tmp_path / "in", "--out", out, "--model", "mine", "--shard", "1/2") == 0
    assert asked == ["mine"]
    assert (out / "a_regions.nii.gz").is_file()
    assert not (out / "b_regions.nrrd").exists()
    assert predict(tmp_path / "in", "--out", out, "--model", "mine") == 0
    assert "1 done, 1 skipped" in capsys.readouterr().out
    assert (out / "b_instances.nrrd").is_file()
    assert predict(tmp_path / "in", "--out", out, "--model", "mine", "--mpp", 0.25) == 2
    assert "leave the pixel size out" in capsys.readouterr().err


def test_a_window_of_grey_values_is_for_volumes(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_volume(tmp_path / "a.nii.gz", VOXELS, GRID)
    monkeypatch.setattr(loading, "load_model", lambda name, device: volume_model())
    common = ("--model", "mine", "--window")
    out = tmp_path / "out"
    assert predict(tmp_path / "a.nii.gz", "--out", out, *common, -500, 2500) == 0
    records = json.loads((out / "records" / "a.json").read_text(encoding="utf-8"))
    assert records["result"]["window"] == [-500, 2500]
    assert predict(tmp_path / "a.nii.gz", "--out", tmp_path / "b", *common, 500, -500) == 2
    assert "a lower and an upper grey value" in capsys.readouterr().err
    monkeypatch.setattr(loading, "load_model", lambda name, device: FakeModel())
    assert predict(source, "--out", tmp_path / "c", *common, -500, 2500) == 2
    assert "--window is for volumes" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_the_kind_of_input_chooses_the_model(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_volume(tmp_path / "a.nii.gz", VOXELS, GRID)
    asked = []

    def load(name: str, device: object) -> FakeModel:
        asked.append(name)
        return volume_model()

    monkeypatch.setattr(loading, "load_model", load)
    out = tmp_path / "out"
    monkeypatch.setattr(catalogue, "bundled_models", dict)
    monkeypatch.setattr(catalogue, "user_models", dict)
    assert predict(tmp_path / "a.nii.gz", "--out", out) == 2
    assert "coseg-lite-dental, the usual model of volumes, is not" in capsys.readouterr().err
    own = {"coseg-lite-dental": tmp_path / "x.safetensors"}
    monkeypatch.setattr(catalogue, "user_models", lambda: own)
    assert predict(tmp_path / "a.nii.gz", "--out", out) == 0
    assert asked == ["coseg-lite-dental"]
    assert predict(tmp_path / "a.nii.gz", source, "--out", out) == 2
    assert "no model is for both" in capsys.readouterr().err
    assert predict(source, "--out", tmp_path / "new", "--model", "mine") == 2
    assert "segments volumes, and this is a picture" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert predict(tmp_path / "a.nii.gz", source, "--out", out, "--model", "mine") == 1
    assert "1 skipped, 3 failed" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_starts_nothing(
    source: Path, tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert predict(source, "--out", taken) == 2
    assert f"The folder {taken} cannot be made" in capsys.readouterr().err

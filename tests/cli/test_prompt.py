from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_coseg.cli.main import main
from napari_coseg.imaging.labels import read_label_classes, read_labels
from napari_coseg.imaging.prompt_tables import read_prompts
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.prompt_jobs import assign
from napari_coseg.types import CosegError
from napari_coseg.weights import loading
from napari_coseg.weights.catalogue import FOLDER_VARIABLE
from tests.inference.fake_prompts import FakePromptModel, FakePromptNetwork

BOXES = """label,row0,column0,row1,column1,class
7,20,30,60,80,lymphocyte
3,40,50,80,120,epithelial
12,100,100,130,140,lymphocyte
"""


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePromptModel:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    fake = FakePromptModel()
    monkeypatch.setattr(loading, "load_prompt_model", lambda name, device: fake)
    return fake


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "tile.png"
    pixels = np.zeros((200, 240, 3), np.uint8)
    pixels[150:180, 30:70] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.csv"
    path.write_text(BOXES)
    return path


def prompt(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["prompt", *map(str, words), "--device", "cpu", "--model", "ellipses"])
    return int(left.value.code or 0)


def test_boxes_become_labels_and_a_table(
    image: Path, boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert prompt(image, "--out", out, "--boxes", boxes, "--mpp", 0.5) == 0
    told = capsys.readouterr().out
    assert "tile: 3 objects" in told
    assert "not a medical device" in told
    labels = read_labels(out / "tile_instances.tif", expected_shape=(200, 240))
    assert np.unique(labels).tolist() == [0, 3, 7, 12]
    # Where 7 and 3 overlap, the first row of the file keeps its pixels.
    r, c = np.mgrid[:200, :240] + 0.5
    first = np.hypot((r - 40) / 20, (c - 55) / 25) < 0.97
    second = np.hypot((r - 60) / 20, (c - 85) / 35) < 0.97
    assert (first & second).any()
    assert (labels[first] == 7).all()
    assert (labels[second & (labels != 7)] == 3).all()
    table = pd.read_csv(out / "tile_objects.csv").set_index("label")
    assert sorted(table.index) == [3, 7, 12]
    assert table.loc[7, "class_name"] == "lymphocyte"
    assert table.loc[7, "class"] == table.loc[12, "class"] == 1
    assert table.loc[3, "class_name"] == "epithelial"
    for label, row in table.iterrows():
        assert row["area_px"] == (labels == label).sum()
        assert row["area_um2"] == pytest.approx(row["area_px"] * 0.25)
    assert table["score"].between(0.5, 1).all()
    classes = read_label_classes(out / "tile_instances.tif")
    assert classes is not None
    assert classes.names == ("lymphocyte", "epithelial")
    assert (out / "tile.geojson").is_file()
    run = json.loads((out / "run.json").read_text("utf-8"))
    assert run["model"] == "ellipses"
    assert run["images"]["tile"]["result"]["empty"] == []


def test_points_and_both(image: Path, boxes: Path, tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    points.write_text("label,row,column,positive\n1,165,50,1\n1,100,20,no\n3,70,90,true\n")
    out = tmp_path / "out"
    assert prompt(image, "--out", out, "--boxes", boxes, "--points", points) == 0
    labels = read_labels(out / "tile_instances.tif")
    assert np.unique(labels).tolist() == [0, 1, 3, 7, 12]
    truth = np.zeros((200, 240), bool)
    truth[150:180, 30:70] = True
    assert ((labels == 1) & truth).sum() / ((labels == 1) | truth).sum() > 0.9


def test_a_second_run_skips_and_other_prompts_are_not_mixed(
    image: Path,
    boxes: Path,
    tmp_path: Path,
    model: FakePromptModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert prompt(image, "--out", out, "--boxes", boxes) == 0
    before = sum(model.network.decoded)
    assert prompt(image, "--out", out, "--boxes", boxes) == 0
    assert "1 skipped" in capsys.readouterr().out
    assert sum(model.network.decoded) == before
    boxes.write_text(BOXES + "40,5,5,15,20,lymphocyte\n")
    assert prompt(image, "--out", out, "--boxes", boxes) == 2
    assert "other settings (prompts)" in capsys.readouterr().err
    assert 40 not in read_labels(out / "tile_instances.tif")
    assert prompt(image, "--out", out, "--boxes", boxes, "--overwrite") == 0
    assert 40 in read_labels(out / "tile_instances.tif")


def test_one_table_for_several_images(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.png").write_bytes(image.read_bytes())
    boxes = tmp_path / "many.csv"
    boxes.write_text(
        "image,label,row0,column0,row1,column1\n"
        "a.png,1,10,10,40,40\nb,1,50,50,90,90\nin/b.png,2,50,50,90,90\n"
    )
    out = tmp_path / "out"
    assert prompt(folder, "--out", out, "--boxes", boxes) == 2
    assert "in two ways" in capsys.readouterr().err
    boxes.write_text(
        "image,label,row0,column0,row1,column1\n"
        "a.png,1,10,10,40,40\nb,1,50,50,90,90\nelsewhere.png,2,50,50,90,90\n"
    )
    assert prompt(folder, "--out", out, "--boxes", boxes) == 0
    told = capsys.readouterr().out
    assert "2 done" in told
    assert "Without prompts and left out: 1 of 3 images." in told
    assert "named in the tables and not given: elsewhere.png." in told
    assert read_labels(out / "a_instances.tif")[25, 25] == 1
    assert read_labels(out / "b_instances.tif")[25, 25] == 0
    assert not (out / "c_instances.tif").exists()


def test_shards_do_their_part(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.png").write_bytes(image.read_bytes())
    boxes = tmp_path / "many.csv"
    rows = [f"{name},1,10,10,40,40,{kind}" for name, kind in zip("acd", "xyz", strict=True)]
    boxes.write_text("\n".join(["image,label,row0,column0,row1,column1,class", *rows]))
    words = (folder, "--out", out, "--boxes", boxes, "--shard")
    # Parts are parts of the images with prompts: b, which has none, takes no place among them.
    assert prompt(*words, "1/2") == 0
    assert sorted(path.name for path in out.glob("*.geojson")) == ["a.geojson", "d.geojson"]
    assert prompt(*words, "2/2") == 0
    assert (out / "c.geojson").is_file()
    # Classes have the same ids in every part.
    kinds = {name: pd.read_csv(out / f"{name}_objects.csv").loc[0, "class"] for name in "acd"}
    assert kinds == {"a": 1, "c": 2, "d": 3}
    run = json.loads((out / "run.json").read_text("utf-8"))
    assert set(run["images"]) == {"a", "c", "d"}
    assert prompt(*words, "4/4") == 0
    assert "No image in this part" in capsys.readouterr().out
    assert prompt(*words, "1/1") == 0
    assert "3 skipped" in capsys.readouterr().out


def test_a_failure_is_listed_and_the_rest_is_done(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(image.read_bytes())
    boxes = tmp_path / "b.csv"
    boxes.write_text(
        "image,label,row0,column0,row1,column1\ntile,1,10,10,40,40\nother,9,500,10,540,40\n"
    )
    out = tmp_path / "out"
    assert prompt(image, other, "--out", out, "--boxes", boxes) == 1
    told = capsys.readouterr()
    words = "Label 9 has a box (rows 500 to 540, columns 10 to 40) that lies outside of the image"
    assert words in told.err
    assert "1 done, 1 failed" in told.out
    assert "Label 9" in (out / "failures.csv").read_text("utf-8")
    assert not (out / "other_instances.tif").exists()


def test_empty_objects_are_told(
    image: Path,
    boxes: Path,
    tmp_path: Path,
    model: FakePromptModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Nothing is bright there.
    points = tmp_path / "points.csv"
    points.write_text("label,row,column,positive\n5,20,200,1\n6,165,50,1\n")
    assert prompt(image, "--out", tmp_path / "out", "--points", points, "--size", 20) == 0
    assert "1 objects" in (told := capsys.readouterr().out)
    assert "1 ended empty (label 5)" in told
    assert pd.read_csv(tmp_path / "out" / "tile_objects.csv")["label"].tolist() == [6]
    # One that lies wholly under another has no pixel left.
    boxes.write_text("label,row0,column0,row1,column1\n1,20,20,90,90\n2,45,45,60,60\n")
    assert prompt(image, "--out", tmp_path / "two", "--boxes", boxes) == 0
    assert "1 ended empty (label 2)" in capsys.readouterr().out


def test_all_empty_is_a_table_without_rows(image: Path, tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    points.write_text("label,row,column,positive\n5,20,200,1\n")
    out = tmp_path / "out"
    assert prompt(image, "--out", out, "--points", points, "--size", 20) == 0
    assert len(pd.read_csv(out / "tile_objects.csv")) == 0
    assert read_labels(out / "tile_instances.tif").max() == 0


def test_without_a_model(
    image: Path,
    boxes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from napari_coseg.weights import catalogue

    monkeypatch.setattr(catalogue, "_BUNDLED", tmp_path / "nothing")
    with pytest.raises(SystemExit) as left:
        main(["prompt", str(image), "--out", str(tmp_path / "out"), "--boxes", str(boxes)])
    assert left.value.code == 2
    assert "no model for boxes and points" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --boxes, --points or both"),
        (["--size", "0"], "positive number of pixels"),
        (["--mpp", "-1"], "positive number of µm"),
        (["--shard", "3/2"], "A shard is written i/n"),
    ],
)
def test_senseless_wishes_start_nothing(
    image: Path,
    boxes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    more = ["--boxes", str(boxes)] if words else []
    assert prompt(image, "--out", tmp_path / "out", *more, *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_no_half_files(
    image: Path, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(FakePromptNetwork):
        def decode(self, *rest: object) -> object:  # type: ignore[override]
            raise KeyboardInterrupt

    fake = FakePromptModel(Interrupted())
    monkeypatch.setattr(loading, "load_prompt_model", lambda name, device: fake)
    out = tmp_path / "out"
    assert prompt(image, "--out", out, "--boxes", boxes) == 130
    assert sorted(path.name for path in out.iterdir()) == ["records", "run.json"]


@pytest.mark.parametrize(
    ("boxes", "points", "says"),
    [
        ("label,row0,column0,row1\n1,2,3,4\n", None, "lacks the column column1"),
        ("label,row0,column0,row1,column1\n1,2,x,4,5\n", None, r"'x' in line 2, column column0"),
        ("label,row0,column0,row1,column1\n1,2,,4,5\n", None, r"'' in line 2, column column0"),
        ("label,row0,column0,row1,column1\n1,2,inf,4,5\n", None, r"'inf' in line 2"),
        ("label,row0,column0,row1,column1\n0,2,3,4,5\n", None, "labels outside of 1"),
        ("label,row0,column0,row1,column1\n1.5,2,3,4,5\n", None, "whole number"),
        ("label,row0,column0,row1,column1\n1,2,3,4,5\n1,2,3,4,5\n", None, "second box of label 1"),
        ("label,row0,column0,row1,column1\n", None, "has no row"),
        ("label,row0,column0,row1,column1\n,,,,\n", "label,row,column,positive\n", "have no row"),
        ("label,row0,column0,row1,column1, row0\n1,2,3,4,5,2\n", None, "column row0 twice"),
        ("label;row0;column0;row1;column1\n1;2;3,5;4;5\n", None, "'3,5' in line 2"),
        ("label,row0,column0,row1,column1\n,,,,\n1,2,3\n", None, "'' in line 3, column row1"),
        ("label,row0,column0,row1,column1\nNaN,2,3,4,5\n", None, "'NaN' in line 2, column label"),
        (None, "label,row,column,positive\n1,2,3,maybe\n", "'maybe' in line 2, column positive"),
        (
            "label,row0,column0,row1,column1,class\n1,2,3,4,5,a\n",
            "label,row,column,positive,class\n1,2,3,1,b\n",
            "an object has one class",
        ),
        (
            "label,row0,column0,row1,column1,image\n1,2,3,4,5,a\n",
            "label,row,column,positive\n1,2,3,1\n",
            "do not go together",
        ),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, boxes: str | None, points: str | None, says: str
) -> None:
    paths = []
    for name, text in (("boxes.csv", boxes), ("points.csv", points)):
        if text is not None:
            (tmp_path / name).write_text(text)
        paths.append(None if text is None else tmp_path / name)
    with pytest.raises(CosegError, match=says):
        read_prompts(*paths)


def test_rows_of_one_label_make_one_object(tmp_path: Path) -> None:
    boxes, points = tmp_path / "b.csv", tmp_path / "p.csv"
    boxes.write_text("label,row0,column0,row1,column1,class\n4,1,2,3.5,4,2\n9,1,2,3,4,\n")
    points.write_text("positive,label,column,row\n+,4,2.5,1\n0,4,3,2\n1,8,5,5\n")
    table = read_prompts(boxes, points)
    first, second, third = table.objects[""]
    assert (first.label, first.class_id) == (4, 2)
    assert first.prompt.box == (1, 2, 3.5, 4)
    assert first.prompt.points == ((1, 2.5, True), (2, 3, False))
    assert (second.label, second.class_id, second.prompt.points) == (9, 0, ())
    assert (third.label, third.prompt.box) == (8, None)
    assert table.classes.names == ("class 1", "class 2")


@pytest.mark.parametrize("sign", [",", ";", "\t", ", "])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, sign: str) -> None:
    boxes = tmp_path / "b.csv"
    lines = [
        ["label", "row0", "column0", "row1", "column1", "class", "image"],
        ["4.0", "9", "8", "3.5", "4", "2.0", r"slides\a.png"],
        [""] * 7,
        ["9", "1", "2", "3", "4", "0", r"slides\a.png"],
        ["10", "1", "2", "3", "4", "", r"slides\a.png"],
        [""] * 7,
    ]
    text = "\r\n".join(sign.join(cells) for cells in lines)
    boxes.write_text(text, encoding="utf-8-sig")
    table = read_prompts(boxes)
    (name,) = table.objects
    found = [(one.label, one.class_id) for one in table.objects[name]]
    assert found == [(4, 2), (9, 0), (10, 0)]
    assert table.classes.names == ("class 1", "class 2")
    job = Job(tmp_path / "slides" / "a.png", "a")
    objects, asked, unknown = assign(table, [job])
    assert (list(objects), asked, unknown) == (["a"], [job], [])


def test_a_row_that_ends_early_has_no_class(tmp_path: Path) -> None:
    boxes = tmp_path / "b.csv"
    boxes.write_text("label,row0,column0,row1,column1,class\n4,1,2,3.5,4\n5,1,2,3,4,a\n")
    assert [one.class_id for one in read_prompts(boxes).objects[""]] == [0, 1]


@pytest.mark.parametrize(("shape", "axes"), [((4, 5, 60, 70), "TZYX"), ((7, 60, 70), "ZYX")])
def test_stacks_are_told_of(
    boxes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    shape: tuple[int, ...],
    axes: str,
) -> None:
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), metadata={"axes": axes})
    assert prompt(path, "--out", tmp_path / "out", "--boxes", boxes) == 1
    said = capsys.readouterr().err
    assert f"has the shape {' x '.join(map(str, shape))} (axes {axes})" in said
    assert "save one plane" in said

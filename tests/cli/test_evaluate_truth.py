"""Truth of any format and of a config's part; published figures beside ours; compared runs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_coseg.cli.compare import compare
from napari_coseg.cli.evaluate import evaluate
from napari_coseg.cli.predict import _images_of
from napari_coseg.datasets.converting import convert, settings_of
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import open_dataset
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_labels
from napari_coseg.training.config import load_config
from napari_coseg.training.parts import open_parts
from napari_coseg.types import CosegError
from tests.datasets.published_sets import write_pannuke

NAMES = ("a", "b", "c", "d", "e")
LABELS = np.zeros((40, 50), np.int32)
LABELS[2:12, 2:12], LABELS[20:30, 20:30] = 4, 900
GRID = VolumeGrid((6, 20, 24), (0.5, 0.4, 0.4), (0.0, 0.0, 0.0))


def call(command, *arguments, code=0):
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if code == 2:
        assert isinstance(result.exception, CosegError), result.output
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def picture(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


@pytest.fixture
def truth(tmp_path):
    root = tmp_path / "truth"
    root.mkdir()
    (root / "dataset.toml").write_text(
        'name = "t"\nmpp = 0.5\nregion_classes = ["other", "gland"]\n'
        'instance_classes = ["round", "long"]\n[parts]\ntrain = ["a"]\ntest = ["b", "c"]\n'
    )
    classes = np.where(LABELS == 4, 1, np.where(LABELS == 900, 2, 0)).astype(np.uint8)
    for name in NAMES:
        picture(root / "images" / f"{name}.png", np.zeros((40, 50, 3), np.uint8))
        picture(root / "instances" / f"{name}.png", LABELS.astype(np.uint16))
        picture(root / "classes" / f"{name}.png", classes)
        picture(root / "regions" / f"{name}.png", ((LABELS > 0) * 2).astype(np.uint8))
    return root


@pytest.fixture
def config(tmp_path, truth):
    path = tmp_path / "c.toml"
    path.write_text(
        '[model]\nname = "m"\nregion_classes = ["gland"]\ninstance_classes = ["tall"]\n'
        "region_mpp = 0.5\ninstance_mpp = 0.5\n"
        '[[data]]\npath = "truth"\nparts = ["train", "validation", "test"]\n'
        'region_names = { other = "ignore" }\n'
        'instance_names = { long = "tall", round = "ignore" }\n'
        '[split]\nby = "image"\nfolds = 5\nfold = 0\ntest = [1, 2]\n[run]\nsteps = 1\n'
    )
    return path


def predict(root, names, classes=None, instances=LABELS, regions=("gland",)):
    root.mkdir()
    (root / "run.json").write_text(
        json.dumps(
            {
                "region_classes": [{"name": name} for name in regions],
                "instance_classes": [{"name": "tall"}, {"name": "round"}],
            }
        )
    )
    classes = {4: 2, 900: 1} if classes is None else classes
    for name in names:
        tifffile.imwrite(root / f"{name}_instances.tif", instances)
        tifffile.imwrite(root / f"{name}_regions.tif", (instances > 0).astype(np.uint8))
        table = pd.DataFrame({"label": classes.keys(), "class": classes.values()})
        table.to_csv(root / f"{name}_objects.csv", index=False)


def read(result):
    content = json.loads(result.stdout)
    return content, {(r["task"], r["class"], r["score"]): r for r in content["summary"]}


def test_the_test_part_of_a_config_with_its_classes(tmp_path, config):
    images, mpp = _images_of(config, "test", None)
    assert len(images) == 2
    assert mpp == 0.5
    predict(tmp_path / "pred", [path.stem for path in images])
    content, rows = read(call(evaluate, tmp_path / "pred", config, "--json"))
    assert {row["image"] for row in content["images"]} == {path.stem for path in images}
    # The config calls `long` tall, and nobody looks at `round`.
    assert rows["instances", "tall", "pq"]["pooled"] == 1
    assert ("instances", "round", "pq") not in rows
    assert rows["regions", "gland", "dice"]["pooled"] == 1
    assert content["spacing"] == [0.5, 0.5]
    # What is not predicted of the part is told.
    train = call(evaluate, tmp_path / "pred", config, "--part", "all", code=1)
    assert "No prediction for 3 of the images" in train.stderr


def test_several_images_in_one_file_are_converted_first(tmp_path):
    root = write_pannuke(tmp_path / "pannuke")
    dataset = open_dataset(root)
    text = '[model]\nname = "m"\nregion_classes = ["gland"]\n'
    text += "region_mpp = 0.5\ninstance_mpp = 0.25\n"
    text += f"instance_classes = {list(dataset.instance_classes.names)}\n"
    text += '[[data]]\npath = "{}"\nparts = ["train", "validation", "test"]\n'
    text += '[split]\nby = "image"\nfolds = 3\ntest = [1]\n[run]\nsteps = 1\n'
    (tmp_path / "old.toml").write_text(text.format(root))
    (tmp_path / "new.toml").write_text(text.format(tmp_path / "new"))
    with pytest.raises(CosegError, match=r"several images in one file.*data convert"):
        _images_of(tmp_path / "old.toml", "test", None)
    options = OpenOptions()
    convert(dataset, tmp_path / "new", "folder", settings_of(dataset, options, "folder"))
    images, mpp = _images_of(tmp_path / "new.toml", "test", None)
    (before,) = open_parts(load_config(tmp_path / "old.toml"), "test")
    assert sorted(path.stem for path in images) == sorted(item.name for item in before.items)
    assert images
    assert mpp == dataset.mpp


def test_the_part_that_the_makers_chose(tmp_path, truth):
    predict(tmp_path / "pred", ["b", "c"])
    content, rows = read(call(evaluate, tmp_path / "pred", truth, "--part", "test", "--json"))
    assert {row["image"] for row in content["images"]} == {"b", "c"}
    assert content["problems"] == []
    assert rows["instances", "round", "pq"]["pooled"] == 1
    # Predictions of the other parts are no mistake.
    more = tmp_path / "more"
    predict(more, NAMES)
    result = call(evaluate, more, truth, "--part", "test")
    assert "No truth for 3 of the images" in result.stderr
    message = call(evaluate, tmp_path / "pred", truth, "--part", "validation", code=2)
    assert "no part validation: its makers divided it into train, test" in message


def test_a_reader_gives_what_the_files_say(tmp_path, truth):
    moved = np.roll(LABELS, 3, axis=1)
    predict(tmp_path / "pred", NAMES, instances=moved)
    plain = read(call(evaluate, tmp_path / "pred", truth, "--json"))[0]
    through = read(call(evaluate, tmp_path / "pred", truth, "--format", "folder", "--json"))[0]
    assert through["summary"] == plain["summary"]
    assert through["images"] == plain["images"]


def test_volumes_are_stacked_from_their_planes(tmp_path):
    root, out = tmp_path / "truth", tmp_path / "pred"
    for folder in ("images", "instances", "regions"):
        (root / folder).mkdir(parents=True)
    out.mkdir()
    (root / "dataset.toml").write_text('region_classes = ["jaw"]\nspacing = [0.5, 0.4, 0.4]\n')
    volume = np.zeros((6, 20, 24), np.int32)
    volume[1:4, 3:9, 3:9], volume[2:6, 12:18, 12:20] = 3, 8
    write_labels(root / "images" / "v.nii.gz", (volume > 0).astype(np.int32) * 90, GRID)
    write_labels(root / "instances" / "v.nii.gz", volume, GRID)
    write_labels(root / "regions" / "v.nii.gz", (volume > 0).astype(np.int32), GRID)
    moved = np.roll(volume, 1, axis=0)
    write_labels(out / "v_instances.nii.gz", moved, GRID)
    write_labels(out / "v_regions.nii.gz", (moved > 0).astype(np.int32), GRID)
    plain = read(call(evaluate, out, root, "--json"))[0]
    through = read(call(evaluate, out, root, "--format", "folder", "--json"))[0]
    assert through["summary"] == plain["summary"]
    assert through["unit"] == "mm"
    # By the authors' rules each plane is an image, in pixels.
    result = call(evaluate, out, root, "--as", "coseg-table-2", "--json")
    content, rows = read(result)
    assert rows["regions", "jaw", "dice"]["images"] == 5
    assert content["unit"].startswith("px")
    assert content["spacing"] is None


@pytest.mark.parametrize("part", [(), ("--part", "all")])
def test_intervals_are_over_patients(tmp_path, truth, part):
    about = truth / "dataset.toml"
    about.write_text(about.read_text() + '[group]\na = "anna"\nb = "anna"\n')
    predict(tmp_path / "pred", NAMES, {4: 1, 900: 2}, regions=("other", "gland"))
    out = tmp_path / "scores.csv"
    result = call(evaluate, tmp_path / "pred", truth, *part, "--out", out)
    table = pd.read_csv(out)
    whose = dict(zip(table["image"], table["group"], strict=True))
    assert (whose["a"], whose["b"], whose["c"]) == ("anna", "anna", "c")
    groups = len(set(whose.values()))
    assert f"over {groups} patients" in " ".join(result.output.split())


def test_published_figures_beside_ours(tmp_path, truth):
    predict(tmp_path / "pred", NAMES, regions=("gland",))
    result = call(evaluate, tmp_path / "pred", truth, "--as", "coseg-table-1:glas")
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert any("published, not re-run" in line for line in lines)
    assert any(line.startswith("Co-Seg++") and "91.56" in line for line in lines)
    ours = next(line for line in lines if line.startswith("napari-coseg (this run)"))
    assert ours.split()[-3:] == ["100.00", "100.00", "0.00"]


def test_published_figures_in_json_and_csv(tmp_path, truth):
    predict(tmp_path / "pred", NAMES)
    out = tmp_path / "scores.csv"
    result = call(
        evaluate, tmp_path / "pred", truth, "--as", "coseg-table-1:puma", "--json", "--out", out
    )
    published = json.loads(result.stdout)["published"]
    assert len(published["rows"]) == 13
    assert published["rows"][0]["doubts"]["puma.tumor.hd"]
    # This truth has neither tumour nor stroma.
    assert published["ours"] == [None] * 6
    assert published["source"].endswith("table I")
    table = pd.read_csv(tmp_path / "scores_coseg-table-1.csv")
    assert table["kind"].tolist() == ["published, not re-run"] * 13 + ["this run"]
    assert table.loc[12, "Tumor Dice"] == 93.15


def test_the_rules_change_the_figures(tmp_path, truth):
    # A speck of one pixel: a part of its own by the field's rules. At 1024 it is 20 x 26 pixels.
    small = LABELS.copy()
    small[35, 45] = 900
    predict(tmp_path / "pred", NAMES, instances=small)
    picture(truth / "regions" / "e.png", np.zeros((40, 50), np.uint8))
    _, plain = read(call(evaluate, tmp_path / "pred", truth, "--json"))
    _, ours = read(call(evaluate, tmp_path / "pred", truth, "--as", "coseg-table-1:glas", "--json"))
    # The image without a gland counts 0 by the field's rules, and not at all by the authors'.
    assert plain["regions", "gland", "dice"]["images"] == 5
    assert ours["regions", "gland", "dice"]["images"] == 4
    assert ours["regions", "gland", "dice"]["mean"] > plain["regions", "gland", "dice"]["mean"]


def test_wrong_tables_are_told_before_anything_is_scored(tmp_path, truth):
    predict(tmp_path / "pred", NAMES)
    message = call(evaluate, tmp_path / "pred", truth, "--as", "coseg-table-8", code=2)
    assert "coseg-table-7" in message
    message = call(evaluate, tmp_path / "pred", truth, "--as", "coseg-table-1", code=2)
    assert "--as coseg-table-1:puma" in message
    message = call(evaluate, tmp_path / "pred", truth, "--as", "coseg-table-1:sts", code=2)
    assert "puma, crag, glas, not sts" in message
    message = call(evaluate, tmp_path / "pred", truth, "--as", "syncsam-table-2", code=2)
    assert "a model that is prompted" in message
    message = call(evaluate, "syncsam-lite", truth, "--as", "coseg-table-2", code=2)
    assert "is of label files" in message


def scores(path, values, images=None):
    images = images or [f"i{n}" for n in range(len(values))]
    pd.DataFrame(
        {
            "image": images,
            "task": "regions",
            "class_id": 1,
            "class": "gland",
            "dice": values,
            "iou": values,
        }
    ).to_csv(path, index=False)
    return path


def test_compare_two_runs(tmp_path):
    a = scores(tmp_path / "a.csv", [0.5] * 7)
    b = scores(tmp_path / "b.csv", [0.6, 0.7, 0.8, 0.9, 0.55, 0.65, 0.4])
    result = call(compare, a, b, "--json", "--scores", "dice", "--out", tmp_path / "t.csv")
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["pairs"], row["better"], row["worse"]) == (7, 6, 1)
    # Of the ranks of seven only 1 or 2.5 (a tie) lies below: counted out over 128 signs.
    assert row["p"] == row["p_holm"] == pytest.approx(pd.read_csv(tmp_path / "t.csv").loc[0, "p"])
    assert 0.02 < row["p"] < 0.1
    both = json.loads(call(compare, a, b, "--json").stdout)["rows"]
    assert both[0]["p_holm"] == pytest.approx(2 * row["p"])
    assert "B - A" in call(compare, a, b).stdout


def test_seeds_and_folds(tmp_path):
    runs = []
    for seed, shift in enumerate((0.0, 0.1, 0.2)):
        first = scores(tmp_path / f"{seed}-0.csv", [0.1 + shift, 0.3 + shift], ["a", "b"])
        second = scores(tmp_path / f"{seed}-1.csv", [0.5 + shift], ["c"])
        runs.append(f"{first},{second}")
    result = call(compare, *runs, "--by", "seed", "--json")
    row = json.loads(result.stdout)["rows"][0]
    assert (row["seeds"], row["images"]) == (3, 3)
    assert row["mean"] == pytest.approx(0.4)
    assert row["deviation"] == pytest.approx(0.1)
    assert "standard deviation" in call(compare, *runs, "--by", "seed").stdout


def test_wrong_comparisons_are_told(tmp_path):
    a = scores(tmp_path / "a.csv", [0.5])
    assert "--by seed" in call(compare, a, code=2)
    assert "There is no file" in call(compare, a, tmp_path / "no.csv", code=2)
    assert "named twice" in call(compare, a, a, code=2)
    b = scores(tmp_path / "b.csv", [0.5])
    assert "no score pq" in call(compare, a, b, "--scores", "pq", code=2)
    (tmp_path / "t.csv").write_text("image,task,class,dice\nx,regions,gland,good\n")
    assert "holds no numbers" in call(compare, a, tmp_path / "t.csv", code=2)

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_coseg.cli.evaluate import evaluate
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_writing import write_labels
from napari_coseg.types import CosegError

SQUARES = np.zeros((40, 50), np.int32)
SQUARES[2:12, 2:12], SQUARES[2:12, 20:30], SQUARES[20:30, 2:12] = 4, 7, 900
CLASS_OF = {4: 1, 7: 2, 900: 2}


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(evaluate)

    def call(*arguments, code=0):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if code == 2:
            # The program's entry prints the sentence and exits with 2.
            assert isinstance(result.exception, CosegError), result.output
            return str(result.exception)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


def write_png(path, labels, dtype=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(dtype)).save(path)


def classes_image(instances, classes):
    image = np.zeros(instances.shape, np.uint8)
    for label, class_id in classes.items():
        image[instances == label] = class_id
    return image


def write_truth(root, names=("a", "b"), instances=SQUARES, extra="mpp = 0.5\n"):
    root.mkdir(exist_ok=True)
    (root / "dataset.toml").write_text(
        'name = "t"\nregion_classes = ["gland", "stroma"]\n'
        'instance_classes = ["round", "long"]\n' + extra
    )
    for name in names:
        write_png(root / "instances" / f"{name}.png", instances)
        write_png(root / "classes" / f"{name}.png", classes_image(instances, CLASS_OF), np.uint8)
        write_png(root / "regions" / f"{name}.png", (instances > 0) * 1, np.uint8)
        write_png(root / "region_instances" / f"{name}.png", instances)


def write_prediction(root, names=("a", "b"), instances=SQUARES, classes=None, regions=None):
    root.mkdir(exist_ok=True)
    (root / "run.json").write_text(
        json.dumps(
            {
                "region_classes": [{"name": "gland", "colour": [1, 2, 3]}],
                "instance_classes": [{"name": "round"}, {"name": "long"}],
            }
        )
    )
    classes = CLASS_OF if classes is None else classes
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(f"{path}_instances.tif", instances)
        mask = (instances > 0) * 1 if regions is None else regions
        tifffile.imwrite(f"{path}_regions.tif", mask.astype(np.uint8))
        pd.DataFrame({"label": classes.keys(), "class": classes.values(), "score": 0.5}).to_csv(
            f"{path}_objects.csv", index=False
        )


def summary(result):
    content = json.loads(result.stdout)
    rows = {(r["task"], r["class"], r["score"]): r for r in content["summary"]}
    return content, rows


def test_perfect_prediction(run, tmp_path):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred")
    out = tmp_path / "scores.csv"
    result = run(tmp_path / "pred", tmp_path / "truth", "--json", "--out", out)
    content, rows = summary(result)
    for task, name, score in [
        ("regions", "gland", "dice"),
        ("regions", "gland", "pq"),
        ("instances", "all", "pq"),
        ("instances", "all", "aji"),
        ("instances", "round", "pq"),
        ("instances", "long", "f1"),
    ]:
        assert rows[task, name, score]["pooled"] == rows[task, name, score]["mean"] == 1
        assert rows[task, name, score]["images"] == 2
    # The model does not know stroma, and the truth has none in these images.
    assert rows["regions", "stroma", "dice"]["images"] == 0
    assert rows["regions", "stroma", "dice"]["mean"] is None
    assert content["spacing"] == [0.5, 0.5]
    assert content["problems"] == []
    assert "stroma" in content["notes"][0]
    table = pd.read_csv(out)
    assert set(table["image"]) == {"a", "b"}
    assert len(table) == 2 * (2 + 3)
    assert {"dice", "iou", "pq", "hd95", "aji", "centroid_f"} <= set(table.columns)


def test_tables(run, tmp_path):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred")
    text = run(tmp_path / "pred", tmp_path / "truth").stdout
    for word in ("Regions", "Instances", "round", "mean of classes", "AJI+", "1.000", "µm"):
        assert word in text


def test_known_errors_give_known_scores(run, tmp_path):
    write_truth(tmp_path / "truth")
    wrong = SQUARES.copy()
    wrong[wrong == 900] = 0
    wrong[35:38, 40:45] = 3
    write_prediction(tmp_path / "pred", instances=wrong, classes={4: 1, 7: 1, 3: 2})
    _, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json"))
    assert rows["instances", "all", "pq"]["pooled"] == pytest.approx(2 / 3)
    assert rows["instances", "all", "aji"]["pooled"] == pytest.approx(200 / 315)
    assert rows["instances", "round", "precision"]["pooled"] == 0.5
    assert rows["instances", "long", "recall"]["pooled"] == 0
    assert rows["regions", "gland", "dice"]["pooled"] == pytest.approx(400 / 515)


def test_classes_are_matched_by_name(run, tmp_path):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred", classes={4: 2, 7: 3, 900: 1})
    run_file = tmp_path / "pred" / "run.json"
    content = json.loads(run_file.read_bytes())
    content["instance_classes"] = [{"name": "odd"}, {"name": "Round"}, {"name": "long"}]
    run_file.write_text(json.dumps(content))
    found, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json"))
    assert rows["instances", "round", "pq"]["pooled"] == 1
    assert rows["instances", "long", "recall"]["pooled"] == 0.5
    assert rows["instances", "long", "precision"]["pooled"] == 1
    assert any("odd" in note for note in found["notes"])
    content["instance_classes"] = [{"name": "x"}, {"name": "y"}, {"name": "z"}]
    run_file.write_text(json.dumps(content))
    found, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json", code=1))
    assert "share no instance class" in found["problems"][0]
    assert ("instances", "round", "pq") not in rows
    assert rows["instances", "all", "pq"]["pooled"] == 1


def test_classes_by_id(run, tmp_path):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred")
    (tmp_path / "pred" / "run.json").write_text(
        json.dumps({"region_classes": [{"name": "q"}], "instance_classes": ["x", "y"]})
    )
    _, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json", "--classes-by-id"))
    assert rows["instances", "long", "pq"]["pooled"] == 1
    assert rows["regions", "gland", "pq"]["pooled"] == 1


def test_sets_without_names_are_matched_by_number(run, tmp_path):
    for side in ("pred", "truth"):
        write_prediction(tmp_path / side)
        (tmp_path / side / "run.json").unlink()
    found, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json"))
    assert rows["instances", "class 2", "pq"]["pooled"] == 1
    assert rows["regions", "class 1", "dice"]["pooled"] == 1
    assert found["spacing"] is None


def test_single_files(run, tmp_path):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred")
    prediction, truth = tmp_path / "pred" / "a_instances.tif", tmp_path / "truth" / "instances"
    _, rows = summary(run(prediction, truth / "b.png", "--json"))
    assert rows["instances", "all", "pq"]["pooled"] == 1
    # The table and the classes image beside them are found too, without names.
    assert rows["instances", "class 2", "pq"]["pooled"] == 1
    _, rows = summary(run(prediction, tmp_path / "truth", "--json"))
    assert rows["instances", "long", "pq"]["images"] == 1
    for side in ("x", "y"):
        write_png(tmp_path / f"{side}.png", SQUARES)
    message = run(tmp_path / "x.png", tmp_path / "y.png", code=2)
    assert "--task" in message
    result = run(tmp_path / "x.png", tmp_path / "y.png", "--task", "instances", "--json")
    assert summary(result)[1]["instances", "all", "pq"]["pooled"] == 1


def test_names_in_folders(run, tmp_path):
    write_truth(tmp_path / "truth", names=("a", "b"))
    write_prediction(tmp_path / "pred", names=("one/a", "two/b"))
    content, _ = summary(run(tmp_path / "pred", tmp_path / "truth", "--json"))
    assert {row["image"] for row in content["images"]} == {"a", "b"}
    # Two of the same name could both be meant: neither is taken.
    write_prediction(tmp_path / "pred", names=("two/a",))
    content, _ = summary(run(tmp_path / "pred", tmp_path / "truth", "--json", code=1))
    assert content["without_truth"] == ["one/a", "two/a"]
    assert content["without_prediction"] == ["a"]


def test_partial_truth_is_no_problem(run, tmp_path):
    write_truth(tmp_path / "truth")
    (tmp_path / "truth" / "regions" / "b.png").unlink()
    write_prediction(tmp_path / "pred")
    _, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json"))
    assert rows["regions", "gland", "dice"]["images"] == 1
    assert rows["instances", "all", "pq"]["images"] == 2


def test_missing_counterparts_are_named(run, tmp_path):
    write_truth(tmp_path / "truth", names=("a", "b", "c"))
    write_prediction(tmp_path / "pred", names=("a", "b", "d"))
    (tmp_path / "pred" / "b_regions.tif").unlink()
    content, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json", code=1))
    assert content["without_truth"] == ["d"]
    assert content["without_prediction"] == ["c"]
    assert "b: no predicted regions." in content["problems"]
    assert rows["instances", "all", "pq"]["images"] == 2


def bad_size(path):
    tifffile.imwrite(path, SQUARES[:, 1:])


def bad_sign(path):
    tifffile.imwrite(path, -SQUARES)


def bad_type(path):
    tifffile.imwrite(path, SQUARES.astype(np.float32))


def bad_bytes(path):
    path.write_text("no picture")


def bad_colour(path):
    tifffile.imwrite(path, np.zeros((40, 50, 3), np.uint8), photometric="rgb")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (bad_size, "40 x 49"),
        (bad_sign, "negative"),
        (bad_type, "float"),
        (bad_bytes, "b_instances.tif"),
        (bad_colour, "colour"),
    ],
)
def test_bad_prediction_is_named_and_the_others_go_on(run, tmp_path, spoil, words):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred")
    spoil(tmp_path / "pred" / "b_instances.tif")
    content, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json", code=1))
    assert len(content["problems"]) == 1
    assert content["problems"][0].startswith("b: ")
    assert words in content["problems"][0]
    assert rows["instances", "all", "pq"]["images"] == 1
    assert rows["regions", "gland", "dice"]["images"] == 2
    # Also where people read it.
    assert words in run(tmp_path / "pred", tmp_path / "truth", code=1).output


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("table", "class ids 9"),
        ("table row", "no row for 1 objects"),
        ("table column", "columns label and class"),
        ("table twice", "two rows for the object 4"),
        ("table text", "column class must hold whole numbers"),
        ("classes", "class ids 6"),
        ("classes size", "all labels of an image"),
        ("regions", "class ids 3"),
        ("predicted regions", "class ids 2"),
    ],
)
def test_unknown_classes_are_named(run, tmp_path, where, words):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred")
    table, truth = tmp_path / "pred" / "a_objects.csv", tmp_path / "truth"
    if where == "table":
        table.write_text("label,class\n4,1\n7,9\n900,1\n")
    elif where == "table row":
        table.write_text("label,class\n4,1\n7,1\n")
    elif where == "table column":
        table.write_text("id,class\n4,1\n7,1\n")
    elif where == "table twice":
        table.write_text("label,class\n4,1\n4,2\n7,1\n900,1\n")
    elif where == "table text":
        table.write_text("label,class\n4,round\n7,1\n900,1\n")
    elif where == "classes":
        write_png(truth / "classes" / "a.png", (SQUARES > 0) * 6, np.uint8)
    elif where == "classes size":
        write_png(truth / "classes" / "a.png", (SQUARES[1:] > 0) * 1, np.uint8)
    elif where == "regions":
        write_png(truth / "regions" / "a.png", (SQUARES > 0) * 3, np.uint8)
    else:
        tifffile.imwrite(tmp_path / "pred" / "a_regions.tif", np.full((40, 50), 2, np.uint8))
    content, _ = summary(run(tmp_path / "pred", truth, "--json", code=1))
    assert len(content["problems"]) == 1
    assert words in content["problems"][0]


def test_ignored_pixels_stand_in_truth_only(run, tmp_path):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred")
    regions = (SQUARES > 0) * 1
    regions[:, 40:] = 255
    for name in "ab":
        write_png(tmp_path / "truth" / "regions" / f"{name}.png", regions, np.uint8)
    predicted = (SQUARES > 0) * 1
    predicted[30:, 41:] = 1
    for name in "ab":
        tifffile.imwrite(tmp_path / "pred" / f"{name}_regions.tif", predicted.astype(np.uint8))
    _, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json"))
    assert rows["regions", "gland", "dice"]["pooled"] == 1
    assert rows["regions", "gland", "pq"]["pooled"] == 1
    tifffile.imwrite(tmp_path / "pred" / "a_regions.tif", regions.astype(np.uint8))
    content, _ = summary(run(tmp_path / "pred", tmp_path / "truth", "--json", code=1))
    assert "255" in content["problems"][0]


def test_options(run, tmp_path):
    write_truth(tmp_path / "truth")
    write_prediction(tmp_path / "pred", instances=np.roll(SQUARES, 1, axis=1))
    arguments = (tmp_path / "pred", tmp_path / "truth", "--json", "--task", "instances")
    content, rows = summary(run(*arguments, "--mpp", 2, "--threshold", 0.9))
    assert content["spacing"] == [2.0, 2.0]
    assert {task for task, _, _ in rows} == {"instances"}
    assert rows["instances", "all", "pq"]["pooled"] == 0
    _, rows = summary(run(tmp_path / "pred", tmp_path / "truth", "--json", "--no-boundary"))
    assert ("regions", "gland", "hd") not in rows


def test_centroids_can_be_paired_as_hover_net_does(run, tmp_path):
    truth, prediction = np.zeros((2, 20, 60), np.uint8)
    truth[5, 5], truth[5, 25] = 1, 2
    prediction[5, 19], prediction[15, 45] = 1, 2
    write_png(tmp_path / "instances" / "t.png", truth, np.uint8)
    tifffile.imwrite(tmp_path / "p_instances.tif", prediction)
    arguments = (tmp_path / "p_instances.tif", tmp_path / "instances" / "t.png", "--json")
    _, rows = summary(run(*arguments))
    assert rows["instances", "all", "centroid_f"]["pooled"] == 0.5
    _, rows = summary(run(*arguments, "--centroids", "hovernet"))
    assert rows["instances", "all", "centroid_f"]["pooled"] == 0


def test_nothing_is_started(run, tmp_path):
    write_truth(tmp_path / "truth", names=("a",))
    write_prediction(tmp_path / "pred", names=("z",))
    empty = tmp_path / "empty"
    empty.mkdir()
    truth, prediction = tmp_path / "truth", tmp_path / "pred"
    assert "does not exist" in run(tmp_path / "nowhere", truth, code=2)
    assert "holds no labels" in run(empty, truth, code=2)
    assert "counterpart" in run(prediction, truth, code=2)
    assert "make the folder" in run(prediction, truth, "--out", tmp_path / "x" / "y.csv", code=2)
    assert "above 0" in run(prediction, truth, "--mpp", 0, code=2)
    (prediction / "run.json").write_text("{")
    assert "run.json" in run(prediction, truth, code=2)
    (truth / "dataset.toml").write_text("mpp = \n")
    assert "dataset.toml" in run(truth, truth, code=2)
    (truth / "dataset.toml").write_text("mpp = -1\n")
    assert "mpp" in run(truth, truth, code=2)
    (truth / "dataset.toml").write_text("instance_classes = 3\n")
    assert "instance_classes" in run(truth, truth, code=2)


def test_nothing_can_be_scored(run, tmp_path):
    write_truth(tmp_path / "truth", names=("a",))
    write_prediction(tmp_path / "pred", names=("a",))
    bad_bytes(tmp_path / "pred" / "a_instances.tif")
    bad_bytes(tmp_path / "pred" / "a_regions.tif")
    out = tmp_path / "scores.csv"
    message = run(tmp_path / "pred", tmp_path / "truth", "--out", out, code=2)
    assert "a_instances.tif" in message
    assert not out.exists()


BALLS = np.zeros((12, 40, 50), np.int32)
BALLS[2:8, 2:12, 2:12], BALLS[2:8, 2:12, 20:30], BALLS[4:10, 20:30, 2:12] = 4, 7, 900
GRID = VolumeGrid(BALLS.shape, (2.0, 0.5, 0.25), (1.0, 2.0, 3.0))


def write_volume_truth(root, names=("a", "b"), instances=BALLS, grid=GRID):
    root.mkdir(exist_ok=True)
    (root / "dataset.toml").write_text(
        'name = "t"\nregion_classes = ["jaw"]\ninstance_classes = ["round", "long"]\n'
        "spacing = [2.0, 0.5, 0.25]\n",
        "utf-8",
    )
    for name in names:
        kinds = {
            "instances": instances,
            "classes": classes_image(instances, CLASS_OF),
            "regions": (instances > 0).astype(np.uint8),
        }
        for kind, labels in kinds.items():
            (root / kind).mkdir(exist_ok=True)
            write_labels(root / kind / f"{name}.nii.gz", labels, grid)


def write_volume_prediction(root, names=("a", "b"), instances=BALLS, grid=GRID):
    root.mkdir(exist_ok=True)
    (root / "run.json").write_text(
        json.dumps(
            {
                "region_classes": [{"name": "jaw"}],
                "instance_classes": [{"name": "round"}, {"name": "long"}],
            }
        ),
        "utf-8",
    )
    for name in names:
        write_labels(root / f"{name}_instances.mha", instances, grid)
        write_labels(root / f"{name}_regions.mha", instances > 0, grid)
        pd.DataFrame({"label": CLASS_OF.keys(), "class": CLASS_OF.values()}).to_csv(
            root / f"{name}_objects.csv", index=False
        )


def test_volumes_are_scored_in_space(run, tmp_path):
    write_volume_truth(tmp_path / "truth")
    # A plane too far, which is 2 mm; pictures of the same planes would not know.
    moved = np.roll(BALLS, 1, 0)
    write_volume_prediction(tmp_path / "pred", instances=moved)
    out = tmp_path / "scores.csv"
    result = run(tmp_path / "pred", tmp_path / "truth", "--json", "--out", out)
    content, rows = summary(result)
    assert content["unit"] == "mm"
    assert content["spacing"] is None
    assert rows["regions", "jaw", "dice"]["pooled"] == pytest.approx(5 / 6)
    assert rows["regions", "jaw", "hd"]["mean"] == pytest.approx(2.0)
    # Five of seven planes are shared.
    assert rows["instances", "all", "sq"]["pooled"] == pytest.approx(5 / 7)
    assert rows["instances", "long", "f1"]["pooled"] == 1
    # Centroids 2 mm apart still belong together.
    assert rows["instances", "all", "centroid_f"]["pooled"] == 1
    assert pd.read_csv(out)["hd95"].max() == pytest.approx(2.0)
    assert "HD95 in mm" in run(tmp_path / "pred", tmp_path / "truth").stdout


def test_volumes_on_another_grid_are_not_scored(run, tmp_path):
    write_volume_truth(tmp_path / "truth")
    write_volume_prediction(tmp_path / "pred", names=("a",))
    other = replace(GRID, spacing=(2.0, 0.5, 0.3))
    write_volume_prediction(tmp_path / "pred", names=("b",), grid=other)
    result = run(tmp_path / "pred", tmp_path / "truth", "--json", code=1)
    problems = " ".join(json.loads(result.stdout)["problems"])
    assert "b_instances.mha is not on the grid of" in problems
    assert "its voxels are 2 x 0.5 x 0.3 mm" in problems
    smaller = replace(GRID, shape=(11, 40, 50))
    write_volume_prediction(tmp_path / "pred", names=("a",), instances=BALLS[:11], grid=smaller)
    said = run(tmp_path / "pred", tmp_path / "truth", code=2)
    assert "it has 11 x 40 x 50 voxels" in said


def test_labels_of_a_volume_lie_on_each_other(run, tmp_path):
    write_volume_truth(tmp_path / "truth", names=("a",))
    write_volume_prediction(tmp_path / "pred", names=("a",))
    moved = replace(GRID, origin=(9.0, 2.0, 3.0))
    classes = classes_image(BALLS, CLASS_OF)
    write_labels(tmp_path / "truth" / "classes" / "a.nii.gz", classes, moved)
    result = run(tmp_path / "pred", tmp_path / "truth", "--json", code=1)
    assert "8 mm elsewhere" in " ".join(json.loads(result.stdout)["problems"])


def test_pictures_and_volumes_do_not_mix(run, tmp_path):
    write_volume_truth(tmp_path / "truth", names=("a",))
    write_volume_prediction(tmp_path / "pred", names=("a",))
    assert "--mpp is for pictures" in run(
        tmp_path / "pred", tmp_path / "truth", "--mpp", 0.5, code=2
    )
    write_truth(tmp_path / "pictures", names=("a",))
    said = run(tmp_path / "pred", tmp_path / "pictures", code=2)
    assert "pictures and of volumes" in said


def test_two_label_volumes(run, tmp_path):
    write_labels(tmp_path / "one.nii.gz", BALLS, GRID)
    write_labels(tmp_path / "two.nrrd", BALLS, GRID)
    words = (tmp_path / "one.nii.gz", tmp_path / "two.nrrd", "--task", "instances", "--json")
    _, rows = summary(run(*words))
    assert rows["instances", "all", "pq"]["pooled"] == 1


def test_two_files_of_one_image(run, tmp_path):
    write_truth(tmp_path / "truth")
    tifffile.imwrite(tmp_path / "truth" / "instances" / "a.tif", SQUARES)
    assert "remove one" in run(tmp_path / "truth", tmp_path / "truth", code=2)


def test_real_data_against_itself(run, shared_data):
    _, rows = summary(run(shared_data / "glas", shared_data / "glas", "--json", "--no-boundary"))
    assert rows["regions", "gland", "dice"]["pooled"] == 1
    assert rows["regions", "gland", "pq"] == {
        **rows["regions", "gland", "pq"],
        "pooled": 1,
        "mean": 1,
        "images": 85,
    }

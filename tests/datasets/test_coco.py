"""COCO instances: polygons, both run-length encodings, and what is not as it should be."""

from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_coseg.cli.evaluation_labels import HeldLabels, read_instances
from napari_coseg.cli.evaluation_truth import TruthOptions, open_truth
from napari_coseg.datasets.coco import CocoDataset
from napari_coseg.datasets.coco_index import _decoded
from napari_coseg.datasets.converting import convert, settings_of
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.metrics.image_scores import InstanceCounts, ScoreSettings, score_image
from napari_coseg.training.config import check_config
from napari_coseg.training.items import prepare_item, training_set
from napari_coseg.training.sections import SourceSection
from napari_coseg.training.sources import open_source
from napari_coseg.types import CosegError
from tests.datasets.outlines import square, write_image

ROWS, COLUMNS = 8, 12


def flat(points: list[tuple[float, float]]) -> list[float]:
    return [value for point in points for value in point]


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, background first."""
    lengths, value = [0], False
    for pixel in mask.T.reshape(-1):
        if pixel != value:
            lengths.append(0)
            value = not value
        lengths[-1] += 1
    return lengths


def packed(lengths: list[int]) -> str:
    """COCO's compression, character by character."""
    text = ""
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        while True:
            code, value = value & 31, value >> 5
            done = value == (-1 if code & 16 else 0)
            text += chr(48 + (code if done else code | 32))
            if done:
                break
    return text


def annotation(image: int, segmentation: Any, category: int = 3, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


def coco(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "info": {},
        "images": [
            {"id": 7, "file_name": "a.png", "height": ROWS, "width": COLUMNS},
            {"id": 5, "file_name": "deep/b ü.png", "height": ROWS, "width": COLUMNS},
        ],
        "annotations": [{"id": n, **one} for n, one in enumerate(annotations, 100)],
        "categories": [{"id": 9, "name": "lymphocyte"}, {"id": 3, "name": "tumor"}],
    }


def write(root: Path, about: object) -> Path:
    path = root / "annotations" / "instances.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(about), encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_image(tmp_path / "images" / "a.png", ROWS, COLUMNS)
    write_image(tmp_path / "more" / "deep" / "b ü.png", ROWS, COLUMNS)
    write(tmp_path, coco(annotation(7, [flat(square(1, 2))])))
    return tmp_path


def read(root: Path) -> Any:
    dataset = open_dataset(root)
    return dataset.read(next(item for item in dataset.items if item.name == "a"))


def test_a_square_of_one_pixel(root: Path) -> None:
    assert reader_of(root) is CocoDataset
    dataset = pickle.loads(pickle.dumps(open_dataset(root)))
    assert [item.name for item in dataset.items] == ["a", "deep_b ü"]
    assert dataset.instance_classes.names == ("tumor", "lymphocyte")
    found = dataset.read(dataset.items[0])
    assert np.argwhere(found.instances).tolist() == [[2, 1]]
    assert found.classes[2, 1] == 1
    assert np.isnan(found.mpp)
    # An image without annotations is one without objects.
    assert not dataset.read(dataset.items[1]).instances.any()
    # The file itself will do as well.
    path = root / "annotations" / "instances.json"
    assert len(open_dataset(path, options=OpenOptions(mpp=0.5)).items) == 2


def test_every_encoding_is_the_same_mask(root: Path) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        mask = rng.random((ROWS, COLUMNS)) < rng.uniform(0.1, 0.9)
        lengths = runs(mask)
        assert _decoded(packed(lengths).encode(), "x").tolist() == lengths
        for counts in (lengths, packed(lengths)):
            write(root, coco(annotation(7, {"size": [ROWS, COLUMNS], "counts": counts})))
            np.testing.assert_array_equal(read(root).instances > 0, mask)


def test_long_runs() -> None:
    lengths = [0, 1, 100_000, 3, 70_000, 2_000_000_000, 5, 1]
    assert _decoded(packed(lengths).encode(), "x").tolist() == lengths


def test_a_published_string() -> None:
    # A square of 2 x 2 in the middle of 4 x 4: 5 off, 2 on, 2 off, 2 on (2 - 2), 5 off (5 - 2).
    assert _decoded(b"52203", "x").tolist() == [5, 2, 2, 2, 5]


def test_parts_crowds_and_overlaps(root: Path) -> None:
    crowd = np.zeros((ROWS, COLUMNS), bool)
    crowd[:, 8:] = True
    write(
        root,
        coco(
            annotation(7, [flat(square(0, 0, 2)), flat(square(4, 0, 2))]),
            annotation(5, [flat(square(3, 3, 2))], 9),
            annotation(7, {"size": [ROWS, COLUMNS], "counts": runs(crowd)}, 9, iscrowd=1),
            annotation(7, [flat(square(9, 1, 2))], 9),
        ),
    )
    found = read(root)
    assert [(found.instances == n).sum() for n in (1, 2, 3)] == [8, 0, 4]
    # A crowd is no object, and not background either.
    assert found.crowds is not None
    assert found.crowds.sum() == ROWS * 4 - 4
    assert not found.classes[found.crowds].any()
    assert found.classes[1, 9] == 2


def test_crowds_are_no_truth_to_learn_from(root: Path) -> None:
    """Neither foreground nor background of a sample, and of no class."""
    crowd = np.zeros((ROWS, COLUMNS), bool)
    crowd[:, 8:] = True
    runs_of = {"size": [ROWS, COLUMNS], "counts": runs(crowd)}
    write(
        root,
        coco(annotation(7, [flat(square(1, 1, 3))]), annotation(7, runs_of, 9, iscrowd=1)),
    )
    raw = {
        "model": {
            "name": "m",
            "region_classes": ["gland"],
            "instance_classes": ["tumor", "lymphocyte"],
            "region_mpp": 0.5,
            "instance_mpp": 0.5,
        },
        "data": [{"path": root, "mpp": 0.5}],
        "run": {"steps": 1},
    }
    config = check_config(raw)
    dataset = open_dataset(root, None, OpenOptions(mpp=0.5))
    one = training_set(dataset, dataset.items, config.data[0], config.model)
    item = next(item for item in dataset.items if item.name == "a")
    prepared = prepare_item(one, item, 0.5, 1.0, np.ones(3))
    found = np.asarray(prepared.instances)
    assert (found[:, 8:] == -1).all()
    assert (found[:, :8] >= 0).all()
    assert len(prepared.centres) == 1


def test_crowds_come_back_from_coco_alone(root: Path, tmp_path: Path) -> None:
    crowd = {"size": [ROWS, COLUMNS], "counts": [10, 20, ROWS * COLUMNS - 30]}
    write(root, coco(annotation(7, [flat(square(9, 1, 2))]), annotation(7, crowd, iscrowd=1)))
    options = OpenOptions(mpp=0.5)
    dataset = open_dataset(root, None, options)
    for layout in ("folder", "nnunet", "geojson"):
        out = tmp_path / layout
        with pytest.raises(CosegError, match=r"a has a crowd .*convert to coco"):
            convert(dataset, out, layout, settings_of(dataset, options, layout))
    convert(dataset, tmp_path / "out", "coco", settings_of(dataset, options, "coco"))
    mapped = OpenOptions(mapping=tmp_path / "out" / "mapping.toml")
    after = open_dataset(tmp_path / "out", None, mapped)
    one, two = read(root), after.read(next(i for i in after.items if i.name.endswith("_a")))
    assert one.crowds.sum() == 20
    assert np.array_equal(one.crowds, two.crowds)
    assert np.array_equal(one.instances > 0, two.instances > 0)
    assert np.array_equal(one.classes, two.classes)


def test_crowds_are_not_scored(root: Path, tmp_path: Path) -> None:
    crowd = np.zeros((ROWS, COLUMNS), bool)
    crowd[:, 8:] = True
    runs_of = {"size": [ROWS, COLUMNS], "counts": runs(crowd)}
    write(root, coco(annotation(7, [flat(square(1, 1, 3))]), annotation(7, runs_of, iscrowd=1)))
    truth = open_truth(root, TruthOptions(mpp=0.5))
    assert truth.reader is not None
    predicted = np.zeros((ROWS, COLUMNS), np.int32)
    # Right; mostly within the crowd; at its edge, and wrong.
    predicted[1:4, 1:4], predicted[0:2, 7:12], predicted[5:7, 6:9] = 1, 2, 3
    pair = read_instances(
        "a", {"instances": HeldLabels(root, predicted)}, truth.reader("a"), None, None
    )
    (scores,) = score_image(pair, ScoreSettings())
    assert isinstance(scores.counts, InstanceCounts)
    counts = scores.counts.objects
    assert (counts.truths, counts.tp, counts.fp) == (1, 1, 1)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ({"size": [4, 4], "counts": [16]}, "annotation 100 is of 4 x 4 pixels"),
        ({"size": [ROWS, COLUMNS], "counts": [5, 5]}, "do not fill its image"),
        ({"size": [ROWS, COLUMNS], "counts": "#"}, "cannot be read"),
        ({"size": [ROWS, COLUMNS], "counts": "P"}, "cut off"),
        ({"counts": [1]}, "segmentation that cannot be read"),
        (None, "segmentation that cannot be read"),
        ([[1, 2, 3]], "segmentation that cannot be read"),
        ([flat(square(90, 90))], "No object of .* lies in its image"),
    ],
)
def test_segmentations_that_are_none(root: Path, segmentation: object, words: str) -> None:
    write(root, coco(annotation(7, segmentation)))
    with pytest.raises(CosegError, match=words):
        read(root)
    _, items = open_source(SourceSection(path=root, faults="skip"))
    assert [item.name for item in items] == ["deep_b ü"]


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        ([], "no area"),
        ([4, 4, 6, 6, 6, 4, 4, 6], "crosses itself"),
        (flat(square(10, 6, 9)), "reaches beyond"),
    ],
)
def test_polygons_that_are_faulty(
    root: Path, polygon: list[float], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(root, coco(annotation(7, [flat(square(0, 0))]), annotation(7, [polygon])))
    with caplog.at_level(logging.WARNING):
        assert read(root).instances[0, 0] == 1
    assert "annotation 101" in caplog.text
    assert words in caplog.text


def test_paths_that_climb_out(root: Path, tmp_path: Path) -> None:
    write_image(tmp_path.parent / "outside.png", ROWS, COLUMNS)
    about = coco()
    for file_name in ("../outside.png", str(tmp_path.parent / "outside.png"), "..\\outside.png"):
        about["images"][0]["file_name"] = file_name
        write(root, about)
        dataset = open_dataset(root)
        assert [fault.name for fault in dataset.faults] == [file_name]
        assert "leads out of the data set" in dataset.faults[0].sentence
        assert [item.name for item in dataset.items] == ["deep_b ü"]


def test_images_that_are_missing_or_there_twice(root: Path) -> None:
    write_image(root / "more" / "a.png", ROWS, COLUMNS)
    (root / "more" / "deep" / "b ü.png").rename(root / "c.png")
    write(root, coco())
    with pytest.raises(CosegError, match="names no image that is there"):
        open_dataset(root)
    mapping = root / "mapping.toml"
    mapping.write_text('images = ["images", "more"]\n', encoding="utf-8")
    (root / "more" / "a.png").unlink()
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    assert [fault.name for fault in dataset.faults] == ["deep/b ü.png"]
    assert "lies in none of the folders" in dataset.faults[0].sentence
    # A link to the same file is no second one.
    os.symlink(root / "images" / "a.png", root / "more" / "a.png")
    assert len(open_dataset(root, options=OpenOptions(mapping=mapping)).items) == 1


def test_what_the_file_does_not_list(root: Path) -> None:
    write(root, coco(annotation(999, []), annotation(7, [flat(square(0, 0))], 77)))
    dataset = open_dataset(root)
    assert [fault.name for fault in dataset.faults] == ["annotation 100"]
    with pytest.raises(CosegError, match="annotation 101 has the category 77"):
        dataset.read(dataset.items[0])


def test_an_image_of_another_size(root: Path) -> None:
    write_image(root / "images" / "a.png", 5, 5)
    with pytest.raises(CosegError, match=r"has 5 x 5 pixels, but .* says 8 x 12"):
        read(root)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [{"id": 1, "file_name": "a.png"}', "cut off"),
        ('{"images": [{"file_name": "a.png"}]}', "without id or file_name"),
        ('{"images": [], "x": ["file_name"]}', "lists no images"),
        ('{"images": [3], "annotations": [{"image_id": 1}]}', "no file of COCO instances"),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"id": 1}]}',
            "without an image_id",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]}',
            "two images of the id 1",
        ),
    ],
)
def test_files_that_are_corrupt(root: Path, text: str, words: str) -> None:
    path = root / "annotations" / "instances.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CosegError, match=words):
        CocoDataset(path)


def test_parts_and_mapping(root: Path) -> None:
    about = coco(annotation(7, [flat(square(1, 2))]), annotation(7, [flat(square(4, 2))], 9))
    about["images"] = about["images"][:1]
    (root / "annotations" / "instances.json").unlink()
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(about), "utf-8")
    about["images"] = [{"id": 7, "file_name": "deep/b ü.png"}]
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(about), "utf-8")
    mapping = root / "mapping.toml"
    mapping.write_text(
        'group = "^(.)"\n[regions]\nlymphocyte = "island"\n[instances]\ntumor = "cell"\n', "utf-8"
    )
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    assert [(item.part, item.group) for item in dataset.items] == [
        ("train", "a"),
        ("validation", "d"),
    ]
    found = dataset.read(dataset.items[1])
    assert found.regions is not None
    assert found.instances is not None
    assert np.argwhere(found.regions == 1).tolist() == [[2, 4]]
    assert np.argwhere(found.instances == 1).tolist() == [[2, 1]]
    mapping.write_text('[instances]\ntumor = "cell"\n', "utf-8")
    dataset = open_dataset(root, options=OpenOptions(mapping=mapping))
    with pytest.raises(CosegError, match="class 'lymphocyte'"):
        dataset.read(dataset.items[0])


def test_the_file_is_read_once(root: Path) -> None:
    path = write(root, coco(*[annotation(7, [flat(square(n % 12, n // 12))]) for n in range(90)]))
    dataset = open_dataset(root)
    path.unlink()
    found = dataset.read(dataset.items[0])
    assert found.instances is not None
    np.testing.assert_array_equal(found.instances.reshape(-1)[:90], np.arange(1, 91))


def test_ids_above_16_bits(root: Path) -> None:
    write(root, coco({**annotation(7, [flat(square(0, 0))]), "id": 900_100_000_000}))
    assert read(root).instances[0, 0] == 1

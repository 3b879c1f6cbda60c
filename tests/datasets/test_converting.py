"""Data sets written in other layouts: what comes back, going on, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_coseg.datasets.converting import WRITERS, Conversion, convert, settings_of
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import open_dataset
from napari_coseg.types import CosegError

ABOUT = """
name = "Darm „1“"
mpp = 0.5
license = "CC0"
region_classes = ["gland"]
instance_classes = ["epithelial", "zelle ß"]
group = "^(p[0-9])"
[colours]
gland = [1, 2, 3]
[parts]
train = ["p1_ä"]
test = ["p2_b"]
"""


def save(root: Path, kind: str, name: str, pixels: np.ndarray) -> None:
    (root / kind).mkdir(exist_ok=True)
    Image.fromarray(pixels).save(root / kind / f"{name}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    (root / "dataset.toml").write_text(ABOUT, encoding="utf-8")
    rng = np.random.default_rng(0)
    for name in ("p1_ä", "p2_b"):
        save(root, "images", name, rng.integers(0, 255, (32, 44, 3), np.uint8))
        regions = np.zeros((32, 44), np.uint8)
        regions[2:14, 1:20] = 1
        regions[5:8, 5:8] = 0  # a hole
        save(root, "regions", name, regions)
        instances = np.zeros((32, 44), np.uint16)
        instances[0:5, 0:6], instances[20:30, 30:44], instances[15:18, 3:9] = 1, 2, 3
        instances[24:26, 34:37] = 0
        instances[10, 10], instances[10, 12] = 4, 4  # two pieces
        classes = np.where(instances == 2, 2, (instances > 0).astype(np.uint8)).astype(np.uint8)
        save(root, "instances", name, instances)
        save(root, "classes", name, classes)
    return root


def run(root: Path, out: Path, layout: str, skip: bool = False, **options: Any) -> Conversion:
    told = OpenOptions(**options)
    dataset = open_dataset(root, None, told)
    return convert(dataset, out, layout, settings_of(dataset, told, layout), skip_faults=skip)


def same_objects(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether the objects are the same, whatever their ids."""
    pairs = np.unique(np.stack([one.ravel(), two.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


@pytest.mark.parametrize("layout", WRITERS)
def test_labels_come_back(root: Path, tmp_path: Path, layout: str) -> None:
    out = tmp_path / "out"
    assert run(root, out, layout).written == 2
    mapping = out / "mapping.toml"
    options = OpenOptions(mpp=0.5, mapping=mapping if mapping.exists() else None)
    before, after = open_dataset(root), open_dataset(out, None, options)
    names = [item.name.rpartition("_")[2] for item in after.items]
    assert sorted(names) == sorted(item.name.rpartition("_")[2] for item in before.items)
    by_name = {item.name[-4:]: item for item in after.items}
    for item in before.items:
        one, two = before.read(item), after.read(by_name[item.name[-4:]])
        assert np.array_equal(one.image, two.image)
        assert one.mpp == two.mpp
        assert two.instances is not None
        assert two.classes is not None
        assert one.instances is not None
        assert np.array_equal(one.regions, two.regions)
        assert same_objects(one.instances, two.instances)
        classes = [info.name for info in after.instance_classes]
        wanted = ["epithelial", "zelle ß"]
        assert classes == wanted
        assert np.array_equal(one.classes, two.classes)


def test_what_a_set_says_of_itself_comes_back(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "out", "folder")
    before, after = open_dataset(root), open_dataset(tmp_path / "out")
    for name in ("name", "license", "mpp", "region_classes", "instance_classes"):
        assert getattr(before, name) == getattr(after, name)
    facts = [[(i.name, i.group, i.part) for i in one.items] for one in (before, after)]
    assert facts[0] == facts[1]


def test_a_second_run_goes_on(root: Path, tmp_path: Path) -> None:
    broken = (root / "instances" / "p2_b.png").read_bytes()
    (root / "instances" / "p2_b.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    with pytest.raises(CosegError, match=r"p2_b: .*--faults skip"):
        run(root, out, "coco")
    assert not (out / "annotations").exists()
    (root / "instances" / "p2_b.png").write_bytes(broken)
    found = run(root, out, "coco")
    assert (found.written, found.skipped) == (1, 1)
    texts = [json.loads(p.read_text("utf-8")) for p in (out / "annotations").iterdir()]
    assert sorted(len(text["images"]) for text in texts) == [1, 1]


def test_an_item_may_have_any_name(root: Path, tmp_path: Path) -> None:
    for path in root.glob("*/p2_b.png"):
        path.rename(path.with_stem("settings"))
    about = (root / "dataset.toml").read_text("utf-8")
    about = "\n".join(line for line in about.splitlines() if not line.startswith("group"))
    (root / "dataset.toml").write_text(about.replace("p2_b", "settings"), encoding="utf-8")
    assert run(root, tmp_path / "out", "folder").written == 2
    again = run(root, tmp_path / "out", "folder")
    assert (again.written, again.skipped) == (0, 2)


def test_what_is_left_out_is_named(root: Path, tmp_path: Path) -> None:
    (root / "images" / "p2_b.png").write_bytes(b"no picture")
    found = run(root, tmp_path / "out", "geojson", skip=True)
    assert found.written == 1
    assert [fault.name for fault in found.faults] == ["p2_b"]


def test_folders_that_hold_something_else(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(root, out, "folder")
    with pytest.raises(CosegError, match="other settings"):
        run(root, out, "coco")
    with pytest.raises(CosegError, match="other settings"):
        run(root, out, "folder", mpp=0.25)
    with pytest.raises(CosegError, match="not empty"):
        run(root, root, "folder")


def test_what_a_layout_cannot_say(root: Path, tmp_path: Path) -> None:
    regions = np.array(Image.open(root / "regions" / "p1_ä.png"))
    regions[:2] = 255
    save(root, "regions", "p1_ä", regions)
    with pytest.raises(CosegError, match="pixels to ignore"):
        run(root, tmp_path / "a", "geojson")
    run(root, tmp_path / "b", "folder")
    after = open_dataset(tmp_path / "b")
    assert np.array_equal(after.read(after.items[0]).regions, regions)


def test_ids_beyond_a_png(tmp_path: Path) -> None:
    from napari_coseg.datasets.writers import write_label_picture
    from napari_coseg.imaging.labels import read_labels

    labels = np.array([[0, 70_000], [1, 2]], np.int32)
    write_label_picture(tmp_path / "a.png", labels)
    assert np.array_equal(read_labels(tmp_path / "a.tif"), labels)

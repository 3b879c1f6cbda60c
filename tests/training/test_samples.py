"""Samples: repeatable, with image and labels in register, unknown labels left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from PIL import Image

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.synthetic_cbct import CBCT_INSTANCES, CBCT_REGIONS, CbctSettings
from napari_coseg.datasets.synthetic_cbct_folder import write_cbct_folder
from napari_coseg.training.config import AugmentSection, TrainingConfig, check_config
from napari_coseg.training.items import training_set
from napari_coseg.training.samples import SampleDataset
from napari_coseg.training.setup import spread
from napari_coseg.training.split import split
from napari_coseg.training.survey import class_weights, survey
from napari_coseg.types import IGNORE, CosegError

PLAIN = AugmentSection(
    stain=0, brightness=0, blur=0, noise=0, jpeg=0, instance_scale=(1, 1), region_scale=(1, 1)
)


def samples(config: TrainingConfig, settings: AugmentSection, **kwargs: Any) -> SampleDataset:
    sets = []
    for section in config.data:
        dataset = FolderDataset(section.path)
        sets.append(training_set(dataset, dataset.items, section, config.model))
    weights = np.ones(len(config.model.instance_classes) + 1)
    return SampleDataset(
        sets, config.model, settings, kwargs.get("count", 8), kwargs.get("seed", 0), weights
    )


def test_a_number_always_gives_the_same_sample(raw_config: dict[str, Any]) -> None:
    config = check_config(raw_config)
    one, two = (samples(config, AugmentSection()) for _ in range(2))
    late = two[5]
    for name, value in one[5].items():
        assert torch.equal(value, late[name]), name
    assert not torch.equal(one[4]["image"], late["image"])
    other = samples(config, AugmentSection(), seed=1)
    assert not torch.equal(other[5]["image"], late["image"])


def test_image_and_labels_stay_in_register(tmp_path: Path, raw_config: dict[str, Any]) -> None:
    """Every pixel of the picture says in its colour what its label is."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.permutation(64).reshape(8, 8), np.ones((16, 16), int)).astype(np.uint16)
    for folder in ("images", "instances", "classes", "regions"):
        (tmp_path / folder).mkdir()
    picture = np.stack([blocks * 4 % 256] * 3, -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "images" / "a.png")
    Image.fromarray(blocks).save(tmp_path / "instances" / "a.png")
    Image.fromarray((blocks % 4).astype(np.uint8)).save(tmp_path / "classes" / "a.png")
    Image.fromarray((blocks % 2).astype(np.uint8)).save(tmp_path / "regions" / "a.png")
    (tmp_path / "dataset.toml").write_text(
        'mpp = 0.5\nregion_classes = ["gland"]\n'
        'instance_classes = ["inflammatory", "epithelial", "spindle"]\n'
    )
    raw_config["data"] = [{"path": tmp_path}]
    drawn = samples(check_config(raw_config), PLAIN, count=12)
    seen = 0
    for index in range(12):
        sample = drawn[index]
        colour = sample["image"].numpy()[..., 0].astype(int)
        labels = np.kron(sample["instances"].numpy(), np.ones((2, 2), int))
        # Smoothing between blocks blurs their borders; most of each block must agree exactly.
        inside = labels >= 0
        agree = (colour == labels * 4 % 256)[inside]
        if inside.sum() > 500:
            seen += 1
            assert agree.mean() > 0.7, index
        classes = sample["classes"].numpy()
        known = sample["instances"].numpy() > 0
        assert (classes[known] == sample["instances"].numpy()[known] % 4).all()
    assert seen > 3


@pytest.mark.parametrize(
    ("quarter_turns", "flip", "seen"),
    [
        (False, False, {(1, 0, 0, 1)}),
        (False, True, {(1, 0, 0, 1), (-1, 0, 0, 1)}),
        (True, False, {(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)}),
    ],
)
def test_turns_and_flips_can_be_left_out(
    tmp_path: Path,
    raw_config: dict[str, Any],
    quarter_turns: bool,
    flip: bool,
    seen: set[tuple[int, ...]],
) -> None:
    """Red grows to the right of the image and green downwards."""
    (tmp_path / "images").mkdir()
    (tmp_path / "instances").mkdir()
    picture = np.zeros((240, 240, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(240), np.arange(240)[:, None]
    Image.fromarray(picture).save(tmp_path / "images" / "a.png")
    labels = np.zeros((240, 240), np.uint16)
    labels[110:130, 110:130] = 1
    Image.fromarray(labels).save(tmp_path / "instances" / "a.png")
    (tmp_path / "dataset.toml").write_text("mpp = 0.5\n")
    raw_config["data"] = [{"path": tmp_path}]
    settings = PLAIN.model_copy(
        update={"rotate": False, "quarter_turns": quarter_turns, "flip": flip}
    )
    drawn = samples(check_config(raw_config), settings, count=30)
    found = set()
    for index in range(30):
        image = drawn[index]["image"].numpy().astype(int)
        middle = len(image) // 2
        right = image[middle, middle + 4] - image[middle, middle - 4]
        down = image[middle + 4, middle] - image[middle - 4, middle]
        found.add(tuple(np.sign([right[0], down[0], right[1], down[1]]).tolist()))
    assert found == seen


def test_missing_labels_are_unknown_not_background(
    tmp_path: Path, raw_config: dict[str, Any]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "instances").mkdir()
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(tmp_path / "images" / "a.png")
    labels = np.zeros((80, 80), np.uint16)
    labels[20:60, 20:60] = 3
    Image.fromarray(labels).save(tmp_path / "instances" / "a.png")
    (tmp_path / "dataset.toml").write_text("mpp = 0.5\n")
    raw_config["data"] = [{"path": tmp_path}]
    sample = samples(check_config(raw_config), PLAIN)[0]
    instances, classes = sample["instances"].numpy(), sample["classes"].numpy()
    assert (sample["regions"] == 255).all()
    assert (classes[instances > 0] == 255).all()
    assert (classes[instances == 0] == 0).all()
    assert (classes[instances < 0] == 255).all()
    assert not sample["hv"].numpy()[:, instances <= 0].any()


def test_unknown_class_names_are_named(raw_config: dict[str, Any]) -> None:
    raw_config["model"]["instance_classes"] = ["inflammatory", "epithelial"]
    with pytest.raises(CosegError, match="spindle"):
        samples(check_config(raw_config), PLAIN)
    raw_config["data"][0]["instance_names"] = {"spindle": "ignore"}
    assert samples(check_config(raw_config), PLAIN).sets[0].instance_ids[3] == 255


def test_rare_classes_weigh_more_up_to_the_cap(raw_config: dict[str, Any]) -> None:
    drawn = samples(check_config(raw_config), PLAIN)
    counts = survey(drawn.sets, [], 3)
    read = [drawn.sets[0].dataset.read(item) for item in drawn.sets[0].items]
    assert counts.sum() == sum(len(np.unique(one.instances)) - 1 for one in read)
    assert class_weights(np.array([0, 100, 25, 0])).tolist() == [1, 1, 2, 1]
    assert class_weights(np.array([0, 10_000, 1])).tolist() == [1, 1, 4]


def test_background_of_a_set_without_a_class_is_unknown(raw_config: dict[str, Any]) -> None:
    raw_config["model"]["region_classes"] = ["gland", "tumour"]
    one = samples(check_config(raw_config), PLAIN).sets[0]
    assert one.region_ids[:2].tolist() == [255, 1]
    assert one.known("regions") == {1}
    # What is no nucleus is background all the same.
    assert one.instance_ids[0] == 0


def test_the_cache_is_bounded(raw_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    free = samples(check_config(raw_config), PLAIN, count=40)
    expected = [free[i]["image"] for i in range(40)]
    assert len(free._prepared) > 2
    monkeypatch.setattr("napari_coseg.training.drawing.CACHE_BYTES", 1)
    bounded = samples(check_config(raw_config), PLAIN, count=40)
    assert all(torch.equal(bounded[i]["image"], expected[i]) for i in range(40))
    assert len(bounded._prepared) == 1


def test_folds_hold_out_every_item_once(generated: Path, raw_config: dict[str, Any]) -> None:
    items = FolderDataset(generated).items
    held = []
    for fold in range(3):
        raw_config["split"] = {"by": "image", "folds": 3, "fold": fold}
        train, out = split(items, check_config(raw_config).split)
        assert {i.name for i in train}.isdisjoint(i.name for i in out)
        held += [i.name for i in out]
    assert sorted(held) == [i.name for i in items]


def test_a_group_stays_together(generated: Path, raw_config: dict[str, Any]) -> None:
    items = FolderDataset(generated).items
    raw_config["split"] = {"by": "group", "folds": 2}
    train, held = split(items, check_config(raw_config).split)
    assert {i.group for i in train}.isdisjoint(i.group for i in held)


def test_planes_of_a_volume_are_the_channels(tmp_path: Path, raw_config: dict[str, Any]) -> None:
    write_cbct_folder(tmp_path, [3, 4], CbctSettings(shape=(40, 56, 56), spacing=0.6, clean=True))
    model = raw_config["model"] | {
        "region_classes": CBCT_REGIONS.names,
        "instance_classes": CBCT_INSTANCES.names,
        "region_mpp": 600,
        "instance_mpp": 600,
        "planes": [-1.0, 0.0, 1.0],
    }
    raw = raw_config | {"model": model, "data": [{"path": tmp_path}]}
    config = check_config(raw)
    assert isinstance(config, TrainingConfig)
    drawn = samples(config, PLAIN, count=12)
    seen = [drawn[i] for i in range(12)]
    assert any(sample["instances"].max() > 0 for sample in seen)
    for sample in seen:
        # The tile of 64 is larger than a plane: what lies beside it is black, and not looked at.
        outside = sample["regions"] == IGNORE
        assert outside.any()
        corners = sample["image"][::63, ::63].reshape(-1, 3)
        assert (corners.float().mean(1) < 1).any()
    red, green = (torch.cat([s["image"][..., i].flatten() for s in seen]) for i in (0, 1))
    assert not torch.equal(red, green)
    # Stored from side to side, which a model of jaws never sees.
    path = next((tmp_path / "images").iterdir())
    image = SimpleITK.ReadImage(str(path))
    image.SetDirection((0, 1, 0, 0, 0, -1, 1, 0, 0))
    SimpleITK.WriteImage(image, str(path))
    with pytest.raises(CosegError, match=rf"planes of .*{path.name} are not axial"):
        samples(config, PLAIN, count=12)


def test_held_out_planes_are_spread_evenly() -> None:
    items: list[Any] = list(range(200))
    assert spread(items, None) == tuple(items)
    assert spread(items[:3], 5) == (0, 1, 2)
    assert spread(items, 4) == (25, 75, 125, 175)

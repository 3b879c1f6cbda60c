"""What a config learns from, and what it is tested on."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_coseg.datasets.labelled import Item
from napari_coseg.datasets.synthetic_histology import write_dataset
from napari_coseg.training.config import AnyConfig, load_config
from napari_coseg.training.parts import open_parts
from napari_coseg.training.sections import SplitSection
from napari_coseg.training.split import dealt, split, words
from napari_coseg.types import CosegError


def items(count: int, parts: tuple[str | None, ...] = (None,)) -> list[Item]:
    return [
        Item(f"i{n}", Path(f"i{n}.png"), {}, f"g{n // 2}", part=parts[n % len(parts)])
        for n in range(count)
    ]


def test_seven_one_two() -> None:
    section = SplitSection(by="image", folds=10, fold=7, test=(8, 9))
    found = dealt(items(50), section)
    assert {part: len(of) for part, of in found.items()} == {
        "train": 35,
        "validation": 5,
        "test": 10,
    }
    assert {item.name for of in found.values() for item in of} == {f"i{n}" for n in range(50)}
    # Training sees neither of the two others.
    assert split(items(50), section) == (found["train"], found["validation"])


def test_groups_are_not_parted_by_the_test_either() -> None:
    found = dealt(items(40), SplitSection(by="group", folds=10, fold=7, test=(8, 9)))
    groups = [{item.group for item in of} for of in found.values()]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_without_test_folds_all_is_as_it_was() -> None:
    section = SplitSection(by="image", folds=5, fold=2)
    train, held = split(items(20), section)
    assert (len(train), len(held)) == (16, 4)
    assert dealt(items(20), section)["test"] == []
    assert words(section) == "fold 2 of 5, by image"


def test_the_card_says_what_is_kept() -> None:
    said = words(SplitSection(by="group", folds=10, fold=7, test=(8, 9)))
    assert said == "fold 7 of 10, by group; 2 more kept for the test"


def test_published_parts() -> None:
    found = dealt(items(8, ("train", "validation", "test", None)), SplitSection(by="published"))
    assert [len(of) for of in found.values()] == [4, 2, 2]


def config(tmp_path: Path, split_text: str) -> AnyConfig:
    write_dataset(tmp_path / "set", count=5, seed=0, shape=(32, 32), mpp=0.5)
    path = tmp_path / "c.toml"
    path.write_text(
        '[model]\nname = "m"\nregion_classes = ["gland"]\nregion_mpp = 1\ninstance_mpp = 1\n'
        f'[[data]]\npath = "set"\n[split]\n{split_text}\n[run]\nsteps = 1\n',
        encoding="utf-8",
    )
    return load_config(path)


def test_parts_of_a_config(tmp_path: Path) -> None:
    checked = config(tmp_path, 'by = "image"\nfolds = 5\nfold = 0\ntest = [1, 2]')
    counts = {
        part: len(open_parts(checked, part)[0].items)
        for part in ("train", "validation", "test", "all")
    }
    assert counts == {"train": 2, "validation": 1, "test": 2, "all": 5}


def test_the_makers_test_part_is_there_though_training_leaves_it_out(tmp_path: Path) -> None:
    checked = config(tmp_path, 'by = "published"')
    stems = sorted(path.stem for path in (tmp_path / "set" / "images").iterdir())
    description = tmp_path / "set" / "dataset.toml"
    text = description.read_text(encoding="utf-8")
    description.write_text(f'{text}\n[parts]\ntest = ["{stems[0]}"]\n', encoding="utf-8")
    assert [item.name for item in open_parts(checked, "test")[0].items] == stems[:1]
    assert len(open_parts(checked, "train")[0].items) == 4


def test_no_such_part(tmp_path: Path) -> None:
    with pytest.raises(CosegError, match=r"m has no items for test.*split\.test"):
        open_parts(config(tmp_path, 'by = "image"\nfolds = 5'), "test")

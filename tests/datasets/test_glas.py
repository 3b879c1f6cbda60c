"""GlaS: glands, patients, and nuclei published elsewhere."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_coseg.datasets.glas import GlasDataset
from napari_coseg.datasets.labelled import OpenOptions
from napari_coseg.datasets.opening import reader_of
from napari_coseg.types import CosegError
from tests.datasets.published_sets import (
    SHAPE,
    nuclei_mat,
    objects,
    picture,
    save,
    write_glas,
    write_lizard_nuclei,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_glas(tmp_path)


def folder(root: Path) -> Path:
    return root / "Warwick_QU_Dataset"


def faults(root: Path) -> dict[str, str]:
    return {fault.name: fault.sentence for fault in GlasDataset(root).faults}


@pytest.mark.parametrize("inside", [".", "Warwick_QU_Dataset"])
def test_items_parts_and_patients(root: Path, inside: str) -> None:
    assert reader_of(root / inside) is GlasDataset
    dataset = GlasDataset(root / inside)
    assert [(item.name, item.part, item.group) for item in dataset.items] == [
        ("testA_1", "test", "patient 6"),
        ("testB_1", "test", "patient 7"),
        ("train_1", "train", "patient 4"),
        ("train_2", "train", "patient 4"),
        ("train_10", "train", "patient 5"),
    ]
    assert dataset.faults == ()
    assert dataset.kinds == {"regions", "region_instances"}
    assert dataset.region_classes.names == ("gland",)
    assert dataset.instance_classes.names == ()


def test_pixels_and_glands(root: Path) -> None:
    dataset = pickle.loads(pickle.dumps(GlasDataset(root)))
    read = dataset.read(dataset.items[2])
    assert (read.image == picture(0)).all()
    assert read.mpp == 0.62005
    assert set(np.unique(read.region_instances)) == {0, 1, 3, 7}
    assert ((read.region_instances > 0) == (read.regions == 1)).all()
    assert read.regions.dtype == np.uint8
    assert read.instances is None
    assert read.classes is None
    assert GlasDataset(root, OpenOptions(mpp=0.5)).read(dataset.items[0]).mpp == 0.5


def test_a_volumes_planes_are_refused(root: Path) -> None:
    dataset = GlasDataset(root)
    with pytest.raises(CosegError, match="no volume"):
        dataset.read(dataset.items[0], [-1, 0, 1])


def test_nuclei_of_lizard_by_its_table(root: Path) -> None:
    write_lizard_nuclei(
        folder(root) / "nuclei",
        {"glas_1": "testB_1", "glas_2": "train_10", "crag_1": "train_1", "dpath_1": "slide"},
    )
    dataset = GlasDataset(root)
    assert dataset.faults == ()
    assert dataset.instance_classes.names == ("lympho-reticular", "epithelial", "connective")
    with_nuclei = [item for item in dataset.items if "instances" in item.labels]
    assert [item.name for item in with_nuclei] == ["testB_1", "train_10"]
    read = dataset.read(with_nuclei[1])
    assert (read.instances == objects(6)).all()
    # Neutrophil, epithelial, lymphocyte, plasma, eosinophil, connective.
    merged = {0: 0, 1: 1, 2: 2, 3: 1, 4: 1, 5: 1, 6: 3}
    assert all((read.classes[read.instances == n] == c).all() for n, c in merged.items())
    assert dataset.read(dataset.items[0]).instances is None


def test_nuclei_of_a_mapping_file_with_all_classes(root: Path, tmp_path: Path) -> None:
    nuclei_mat(tmp_path / "核" / "train_1.mat", objects(3), {1: 5, 2: 6, 3: 2})
    (tmp_path / "map.toml").write_text(
        'nuclei = "核"\n[instances]\nneutrophil = "n"\nlymphocyte = "l"\nplasma = "p"\n'
        'eosinophil = "e"\nepithelial = "background"\nconnective = "ignore"\n',
        encoding="utf-8",
    )
    dataset = GlasDataset(root, OpenOptions(mapping=tmp_path / "map.toml"))
    read = dataset.read(next(item for item in dataset.items if item.name == "train_1"))
    assert dataset.instance_classes.names == ("n", "l", "p", "e")
    assert set(np.unique(read.classes)) == {0, 4, 255}
    assert set(np.unique(read.instances)) == {0, 1, 2}


def test_nuclei_of_no_image_are_named(root: Path) -> None:
    nuclei = write_lizard_nuclei(folder(root) / "nuclei", {"glas_1": "train_99"})
    nuclei_mat(nuclei / "glas_7.mat", objects(1), {1: 1})
    nuclei_mat(nuclei / "train_1.mat", objects(1), {1: 1})
    nuclei_mat(nuclei / "more" / "train_1.mat", objects(1), {1: 1})
    found = faults(root)
    assert "which is no image" in found["glas_1.mat"]
    assert "info.csv" in found["glas_7.mat"]
    assert "both have the nuclei of train_1" in found["train_1.mat"]


def test_pairs_that_are_not_whole_are_named(root: Path) -> None:
    (folder(root) / "train_1_anno.bmp").unlink()
    (folder(root) / "train_2.bmp").unlink()
    (folder(root) / "train_10.bmp").unlink()
    (folder(root) / "train_10.bmp").symlink_to(folder(root) / "train_10.bmp")
    save(folder(root) / "Übersicht.bmp", picture(0))
    found = faults(root)
    assert "train_1_anno.bmp is missing" in found["train_1"]
    assert "train_2.bmp is missing" in found["train_2"]
    assert "leads nowhere" in found["train_10.bmp"]
    assert "is not named" in found["Übersicht"]
    assert {item.name for item in GlasDataset(root).items} == {"testA_1", "testB_1"}


def test_patients_that_nobody_knows_are_told(root: Path) -> None:
    grades = folder(root) / "Grade.csv"
    text = grades.read_text(encoding="utf-8")
    grades.write_text(text.replace("train_2,", "other,"), encoding="utf-8")
    assert "no line in Grade.csv" in faults(root)["train_2"]
    grades.write_text(text.replace("patient ID", "person"), encoding="utf-8")
    assert "no column 'patient ID'" in faults(root)["Grade.csv"]
    grades.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in faults(root)["Grade.csv"]
    grades.unlink()
    assert "is missing" in faults(root)["Grade.csv"]
    assert len(GlasDataset(root).items) == 5


def test_labels_that_cannot_be_used_are_named(root: Path) -> None:
    dataset = GlasDataset(root)
    first = dataset.items[0]
    label = first.labels["regions"]
    Image.fromarray(np.zeros((SHAPE[0], SHAPE[1] - 1), np.uint8)).save(label)
    with pytest.raises(CosegError, match=r"testA_1_anno\.bmp has 48 x 63 pixels"):
        dataset.read(first)
    save(label, picture(0))
    with pytest.raises(CosegError, match=r"testA_1_anno\.bmp is a colour picture"):
        dataset.read(first)
    label.write_bytes(label.read_bytes()[:200])
    with pytest.raises(CosegError, match=r"testA_1_anno\.bmp"):
        dataset.read(first)
    first.image.write_bytes(b"BM")
    with pytest.raises(CosegError, match=r"testA_1\.bmp"):
        dataset.read(first)


def test_a_folder_without_glands(tmp_path: Path) -> None:
    assert not GlasDataset.recognises(tmp_path)
    with pytest.raises(CosegError, match="unpack GlaS there"):
        GlasDataset(tmp_path)

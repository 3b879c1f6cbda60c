from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from napari_coseg.types import CosegError
from napari_coseg.weights import catalogue
from napari_coseg.weights.card import NAME_PATTERN, ModelCard
from tests.weights.test_card import write_safetensors


def test_public_entries_are_whole_and_different() -> None:
    names = [entry.name for entry in catalogue.PUBLIC]
    assert {"sam-vit-b", "medsam-vit-b", "sam2-hiera-tiny", "sam2.1-hiera-large"} <= set(names)
    for values in (names, [e.url for e in catalogue.PUBLIC], [e.sha256 for e in catalogue.PUBLIC]):
        assert len(set(values)) == len(values)
    for entry in catalogue.PUBLIC:
        assert entry.url.startswith("https://")
        assert re.match(NAME_PATTERN, entry.name)
        assert entry.filename.endswith((".pt", ".pth"))
        assert entry.licence
        assert entry.verified
        if entry.sha256 is not None:
            assert re.fullmatch("[0-9a-f]{64}", entry.sha256)


def test_user_folder_can_be_moved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalogue.user_folder() == folder
    monkeypatch.delenv("NAPARI_COSEG_WEIGHTS")
    assert catalogue.user_folder().parts[-2:] == ("napari-coseg", "weights")


def test_models_are_found_by_name_and_by_path(folder: Path, card: ModelCard) -> None:
    folder.mkdir()
    path = write_safetensors(folder / "mine.safetensors", {"coseg": card.to_json()})
    write_safetensors(folder / ".part-x.safetensors", None)
    assert catalogue.user_models() == {"mine": path}
    assert catalogue.find_weights("mine") == path
    assert catalogue.find_weights(path) == path
    assert catalogue.find_weights(str(path)) == path
    assert "mine" in catalogue.known_names()


def test_bundled_models_come_first(
    tmp_path: Path, folder: Path, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = tmp_path / "bundled"
    for place in (bundled, folder):
        place.mkdir()
        write_safetensors(place / "one.safetensors", {"coseg": card.to_json()})
    monkeypatch.setattr(catalogue, "_BUNDLED", bundled)
    assert catalogue.find_weights("one") == bundled / "one.safetensors"


def test_names_and_paths_that_do_not_exist(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CosegError, match="Did you mean sam-vit-b"):
        catalogue.find_weights("sam-vitb")
    with pytest.raises(CosegError, match="models list"):
        catalogue.find_weights("nothing-like-it")
    with pytest.raises(CosegError, match="no weights file"):
        catalogue.find_weights("nowhere.safetensors")
    with pytest.raises(CosegError, match="no weights file"):
        catalogue.find_weights(tmp_path / "nowhere")
    with pytest.raises(CosegError, match="is a folder"):
        catalogue.find_weights(tmp_path)
    with pytest.raises(CosegError, match="models fetch sam-vit-b"):
        catalogue.find_weights("sam-vit-b")
    folder.mkdir()
    (folder / "sam_vit_b_01ec64.pth").write_bytes(b"x")
    assert catalogue.find_weights("sam-vit-b").name == "sam_vit_b_01ec64.pth"


def test_hash(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    assert catalogue.sha256_of(path) == hashlib.sha256(b"abc" * 1000).hexdigest()
    with pytest.raises(CosegError, match="Cannot read"):
        catalogue.sha256_of(tmp_path / "missing")


def test_faulty_file_does_not_break_a_list(tmp_path: Path, card: ModelCard) -> None:
    good = write_safetensors(tmp_path / "a.safetensors", {"coseg": card.to_json()})
    bad = tmp_path / "b.safetensors"
    bad.write_bytes(b"nonsense")
    assert catalogue.card_or_problem(good) == card
    assert "not a safetensors" in str(catalogue.card_or_problem(bad))


def test_catalogue_card_and_fetching_do_not_import_torch() -> None:
    code = (
        "import sys, napari_coseg.weights.catalogue, napari_coseg.weights.card, "
        "napari_coseg.weights.fetching; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

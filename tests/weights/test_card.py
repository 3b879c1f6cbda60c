from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from pydantic import ValidationError

from napari_coseg.types import ClassTable, CosegError
from napari_coseg.weights.card import (
    FORMAT_VERSION,
    ModelCard,
    classes_of,
    read_card,
    read_header,
)


def write_safetensors(
    path: Path, metadata: dict[str, str] | None, *, cut: int = 0, shape: tuple[int, ...] = (2, 3)
) -> Path:
    """A safetensors file of one float32 tensor, from the format's description."""
    size = 4
    for number in shape:
        size *= number
    header: dict[str, object] = {
        "a.weight": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}
    }
    if metadata is not None:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(size)
    path.write_bytes(content[: len(content) - cut])
    return path


def test_card_survives_its_json(card: ModelCard) -> None:
    assert ModelCard.from_json(card.to_json(), "here") == card


def test_class_tables_have_ids_names_and_colours(card: ModelCard) -> None:
    table = card.instance_table
    assert table.names == ("epithelial", "other")
    assert table.colour_of(2) == (86, 180, 233)
    assert [info.id for info in table] == [1, 2]
    assert classes_of(table) == card.instance_classes
    assert card.region_table.names == ("gland",)
    assert classes_of(ClassTable()) == ()


def test_read_card_and_header(tmp_path: Path, card: ModelCard) -> None:
    path = write_safetensors(tmp_path / "m.safetensors", {"coseg": card.to_json()})
    assert read_card(path) == card
    header = read_header(path)
    assert header.tensors == {"a.weight": ("F32", (2, 3))}
    assert header.values == 6


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": FORMAT_VERSION + 1}, "newer napari-coseg"),
        ({"format": None}, "without a format version"),
        ({"surprise": 1}, "surprise"),
        ({"region_mpp": -1}, "region_mpp"),
        ({"kind": "stardist"}, "kind"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"kind": "syncsam"}, "neither classes nor a pixel size"),
        ({"instance_classes": [{"name": "a", "colour": [0, 0, 0]}] * 2}, "different"),
    ],
)
def test_card_that_does_not_fit_is_refused_by_its_key(
    card: ModelCard, change: dict[str, object], says: str
) -> None:
    value = json.loads(card.to_json()) | change
    with pytest.raises(CosegError, match=says):
        ModelCard.from_json(json.dumps(value), "the file")


def test_newer_card_is_refused_even_where_it_has_new_keys(card: ModelCard) -> None:
    value = json.loads(card.to_json()) | {"format": FORMAT_VERSION + 1, "new_key": 1}
    with pytest.raises(CosegError, match=r"update napari-coseg"):
        ModelCard.from_json(json.dumps(value), "the file")


def test_cards_are_made_with_known_keys_only() -> None:
    with pytest.raises(ValidationError):
        ModelCard(name="x", tile=512)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty or cut off"),
        (b"abc", "empty or cut off"),
        (b"PK\x03\x04" + bytes(100), "not a safetensors file"),
        (b"just some text that is no model at all, whatever its name says", "not a safetensors"),
        (struct.pack("<Q", 50) + b'{"a": {"dtype"', "cut off"),
        (struct.pack("<Q", 9) + b'{"a": [1]', "not a safetensors file"),
        (struct.pack("<Q", 9) + b'{"a": {}}', "not a safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "not a safetensors file"),
    ],
)
def test_strange_files(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(CosegError, match=says):
        read_card(path)


def test_cut_off_and_foreign_files(tmp_path: Path, card: ModelCard) -> None:
    cut = write_safetensors(tmp_path / "cut.safetensors", {"coseg": card.to_json()}, cut=1)
    with pytest.raises(CosegError, match="cut off"):
        read_card(cut)
    foreign = write_safetensors(tmp_path / "foreign.safetensors", None)
    with pytest.raises(CosegError, match="not written by napari-coseg"):
        read_card(foreign)
    with pytest.raises(CosegError, match="Cannot read"):
        read_card(tmp_path / "missing.safetensors")
    with pytest.raises(CosegError, match="Cannot read"):
        read_card(tmp_path)

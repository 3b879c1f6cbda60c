"""Large arrays through memory that both processes see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_coseg.types import CosegError
from napari_coseg.worker import shelf as shelf_module
from napari_coseg.worker.protocol import REQUESTS, Message, ProtocolError, decode, encode
from napari_coseg.worker.shelf import (
    SMALLEST,
    Shelf,
    ShelfReader,
    make_folder,
    remove_folder,
)

SIDE = 300


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    assert made is not None
    yield made
    remove_folder(made)
    assert not made.exists()


def pixels(seed: int = 0, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def sent(message: Message, shelf: Shelf) -> list[bytes]:
    """Frames as the other side gets them."""
    return [bytes(frame) for frame in encode(message, shelf=shelf)]


def test_an_array_does_not_travel_with_its_message(folder: Path) -> None:
    shelf, reader = Shelf(folder), ShelfReader(folder)
    small = np.arange(5)
    image = pixels()
    frames = sent(Message("pixels", "r", {}, {"pixels": image[:, ::-1], "small": small}), shelf)
    assert [len(frame) for frame in frames[1:]] == [0, small.nbytes]
    arrays = decode(frames, REQUESTS, reader).arrays
    assert np.array_equal(arrays["pixels"], image[:, ::-1])
    assert np.array_equal(arrays["small"], small)
    assert arrays["pixels"].flags.writeable
    assert reader.taken() == [0]
    assert reader.taken() == []
    # What is laid down next does not change what was read.
    shelf.give_back(0)
    sent(Message("pixels", "r", {}, {"pixels": pixels(1)}), shelf)
    assert np.array_equal(arrays["pixels"], image[:, ::-1])
    shelf.close()


def test_blocks_are_used_again_when_they_were_read(folder: Path) -> None:
    shelf, reader = Shelf(folder), ShelfReader(folder)
    first, second = shelf.lay(pixels(0)), shelf.lay(pixels(1))
    assert (first, second) == (0, 1)
    assert np.array_equal(reader.take(0, 3 * SIDE**2), pixels(0).ravel())
    shelf.give_back(0)
    # Its file is gone, and both still have it.
    assert os.name == "nt" or not (folder / "0").exists()
    assert shelf.lay(pixels(2, SIDE - 7)) == 0
    assert np.array_equal(reader.take(0, 3 * (SIDE - 7) ** 2), pixels(2, SIDE - 7).ravel())
    assert shelf.lay(pixels(3)) == 2
    shelf.give_back(99)
    shelf.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("why", ["small", "full", "no memory", "no folder"])
def test_what_finds_no_room_goes_with_its_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    image = pixels()
    if why == "small":
        image = np.zeros(SMALLEST - 1, np.uint8)
    elif why == "full":
        monkeypatch.setattr(shelf_module, "LARGEST", 1 << 19)
    elif why == "no memory":

        def refuse(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    else:
        remove_folder(folder)
        folder = folder / "gone"
    shelf = Shelf(folder)
    frames = sent(Message("pixels", "r", {}, {"pixels": image}), shelf)
    assert np.array_equal(decode(frames, REQUESTS).arrays["pixels"], image)
    if why == "no memory":
        assert list(folder.iterdir()) == []


def test_a_host_reads_no_more_than_there_is(folder: Path) -> None:
    shelf, reader = Shelf(folder), ShelfReader(folder)
    assert shelf.lay(pixels()) == 0
    for number, size in ((0, 1 << 30), (1, 10)):
        with pytest.raises(CosegError, match="There is no block"):
            reader.take(number, size)
    # What could not be opened stays lent: its name must stay for the next time.
    assert reader.taken() == [0]
    for block in ("../0", -1, None, True, 1.0):
        head = encode(Message("pixels"), shelf=shelf)[0]
        lying = bytes(head).replace(
            b'"arrays":[]',
            b'"arrays":[{"name":"a","dtype":"|u1","shape":[9],"codec":"shared","block":%s}]'
            % {"../0": b'"../0"', None: b"null", True: b"true"}.get(block, str(block).encode()),
        )
        with pytest.raises(ProtocolError, match="not shared"):
            decode([lying, b""], REQUESTS, reader)
    shelf.close()


@pytest.mark.skipif(os.name == "nt", reason="modes are Unix's")
def test_the_folder_is_its_owners(folder: Path) -> None:
    Shelf(folder).lay(pixels())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "0").stat().st_mode & 0o777 == 0o600

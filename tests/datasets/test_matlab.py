"""MATLAB files: what is read, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import io

from napari_coseg.datasets import matlab
from napari_coseg.datasets.matlab import read_mat
from napari_coseg.types import CosegError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "Größe_核.mat"
    with found.open("wb") as file:
        io.savemat(
            file,
            {"inst_map": np.arange(12.0).reshape(3, 4), "id": np.ones((2, 1), np.uint16), "s": "x"},
            do_compression=True,
        )
    return found


def test_variables(path: Path) -> None:
    found = read_mat(path, ("inst_map", "id"))
    assert found["inst_map"].shape == (3, 4)
    assert found["id"].dtype == np.uint16


def test_what_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(CosegError, match=r"核\.mat has no variable 'type_map'"):
        read_mat(path, ("inst_map", "type_map"))
    with pytest.raises(CosegError, match="no numbers in 's'"):
        read_mat(path, ("s",))
    with pytest.raises(CosegError, match="does not exist"):
        read_mat(path.parent / "none.mat", ("inst_map",))


@pytest.mark.parametrize("length", [0, 10, 100, 130, 200])
def test_files_that_end_too_early(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CosegError, match=r"核\.mat"):
        read_mat(path, ("inst_map",))


def test_bytes_that_are_no_mat_file(path: Path) -> None:
    path.write_bytes(b"not a file of MATLAB at all " * 50)
    with pytest.raises(CosegError, match="damaged"):
        read_mat(path, ("inst_map",))
    spoilt = bytearray(path.read_bytes())
    spoilt[140:160] = b"\xff" * 20
    path.write_bytes(spoilt)
    with pytest.raises(CosegError, match="damaged"):
        read_mat(path, ("inst_map",))


@pytest.mark.parametrize("before", [b"", b"MATLAB 7.3 MAT-file".ljust(512)])
def test_hdf5_is_refused_with_what_to_do(path: Path, before: bytes) -> None:
    path.write_bytes(before + b"\x89HDF\r\n\x1a\n" + b"\0" * 64)
    with pytest.raises(CosegError, match=r"level 7\.3 .* -v7"):
        read_mat(path, ("inst_map",))


def test_a_variable_beyond_any_picture_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matlab, "MAX_WHOLE_PIXELS", 11)
    with pytest.raises(CosegError, match="3 x 4 values in 'inst_map'"):
        read_mat(path, ("inst_map",))

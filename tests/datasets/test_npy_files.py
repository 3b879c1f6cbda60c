"""NumPy's files: mapped, never unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_coseg.datasets.npy_files import open_npy
from napari_coseg.types import CosegError


def test_an_array_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "核.npy", np.arange(6))
    found = open_npy(tmp_path / "核.npy")
    assert isinstance(found, np.memmap)
    assert found[5] == 5
    assert not found.flags.writeable


@pytest.mark.parametrize("length", [0, 3, 20, 130])
def test_files_that_end_too_early(tmp_path: Path, length: int) -> None:
    path = tmp_path / "masks.npy"
    np.save(path, np.zeros(100))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CosegError, match=r"masks\.npy"):
        open_npy(path)


def test_objects_and_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "types.npy"
    np.save(path, np.array(["Breast", None], dtype=object))
    with pytest.raises(CosegError, match="may run code"):
        open_npy(path)
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    (tmp_path / "a.npz").rename(path)
    with pytest.raises(CosegError, match="archive"):
        open_npy(path)

"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

# Training imports torch's compiler, and that a second LLVM: after a window with software OpenGL
# has been opened in the same process, that crashes. Nobody but the tests does both in one.
import torch._dynamo  # noqa: F401

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="module", autouse=True)
def _quick_collection() -> None:
    """Let collections of garbage pass over what is there for good.

    napari collects after every layer that goes, and torch alone is a million objects.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let everything be collected at the end: some libraries tell of what is not."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets; the test is skipped where it is not there."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("the real data (../shared/data beside the checkout) is not on this machine")
    return _SHARED_DATA

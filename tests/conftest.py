"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets; the test is skipped where it is not there."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("the real data (../shared/data beside the checkout) is not on this machine")
    return _SHARED_DATA

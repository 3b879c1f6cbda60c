import threading
from collections.abc import Iterator

import pint
import pytest

from napari_coseg.layers import warming


@pytest.fixture
def no_units_yet() -> Iterator[pint.LazyRegistry]:
    """A program in which no layer was made: pint's registry is filled at its first use."""
    before = pint.get_application_registry().get()
    fresh = pint.LazyRegistry()
    pint.set_application_registry(fresh)
    yield fresh
    pint.set_application_registry(before)


def test_units_are_read_before_a_thread_makes_a_layer(
    monkeypatch: pytest.MonkeyPatch, no_units_yet: pint.LazyRegistry
) -> None:
    # Two threads that fill the registry at once: the later one finds it half filled, and an image
    # that was opened just after the dock was refused ("'pixel' is not defined").
    seen: list[type] = []
    ended = threading.Event()

    def first_layer() -> None:
        seen.append(type(no_units_yet))
        ended.set()

    monkeypatch.setattr(warming, "_once", threading.Lock())
    monkeypatch.setattr(warming, "_first_layer", first_layer)
    warming.warm_up()
    assert ended.wait(10)
    assert seen == [pint.UnitRegistry]

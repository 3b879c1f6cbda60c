"""The Evaluate dock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_coseg.widgets.evaluate_dock import EvaluateDock


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    for name in ("show_info", "show_warning", "show_error"):
        for module in ("evaluate_dock", "background"):
            monkeypatch.setattr(
                f"napari_coseg.widgets.{module}.{name}", heard.append, raising=False
            )
    return heard


@pytest.fixture
def dock(viewer: Any, said: list[str], qtbot: Any) -> Iterator[EvaluateDock]:
    made = EvaluateDock(viewer)
    qtbot.addWidget(made)
    yield made
    made.close()


def labels(count: int = 30) -> np.ndarray:
    made = np.zeros((60, 60), np.int32)
    for number in range(count):
        row, column = divmod(number, 6)
        made[10 * row + 1 : 10 * row + 8, 10 * column + 1 : 10 * column + 8] = number + 1
    return made


def run(dock: EvaluateDock, qtbot: Any) -> None:
    dock.start()
    qtbot.waitUntil(lambda: not dock.running, timeout=20_000)


def test_a_prediction_is_judged(
    dock: EvaluateDock, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    assert not dock._button.isEnabled()
    viewer.add_labels(labels(), name="true nuclei")
    found = labels()
    found[found == 4] = 0
    viewer.add_labels(found, name="tile instances")
    assert dock._truth.currentText() == "true nuclei"
    assert dock._prediction.currentText() == "tile instances"
    assert dock._kind.currentData() == "instances"
    run(dock, qtbot)
    words = re.sub("<[^>]*>■<[^>]*> ", "", dock._status.text())
    assert words == "29 matched, 1 missed, 0 spurious, 0 split or merged (objects)."
    titles = [dock._table.horizontalHeaderItem(i).text() for i in range(6)]
    assert titles == ["Class", "PQ", "F1", "SQ", "AJI", "Dice"]
    assert dock._table.item(0, 0).text() == "all"
    assert dock._table.item(0, 1).text() == f"{29 / 29.5:.3f}"
    errors = viewer.layers["true nuclei errors"]
    assert set(np.unique(errors.data)) == {0, 1, 2}
    dock.save_csv(str(tmp_path / "scores.csv"))
    saved = pd.read_csv(tmp_path / "scores.csv")
    assert saved.loc[saved["score"] == "pq", "pooled"].iloc[0] == pytest.approx(29 / 29.5)


def test_what_cannot_be_compared(
    dock: EvaluateDock, viewer: Any, qtbot: Any, said: list[str]
) -> None:
    viewer.add_labels(labels(), name="a")
    viewer.add_labels(labels()[1:], name="b")
    run(dock, qtbot)
    assert "same image" in said[-1]
    assert dock._status.text() == "Not done."
    dock._prediction.setCurrentIndex(dock._truth.currentIndex())
    dock.start()
    assert "choose two" in said[-1]
    assert not dock.running


def test_what_is_compared_is_guessed_until_a_person_chooses(
    dock: EvaluateDock, viewer: Any
) -> None:
    def chosen() -> tuple[str, str]:
        return dock._prediction.currentText(), dock._truth.currentText()

    made = {"metadata": {"model": "m"}}
    regions = viewer.add_labels((labels() > 0).astype(np.uint8), name="tile regions", **made)
    viewer.add_labels(labels(), name="tile instances", **made)
    # Areas and objects of one run are nothing to compare.
    assert chosen() == ("tile instances", "")
    assert not dock._button.isEnabled()
    viewer.add_labels(labels(), name="drawn by hand")
    assert chosen() == ("tile instances", "drawn by hand")
    assert dock._button.isEnabled()
    viewer.add_labels(labels(), name="true nuclei")
    assert chosen() == ("drawn by hand", "true nuclei")
    dock._prediction.setCurrentIndex(dock._prediction.findText("tile instances"))
    viewer.add_labels(labels(), name="truth")
    viewer.layers.remove(regions)
    assert chosen() == ("tile instances", "true nuclei")
    viewer.layers.remove("true nuclei")
    assert chosen() == ("drawn by hand", "truth")


def test_errors_are_nothing_to_judge(dock: EvaluateDock, viewer: Any, qtbot: Any) -> None:
    viewer.add_labels(labels(), name="a")
    viewer.add_labels(labels(), name="b")
    run(dock, qtbot)
    assert len(viewer.layers) == 3
    names = [dock._truth.itemText(i) for i in range(dock._truth.count())]
    assert names == ["a", "b"]
    assert dock._button.isEnabled()


def test_the_persons_choice_is_kept(dock: EvaluateDock, viewer: Any, qtbot: Any) -> None:
    viewer.add_labels(labels(), name="true nuclei")
    viewer.add_labels(labels(), name="tile instances")
    dock._kind.setCurrentIndex(1)
    run(dock, qtbot)
    # The layer of errors has joined the list.
    assert len(viewer.layers) == 3
    assert dock._kind.currentData() == "regions"
    assert dock._table.item(0, 0).text() == "class 1"

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_coseg.imaging.tables import read_objects, write_objects
from napari_coseg.types import OBJECT_COLUMNS, CosegError, empty_objects


def _frame(n: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = empty_objects().reindex(range(n))
    for name in OBJECT_COLUMNS:
        frame[name] = rng.integers(0, 1000, n)
    frame["label"] = np.arange(1, n + 1) * 7
    frame["score"] = rng.random(n)
    frame["area_um2"] = rng.random(n) * 100
    frame["row"], frame["column"] = rng.random(n) * 1e5, rng.random(n)
    frame["class_name"] = (["NA", "épithélial", 'tumour, "invasive"', "None", ""] * n)[:n]
    frame["region_name"] = "gland"
    return frame


def test_round_trip(tmp_path: Path) -> None:
    frame = _frame()
    frame.loc[2, ["area_um2", "score"]] = np.nan
    extra = frame.assign(note="x")[["note", *reversed(OBJECT_COLUMNS)]]
    write_objects(tmp_path / "a.csv", extra)
    assert os.listdir(tmp_path) == ["a.csv"]
    read = read_objects(tmp_path / "a.csv")
    assert tuple(read.columns) == OBJECT_COLUMNS
    pd.testing.assert_series_equal(read.dtypes, empty_objects().dtypes)
    for name in OBJECT_COLUMNS:
        if name in ("score", "area_um2", "row", "column"):
            digits = {"score": 4, "area_um2": 3}.get(name, 2)
            np.testing.assert_allclose(read[name], frame[name], atol=0.51 * 10.0**-digits)
        else:
            assert read[name].tolist() == frame[name].tolist()


def test_the_text_itself(tmp_path: Path) -> None:
    write_objects(tmp_path / "a.csv", _frame(1).assign(area_um2=np.nan, score=0.5, row=3, column=4))
    header, line = (tmp_path / "a.csv").read_bytes().decode().split("\n")[:2]
    assert header == ",".join(OBJECT_COLUMNS)
    assert line.split(",")[0] == "7"
    assert line.split(",")[3] == "0.5000"
    assert line.split(",")[5:8] == ["", "3.00", "4.00"]


def test_no_objects(tmp_path: Path) -> None:
    write_objects(tmp_path / "a.csv", empty_objects())
    read = read_objects(tmp_path / "a.csv")
    assert len(read) == 0
    pd.testing.assert_series_equal(read.dtypes, empty_objects().dtypes)


def test_a_frame_without_a_column_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="region_name"):
        write_objects(tmp_path / "a.csv", _frame().drop(columns="region_name"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("area_px,", "area,", "lacks the column area_px"),
        (",gland\n", ",gland,\n", "more cells than its header"),
        ("label,class,", "id,kind,", "lacks the columns label, class"),
        ("\n7,", "\nseven,", "'seven' in line 2, column label, where a whole number"),
        ("\n7,", "\n7.5,", "'7.5' in line 2, column label, where a whole number"),
        ("\n7,", "\n,", "'' in line 2, column label"),
        ("\n7,", "\n0,", "labels outside of 1"),
        ("\n7,", "\n14,", "label 14 more than once"),
        ("0.6370", "high", "'high' in line 2, column score, where a number"),
    ],
)
def test_bad_tables(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = tmp_path / "a.csv"
    frame = _frame()
    frame.loc[0, "score"] = 0.637
    write_objects(path, frame)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1 if "gland" not in old else -1), encoding="utf-8")
    with pytest.raises(CosegError, match=sentence) as caught:
        read_objects(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(CosegError, match="does not exist"):
        read_objects(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00")
    with pytest.raises(CosegError, match="is not a table in CSV"):
        read_objects(path)
    path.write_text("a,b\n1,2\n3,4,5,6\n")
    with pytest.raises(CosegError, match="is not a table in CSV"):
        read_objects(path)
    path.write_text("\n\n")
    with pytest.raises(CosegError, match="is not a table in CSV"):
        read_objects(path)

"""The papers' figures in the package: complete, and as the papers' prose has them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from napari_coseg.metrics.published_tables import published_table, table_names
from napari_coseg.types import CosegError

#: Rows and columns as the papers' tables have them.
SIZES = {
    "coseg-table-1": (13, 12),
    "coseg-table-2": (12, 9),
    "coseg-table-3": (13, 18),
    "coseg-table-4": (12, 4),
    "coseg-table-5": (13, 13),
    "coseg-table-6": (12, 5),
    "coseg-table-7": (8, 13),
    "syncsam-table-2": (6, 3),
    "syncsam-table-3": (6, 3),
    "syncsam-table-4": (10, 6),
    "syncsam-table-5": (12, 1),
}


def figures(name, column=None):
    table = published_table(name)
    at = [c.key for c in table.columns].index(column) if column else None
    return {row.method: row.values if at is None else row.values[at] for row in table.rows}


def test_every_table_is_there():
    assert set(table_names()) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_tables_are_complete(name):
    table = published_table(name)
    assert (len(table.rows), len(table.columns)) == SIZES[name]
    assert len({row.method for row in table.rows}) == len(table.rows)
    keys = [(column.task, column.key) for column in table.columns]
    assert len(set(keys)) == len(keys)
    assert table.paper
    assert table.caption
    for row in table.rows:
        assert len(row.values) == len(table.columns)
        for column, value in zip(table.columns, row.values, strict=True):
            # What is missing says why.
            assert not math.isnan(value) or row.doubts[column.key]
            assert math.isnan(value) or 0 < value < (1000 if column.score == "hd" else 100)
        assert set(row.doubts) <= {column.key for column in table.columns}


def test_averages_that_the_prose_names():
    # "an average PQ of 53.48% and 53.20%", "54.25%", "3.10% over the baseline", "1.61%".
    means = {method[0]: sum(v) / len(v) for method, v in figures("coseg-table-7").items()}
    assert means["6"] == pytest.approx(53.48, abs=0.005)
    assert means["7"] == pytest.approx(53.20, abs=0.005)
    assert means["8"] == pytest.approx(54.25, abs=0.005)
    assert means["8"] - means["1"] == pytest.approx(3.10, abs=0.006)
    assert means["4"] - means["1"] == pytest.approx(1.61, abs=0.005)


@pytest.mark.parametrize(
    ("table", "column", "peer", "gain"),
    [
        ("coseg-table-1", "puma.stroma.dice", "Zig-RiR", 5.54),
        ("coseg-table-2", "toothfairy2.lower jaw.dice", "ToothSC-SAM", 1.76),
        ("coseg-table-2", "toothfairy2.upper jaw.dice", "ToothSC-SAM", 2.31),
        ("coseg-table-3", "puma.tumor.f1", "PathoSAM", 3.71),
        ("coseg-table-3", "puma.tumor.aji", "PathoSAM", 4.97),
        ("coseg-table-4", "toothfairy2.lower tooth.f1", "ToothSC-SAM", 2.84),
        ("coseg-table-4", "toothfairy2.upper tooth.f1", "TSG-GCN", 3.23),
        ("coseg-table-4", "toothfairy2.upper tooth.aji", "TSG-GCN", 4.44),
        ("coseg-table-5", "puma.tumor.pq", "PathoSAM", 2.35),
        ("coseg-table-5", "puma.stroma.pq", "PathoSAM", 3.22),
        ("coseg-table-6", "toothfairy2.lower tooth.pq", "TSG-GCN", 3.10),
        ("coseg-table-6", "toothfairy2.upper tooth.pq", "TSG-GCN", 3.68),
    ],
)
def test_gains_that_the_prose_names(table, column, peer, gain):
    values = figures(table, column)
    assert values["Co-Seg++"] - values[peer] == pytest.approx(gain, abs=0.005)


def test_the_whole_model_of_the_ablation_is_that_of_the_comparison():
    full = figures("coseg-table-7")["8: P D C"]
    assert full == figures("coseg-table-5")["Co-Seg++"]


def test_differences_of_syncsams_ablation_that_the_prose_names():
    rows = {int(m.partition(":")[0]): v[0] for m, v in figures("syncsam-table-5").items()}
    assert rows[4] - rows[1] == pytest.approx(18.9)
    assert rows[12] - rows[11] == pytest.approx(3.3)
    assert rows[12] - rows[10] == pytest.approx(1.2)
    boxes = figures("syncsam-table-2", "sa-med2d.all.box")
    assert (boxes["SAM"], boxes["FT-SAM"], boxes["MedSAM"]) == (rows[1], rows[2], rows[3])


def test_one_data_set_of_a_table():
    table = published_table("coseg-table-5").of("glas")
    assert [column.heading for column in table.columns] == [
        "Gland",
        "Epithelial",
        "LR",
        "Connective",
    ]
    assert table.rows[-1].values == (65.32, 49.01, 53.04, 34.24)
    with pytest.raises(CosegError, match="puma, crag, glas"):
        published_table("coseg-table-5").of("consep")
    with pytest.raises(CosegError, match="syncsam-table-2"):
        published_table("table-9")


def test_our_figures_are_found_by_task_class_and_score():
    summary = pd.DataFrame(
        [
            {"task": "regions", "class": "Tumour", "score": "dice", "mean": 0.5},
            {"task": "regions", "class": "tumor", "score": "hd", "mean": 12.0},
            {"task": "instances", "class": "stroma", "score": "dice", "mean": 0.9},
        ]
    )
    ours = published_table("coseg-table-1").of("puma").ours(summary)
    assert ours[0] == 50
    assert math.isnan(ours[1])
    assert ours[2] == 12
    assert math.isnan(ours[3])

"""Intervals and tests over patients or volumes, whose images are alike."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from napari_coseg.metrics.comparison import compare_runs
from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings
from napari_coseg.metrics.paper_rules import PaperEvaluation
from napari_coseg.metrics.repeated_runs import summarise_seeds
from napari_coseg.metrics.report import Evaluation, bootstrap_interval


def patients(count: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that differ between patients much more than between a patient's images."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.7, 0.1, (count, 1)) + rng.normal(0, 0.005, (count, each))
    return values.ravel(), np.repeat([f"p{n}" for n in range(count)], each)


def table(values: np.ndarray, groups: np.ndarray | None) -> pd.DataFrame:
    found = pd.DataFrame({"image": [f"i{n}" for n in range(len(values))]})
    if groups is not None:
        found["group"] = groups
    return found.assign(task="regions", **{"class": "gland"}, dice=values)


def test_images_alone_are_drawn_as_without_groups() -> None:
    values = np.random.default_rng(0).random(30)
    alone = [f"i{n}" for n in range(30)]
    wanted = bootstrap_interval(values, 500)
    assert bootstrap_interval(values, 500, groups=np.array(alone)) == pytest.approx(wanted)


def test_many_images_of_a_patient_make_no_narrower_interval() -> None:
    values, groups = patients(12, 40, 0)
    low, high = bootstrap_interval(values, groups=groups)
    means = values.reshape(12, 40).mean(axis=1)
    wanted = bootstrap_interval(means)
    assert (low, high) == pytest.approx(wanted, abs=1e-9)
    naive = bootstrap_interval(values)
    assert high - low > 4 * (naive[1] - naive[0])


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    grouped = naive = 0
    for seed in range(120):
        values, groups = patients(15, 10, seed)
        low, high = bootstrap_interval(values, 400, seed, groups=groups)
        grouped += low <= 0.7 <= high
        low, high = bootstrap_interval(values, 400, seed)
        naive += low <= 0.7 <= high
    # A percentile interval of 15 is a little narrow: some 91 to 95 of 100.
    assert grouped >= 102
    assert naive < 70


def test_groups_of_several_sizes_weigh_by_their_images() -> None:
    values = np.array([1.0] * 9 + [0.0])
    groups = np.array(["a"] * 9 + ["b"])
    # Of two groups drawn: both a, one of each (9 of 10), both b.
    low, high = bootstrap_interval(values, 2000, groups=groups)
    assert (low, high) == (0, 1)


def test_one_patient_says_nothing_of_the_spread() -> None:
    found = bootstrap_interval(np.random.default_rng(0).random(20), groups=np.full(20, "p"))
    assert all(map(math.isnan, found))


def test_evaluation_draws_volumes() -> None:
    square = np.zeros((12, 12), np.int32)
    square[2:8, 2:8] = 1
    evaluation, naive = Evaluation(ScoreSettings()), Evaluation(ScoreSettings())
    for volume in range(6):
        moved = np.roll(square, volume, 0)
        for plane in range(5):
            name = f"v{volume}-{plane}"
            whose = {"truth_instances": square, "prediction_instances": moved}
            evaluation.add(ImagePair(name, **whose, group=f"v{volume}"))
            naive.add(ImagePair(name, **whose))
    assert evaluation.images()["group"].nunique() == 6
    assert "group" not in naive.images()
    widths = []
    for one in (evaluation, naive):
        row = one.summary().set_index("score").loc["dice"]
        widths.append(row["high"] - row["low"])
    assert widths[0] > 1.8 * widths[1]


def test_planes_by_the_papers_rules_are_of_their_volume() -> None:
    volume = np.zeros((3, 20, 20), np.int32)
    volume[:, 4:12, 4:12] = 1
    evaluation = PaperEvaluation(ScoreSettings())
    for name in ("a", "b"):
        evaluation.add(ImagePair(name, truth_instances=volume, prediction_instances=volume))
    assert evaluation.images()["group"].tolist() == ["a"] * 3 + ["b"] * 3


def test_runs_are_compared_by_patient() -> None:
    values, groups = patients(8, 25, 1)
    rng = np.random.default_rng(2)
    better = values + np.repeat(rng.normal(0.002, 0.02, 8), 25)
    (row,) = compare_runs(table(values, groups), table(better, groups)).to_dict("records")
    assert (row["pairs"], row["groups"]) == (200, 8)
    assert row["better"] + row["worse"] + row["equal"] == 8
    assert row["p"] >= 2 / 2**8
    (naive,) = compare_runs(table(values, None), table(better, None)).to_dict("records")
    assert (naive["pairs"], naive["groups"]) == (200, 200)
    assert row["high"] - row["low"] > 3 * (naive["high"] - naive["low"])
    assert row["difference"] == pytest.approx(naive["difference"])


def test_seeds_are_summarised_by_patient() -> None:
    values, groups = patients(10, 20, 3)
    runs = {"1": table(values, groups), "2": table(values + 0.01, groups)}
    naive = {name: one.drop(columns="group") for name, one in runs.items()}
    wide, narrow = (summarise_seeds(one).iloc[0] for one in (runs, naive))
    assert wide["mean"] == pytest.approx(narrow["mean"])
    assert wide["high"] - wide["low"] > 3 * (narrow["high"] - narrow["low"])

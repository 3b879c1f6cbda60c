"""Two runs on the same images: signed ranks, their correction, seeds and folds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from napari_coseg.metrics.comparison import compare_runs, holm, signed_rank
from napari_coseg.metrics.repeated_runs import pool_folds, summarise_seeds
from napari_coseg.types import CosegError


def table(values, name="gland", score="dice", images=None):
    images = images or [f"i{n}" for n in range(len(values))]
    return pd.DataFrame(
        {"image": images, "task": "regions", "class_id": 1, "class": name, score: values}
    )


def test_without_ties_it_is_scipys_exact_test():
    differences = np.array([0.11, -0.02, 0.07, 0.31, -0.05, 0.23, 0.17, 0.29])
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank(differences).p == pytest.approx(expected)


def test_ties_are_counted_out():
    # All of one size: the signs alone speak, so that it is the sign test. 7 of 8 lie above.
    differences = np.array([0.1] * 7 + [-0.1])
    assert signed_rank(differences).p == pytest.approx(2 * 9 / 2**8)


def test_rounding_makes_no_rank():
    # 0.3 - 0.1 and 0.2 differ in the last bit, and are one difference.
    a = np.array([0.3 - 0.1, 0.2, 0.2, -0.2, 0.2, 0.2])
    assert signed_rank(a).p == signed_rank(np.array([1.0, 1, 1, -1, 1, 1])).p


def test_zero_differences_are_left_out_and_counted():
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    with_zeros = signed_rank(np.r_[values, 0, 0, 1e-12])
    assert with_zeros.p == signed_rank(values).p == pytest.approx(2 / 2**6)
    assert (with_zeros.better, with_zeros.worse, with_zeros.equal) == (6, 0, 3)
    assert with_zeros.effect == 1


def test_effect_is_the_balance_of_ranks():
    # Ranks 1, 2, 3: (1 + 3 - 2) / 6.
    assert signed_rank(np.array([0.1, -0.2, 0.3])).effect == pytest.approx(1 / 3)


def test_many_pairs_are_approximated():
    random = np.random.default_rng(1)
    differences = random.normal(0.1, 0.3, 80)
    expected = stats.wilcoxon(differences, method="approx").pvalue
    assert signed_rank(differences).p == pytest.approx(expected)


def test_too_few_pairs_have_no_p():
    few = compare_runs(table([0.1, 0.2, 0.3, 0.4, 0.5]), table([0.2, 0.3, 0.4, 0.5, 0.6]))
    assert math.isnan(few["p"].iloc[0])
    assert math.isnan(few["p_holm"].iloc[0])
    assert "too few" in few["note"].iloc[0]
    assert few["difference"].iloc[0] == pytest.approx(0.1)
    same = compare_runs(table([0.1] * 9), table([0.1] * 9))
    assert same["note"].iloc[0] == "no difference"
    assert math.isnan(same["p"].iloc[0])


def test_holm():
    assert holm([0.01, 0.04, 0.03, math.nan]) == pytest.approx(
        [0.03, 0.06, 0.06, math.nan], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1, 1]


def test_pairs_are_by_image_and_missing_values_are_left_out():
    a = table([0.1, 0.2, np.nan, 0.4], images=["a", "b", "c", "d"])
    b = table([0.5, 0.9, 0.3, 0.3], images=["d", "c", "b", "e"])
    row = compare_runs(a, b).iloc[0]
    assert row["pairs"] == 2
    assert row["mean_a"] == pytest.approx(0.3)
    assert row["difference"] == pytest.approx(0.1)


def test_smaller_distances_are_better():
    a, b = table([9.0] * 7, score="hd95"), table([1.0, 2, 3, 4, 5, 6, 7], score="hd95")
    row = compare_runs(a, b).iloc[0]
    assert (row["better"], row["worse"], row["effect"]) == (7, 0, 1)
    assert row["difference"] < 0


def test_correction_is_over_all_rows_with_a_p():
    up = np.linspace(0.1, 0.6, 6)
    a = pd.concat([table(np.zeros(6)), table(np.zeros(6), "stroma"), table(np.zeros(6), "x")])
    b = pd.concat([table(up), table(up, "stroma"), table(np.zeros(6), "x")])
    result = compare_runs(a, b).set_index("class")
    assert result.loc["gland", "p_holm"] == pytest.approx(2 * result.loc["gland", "p"])
    assert math.isnan(result.loc["x", "p_holm"])


def test_wrong_tables_are_named():
    with pytest.raises(CosegError, match="no column class"):
        compare_runs(table([1.0]).drop(columns="class"), table([1.0]))
    with pytest.raises(CosegError, match="twice"):
        compare_runs(table([1.0, 1.0], images=["a", "a"]), table([1.0]))
    with pytest.raises(CosegError, match="share no image"):
        compare_runs(table([1.0], images=["a"]), table([1.0], images=["b"]))


def test_folds_are_pooled_and_must_not_meet():
    first, second = table([0.0], images=["a"]), table([1.0, 0.5], images=["b", "c"])
    pooled = summarise_seeds({"s": pool_folds([first, second])}).iloc[0]
    assert pooled["mean"] == pytest.approx(0.5)
    assert pooled["images"] == 3
    assert math.isnan(pooled["deviation"])
    with pytest.raises(CosegError, match="a is in two folds"):
        pool_folds([first, first])


def test_deviation_is_over_seeds_and_not_over_images():
    runs = {"1": table([0.0, 1.0]), "2": table([0.2, 1.0]), "3": table([0.1, 1.0])}
    row = summarise_seeds(runs).iloc[0]
    assert row["mean"] == pytest.approx(0.55)
    assert row["deviation"] == pytest.approx(0.05)
    assert row["seeds"] == 3
    with pytest.raises(CosegError, match="different images"):
        summarise_seeds({"1": table([0.0]), "2": table([0.0], images=["z"])})

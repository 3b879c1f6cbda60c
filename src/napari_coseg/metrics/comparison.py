"""Whether one run scores better than another on the same images.

The Wilcoxon signed-rank test on the differences of paired scores, its p-values corrected for the
number of tests by Holm's method, with the matched-pairs rank-biserial correlation as the size of
the effect. Sources: Wilcoxon, Biometrics Bulletin 1945; Holm, Scandinavian Journal of Statistics
1979; Kerby, Comprehensive Psychology 2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from napari_coseg.metrics.report import bootstrap_interval
from napari_coseg.types import CosegError, FloatArray

#: Fewer differences than this that are not 0 cannot reach p < 0.05, whatever they are.
FEWEST = 6
#: Most differences whose p-value is counted out.
_EXACT = 50
#: Differences below this are rounding: scores are shares, or distances read from a file.
_TIE = 1e-9
#: Columns of a table of scores that are no score.
KEYS = ("image", "group", "task", "class_id", "class")

COMPARISON_COLUMNS = (
    "task",
    "class",
    "score",
    "pairs",
    "groups",
    "mean_a",
    "mean_b",
    "difference",
    "low",
    "high",
    "better",
    "worse",
    "equal",
    "effect",
    "p",
    "p_holm",
    "note",
)


@dataclass(frozen=True)
class SignedRank:
    """A paired test.

    Attributes
    ----------
    p : float
        Two-sided; NaN where there are too few differences.
    effect : float
        Matched-pairs rank-biserial correlation, -1 to 1: the share of the ranks of differences
        above 0 less that of those below.
    better, worse, equal : int
        Pairs whose difference is above 0, below, and 0.
    """

    p: float
    effect: float
    better: int
    worse: int
    equal: int


def signed_rank(differences: FloatArray) -> SignedRank:
    """Test whether paired differences lie about 0.

    Pairs without a difference are left out (Wilcoxon's own treatment). Ties share their mean rank.
    The p-value is exact up to 50 differences, ties or not, else by the normal approximation with
    its correction for ties.

    Parameters
    ----------
    differences : ndarray of float, (pairs,)
        Without NaN.
    """
    values = np.where(np.abs(differences) < _TIE, 0.0, np.asarray(differences, float))
    left = values[values != 0]
    better, worse = int((left > 0).sum()), int((left < 0).sum())
    equal = len(values) - len(left)
    if len(left) == 0:
        return SignedRank(math.nan, 0.0, 0, 0, equal)
    # Rounded, so that equal differences are ties however they were computed.
    ranks = stats.rankdata(np.round(np.abs(left), 12))
    effect = float((ranks[left > 0].sum() - ranks[left < 0].sum()) / ranks.sum())
    if len(left) < FEWEST:
        return SignedRank(math.nan, effect, better, worse, equal)
    if len(left) <= _EXACT:
        p = _exact_p(ranks, float(ranks[left > 0].sum()))
    else:
        p = float(stats.wilcoxon(np.sign(left) * ranks, method="approx").pvalue)
    return SignedRank(p, effect, better, worse, equal)


def _exact_p(ranks: FloatArray, above: float) -> float:
    """Two-sided p-value over all signs that the ranks could have, ties or not.

    SciPy's exact method takes the ranks for 1, 2, 3, ..., which ties are not.
    """
    # Mean ranks are halves at least, so that twice a rank is a whole number.
    doubled = np.round(2 * ranks).astype(int)
    ways = np.zeros(doubled.sum() + 1)
    ways[0] = 1
    for rank in doubled:
        ways[rank:] += ways[:-rank].copy()
    ways /= ways.sum()
    at = round(2 * above)
    return float(min(1, 2 * min(ways[: at + 1].sum(), ways[at:].sum())))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down method; NaN stays NaN, uncounted."""
    p = np.asarray(p_values, float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return [float(value) for value in corrected]


def compare_runs(
    a: pd.DataFrame, b: pd.DataFrame, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compare two runs score by score, on the images that both have a value for.

    Parameters
    ----------
    a, b : DataFrame
        Of `Evaluation.images`. Differences are b - a; ``better`` counts the images on which b has
        the higher score, for distances the lower. Where `a` has a column ``group``, the patient or
        volume of each image, images of a group are alike: the test is of the groups' mean
        differences, ``better``, ``worse`` and ``equal`` count groups, and the bootstrap draws
        groups.
    resamples, seed : int
        Of the bootstrap interval of the mean difference.

    Returns
    -------
    DataFrame
        Columns `COMPARISON_COLUMNS`. Holm's correction is over all rows that have a p-value.

    Raises
    ------
    CosegError
        If a table lacks a column or has an image twice, or the two share no image.
    """
    keys = ["image", "task", "class"]
    left, right = _checked(a, "The first table"), _checked(b, "The second table")
    both = left.merge(
        right.drop(columns="group"), on=keys, suffixes=("_a", "_b"), validate="one_to_one"
    )
    if both.empty:
        raise CosegError("The two tables share no image with the same task and class.")
    shared = [c for c in a.columns if c not in KEYS and c in b.columns]
    rows = []
    for (task, name), group in both.groupby(["task", "class"], sort=False):
        for score in shared:
            known = group[[f"{score}_a", f"{score}_b"]].dropna()
            if known.empty:
                continue
            pair = known.to_numpy(float)
            raw = pair[:, 1] - pair[:, 0]
            groups = group.loc[known.index, "group"].to_numpy()
            of_groups = pd.Series(raw).groupby(groups, sort=False).mean().to_numpy(float)
            result = signed_rank(-of_groups if score.startswith("hd") else of_groups)
            low, high = bootstrap_interval(raw, resamples, seed, groups=groups)
            rows.append(
                {
                    "task": task,
                    "class": name,
                    "score": score,
                    "pairs": len(pair),
                    "groups": len(of_groups),
                    "mean_a": pair[:, 0].mean(),
                    "mean_b": pair[:, 1].mean(),
                    "difference": raw.mean(),
                    "low": low,
                    "high": high,
                    "better": result.better,
                    "worse": result.worse,
                    "equal": result.equal,
                    "effect": result.effect,
                    "p": result.p,
                    "note": _note(result),
                }
            )
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].tolist())
    return table.reindex(columns=list(COMPARISON_COLUMNS))


def _note(result: SignedRank) -> str:
    different = result.better + result.worse
    if different == 0:
        return "no difference"
    return f"too few pairs: {different} differ" if different < FEWEST else ""


def _checked(table: pd.DataFrame, what: str) -> pd.DataFrame:
    missing = [column for column in ("image", "task", "class") if column not in table.columns]
    if missing:
        raise CosegError(
            f"{what} has no column {missing[0]}: give files that evaluate --out wrote."
        )
    twice = table.duplicated(["image", "task", "class"])
    if twice.any():
        image = table.loc[twice, "image"].iloc[0]
        raise CosegError(f"{what} has the image {image} twice with the same task and class.")
    scores = [column for column in table.columns if column not in KEYS]
    return table[["image", "task", "class", *scores]].assign(group=groups_of(table))


def groups_of(table: pd.DataFrame) -> pd.Series:
    """Whose each image of a table of scores is; the image's own where nobody knows."""
    if "group" not in table.columns:
        return table["image"].astype(str)
    return table["group"].fillna(table["image"]).astype(str)

"""Scores of a set of images as tables: by image, pooled, mean over images with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.metrics.image_scores import ClassScores, ImagePair, ScoreSettings, score_image
from napari_coseg.types import FloatArray

#: Class ids of rows that stand for no single class.
ALL_CLASSES, MEAN_OF_CLASSES = 0, -1

SUMMARY_COLUMNS = (
    "task",
    "class_id",
    "class",
    "score",
    "pooled",
    "mean",
    "low",
    "high",
    "images",
)


class Evaluation:
    """Gather the scores of images one after the other; only counts are kept.

    Parameters
    ----------
    settings : ScoreSettings

    Examples
    --------
    >>> import numpy as np
    >>> nuclei = np.eye(4, dtype=np.int32)
    >>> evaluation = Evaluation(ScoreSettings())
    >>> evaluation.add(ImagePair("a", truth_instances=nuclei, prediction_instances=nuclei))
    >>> evaluation.images()[["image", "task", "class", "pq"]].values.tolist()
    [['a', 'instances', 'all', 1.0]]
    """

    def __init__(self, settings: ScoreSettings) -> None:
        self.settings = settings
        self._scores: list[ClassScores] = []

    def add(self, pair: ImagePair) -> None:
        """Score one more image.

        Raises
        ------
        CosegError
            If the shapes of the two sides differ, or labels are negative or no integers. The
            evaluation is as it was then.
        """
        self._scores += score_image(pair, self.settings)

    def images(self) -> pd.DataFrame:
        """Table of the images, one row for each image, task and class.

        Returns
        -------
        DataFrame
            Columns ``image``, ``task``, ``class_id``, ``class`` and one for each score; and
            ``group`` where the patient, slide or volume of an image is known. A score
            is NaN where neither side has the class, or where the task has no such score.
        """
        rows = [
            {
                "image": s.image,
                **({} if s.group is None else {"group": s.group}),
                "task": s.task,
                "class_id": s.class_id,
                "class": self._class_name(s.task, s.class_id),
                **s.scores(),
            }
            for s in self._scores
        ]
        return pd.DataFrame(rows, columns=None if rows else ["image", "task", "class_id", "class"])

    def summary(self, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
        """Tidy table of the set: one row for each task, class and score.

        The pooled score is computed from the counts of all images together, so that each object
        (each pixel) weighs the same. The mean is over the images in which the truth or the
        prediction has the class; ``images`` says how many. ``low`` and ``high`` are the 95 %
        percentile bootstrap interval of that mean; whole groups of images are drawn where their
        groups are known. Rows of the class ``mean of
        classes`` are unweighted means of the rows of the classes that have a value.

        Parameters
        ----------
        resamples : int
            Bootstrap samples.
        seed : int
            Of the bootstrap; equal seeds give equal intervals.

        Returns
        -------
        DataFrame
            Columns `SUMMARY_COLUMNS`. ``pooled`` is NaN for distances, which cannot be pooled.
        """
        groups: dict[tuple[str, int], list[ClassScores]] = {}
        for scores in self._scores:
            groups.setdefault((scores.task, scores.class_id), []).append(scores)
        rows: list[dict[str, Any]] = []
        for task in dict.fromkeys(task for task, _ in groups):
            of_task = {c: group for (t, c), group in groups.items() if t == task}
            class_rows = {
                c: self._summarise(task, c, group, resamples, seed) for c, group in of_task.items()
            }
            for class_id in sorted(class_rows):
                rows += class_rows[class_id]
            single = [class_rows[c] for c in class_rows if c != ALL_CLASSES]
            if len(single) > 1:
                rows += _mean_of_classes(single)
        return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))

    def _summarise(
        self, task: str, class_id: int, group: list[ClassScores], resamples: int, seed: int
    ) -> list[dict[str, Any]]:
        counts: Iterable[Any] = (scores.counts for scores in group)
        pooled = reduce(add, counts).scores()
        by_image = pd.DataFrame([scores.scores() for scores in group])
        groups = np.array([s.image if s.group is None else s.group for s in group])
        rows = []
        for score in by_image:
            known = by_image[score].notna().to_numpy()
            values = by_image[score].to_numpy(float)[known]
            low, high = bootstrap_interval(values, resamples, seed, groups=groups[known])
            rows.append(
                {
                    "task": task,
                    "class_id": class_id,
                    "class": self._class_name(task, class_id),
                    "score": score,
                    "pooled": pooled.get(str(score), np.nan),
                    "mean": values.mean() if len(values) else np.nan,
                    "low": low,
                    "high": high,
                    "images": len(values),
                }
            )
        return rows

    def _class_name(self, task: str, class_id: int) -> str:
        if class_id == ALL_CLASSES:
            return "all"
        regions = task == "regions"
        names = self.settings.region_classes if regions else self.settings.instance_classes
        return names[class_id]


def summarise_table(
    images: pd.DataFrame, scores: Sequence[str], resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Summarise a table of scores that are no counts; see `Evaluation.summary`.

    Parameters
    ----------
    images : DataFrame
        Columns ``task``, ``class_id``, ``class`` and the scores; ``group`` where it is known whose
        what is in a row is.
    scores : sequence of str
    resamples, seed : int

    Returns
    -------
    DataFrame
        Columns `SUMMARY_COLUMNS`; ``pooled`` is NaN.
    """
    rows = []
    for (task, class_id, name), group in images.groupby(["task", "class_id", "class"], sort=False):
        for score in scores:
            known = group[score].dropna()
            values = known.to_numpy(float)
            whose = group.loc[known.index, "group"].to_numpy() if "group" in group else None
            low, high = bootstrap_interval(values, resamples, seed, groups=whose)
            mean = values.mean() if len(values) else np.nan
            rows.append((task, class_id, name, score, np.nan, mean, low, high, len(values)))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def bootstrap_interval(
    values: FloatArray,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    groups: npt.NDArray[Any] | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean.

    Values of one group (planes of one volume, tiles of one slide) are alike, so groups are drawn
    as wholes: the cluster bootstrap (Davison and Hinkley 1997, section 3.8).

    Parameters
    ----------
    values : ndarray of float, (images,)
        Without NaN.
    resamples, seed : int
    level : float
        Share of resampled means inside the interval.
    groups : ndarray, (images,), optional
        Whose each value is; each one stands for itself where it is not given.

    Returns
    -------
    low, high : float
        NaN for fewer than two groups, which say nothing about their spread.
    """
    sums, counts = np.asarray(values, float), np.ones(len(values))
    if groups is not None:
        # In the order in which they come: where each is alone, draws are as without groups.
        whose = pd.factorize(groups)[0]
        sums, counts = np.bincount(whose, values), np.bincount(whose).astype(float)
    if len(sums) < 2:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    # Blocks keep memory bounded however many images there are.
    block = max(1, min(resamples, 1_000_000 // len(sums)))
    means = np.empty(resamples)
    for done in range(0, resamples, block):
        drawn = random.integers(0, len(sums), (min(block, resamples - done), len(sums)))
        means[done : done + len(drawn)] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _mean_of_classes(class_rows: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Unweighted means of the classes' rows, score by score."""
    table = pd.DataFrame([row for rows in class_rows for row in rows])
    means = table.groupby("score", sort=False)[["pooled", "mean"]].mean()
    return [
        {
            "task": table["task"].iloc[0],
            "class_id": MEAN_OF_CLASSES,
            "class": "mean of classes",
            "score": score,
            "pooled": row["pooled"],
            "mean": row["mean"],
            "low": np.nan,
            "high": np.nan,
            "images": int(table.loc[table["score"] == score, "images"].max()),
        }
        for score, row in means.iterrows()
    ]

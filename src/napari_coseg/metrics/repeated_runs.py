"""Several seeds and folds of one experiment in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from napari_coseg.metrics.comparison import KEYS, groups_of
from napari_coseg.metrics.report import bootstrap_interval
from napari_coseg.types import CosegError

REPEATED_COLUMNS = (
    "task",
    "class",
    "score",
    "mean",
    "deviation",
    "seeds",
    "low",
    "high",
    "images",
)


def pool_folds(folds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the images of a run's folds together: each image was held out once.

    Parameters
    ----------
    folds : sequence of DataFrame
        Of `Evaluation.images`.

    Raises
    ------
    CosegError
        If an image is in two folds, or a table is none of these.
    """
    for table in folds:
        if missing := [key for key in ("image", "task", "class") if key not in table.columns]:
            raise CosegError(
                f"A table has no column {missing[0]}: give files that evaluate --out wrote."
            )
    pooled = pd.concat(folds, ignore_index=True)
    twice = pooled.duplicated(["image", "task", "class"])
    if twice.any():
        image = pooled.loc[twice, "image"].iloc[0]
        raise CosegError(
            f"The image {image} is in two folds: folds of one run hold different images, and runs "
            "of other seeds are given apart."
        )
    return pooled


def summarise_seeds(
    runs: Mapping[str, pd.DataFrame], resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Mean over images of each run, then mean and standard deviation over the runs.

    Parameters
    ----------
    runs : mapping of str to DataFrame
        For each seed the table of its images, all folds together.
    resamples, seed : int
        Of the bootstrap over images.

    Returns
    -------
    DataFrame
        Columns `REPEATED_COLUMNS`. ``deviation`` is the sample standard deviation over seeds, NaN
        for one; ``low`` and ``high`` are the interval over images of their means over seeds, which
        says how much the choice of images weighs, not the seeds; ``images`` counts the images.

    Raises
    ------
    CosegError
        If the runs are of different images.
    """
    names = list(runs)
    keys = ["image", "task", "class"]
    tables = {name: table.set_index(keys) for name, table in runs.items()}
    first = tables[names[0]]
    for name in names[1:]:
        other = set(tables[name].index.get_level_values("image"))
        if other ^ set(first.index.get_level_values("image")):
            raise CosegError(
                f"{names[0]} and {name} are of different images: means over seeds need the same "
                "ones in each."
            )
    plain = first.reset_index()
    whose = dict(zip(plain["image"], groups_of(plain), strict=True))
    rows = []
    scores = [column for column in first.columns if column not in KEYS]
    for task, of_class in first.index.droplevel("image").unique():
        for score in scores:
            by_seed = pd.DataFrame(
                {name: _column(table, task, of_class, score) for name, table in tables.items()}
            )
            means = by_seed.mean()
            if means.isna().all():
                continue
            means_of_images = by_seed.mean(axis=1).dropna()
            over_seeds = means_of_images.to_numpy(float)
            groups = means_of_images.index.map(whose).to_numpy()
            low, high = bootstrap_interval(over_seeds, resamples, seed, groups=groups)
            rows.append(
                {
                    "task": task,
                    "class": of_class,
                    "score": score,
                    "mean": means.mean(),
                    "deviation": means.std(ddof=1),
                    "seeds": int(means.notna().sum()),
                    "low": low,
                    "high": high,
                    "images": len(over_seeds),
                }
            )
    return pd.DataFrame(rows, columns=list(REPEATED_COLUMNS))


def _column(table: pd.DataFrame, task: object, of_class: object, score: str) -> pd.Series:
    if score not in table.columns:
        return pd.Series(dtype=float)
    levels = table.index
    rows = (levels.get_level_values("task") == task) & (
        levels.get_level_values("class") == of_class
    )
    return table.loc[rows, score].droplevel(["task", "class"])

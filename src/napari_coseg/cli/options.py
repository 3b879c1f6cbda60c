"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Part(StrEnum):
    """A part of a data set."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


class Precision(StrEnum):
    """In which numbers a network computes, as `napari_coseg.inference.precision` takes it."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


#: Read by `napari_coseg.inference.jobs.parse_shard`.
Shard = Annotated[
    str | None,
    typer.Option(help="i/n: only the i-th of n parts, so that n processes share the work."),
]

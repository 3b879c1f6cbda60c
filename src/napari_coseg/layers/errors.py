"""The layer that shows where a prediction is wrong."""

from __future__ import annotations

from typing import Any

import pandas as pd
from napari.layers import Labels

from napari_coseg.metrics.errors import CONFUSED, MATCHED, MISSED, SPURIOUS, ErrorImage
from napari_coseg.types import ClassInfo, ClassTable

#: Codes of `ErrorImage` with a name and a colour of the Okabe-Ito set.
ERROR_CLASSES = ClassTable(
    (
        ClassInfo(MATCHED, "matched", (0, 158, 115)),
        ClassInfo(MISSED, "missed", (0, 114, 178)),
        ClassInfo(SPURIOUS, "spurious", (213, 94, 0)),
        ClassInfo(CONFUSED, "split or merged", (240, 228, 66)),
    )
)


def error_layer(errors: ErrorImage, truth: Any) -> Labels:
    """Return the errors as a layer that lies on the truth's."""
    colours: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
    for info in ERROR_CLASSES:
        colours[info.id] = (*(channel / 255 for channel in info.colour), 1.0)
    features = pd.DataFrame(
        {
            "index": [info.id for info in ERROR_CLASSES],
            "error": [info.name for info in ERROR_CLASSES],
            "count": [errors.counts[info.id] for info in ERROR_CLASSES],
        }
    )
    return Labels(
        errors.labels,
        name=f"{truth.name} errors",
        colormap=colours,
        features=features,
        opacity=0.6,
        scale=truth.scale,
        translate=truth.translate,
        rotate=truth.rotate,
        shear=truth.shear,
        affine=truth.affine,
        units=truth.units,
        axis_labels=truth.axis_labels,
    )

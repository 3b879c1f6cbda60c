"""Table and colours of a Labels layer that objects are drawn into.

napari takes both whole, and each costs it tens of milliseconds and more with every object. So the
table follows a moment later, and the colours are chosen so that most new objects have theirs
before they come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.palette import object_colours
from napari_coseg.layers.drawing import classes_of
from napari_coseg.layers.object_rows import Record, object_rows
from napari_coseg.layers.results import own_facts
from napari_coseg.layers.sheet import Sheet
from napari_coseg.layers.tuples import class_colours, label_colours, opaque
from napari_coseg.types import ClassTable

if TYPE_CHECKING:
    pass

#: Ids that get their colours before there are such objects.
_AHEAD = 256


class ObjectTable:
    """The features of a layer that objects are drawn into, and its colours.

    Parameters
    ----------
    sheet : Sheet
        The layer.
    objects : mapping of int to Record
        What is known of its objects; read again when an edit changes some.
    """

    def __init__(self, sheet: Sheet, objects: Mapping[int, Record]) -> None:
        self._layer = sheet.layer
        self._objects = objects
        self._mpp = (own_facts(self._layer) or {}).get("mpp")
        before = self._layer.features
        known = before.set_index("index", drop=False) if "index" in before else None
        self._frame = object_rows(objects, classes_of(self._layer), self._mpp, known)
        self._changed: set[int] = set()
        self._by_object = False
        # The class by which each id is coloured, and the one by which all others are; by object,
        # the ids that have their colour.
        self._shown: dict[int, int] = {}
        self._usual = 0
        # Whether somebody else has set the colours since.
        self._foreign, self._own = False, False
        # Whether the table is being handed over.
        self._handing = False
        self._layer.events.colormap.connect(self._on_colormap)

    def let_go(self) -> None:
        """Hear no more of the layer."""
        self._layer.events.colormap.disconnect(self._on_colormap)

    def numbered(self) -> dict[int, int]:
        """Return which FDI numbers somebody else has changed, or is sure of, in the layer's table.

        Returns
        -------
        dict of int to int
            The number by label; empty while the table is being handed over.
        """
        import pandas as pd

        features, columns = self._layer.features, ["fdi", "fdi_confidence"]
        if self._handing or not {"index", *columns} <= {*features} or "fdi" not in self._frame:
            return {}
        there = features.drop_duplicates("index").set_index("index")[columns]
        there = there.apply(pd.to_numeric, errors="coerce").reindex(self._frame.index)
        changed = there.notna().all(axis=1) & (there != self._frame[columns]).any(axis=1)
        return {int(label): int(number) for label, number in there.loc[changed, "fdi"].items()}

    def change(self, labels: Collection[int]) -> bool:
        """Take note of what has changed of some objects.

        Returns
        -------
        bool
            Whether they have their colours; `colour` gives them those.
        """
        self._changed.update(labels)
        wrong = [label for label in labels if not self._coloured(label)]
        if wrong:
            # Those that come next are likely to be alike.
            self._usual = self._objects[wrong[-1]].class_id
        return not wrong

    def show(self) -> None:
        """Hand the table to napari."""
        import pandas as pd

        labels, self._changed = self._changed, set()
        if labels:
            classes, frame = classes_of(self._layer), self._frame
            there = {label: self._objects[label] for label in labels if label in self._objects}
            old = frame.drop(index=[label for label in labels if label in frame.index])
            new = object_rows(there, classes, self._mpp, frame)
            parts = [part for part in (old, new) if len(part)]
            self._frame = pd.concat(parts) if parts else old
        self._handing = True
        try:
            self._layer.features = self._frame.reset_index(drop=True)
        finally:
            self._handing = False

    def colour(self, by_object: bool | None = None) -> None:
        """Hand the colours to napari.

        Parameters
        ----------
        by_object : bool, optional
            By object, or by class where there are several; by default as before.
        """
        if by_object is not None:
            self._by_object = by_object
        classes, dtype = classes_of(self._layer), self._layer.data.dtype
        labels = np.fromiter(self._objects, np.int64, len(self._objects))
        if self._objectwise(classes):
            first = int(labels.max(initial=0)) + 1
            last = min(first + _AHEAD, int(np.iinfo(dtype).max) + 1)
            labels = np.concatenate([labels, np.arange(first, last)])
            self._shown = dict.fromkeys(labels.tolist(), 0)
            colours = label_colours(labels, object_colours(labels), dtype)
        else:
            kinds = np.array([one.class_id for one in self._objects.values()], np.int64)
            self._shown = dict(zip(labels.tolist(), kinds.tolist(), strict=True))
            usual: npt.NDArray[np.float64] = opaque([classes.colour_of(self._usual)])[0]
            colours = label_colours(labels, class_colours(kinds, classes), dtype, usual)
        self._own = True
        try:
            self._layer.colormap = colours
        finally:
            self._own = False
        self._foreign = False

    def _on_colormap(self, event: object = None) -> None:
        self._foreign |= not self._own

    def _coloured(self, label: int) -> bool:
        record = self._objects.get(label)
        if record is None:
            return True
        if self._foreign:
            return False
        if self._objectwise(classes_of(self._layer)):
            return label in self._shown
        return self._shown.get(label, self._usual) == record.class_id

    def _objectwise(self, classes: ClassTable) -> bool:
        return self._by_object or len(classes) < 2

"""The regions of a case: a Labels layer under a journal, whose ids are classes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from napari_coseg.annotation.change import Run
from napari_coseg.layers.queue_layers import set_region_classes
from napari_coseg.layers.results import class_table, own_facts
from napari_coseg.types import ClassTable, CosegError
from napari_coseg.widgets.kept_layer import KeptLayer

#: The largest id of a region: what a training set ignores.
_LARGEST = 255


class KeptRegions(KeptLayer):
    """A Labels layer of regions with a journal; parameters and errors are those of `KeptLayer`."""

    def take_pixels(self) -> bool:
        """As of `KeptLayer`.

        Raises
        ------
        CosegError
            If there are ids that no region has.
        """
        check_regions(self.layer)
        return super().take_pixels()

    def _made_by(self) -> Run | None:
        facts = self.layer.metadata
        if own_facts(self.layer) is None or "model" not in facts:
            return None
        return Run("Co-Seg++ run: regions", str(facts["model"]))

    def _match_classes(self) -> None:
        """Let the layer's regions have the ids that their names have in the journal."""
        here, theirs = self._remembered(), class_table(self.layer)
        if here is None or not len(here) or here.names == theirs.names:
            self._classes = theirs
            return
        names = [*here.names, *(name for name in theirs.names if name not in here.names)]
        colours = {one.name: one.colour for one in (*theirs, *here)}
        self._classes = ClassTable.from_names(names, colours)
        labels = self.sheet.labels
        numbers = np.arange(_LARGEST + 1)
        for one in theirs:
            numbers[one.id] = names.index(one.name) + 1
        labels[...] = numbers[labels]

    def _recall(self) -> None:
        known = self._classes if self._instead else self._remembered()
        if known is not None:
            set_region_classes(self.layer, known)
        if known is None or self._instead:
            named = [[one.name, one.colour] for one in class_table(self.layer)]
            self.case.note("classes", json.dumps(named))

    def _remembered(self) -> ClassTable | None:
        """Return the classes that the journal remembers, None where it has none yet."""
        try:
            known = json.loads(self.case.notes["classes"])
            return ClassTable.from_names([n for n, _ in known], {n: tuple(c) for n, c in known})
        except KeyError:
            return None
        except (ValueError, TypeError) as error:
            raise CosegError("The names of the regions' classes are damaged.") from error


def check_regions(layer: Any) -> None:
    """Raise a `CosegError` where a layer has ids that no region can have."""
    data = layer.data
    if data.dtype != np.uint8 and (data.max(initial=0) > _LARGEST or data.min(initial=0) < 0):
        raise CosegError(f"{layer.name} has other ids than regions can have, 0 to {_LARGEST}.")

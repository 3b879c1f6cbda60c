"""ToothFairy2: jaws, pharynx and single teeth in dental CBCT (Bolelli et al., CVPR 2025).

Its ids are FDI numbers for the teeth, 11 to 18, 21 to 28, 31 to 38 and 41 to 48, and 1 to 10 for
everything else; 19, 20, 29, 30, 39 and 40 are placeholders, so that they can be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from napari_coseg.datasets.labelled import Format, OpenOptions
from napari_coseg.datasets.mapping import (
    BACKGROUND,
    ClassMapping,
    choice_of,
    classes_of,
)
from napari_coseg.datasets.nnunet import is_nnunet, is_own
from napari_coseg.datasets.nnunet_raw import KEYS, NnunetDataset, is_toothfairy2
from napari_coseg.types import CosegError

#: Published ids of what is no tooth, and their names.
STRUCTURES = {
    1: "Lower Jawbone",
    2: "Upper Jawbone",
    3: "Left Inferior Alveolar Canal",
    4: "Right Inferior Alveolar Canal",
    5: "Left Maxillary Sinus",
    6: "Right Maxillary Sinus",
    7: "Pharynx",
    8: "Bridge",
    9: "Crown",
    10: "Implant",
}
_REGIONS = {2: "upper jaw", 1: "lower jaw", 7: "pharynx"}
#: FDI numbers of the permanent teeth.
FDI = tuple(10 * quadrant + tooth for quadrant in (1, 2, 3, 4) for tooth in range(1, 9))
_TEETH = {"jaws": ("upper tooth", "lower tooth"), "tooth": ("tooth", "tooth")}
_RESTORATIONS = (8, 9, 10)


class ToothFairy2Dataset(NnunetDataset):
    """ToothFairy2 as published, ``Dataset112_ToothFairy2``.

    Regions are upper jaw, lower jaw and pharynx; instances are teeth, whose ids are FDI numbers, of
    the classes upper tooth and lower tooth. Canals, sinuses, bridges, crowns and implants are
    background.

    A mapping may say ``teeth = "tooth"`` for one class of teeth, as coseg-lite-dental has it,
    ``restorations = "ignore"`` for bridges, crowns and implants that must not be looked at, and
    what `NnunetDataset` takes, but for ``channel``.

    Parameters
    ----------
    root : Path or str
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        As for `NnunetDataset`, or if ``dataset.json`` numbers its labels otherwise.
    """

    format = Format(
        "toothfairy2",
        "ToothFairy2",
        "https://ditto.ing.unimore.it/toothfairy2/",
        (
            "a crown or bridge is taken for no part of the tooth below it",
            "a scan is taken for a patient of its own",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        super().__init__(root, options)
        if self.license == "unknown":
            self.license = "CC-BY-SA-4.0"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder is nnU-Net's and ToothFairy2 by name."""
        return is_nnunet(root) and not is_own(root) and is_toothfairy2(root)

    def _mapping_keys(self) -> Collection[str]:
        return KEYS - {"channel"} | {"teeth", "restorations"}

    def _classes(
        self, labels: Mapping[str, tuple[int, ...]], mapping: Mapping[str, Any]
    ) -> tuple[ClassMapping, ClassMapping]:
        number_of = _numbers(labels, self.root / "dataset.json")
        upper, lower = _TEETH[choice_of(mapping, "teeth", _TEETH, "jaws")]
        hidden = choice_of(mapping, "restorations", (BACKGROUND, "ignore"), BACKGROUND)
        regions, teeth = {}, {}
        # The upper jaw first, as coseg-lite-dental has it.
        for name, number in sorted(number_of.items(), key=lambda one: (one[1] != 2, one[1])):
            if number in _RESTORATIONS:
                regions[name] = hidden
                if hidden != BACKGROUND:
                    teeth[name] = hidden
            elif number in FDI:
                teeth[name] = upper if number < 30 else lower
            else:
                regions[name] = _REGIONS.get(number, BACKGROUND)
        return (
            classes_of(mapping, "regions", regions, self._where),
            classes_of(mapping, "instances", teeth, self._where),
        )


def _numbers(labels: Mapping[str, tuple[int, ...]], where: Path) -> dict[str, int]:
    """Return the published number of each name, which must be what the id says."""
    found = {}
    for name, ids in labels.items():
        if len(ids) != 1 or ids[0] > FDI[-1]:
            raise CosegError(f"{where}: {name!r} has the ids {ids}, which ToothFairy2 has not.")
        number = ids[0]
        if number not in FDI and number in STRUCTURES and _differs(name, STRUCTURES[number]):
            raise CosegError(
                f"{where} calls the label {number} {name!r}, which is {STRUCTURES[number]!r} in "
                'ToothFairy2: read it with format = "nnunet" and a mapping.'
            )
        if number in FDI and not _is_tooth(name, number):
            raise CosegError(
                f"{where} calls the label {number} {name!r}, which is no name of that tooth in "
                "ToothFairy2: ids of other versions are not FDI numbers; read it with "
                'format = "nnunet" and a mapping.'
            )
        found[name] = number
    return found


def _differs(name: str, published: str) -> bool:
    # "Upper Jawbone" has a slip in some copies; its words are there all the same.
    said = name.lower()
    last = published.lower().split()
    return not (last[-1] in said and all(word[:4] in said for word in last))


def _is_tooth(name: str, number: int) -> bool:
    said = name.lower()
    jaw = "upper" if number < 30 else "lower"
    side = "right" if number // 10 in (1, 4) else "left"
    kinds = {1: "central", 2: "lateral", 3: "canine", 4: "first", 5: "second", 6: "first"}
    kinds |= {7: "second", 8: "third"}
    return jaw in said and side in said and kinds[number % 10] in said

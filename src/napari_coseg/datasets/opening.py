"""Which reader a data set needs: told by its name, or by what lies in the folder."""

from __future__ import annotations

from pathlib import Path

from napari_coseg.datasets.coco import CocoDataset
from napari_coseg.datasets.consep import ConsepDataset
from napari_coseg.datasets.crag import CragDataset
from napari_coseg.datasets.dsb2018 import Dsb2018Dataset
from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.datasets.glas import GlasDataset
from napari_coseg.datasets.imed import ImedDataset
from napari_coseg.datasets.labelled import LabelledDataset, OpenOptions
from napari_coseg.datasets.lizard import LizardDataset
from napari_coseg.datasets.monuseg import MoNuSegDataset
from napari_coseg.datasets.nnunet_raw import NnunetDataset
from napari_coseg.datasets.pannuke import PannukeDataset
from napari_coseg.datasets.puma import PumaDataset
from napari_coseg.datasets.qupath import QuPathDataset
from napari_coseg.datasets.sa_med2d import SaMed2dDataset
from napari_coseg.datasets.toothfairy2 import ToothFairy2Dataset
from napari_coseg.types import CosegError

#: Every reader, in the order in which a list shows them.
READERS: tuple[type[LabelledDataset], ...] = (
    FolderDataset,
    GlasDataset,
    CragDataset,
    ConsepDataset,
    LizardDataset,
    PannukeDataset,
    Dsb2018Dataset,
    PumaDataset,
    MoNuSegDataset,
    NnunetDataset,
    ToothFairy2Dataset,
    CocoDataset,
    QuPathDataset,
    SaMed2dDataset,
    ImedDataset,
)


def open_dataset(
    root: Path | str, format: str | None = None, options: OpenOptions | None = None
) -> LabelledDataset:
    """List the items of a data set in whatever known format.

    Parameters
    ----------
    root : Path or str
    format : str, optional
        Key of the format; found out where it is not given.
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If there is no such folder or format, no reader or several of them know the folder, or its
        description cannot be read.
    """
    root = Path(root)
    return reader_of(root, format)(root, options or OpenOptions())


def reader_of(root: Path, format: str | None = None) -> type[LabelledDataset]:
    """Find the reader of a data set.

    Raises
    ------
    CosegError
        If there is no such folder or format, or no reader or several of them know the folder.
    """
    known = {reader.format.key: reader for reader in READERS}
    if format is not None and format not in known:
        raise CosegError(f"There is no format {format!r}: it is one of {', '.join(known)}.")
    if not root.exists():
        raise CosegError(f"{root} does not exist: give the folder of a data set.")
    if format is not None:
        return known[format]
    found = [reader for reader in READERS if reader.recognises(root)]
    if not found:
        raise CosegError(
            f"{root} is no data set of a format that is known ({', '.join(known)}): put a "
            "dataset.toml into it, or name its format."
        )
    if len(found) > 1:
        several = ", ".join(reader.format.key for reader in found)
        raise CosegError(f"{root} could be of the formats {several}: say which.")
    return found[0]

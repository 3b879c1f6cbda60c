"""Panoptic prediction of one image in memory."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import napari_coseg
from napari_coseg.imaging.source import ArraySource, ImageSource
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import (
    Cancel,
    Model,
    PanopticStream,
    Progress,
    has_instances,
    has_regions,
)
from napari_coseg.types import CosegError, PanopticResult
from napari_coseg.weights.card import ModelCard

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PixelSize:
    """The pixel size that an image is taken to have.

    Attributes
    ----------
    mpp : float or None
        µm per pixel; None where neither the image nor the model has one.
    origin : {"given", "image", "assumed"}
        Who says so. An assumed size scales the image for the model and nothing else.
    """

    mpp: float | None
    origin: str

    @property
    def known(self) -> float | None:
        """The size if somebody measured it: what areas are computed with."""
        return None if self.origin == "assumed" else self.mpp

    def note(self, name: str) -> str | None:
        """Return what a person should know, or None."""
        if self.origin != "assumed" or self.mpp is None:
            return None
        return f"No pixel size in {name}: assuming {self.mpp:g} µm, from the model."


def pixel_size(source: ImageSource, card: ModelCard, given: float | None = None) -> PixelSize:
    """Choose the pixel size of an image: as given, from its file, or the model's own.

    Raises
    ------
    CosegError
        If the given size is not a positive number.
    """
    if given is not None:
        check_mpp(given)
        return PixelSize(float(given), "given")
    if source.mpp is not None:
        return PixelSize(source.mpp, "image")
    return PixelSize(card.instance_mpp or card.region_mpp, "assumed")


def check_mpp(mpp: float) -> None:
    """Raise `CosegError` if a pixel size is not a positive number."""
    if not (np.isfinite(mpp) and mpp > 0):
        raise CosegError(f"The pixel size must be a positive number of µm: {mpp}.")


def segment_image(
    image: npt.NDArray[Any] | ImageSource,
    model: Model,
    *,
    mpp: float | None = None,
    settings: PredictSettings | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> PanopticResult:
    """Segment an image into regions and instances.

    Each task runs at its own scale on overlapping tiles; results are in the image's own pixels
    and do not depend on the blocks in which the image is worked through.

    Parameters
    ----------
    image : ndarray or ImageSource
        Picture of any type that `napari_coseg.imaging.source.ArraySource` takes, or an opened
        one.
    model : LoadedModel
        See `napari_coseg.weights.loading.load_model`.
    mpp : float, optional
        µm per pixel. By default the source's; where that is unknown too, the model's is assumed,
        and areas in µm² stay empty.
    settings : PredictSettings, optional
        Defaults where left out.
    progress : callable, optional
        Called with the tiles done and all tiles.
    cancel : callable, optional
        Asked between tiles; True ends the work.

    Returns
    -------
    PanopticResult
        Its metadata hold model, settings, device, pixel size and seconds by stage.

    Raises
    ------
    CosegError
        If the image or the pixel size cannot be used, or memory does not suffice.
    napari_coseg.inference.stream.Cancelled
        If `cancel` said so.
    """
    started = time.perf_counter()
    settings = (settings or PredictSettings()).for_model(model.card)
    source = image if isinstance(image, ImageSource) else ArraySource(image)
    size = pixel_size(source, model.card, mpp)
    note = size.note(source.name)
    if note:
        _log.warning(note)
    stream = PanopticStream(source, model, size.mpp, settings, None, progress, cancel)
    regions = np.zeros(source.shape, np.uint8) if has_regions(model.card) else None
    instances = np.zeros(source.shape, np.int32) if has_instances(model.card) else None
    objects, numbers = stream.run(regions, instances)
    if instances is not None:
        with stream.timings.of("facts"):
            instances = numbers[instances]
    if size.known is None:
        objects["area_um2"] = np.nan
    seconds = {**stream.timings.as_dict(), "all": round(time.perf_counter() - started, 3)}
    return PanopticResult(
        regions=regions,
        instances=instances,
        objects=objects,
        region_classes=model.card.region_table,
        instance_classes=model.card.instance_table,
        mpp=size.known,
        metadata={
            **model_facts(model),
            "settings": settings.as_dict(),
            "device": str(stream.device),
            "precision": stream.precision,
            "batch": stream.batch,
            "mpp": size.mpp,
            "mpp_origin": size.origin,
            "notes": [*([note] if note else []), *source.notes],
            "seconds": seconds,
        },
    )


def model_facts(model: Model) -> dict[str, Any]:
    """Return what a result tells of the program and the model it was made with."""
    return {
        "software": f"napari-coseg {napari_coseg.__version__}",
        "model": model.card.name,
        "model_sha256": model.sha256,
    }

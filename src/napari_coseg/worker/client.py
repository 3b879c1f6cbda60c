"""The client: what can be asked of a host. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.key_planes import KeyPlane
from napari_coseg.types import Prompt
from napari_coseg.worker.connection import Connection
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.prompting import MOST_LEVELS, Crop, PromptRequest, prompt_bodies
from napari_coseg.worker.propagating import (
    Pictures,
    StackSource,
    Taken,
    key_masks,
    propagate_body,
)
from napari_coseg.worker.requests import SegmentRequest, check_body
from napari_coseg.worker.volume_request import StoredVoxels, VolumeRequest


class Client(Connection):
    """Asks one host; see `Connection` for its parameters.

    Everything here returns at once and may be called from any thread.
    """

    def describe(self) -> Future[dict[str, Any]]:
        """Ask for device, versions, cores."""
        return self.ask(Pending("describe", {})).future

    def load(self, model: str, device: str = "auto") -> Future[dict[str, Any]]:
        """Bring a model into the host's memory, so that the next request is faster."""
        return self.ask(Pending("load", {"model": model, "device": device})).future

    def segment(
        self, source: ImageSource, wanted: SegmentRequest, handlers: Handlers | None = None
    ) -> Pending:
        """Segment an image.

        Parameters
        ----------
        source : ImageSource
            Read by windows, in threads of the client.
        wanted : SegmentRequest
            What is to be done; its shape is the source's.
        handlers : Handlers, optional
            Who hears of progress.

        Returns
        -------
        Pending
            Its `future` ends with a `napari_coseg.types.PanopticResult`; give it to `cancel` to
            end it before.
        """
        if tuple(wanted.shape) != tuple(source.shape):
            raise ValueError(f"a request for {wanted.shape} with a source of {source.shape}")
        return self.ask(Pending("segment", wanted.model_dump(), source, handlers or Handlers()))

    def segment_volume(
        self, voxels: StoredVoxels, wanted: VolumeRequest, handlers: Handlers | None = None
    ) -> Pending:
        """Segment a volume.

        Parameters
        ----------
        voxels : StoredVoxels
            Read by planes, in threads of the client.
        wanted : VolumeRequest
            What is to be done; its shape and type are the voxels'.
        handlers : Handlers, optional
            Who hears of progress: of planes.

        Returns
        -------
        Pending
            Its `future` ends with a `napari_coseg.imaging.volume_result.VolumeResult`, instances in
            16 bits where these are enough; its metadata have ``region_voxels`` too, the voxels of
            background and of each region.
        """
        if wanted.shape != voxels.shape or np.dtype(wanted.dtype) != voxels.dtype:
            raise ValueError(f"a request for {wanted.shape} with a volume of {voxels.shape}")
        return self.ask(Pending("volume", wanted.model_dump(), voxels, handlers or Handlers()))

    def prompt(
        self,
        source: ImageSource,
        prompts: Sequence[Prompt],
        *,
        model: str,
        device: str = "auto",
        content: str = "",
        crops: Sequence[Crop | None] = (),
        hint: float | None = None,
        handlers: Handlers | None = None,
    ) -> Pending:
        """Segment the objects that prompts are on.

        Parameters
        ----------
        source : ImageSource
            Read by windows, in threads of the client, where the host needs them.
        prompts : sequence of Prompt
            One an object.
        model, device : str
            As in `LoadRequest`.
        content : str
            Names the pixels; see `PromptRequest`.
        crops : sequence of tuple of float or None
            For each prompt the crop of the answer that it refines.
        hint : float, optional
            Length in pixels of an object that is clicked on.
        handlers : Handlers, optional
            Who hears of notices.

        Returns
        -------
        Pending
            Its `future` ends with a list of `PromptAnswer`. Cancel it when it is asked anew.

        Raises
        ------
        ProtocolError
            If a prompt is not finite, or there are too many.
        """
        wanted = check_body(
            PromptRequest,
            {
                "model": model,
                "device": device,
                "shape": source.shape,
                "levels": [level.shape for level in source.levels[1 : MOST_LEVELS + 1]],
                "name": source.name,
                "content": content,
                "prompts": prompt_bodies(prompts, crops),
                "hint": hint,
            },
        )
        masks = [prompt.mask for prompt in prompts]
        heard = handlers or Handlers()
        return self.ask(Pending("prompt", wanted.model_dump(), source, heard, masks=masks))

    def propagate(
        self,
        pictures: Pictures,
        keys: Sequence[KeyPlane],
        *,
        model: str,
        device: str = "auto",
        content: str = "",
        reach: Mapping[int, tuple[int, int]] | None = None,
        taken: Taken | None = None,
        hint: float | None = None,
        handlers: Handlers | None = None,
    ) -> Pending:
        """Follow objects through a volume from the planes that they are prompted on.

        Parameters
        ----------
        pictures : Pictures
            Read plane by plane, in threads of the client, where the host needs them.
        keys : sequence of KeyPlane
        model, device : str
            As in `LoadRequest`.
        content : str
            Names the voxels with their window; see `PropagateRequest`.
        reach : mapping of int, optional
            By label the first plane and the one after the last; see
            `napari_coseg.inference.propagation.propagate`.
        taken : callable, optional
            Given a plane, returns the pixels that no object may have; called in threads of the
            client.
        hint : float, optional
            Length in pixels of objects that are clicked on.
        handlers : Handlers, optional
            Its `plane` hears of each plane as soon as it is done; after `restarted`, they come
            anew.

        Returns
        -------
        Pending
            Its `future` ends with the list of all `PlaneMask`.

        Raises
        ------
        ProtocolError
            If a number is not finite, or there is too much of something.
        """
        more = {"model": model, "device": device, "content": content, "hint": hint}
        body = propagate_body(pictures, keys, reach, guarded=taken is not None, **more)
        source, heard = StackSource(pictures, taken=taken), handlers or Handlers()
        return self.ask(Pending("propagate", body, source, heard, masks=key_masks(keys)))

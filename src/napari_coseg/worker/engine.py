"""What a host does when it is asked: the models and the device are here, and torch."""

from __future__ import annotations

import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import napari_coseg
from napari_coseg.inference.key_planes import KeyPlane
from napari_coseg.types import OBJECT_COLUMNS, ClassTable, CosegError, Prompt
from napari_coseg.weights.listing import prompt_models, segment_models, to_message
from napari_coseg.worker.job import Job, Stopped
from napari_coseg.worker.kept_models import KeptModels, trim
from napari_coseg.worker.prompting import PromptRequest, answer_of, read_prompts
from napari_coseg.worker.propagating import PropagateRequest, plane_message, read_keys
from napari_coseg.worker.requests import LoadRequest, SegmentRequest, check_body
from napari_coseg.worker.volume_request import VolumeRequest

#: Seconds between two messages of progress at least.
_BEAT = 0.1


class Engine:
    """Answers requests, one at a time, in the thread that computes.

    Torch is imported with the first of them, so that a host is there at once.

    Parameters
    ----------
    spare_core : bool
        Leave a core to the GUI of this machine, where there are more than two: of two, the lower
        priority of the process leaves what the GUI needs.
    """

    def __init__(self, *, spare_core: bool = True) -> None:
        self._models = KeptModels(spare_core=spare_core)
        # Models and devices whose memory did not suffice for prompts.
        self._too_large: set[tuple[str, str]] = set()
        self._kinds: dict[str, Callable[[Job], None]] = {
            "describe": self._describe,
            "load": self._load,
            "segment": self._segment,
            "prompt": self._prompt,
            "propagate": self._propagate,
            "volume": self._volume,
        }
        self._urgent: Callable[[], Job | None] = lambda: None
        self._thread: int | None = None

    def serve_between(self, urgent: Callable[[], Job | None]) -> None:
        """Say who tells of requests that long work should be interrupted for.

        Parameters
        ----------
        urgent : callable
            Returns a request of a person who waits for a mask, or None.
        """
        self._urgent = urgent

    def answer(self, job: Job, *, nested: bool = False) -> None:
        """Do what a request asks; every end is a ``result`` or an ``error``, but for a stop.

        Parameters
        ----------
        job : Job
        nested : bool
            Whether it is answered in the middle of another one.
        """
        self._thread = threading.get_ident()
        try:
            if job.stopped():
                return
            self._kinds[job.kind](job)
        except Stopped:
            pass
        except CosegError as error:
            job.send("error", {"message": str(error)})
        except Exception as error:
            # A request that fails in a way nobody foresaw must not take the host with it.
            job.send(
                "error",
                {
                    "message": f"The model worker failed ({type(error).__name__}: {error}). "
                    "Please report this.",
                },
            )
        finally:
            # Clicks come one after another, and what they leave is small.
            if job.kind != "prompt" and not nested:
                trim()

    def warm_up(self) -> None:
        """Import what the first request would import: most of its time."""
        import napari_coseg.inference.panoptic
        import napari_coseg.inference.stream
        import napari_coseg.weights.loading  # noqa: F401

    def release(self) -> None:
        """Forget all models and give the device's memory back."""
        self._too_large.clear()
        self._models.release()

    def _describe(self, job: Job) -> None:
        import torch

        from napari_coseg.inference.devices import choose_device

        device = choose_device("auto")
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
        job.send(
            "result",
            {
                "software": f"napari-coseg {napari_coseg.__version__}",
                "torch": torch.__version__,
                "python": platform.python_version(),
                "device": str(device),
                "device_name": name,
                "threads": torch.get_num_threads(),
                "cores": os.cpu_count() or 1,
                "models": to_message(segment_models()),
                "prompt_models": to_message(prompt_models()),
            },
        )

    def _load(self, job: Job) -> None:
        wanted = check_body(LoadRequest, dict(job.body))
        model = self._models.get(wanted)
        job.send("result", {"model": model.card.name, "sha256": model.sha256})

    def _prompt(self, job: Job) -> None:
        from napari_coseg.inference.stream import Cancelled

        wanted, prompts = read_prompts(job.message)
        known = wanted.model, wanted.device
        device = "cpu" if known in self._too_large else wanted.device
        try:
            if self._or_on_cpu(job, device, lambda at: self._prompt_on(job, wanted, prompts, at)):
                # The next click shall not load the model twice only to end here again.
                self._too_large.add(known)
        except Cancelled:
            raise Stopped("The work was cancelled.") from None

    def _prompt_on(
        self, job: Job, wanted: PromptRequest, prompts: Sequence[Prompt], device: str
    ) -> None:
        from napari_coseg.worker.sources import PulledSource

        started = time.perf_counter()
        job.ready = False
        there = wanted.model_copy(update={"device": device})
        prompter = self._models.get(there, "syncsam").prompter
        job.ready = True
        source = PulledSource(job, wanted.shape, wanted.name, None, wanted.levels)
        # One client's names mean nothing to another.
        key = f"{job.client.hex()} {wanted.content}" if wanted.content else ""
        found = prompter.segment(
            source,
            prompts,
            key=key,
            crops=[body.crop for body in wanted.prompts],
            hint=wanted.hint,
            cancel=job.stopped,
        )
        seconds = time.perf_counter() - started
        facts = {"device": str(prompter.device), "batch": prompter.batch}
        job.send("result", *answer_of(found, seconds, **facts))

    def _propagate(self, job: Job) -> None:
        from napari_coseg.inference.stream import Cancelled

        wanted, keys = read_keys(job.message)
        try:
            self._or_on_cpu(job, wanted.device, lambda at: self._walk(job, wanted, keys, at))
        except Cancelled:
            raise Stopped("The work was cancelled.") from None

    def _walk(
        self, job: Job, wanted: PropagateRequest, keys: Sequence[KeyPlane], device: str
    ) -> None:
        from napari_coseg.inference.propagation import propagate
        from napari_coseg.worker.sources import PulledPictures

        started = time.perf_counter()
        job.ready = False
        there = wanted.model_copy(update={"device": device})
        prompter = self._models.get(there, "syncsam").prompter
        job.ready = True
        pictures, sent = PulledPictures(job, wanted), 0
        for found in propagate(
            prompter,
            pictures,
            keys,
            name=f"{job.client.hex()} {wanted.content}" if wanted.content else "",
            reach={one.label: (one.first, one.end) for one in wanted.reach},
            # It is asked for each object; a few planes, since two directions take turns.
            taken=lru_cache(8)(pictures.taken) if wanted.guarded else None,
            hint=wanted.hint,
            cancel=job.stopped,
        ):
            job.send("plane", *plane_message(found))
            sent += 1
            # A person who clicks meanwhile does not wait for the end.
            self._serve_urgent()
        seconds = round(time.perf_counter() - started, 4)
        job.send("result", {"planes": sent, "device": str(prompter.device), "seconds": seconds})

    def _or_on_cpu(self, job: Job, device: str, work: Callable[[str], None]) -> bool:
        """Work on a device; where its memory does not suffice on the CPU, and return so.

        What is computed together has become smaller before, down to a single tile or prompt.
        """
        from napari_coseg.inference.runner import DeviceFull

        try:
            work(device)
            return False
        except DeviceFull as error:
            if device == "cpu":
                raise
            sentence = str(error)
        # Not before the error is gone, which holds the model. What was too large stays known.
        self._models.release()
        job.send("notice", {"message": f"{sentence} Going on with the CPU.", "restart": True})
        work("cpu")
        return True

    def _serve_urgent(self) -> None:
        """Answer prompts that came while long work is under way, between two of its tiles."""
        # Work that post-processing threads do must not be held up in them.
        if threading.get_ident() != self._thread:
            return
        while (job := self._urgent()) is not None:
            self.answer(job, nested=True)
            if job.stopped():
                job.say_stopped()

    def _segment(self, job: Job) -> None:
        from napari_coseg.inference.stream import Cancelled

        wanted = check_body(SegmentRequest, dict(job.body))
        try:
            self._or_on_cpu(job, wanted.device, lambda at: self._segment_on(job, wanted, at))
        except Cancelled:
            raise Stopped("The work was cancelled.") from None

    def _ears(self, job: Job) -> tuple[Callable[[int, int], None], Callable[[], bool]]:
        """Return what tells of progress, now and again, and what says whether to stop."""
        last = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _BEAT or done == total:
                last = now
                job.send("progress", {"done": done, "total": total})

        def stopped() -> bool:
            self._serve_urgent()
            return job.stopped()

        return progress, stopped

    def _volume(self, job: Job) -> None:
        from napari_coseg.inference.stream import Cancelled

        wanted = check_body(VolumeRequest, dict(job.body))
        try:
            self._or_on_cpu(job, wanted.device, lambda at: self._volume_on(job, wanted, at))
        except Cancelled:
            raise Stopped("The work was cancelled.") from None

    def _volume_on(self, job: Job, wanted: VolumeRequest, device: str) -> None:
        from napari_coseg.worker.volume_work import segment_pulled

        job.ready = False
        there = wanted.model_copy(update={"device": device})
        model = self._models.get(there, "coseg", volume=True)
        job.ready = True
        job.send("progress", {"done": 0, "total": wanted.shape[0]})
        segment_pulled(job, wanted, model, *self._ears(job))

    def _segment_on(self, job: Job, wanted: SegmentRequest, device: str) -> None:
        from napari_coseg.inference.canvas import make_canvas
        from napari_coseg.inference.panoptic import PixelSize, model_facts
        from napari_coseg.inference.stream import PanopticStream, has_instances, has_regions
        from napari_coseg.worker.sources import PulledSource, SentCanvas

        started = time.perf_counter()
        job.ready = False
        model = self._models.get(wanted.model_copy(update={"device": device}), "coseg")
        job.ready = True
        card = model.card
        size = PixelSize(wanted.mpp, wanted.mpp_origin)
        if wanted.mpp is None:
            size = PixelSize(card.instance_mpp or card.region_mpp, "assumed")
        note = size.note(wanted.name)
        source = PulledSource(job, wanted.shape, wanted.name, size.mpp)
        settings = _settings(wanted, card)
        progress, stopped = self._ears(job)
        stream = PanopticStream(source, model, size.mpp, settings, None, progress, stopped)
        job.send("progress", {"done": 0, "total": stream.tiles})
        with ExitStack() as stack:
            folder = Path(tempfile.gettempdir())

            def sent(task: str, dtype: Any) -> SentCanvas:
                return SentCanvas(job, task, make_canvas(wanted.shape, dtype, folder, stack))

            regions = sent("regions", np.uint8) if has_regions(card) else None
            instances = sent("instances", np.int32) if has_instances(card) else None
            objects, numbers = stream.run(regions, instances)
        if size.known is None:
            objects["area_um2"] = np.nan
        columns = {
            name: objects[name].to_numpy()
            for name in (*OBJECT_COLUMNS, "class_score")
            if not name.endswith("_name")
        }
        seconds = {**stream.timings.as_dict(), "all": round(time.perf_counter() - started, 3)}
        job.send(
            "result",
            {
                "region_classes": _table(card.region_table),
                "instance_classes": _table(card.instance_table),
                "has_regions": has_regions(card),
                "has_instances": has_instances(card),
                "mpp": size.known,
                "metadata": {
                    **model_facts(model),
                    "settings": settings.as_dict(),
                    "device": str(stream.device),
                    "precision": stream.precision,
                    "batch": stream.batch,
                    "mpp": size.mpp,
                    "mpp_origin": size.origin,
                    "notes": [note] if note else [],
                    "seconds": seconds,
                },
            },
            {"numbers": numbers, **columns},
            pack=True,
        )


def _settings(wanted: SegmentRequest, card: Any) -> Any:
    from napari_coseg.inference.settings import PredictSettings

    settings = PredictSettings(
        overlap=wanted.overlap, tta=wanted.tta, min_region_um2=wanted.min_region_um2
    ).for_model(card)
    assert settings.instances is not None
    changed = {
        name: value
        for name in ("foreground_threshold", "min_area", "min_score")
        if (value := getattr(wanted, name)) is not None
    }
    return replace(settings, instances=replace(settings.instances, **changed))


def _table(table: ClassTable) -> list[list[Any]]:
    return [[info.name, list(info.colour)] for info in table]

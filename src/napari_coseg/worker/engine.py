"""What a host does when it is asked: the models and the device are here, and torch."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import napari_coseg
from napari_coseg.types import OBJECT_COLUMNS, ClassTable, CosegError
from napari_coseg.weights.card import Kind
from napari_coseg.weights.listing import prompt_models, segment_models, to_message
from napari_coseg.worker.job import Job, Stopped
from napari_coseg.worker.prompting import answer_of, read_prompts
from napari_coseg.worker.requests import LoadRequest, SegmentRequest, check_body

#: Models that stay in memory at once.
_KEPT = 3
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
        self._models: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._spare_core = spare_core
        self._kinds: dict[str, Callable[[Job], None]] = {
            "describe": self._describe,
            "load": self._load,
            "segment": self._segment,
            "prompt": self._prompt,
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
                _trim()

    def warm_up(self) -> None:
        """Import what the first request would import: most of its time."""
        import napari_coseg.inference.panoptic
        import napari_coseg.inference.stream
        import napari_coseg.weights.loading  # noqa: F401

    def release(self) -> None:
        """Forget all models and give the device's memory back."""
        if not self._models:
            return
        self._models.clear()
        self._collect()
        _trim()

    @staticmethod
    def _collect() -> None:
        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

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
        model = self._model(wanted)
        job.send("result", {"model": model.card.name, "sha256": model.sha256})

    def _prompt(self, job: Job) -> None:
        from napari_coseg.inference.stream import Cancelled
        from napari_coseg.worker.sources import PulledSource

        started = time.perf_counter()
        wanted, prompts = read_prompts(job.message)
        prompter = self._model(wanted, "syncsam").prompter
        source = PulledSource(job, wanted.shape, wanted.name, None, wanted.levels)
        # One client's names mean nothing to another.
        key = f"{job.client.hex()} {wanted.content}" if wanted.content else ""
        try:
            found = prompter.segment(
                source,
                prompts,
                key=key,
                crops=[body.crop for body in wanted.prompts],
                hint=wanted.hint,
                cancel=job.stopped,
            )
        except Cancelled:
            raise Stopped("The work was cancelled.") from None
        job.send("result", *answer_of(found, time.perf_counter() - started))

    def _serve_urgent(self) -> None:
        """Answer prompts that came while long work is under way, between two of its tiles."""
        # Work that post-processing threads do must not be held up in them.
        if threading.get_ident() != self._thread:
            return
        while (job := self._urgent()) is not None:
            self.answer(job, nested=True)
            if job.stopped():
                job.say_stopped()

    def _model(self, wanted: LoadRequest, kind: Kind | None = None) -> Any:
        from napari_coseg.inference.devices import choose_device
        from napari_coseg.weights.card import read_card
        from napari_coseg.weights.catalogue import find_weights, sha256_of
        from napari_coseg.weights.loading import load_model
        from napari_coseg.worker.prompt_model import load_prompter

        device = choose_device(wanted.device)
        cores = os.cpu_count() or 1
        if self._spare_core and cores > 2:
            import torch

            torch.set_num_threads(min(torch.get_num_threads(), cores - 1))
        path = find_weights(wanted.model)
        # By content: a file that was trained on meanwhile is another model.
        key = (sha256_of(path), str(device))
        if key not in self._models:
            while len(self._models) >= _KEPT:
                self._models.popitem(last=False)
                self._collect()
            load = load_prompter if (kind or read_card(path).kind) == "syncsam" else load_model
            self._models[key] = load(path, device)
        self._models.move_to_end(key)
        model = self._models[key]
        if kind is not None:
            model.card.expect(kind)
        return model

    def _segment(self, job: Job) -> None:
        from napari_coseg.inference.runner import DeviceFull
        from napari_coseg.inference.stream import Cancelled

        wanted = check_body(SegmentRequest, dict(job.body))
        try:
            self._segment_on(job, wanted, wanted.device)
        except Cancelled:
            raise Stopped("The work was cancelled.") from None
        except DeviceFull as error:
            if wanted.device == "cpu":
                raise
            # Tiles have the one size that the network was trained at, so that the ladder from
            # large batches over single tiles ends here.
            self.release()
            job.send("notice", {"message": f"{error} Going on with the CPU.", "restart": True})
            self._segment_on(job, wanted, "cpu")

    def _segment_on(self, job: Job, wanted: SegmentRequest, device: str) -> None:
        from napari_coseg.inference.canvas import make_canvas
        from napari_coseg.inference.panoptic import PixelSize, model_facts
        from napari_coseg.inference.stream import PanopticStream, has_instances, has_regions
        from napari_coseg.worker.sources import PulledSource, SentCanvas

        started = time.perf_counter()
        model = self._model(wanted.model_copy(update={"device": device}), "coseg")
        card = model.card
        size = PixelSize(wanted.mpp, wanted.mpp_origin)
        if wanted.mpp is None:
            size = PixelSize(card.instance_mpp or card.region_mpp, "assumed")
        note = size.note(wanted.name)
        source = PulledSource(job, wanted.shape, wanted.name, size.mpp)
        settings = _settings(wanted, card)
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


def _trim() -> None:
    """Give memory that the C library holds back for later to the system, where it can be asked.

    Work of mixed sizes leaves holes in its heap, and a host that runs for days would grow.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


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

"""An engine without torch, and images to give it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_coseg.types import OBJECT_COLUMNS, CosegError, Mask
from napari_coseg.worker.job import Job, Stopped
from napari_coseg.worker.prompting import PromptAnswer, answer_of, read_prompts


class FakeEngine:
    """Answers as the real one does: regions are bright pixels, the one object is the first row.

    A model's name says how it behaves: ``slow`` stops between tiles, ``deaf`` does not, ``bad``
    fails, and ``loading`` is loaded until `loaded` is set.
    """

    def __init__(self) -> None:
        self.released, self.loaded = threading.Event(), threading.Event()
        self.order: list[str] = []

    def serve_between(self, urgent: Callable[[], Job | None]) -> None:
        """Note who tells of prompts."""
        self.urgent = urgent

    def answer(self, job: Job) -> None:
        """Do what a request asks."""
        try:
            self._answer(job)
        except Stopped:
            pass
        except CosegError as error:
            job.send("error", {"message": str(error)})

    def release(self) -> None:
        """Tell the test."""
        self.released.set()

    def _prompt(self, job: Job) -> None:
        """Take every box for an object, and every mask that came for what it was."""
        wanted, prompts = read_prompts(job.message)
        self.order.append(wanted.content)
        if wanted.model == "bad":
            raise CosegError("The model is bad.")
        if wanted.model == "loading":
            self.loaded.wait(60)
        job.ready = True
        answers = []
        for prompt in prompts:
            if prompt.mask is not None:
                mask = prompt.mask
            elif prompt.box is not None:
                row0, column0, row1, column1 = (round(v) for v in prompt.box)
                mask = Mask((row0, column0), np.ones((row1 - row0, column1 - column0), bool))
            else:
                row, column, _ = prompt.points[0]
                mask = Mask((int(row) - 2, int(column) - 2), np.ones((5, 5), bool))
            crop = job.pull(0, 0, 1, 1)  # as the real one, it looks at the image
            assert crop.shape == (1, 1, 3)
            # How sure it is, is what it sees at the coarsest level.
            level = len(wanted.levels)
            sure = job.pull(0, 0, 1, 1, level)[0, 0, 0] / 255 if level else 0.9
            answers.append(PromptAnswer(mask, sure, (0.0, 0.0, 64.0, 64.0), False))
        job.send("result", *answer_of(answers, 0.01))

    def _answer(self, job: Job) -> None:
        if job.kind == "prompt":
            self._prompt(job)
            return
        if job.kind != "segment":
            job.send("result", {"kind": job.kind})
            return
        model = job.body["model"]
        job.ready = True
        self.order.append(job.body["name"])
        if model == "bad":
            raise CosegError("The model is bad.")
        if model == "deaf":
            time.sleep(60)
        rows, columns = job.body["shape"]
        half = max(1, rows // 2)
        job.send("progress", {"done": 0, "total": 2})
        parts = [job.pull(0, 0, half, columns)]
        if rows > half:
            parts.append(job.pull(half, 0, rows, columns))
        while model == "slow":
            if job.stopped():
                raise Stopped("stopped")
            while (other := self.urgent()) is not None:
                self.answer(other)
            time.sleep(0.01)
        image = np.concatenate(parts)
        regions = (image[..., 0] > 127).astype(np.uint8)
        instances = np.zeros((rows, columns), np.int32)
        instances[0] = 2
        job.send("notice", {"message": "It is a fake."})
        for task, labels in (("regions", regions), ("instances", instances)):
            job.send("block", {"task": task, "place": [0, 0]}, {"labels": labels}, pack=True)
        job.send("progress", {"done": 2, "total": 2})
        facts: dict[str, Any] = dict.fromkeys(OBJECT_COLUMNS, 0)
        facts |= {"label": 1, "class": 2, "score": 0.5, "area_px": columns, "area_um2": np.nan}
        facts |= {"row1": 1, "column1": columns, "region": 1, "class_score": 0.75}
        columns_sent = {
            name: np.array([value]) for name, value in facts.items() if not name.endswith("_name")
        }
        job.send(
            "result",
            {
                "region_classes": [["gland", [255, 0, 0]]],
                "instance_classes": [["a", [0, 255, 0]], ["b", [0, 0, 255]]],
                "has_regions": True,
                "has_instances": True,
                "mpp": job.body["mpp"],
                "metadata": {"device": "cpu", "notes": [], "seconds": {"all": 0.1}},
            },
            # Provisional ids are 1 and 2; the second is the only one that is left.
            {"numbers": np.array([0, 0, 1], np.int32), **columns_sent},
        )

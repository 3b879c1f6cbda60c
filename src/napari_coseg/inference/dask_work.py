"""What a Dask worker does with one image: the model is loaded once in each worker's process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

import napari_coseg
from napari_coseg.inference.batch import PredictionFolder
from napari_coseg.inference.devices import choose_device
from napari_coseg.inference.jobs import Job
from napari_coseg.inference.result_folder import JobResult
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.types import CosegError
from napari_coseg.weights.loading import load_model

#: A worker with several threads works on one image at a time: a device has one model.
_TURN = threading.Lock()


@dataclass(frozen=True)
class DaskRequest:
    """What all images of a run have in common.

    Attributes
    ----------
    version : str
        Of the program that asks.
    model, sha256 : str
        Name or file, as a worker finds it too, and its hash.
    out : Path
        Folder of the results, which all machines see.
    settings : PredictSettings
    mpp : float or None
    device : str
    threads : int or None
        Threads of the CPU in each worker.
    """

    version: str
    model: str
    sha256: str
    out: Path
    settings: PredictSettings
    mpp: float | None
    device: str
    threads: int | None


def work_on(request: DaskRequest, job: Job) -> JobResult:
    """Segment one image and write its files and its record.

    Raises
    ------
    CosegError
        If the worker has another version or model, or cannot use the folder.
    """
    with _TURN:
        return folder_of(request).work(job)


@lru_cache(maxsize=1)
def folder_of(request: DaskRequest) -> PredictionFolder:
    """Return the folder of a run, with the model loaded; the same one from the second call on."""
    if request.version != napari_coseg.__version__:
        raise CosegError(
            f"A Dask worker has napari-coseg {napari_coseg.__version__}, and this is "
            f"{request.version}: install the same version on all machines."
        )
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    model = load_model(request.model, choose_device(request.device))
    if model.sha256 != request.sha256:
        raise CosegError(
            f"A Dask worker has other weights for {request.model} (SHA-256 {model.sha256[:12]}) "
            f"than this machine ({request.sha256[:12]}): copy the file."
        )
    return PredictionFolder(request.out, model, request.settings, request.mpp)

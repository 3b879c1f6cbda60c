"""Models that a host keeps in memory, and how memory is given back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_coseg.types import CosegError
from napari_coseg.weights.card import Kind
from napari_coseg.worker.requests import LoadRequest

#: Models that stay in memory at once.
_KEPT = 3


class KeptModels:
    """The models that were used last, by content and device.

    Parameters
    ----------
    spare_core : bool
        Leave a core to the GUI of this machine, where there are more than two: of two, the lower
        priority of the process leaves what the GUI needs.
    """

    def __init__(self, *, spare_core: bool = True) -> None:
        self._models: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._hashes: dict[Path, tuple[tuple[int, ...], str]] = {}
        self._spare_core = spare_core

    def get(self, wanted: LoadRequest, kind: Kind | None = None, *, volume: bool = False) -> Any:
        """Return a model for a request, loaded if need be; that of longest ago leaves for it.

        Parameters
        ----------
        wanted : LoadRequest
        kind : {"coseg", "syncsam"}, optional
            What it must be; any by default.
        volume : bool
            Whether it must be one of volumes, and not one of pictures.

        Raises
        ------
        CosegError
            If there is no such model or device, or it is of another kind.
        napari_coseg.inference.runner.DeviceFull
            If the device has too little memory for it.
        """
        from napari_coseg.inference.devices import choose_device
        from napari_coseg.weights.card import read_card
        from napari_coseg.weights.catalogue import find_weights
        from napari_coseg.weights.loading import load_model
        from napari_coseg.worker.prompt_model import load_prompter

        device = choose_device(wanted.device)
        cores = os.cpu_count() or 1
        if self._spare_core and cores > 2:
            import torch

            torch.set_num_threads(min(torch.get_num_threads(), cores - 1))
        path = find_weights(wanted.model)
        # By content: a file that was trained on meanwhile is another model.
        key = (self._hash(path), str(device))
        if key not in self._models:
            while len(self._models) >= _KEPT:
                self._models.popitem(last=False)
                self._collect()
            load = load_prompter if (kind or read_card(path).kind) == "syncsam" else load_model
            self._models[key] = self._loaded(load, path, device)
        self._models.move_to_end(key)
        model = self._models[key]
        if kind is not None:
            model.card.expect(kind)
            model.card.expect_input(volume=volume)
        return model

    def _hash(self, path: Path) -> str:
        """SHA-256 of a file; read again only where the file has changed, as each click asks."""
        from napari_coseg.weights.catalogue import sha256_of

        state = _state(path)
        known = self._hashes.get(path)
        if known is None or known[0] != state:
            known = self._hashes[path] = (state, sha256_of(path))
        return known[1]

    @staticmethod
    def _loaded(load: Callable[[Path, Any], Any], path: Path, device: Any) -> Any:
        from napari_coseg.inference.runner import DeviceFull, is_out_of_memory

        try:
            return load(path, device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceFull(
                f"The {device.type} device has too little memory for the model {path.stem}: free "
                "some of it, or choose the CPU."
            ) from error

    def release(self) -> None:
        """Forget all models and give the device's memory back."""
        if not self._models:
            return
        self._models.clear()
        self._collect()
        trim()

    @staticmethod
    def _collect() -> None:
        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise CosegError(f"Cannot read {path}: {error.strerror or error}.") from error
    return found.st_size, found.st_mtime_ns, found.st_ino


def trim() -> None:
    """Give memory that the C library holds back for later to the system, where it can be asked.

    Work of mixed sizes leaves holes in its heap, and a host that runs for days would grow.
    """
    give = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if give is not None:
        give(0)

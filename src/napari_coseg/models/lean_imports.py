"""Imports torchvision and timm without torch's compiler, a third of a worker's start.

torchvision 0.30 imports ``torch._dynamo`` for a function that it asks when regions of interest are
pooled on a GPU, and timm 1.0 to mark a function of one of its networks as one that is not to be
compiled. Nothing here does the one or the other, nor compiles. So two names stand in for the
compiler while both are imported; the first fetches the real one when it is called. Afterwards
everything is as it was, with ``torch._dynamo`` not yet imported.

A program that has imported either before is left alone. The room imports this module before any of
its networks.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


def _is_compile_supported(*arguments: Any, **named: Any) -> Any:
    return importlib.import_module(_UTILS).is_compile_supported(*arguments, **named)


def _disable(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    return function if function is not None else lambda later: later


def import_lean(libraries: Sequence[str]) -> None:
    """Import libraries with two names standing in for torch's compiler, if it is not there yet.

    Parameters
    ----------
    libraries : sequence of str
        Those that are not there afterwards want more of it.
    """
    if _COMPILER in sys.modules:
        return
    compiler, utils = ModuleType(_COMPILER), ModuleType(_UTILS)
    compiler.__path__ = []
    compiler.disable = _disable  # type: ignore[attr-defined]
    compiler.utils = utils  # type: ignore[attr-defined]
    utils.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    standing_in = {_COMPILER: compiler, _UTILS: utils}
    before = set(sys.modules)
    sys.modules.update(standing_in)
    try:
        for library in libraries:
            importlib.import_module(library)
    except (ImportError, AttributeError):
        # Whoever needs them imports them as they are.
        for name in set(sys.modules) - before:
            if name.split(".")[0] in libraries:
                del sys.modules[name]
    finally:
        for name, module in standing_in.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


import_lean(("torchvision", "timm"))

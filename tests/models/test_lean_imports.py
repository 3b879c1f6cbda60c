"""Networks come without torch's compiler, and the compiler comes whole when it is wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LEAN = """
import sys
import napari_coseg.models.syncsam.network, napari_coseg.models.coseg.network
assert "timm" in sys.modules and "torchvision" in sys.modules
assert "torch._dynamo" not in sys.modules and "sympy" not in sys.modules
pooling = sys.modules["torchvision.ops.roi_align"]
assert pooling.is_compile_supported("cpu") in (True, False)
import torch._dynamo
assert torch._dynamo.disable.__module__.startswith("torch.")
assert torch._dynamo.utils.is_compile_supported("cpu") == pooling.is_compile_supported("cpu")
"""

NEEDY = """
import sys
from napari_coseg.models.lean_imports import import_lean
import_lean(["needy"])
assert "needy" not in sys.modules and "torch._dynamo" not in sys.modules
import needy
assert needy.explain.__module__.startswith("torch.")
"""


def test_the_compiler_is_not_imported_and_comes_whole() -> None:
    subprocess.run([sys.executable, "-c", LEAN], check=True, timeout=300)


def test_a_library_that_wants_more_of_it_is_imported_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text("from torch._dynamo import explain\n")
    subprocess.run([sys.executable, "-c", NEEDY], check=True, timeout=300, cwd=tmp_path)

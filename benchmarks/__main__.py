"""Run the comparisons one after another: ``python benchmarks [NAME ...]``, all without a name.

Each is a script that also runs alone, with options of its own. `held_out`, `prompt_scores` and
`ablation` want options or hours: they run alone only. Leaves with the worst exit code.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HELPERS = {"__main__", "random_model", "window", "held_out", "ablation", "prompt_scores"}


def main() -> int:
    """Run what was named, or everything."""
    there = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in HELPERS)
    names = sys.argv[1:] or there
    unknown = [name for name in names if name not in there]
    if unknown:
        print(f"No benchmark is named {', '.join(unknown)}; there are: {', '.join(there)}.")
        return 2
    worst = 0
    for name in names:
        print(f"\n=== {name}", flush=True)
        worst = max(worst, abs(subprocess.call([sys.executable, str(FOLDER / f"{name}.py")])))
    return worst


if __name__ == "__main__":
    sys.exit(main())

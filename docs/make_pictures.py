"""Make the pictures of the docs: run the demo, put its pictures side by side.

    python docs/make_pictures.py

Real pictures in the docs are only those that scikit-image ships; the rest is generated.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
#: Height in pixels at which a picture stands in a page.
HEIGHT = 560


def main() -> None:
    """Write ``docs/pictures/demo.jpg`` and ``docs/pictures/generated-truth.jpg``."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        command = [sys.executable, "-m", "napari_coseg", "demo", "--out", str(out)]
        subprocess.run(command, check=True)
        save(
            [out / "immunohistochemistry_overlay.png", out / "generated_overlay.png"],
            PICTURES / "demo.jpg",
        )
        save(
            [out / "generated_truth.png", out / "generated_overlay.png"],
            PICTURES / "generated-truth.jpg",
        )


def save(paths: list[Path], target: Path) -> None:
    """Put pictures beside each other at one height."""
    shown = []
    for path in paths:
        picture = Image.open(path).convert("RGB")
        width = round(picture.width * HEIGHT / picture.height)
        shown.append(picture.resize((width, HEIGHT), Image.Resampling.LANCZOS))
    gap = 8
    whole = Image.new("RGB", (sum(p.width + gap for p in shown) - gap, HEIGHT), "white")
    left = 0
    for picture in shown:
        whole.paste(picture, (left, 0))
        left += picture.width + gap
    # JPEG, since a palette that is small enough mixes the colours of the classes up.
    whole.save(target, quality=88, subsampling=0, optimize=True)
    print(f"{target}: {whole.width} x {whole.height}, {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

"""Write a folder data set of generated CBCT volumes: what coseg-lite-dental is trained on.

    python benchmarks/cbct_folder.py FOLDER --first 100 --count 44 --randomised
    python benchmarks/cbct_folder.py FOLDER --first 500 --count 14
    python benchmarks/cbct_folder.py FOLDER --first 700 --count 10 --randomised --whole-head

A volume of 200 x 256 x 256 voxels of 0.4 mm takes about 15 s of one core and 5 MB; a whole head of
230 x 340 x 280 voxels of 0.6 mm 40 s.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from napari_coseg.datasets.synthetic_cbct import CbctSettings
from napari_coseg.datasets.synthetic_cbct_folder import write_cbct_folder
from napari_coseg.types import CosegError


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0, help="seed of the first volume")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--randomised", action="store_true", help="grey values from wide ranges")
    parser.add_argument("--whole-head", action="store_true", help="with skull, as on a CT")
    parser.add_argument("--metal", type=float, default=0.35, help="probability of metal")
    parser.add_argument(
        "--name", default=None, help="name of the data set, by default the folder's"
    )
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.count)
    settings = CbctSettings(randomised=arguments.randomised, metal=arguments.metal)
    if arguments.whole_head:
        settings = replace(settings, shape=(230, 340, 280), spacing=0.6, whole_head=True)
    name = arguments.name or arguments.folder.name
    print(*write_cbct_folder(arguments.folder, seeds, settings, name=name), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except CosegError as error:
        raise SystemExit(str(error)) from None

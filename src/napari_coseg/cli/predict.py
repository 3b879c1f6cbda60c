"""``napari-coseg predict``: segment images and write labels, tables and outlines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_coseg.cli.options import Shard
from napari_coseg.cli.reporting import run_folder
from napari_coseg.weights.catalogue import DEFAULT_MODEL


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(help="Images (PNG, JPEG, BMP, TIFF), or folders with images directly in."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")],
    model: Annotated[
        str, typer.Option(help="Name of a model (see models list), or a weights file.")
    ] = DEFAULT_MODEL,
    mpp: Annotated[
        float | None,
        typer.Option(help="Size of a pixel in µm, instead of what the files say."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    shard: Shard = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results of other models, settings or images. What was made with the "
            "same ones is skipped all the same.",
        ),
    ] = False,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average over the four flips: four times the work.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the CPU; PyTorch's choice by default.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Tiles that run together; by device by default.")
    ] = None,
) -> None:
    """Segment images into regions and objects.

    Writes for each image NAME_regions.tif, NAME_instances.tif, NAME_objects.csv and NAME.geojson
    (for QuPath), as far as the model has regions and objects. run.json says what was done with
    what. A second run skips what is there already. Images that fail are listed in failures.csv,
    the others are done all the same, and the exit code is 1.
    """
    from napari_coseg.inference.jobs import find_jobs, parse_shard, shard_of

    part = parse_shard(shard)
    jobs = shard_of(find_jobs(images, out), *part)

    import torch

    from napari_coseg.inference.batch import PredictionFolder
    from napari_coseg.inference.devices import choose_device
    from napari_coseg.inference.settings import PredictSettings
    from napari_coseg.weights.loading import load_model

    if threads is not None:
        torch.set_num_threads(threads)
    settings = PredictSettings(tta=tta, batch=batch)
    loaded = load_model(model, choose_device(device))
    folder = PredictionFolder(out, loaded, settings, mpp)
    if not overwrite:
        folder.check(jobs)
    run_folder(folder, jobs, loaded.card, parts="tiles of the image")

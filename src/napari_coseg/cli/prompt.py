"""``napari-coseg prompt``: segment what boxes and points from tables are on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_coseg.cli.options import Precision, Shard
from napari_coseg.cli.reporting import run_folder

#: Labels, or images, that are named at the most where something is missing.
_NAMED = 5


def prompt(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Images (PNG, JPEG, BMP, TIFF) or volumes (NIfTI, MHA, MHD, NRRD, DICOM folders); "
            "or folders with them directly in."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")],
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="CSV with label,row0,column0,row1,column1, and class, image if wanted; for "
            "volumes plane."
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            help="CSV with label,row,column,positive, and class, image if wanted; for volumes "
            "plane."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name of a model for prompts (see models list), or a weights file."),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(help="Size of a pixel in µm, instead of what the files say."),
    ] = None,
    size: Annotated[
        float | None,
        typer.Option(help="Length in pixels of objects with points alone; else looked for."),
    ] = None,
    axis: Annotated[
        int,
        typer.Option(min=0, max=2, help="Of volumes: the axis that the column plane counts along."),
    ] = 0,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Of volumes: grey values that become black and white, else automatic."),
    ] = None,
    planes_only: Annotated[
        bool,
        typer.Option(
            "--planes-only",
            help="Of volumes: objects end at the outermost planes that they are prompted on.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            help="Numbers that the network computes in: auto takes bfloat16 where the device is "
            "quick with it, which changes scores by some thousandths."
        ),
    ] = Precision.auto,
    shard: Shard = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results of other models, prompts or images. What was made with the "
            "same ones is skipped all the same.",
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the CPU; PyTorch's choice by default.")
    ] = None,
) -> None:
    """Segment the objects that boxes and points are on.

    Rows of one label make one object, which keeps that label; where several images are given, a
    column image names the file. Writes for each image NAME_instances.tif, NAME_objects.csv
    (score: how stable the outline is) and NAME.geojson (for QuPath). Where objects overlap, the
    first one keeps its pixels. In a volume each object is followed from the planes that it is
    prompted on to where it ends, and NAME_instances is a volume in the same format and on the same
    grid. run.json says what was done with what; a second run skips what is
    there already. Images that fail are listed in failures.csv, the others are done all the same,
    and the exit code is 1.
    """
    from napari_coseg.imaging.prompt_tables import read_prompts
    from napari_coseg.imaging.windows import manual_window
    from napari_coseg.inference.jobs import find_jobs, parse_shard, shard_of
    from napari_coseg.inference.prompt_jobs import are_volumes, assign
    from napari_coseg.weights.listing import default_prompt_model

    part = parse_shard(shard)
    jobs = find_jobs(images, out, volumes=True)
    table = read_prompts(boxes, points)
    objects, asked, unknown = assign(table, jobs)
    volumes = are_volumes(asked, objects)
    # Of the images that have prompts, so that parts are of one size.
    mine = shard_of(asked, *part)
    name = default_prompt_model() if model is None else model

    import torch

    from napari_coseg.inference.devices import choose_device
    from napari_coseg.inference.prompt_files import PromptFolder
    from napari_coseg.inference.prompt_volumes import VolumePromptFolder
    from napari_coseg.inference.result_folder import ResultFolder
    from napari_coseg.weights.loading import load_prompt_model

    if threads is not None:
        torch.set_num_threads(threads)
    loaded = load_prompt_model(name, choose_device(device))
    folder: ResultFolder
    if volumes:
        folder = VolumePromptFolder(
            out,
            loaded,
            objects,
            table.classes,
            axis=axis,
            window=None if window is None else manual_window(*window),
            follow=not planes_only,
            size=size,
            precision=precision.value,
        )
    else:
        folder = PromptFolder(out, loaded, objects, table.classes, mpp, size, precision.value)
    if not overwrite:
        folder.check(mine)
    if len(asked) < len(jobs):
        print(f"Without prompts and left out: {len(jobs) - len(asked)} of {len(jobs)} images.")
    if unknown:
        named = ", ".join(unknown[:_NAMED]) + ", ..." * (len(unknown) > _NAMED)
        print(f"Images that are named in the tables and not given: {named}.")
    parts = "ends of objects, two each" if volumes else "objects of the image"
    run_folder(folder, mine, loaded.card, parts=parts, more=_empty)


def _empty(facts: dict[str, Any]) -> str:
    """Say which objects nothing was found of."""
    labels: list[int] = facts["empty"]
    if not labels:
        return ""
    named = ", ".join(map(str, labels[:_NAMED])) + ", ..." * (len(labels) > _NAMED)
    return f"; {len(labels)} ended empty (label {named})"

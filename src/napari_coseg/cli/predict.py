"""``napari-coseg predict``: segment images and write labels, tables and outlines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_coseg.cli.options import Part, Precision, Shard
from napari_coseg.cli.reporting import run_folder
from napari_coseg.types import CosegError
from napari_coseg.weights.catalogue import DEFAULT_MODEL, DEFAULT_VOLUME_MODEL, default_model

if TYPE_CHECKING:
    from napari_coseg.inference.jobs import Job


def predict(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Images (PNG, JPEG, BMP, TIFF), or volumes (NIfTI, MHA, MHD, NRRD, folders that "
            "are DICOM series); or folders with them directly in."
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")],
    of: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG",
            help="Instead of images: a training config, whose part for the test is segmented.",
        ),
    ] = None,
    part: Annotated[
        Part, typer.Option(help="With --of: which part of the config's data.")
    ] = Part.test,
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of a model (see models list), or a weights file. By default "
            f"{DEFAULT_MODEL} for pictures, {DEFAULT_VOLUME_MODEL} for volumes.",
            show_default=False,
        ),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(help="Size of a picture's pixel in µm, instead of what the files say."),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Grey values of volumes that are seen black and white, such as -500 2500; by "
            "default the volume's automatic window.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            help="Numbers that the network computes in: auto takes bfloat16 where the device is "
            "quick with it, which changes scores by some thousandths."
        ),
    ] = Precision.auto,
    shard: Shard = None,
    dask: Annotated[
        str | None,
        typer.Option(
            help="Address of a Dask scheduler, tcp://host:port: its workers do the work. They must "
            "see images and results under the same paths. Needs napari-coseg[dask].",
            show_default=False,
        ),
    ] = None,
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
    """Segment pictures or volumes into regions and objects.

    Writes for each picture NAME_regions.tif, NAME_instances.tif, NAME_objects.csv and NAME.geojson
    (for QuPath); for each volume NAME_regions and NAME_instances in its own format and on its
    grid, and NAME_objects.csv; as far as the model has regions and objects. run.json says what was
    done with what. A second run skips what is there already. What fails is listed in failures.csv,
    the others are done all the same, and the exit code is 1.
    """
    from napari_coseg.inference.jobs import find_jobs, parse_shard, shard_of

    chosen = parse_shard(shard)
    if (of is None) == (not images):
        raise CosegError("Name images to segment, or a training config with --of.")
    if of is not None:
        images, mpp = _images_of(of, str(part), mpp)
    found = find_jobs(images or [], out, volumes=True)
    jobs = shard_of(found, *chosen)
    name = _default_for(found) if model is None else model

    import torch

    from napari_coseg.inference.batch import PredictionFolder
    from napari_coseg.inference.devices import choose_device
    from napari_coseg.inference.settings import PredictSettings
    from napari_coseg.weights.loading import load_model

    client = None
    if dask is not None:
        from napari_coseg.inference.dask_batch import DaskPredictionFolder, connect

        client = connect(dask)
    if threads is not None:
        torch.set_num_threads(threads)
    settings = PredictSettings(precision=precision.value, tta=tta, batch=batch, window=window)
    # With Dask the workers choose a device, and this process only looks at the model.
    loaded = load_model(name, choose_device(device if client is None else "cpu"))
    if window is not None and loaded.card.planes is None:
        raise CosegError("--window is for volumes: a model of pictures sees them as they are.")
    if not any(job.volume == (loaded.card.planes is not None) for job in found):
        loaded.card.expect_input(volume=found[0].volume)
    if client is None:
        folder = PredictionFolder(out, loaded, settings, mpp)
    else:
        folder = DaskPredictionFolder(
            out, loaded, settings, mpp, client=client, name=name, device=device, threads=threads
        )
    if not overwrite:
        folder.check(jobs)
    volumes = loaded.card.planes is not None
    parts = "planes of the volume" if volumes else "tiles of the image"
    run_folder(folder, jobs, loaded.card, parts=parts)


def _images_of(config: Path, part: str, mpp: float | None) -> tuple[list[Path], float | None]:
    """Return the images of a config's part, and the size of a pixel that the data sets say."""
    from napari_coseg.training.config import load_config
    from napari_coseg.training.parts import open_parts

    parts = open_parts(load_config(config), part)
    images: list[Path] = []
    for one in parts:
        files = [item.image for item in one.items]
        if one.items[0].plane is None and len(set(files)) < len(files):
            raise CosegError(
                f"{one.dataset.name} has several images in one file, which predict cannot open: "
                f"run napari-coseg data convert {one.dataset.root} NEW, and name NEW, the folder "
                "data set, as path in the config; names, patients and parts stay."
            )
        images += dict.fromkeys(files)
    volumes = parts[0].items[0].plane is not None
    sizes = {one.dataset.mpp for one in parts if one.dataset.mpp > 0}
    if mpp is None and not volumes and len(sizes) > 1:
        raise CosegError(f"The data sets of {config} differ in the size of a pixel: give --mpp.")
    return images, mpp if mpp is not None or volumes or not sizes else sizes.pop()


def _default_for(jobs: Sequence[Job]) -> str:
    """Choose a model by what is to be segmented."""
    kinds = {job.volume for job in jobs}
    if len(kinds) > 1:
        raise CosegError(
            "There are pictures and volumes, and no model is for both: run predict for each, or "
            "name one with --model."
        )
    return default_model(volumes=kinds.pop())

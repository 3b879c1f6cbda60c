"""``napari-coseg demo``: the bundled model on two sample pictures, without Qt."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_coseg.types import CosegError
from napari_coseg.weights.catalogue import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_coseg.cli.demo_samples import Sample
    from napari_coseg.types import PanopticResult
    from napari_coseg.weights.loading import LoadedModel

#: File by which a folder is known as a demo's: written first, completed at the end.
MARKER = "demo.json"
METRICS = "metrics.csv"


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the files; made if needed, a former demo's is reused.")
    ] = Path("coseg-demo"),
    model: Annotated[
        str, typer.Option(help="Name of a model (see models list), or a weights file.")
    ] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Segment two sample pictures, and score the one whose truth is known.

    Writes for each the picture, its regions and objects as label images, a table of the objects,
    GeoJSON for QuPath, and an overlay with a legend. A folder that holds anything but a former
    demo is refused. Nothing is downloaded.
    """
    started = time.perf_counter()
    from rich.console import Console

    from napari_coseg.cli.demo_samples import SAMPLES
    from napari_coseg.cli.demo_scores import score_table, score_tile
    from napari_coseg.inference.devices import choose_device
    from napari_coseg.weights.loading import load_model

    loaded = load_model(model, choose_device(device))
    prepare_folder(out)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    licence = loaded.card.licence or "licence not stated"
    console.print(f"Model {loaded.card.name} ({licence}). For research, not a medical device.")
    record: dict[str, Any] = {
        "program": "napari-coseg demo",
        "model": loaded.card.name,
        "model_sha256": loaded.sha256,
        "finished": False,
        "pictures": {},
    }
    _write_json(out / MARKER, record)
    for make in SAMPLES:
        with console.status("Preparing the next picture"):
            sample = make()
        console.print(f"\n{sample.name}.png: {sample.note}")
        with console.status("Segmenting"):
            result, facts = segment_sample(out, sample, loaded)
        record["pictures"][sample.name] = {"note": sample.note, **facts}
        console.print(f"{_summary(result)}, in {facts['seconds']['all']:.1f} s")
        if sample.truth is not None:
            _write_picture(out / f"{sample.name}_truth.png", truth_picture(sample, result))
            scores = score_tile(sample.name, result, sample.truth)
            _write_text(out / METRICS, scores.to_csv(index=False, lineterminator="\n"))
            console.print(score_table(scores))
    seconds = round(time.perf_counter() - started, 1)
    _write_json(out / MARKER, {**record, "finished": True, "seconds": seconds})
    console.print(f"\nDone in {seconds:.1f} s. All files are in {out.resolve()}; look first at")
    for name in record["pictures"]:
        console.print(f"  {out / f'{name}_overlay.png'}")


def prepare_folder(out: Path) -> None:
    """Make the folder, or make sure that it is empty or a former demo's.

    Raises
    ------
    CosegError
        If it holds other things, is a file, or cannot be made.
    """
    if out.exists() and not out.is_dir():
        raise CosegError(f"{out} is a file: choose a folder with --out.")
    try:
        strange = out.is_dir() and any(out.iterdir()) and not _is_demo(out / MARKER)
        if not strange:
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosegError(f"Cannot use the folder {out}: {error.strerror or error}.") from error
    if strange:
        raise CosegError(
            f"The folder {out} holds files that are not from an earlier demo: choose an empty one "
            "with --out."
        )


def segment_sample(
    folder: Path, sample: Sample, model: LoadedModel
) -> tuple[PanopticResult, dict[str, Any]]:
    """Write a sample's picture, predict from that file as ``predict`` does, draw the overlay.

    Returns
    -------
    result : PanopticResult
        As read back from the files.
    facts : dict
        See `napari_coseg.inference.files.predict_file`.
    """
    from napari_coseg.inference.files import predict_file

    picture, base = folder / f"{sample.name}.png", folder / sample.name
    _write_picture(picture, sample.image)
    facts = predict_file(picture, base, model, mpp=sample.mpp)
    result = _read_back(base, model, sample.mpp)
    _write_picture(folder / f"{sample.name}_overlay.png", _overlay_picture(sample.image, result))
    return result, facts


def _read_back(base: Path, model: LoadedModel, mpp: float) -> PanopticResult:
    """Read the result of one picture from the files that `predict_file` wrote."""
    import numpy as np

    from napari_coseg.imaging.labels import read_labels
    from napari_coseg.imaging.result_files import result_paths
    from napari_coseg.imaging.tables import read_objects
    from napari_coseg.types import PanopticResult, empty_objects

    regions, instances, objects, _ = result_paths(base)
    return PanopticResult(
        regions=read_labels(regions).astype(np.uint8) if regions.exists() else None,
        instances=read_labels(instances) if instances.exists() else None,
        objects=read_objects(objects) if objects.exists() else empty_objects(),
        region_classes=model.card.region_table,
        instance_classes=model.card.instance_table,
        mpp=mpp,
    )


def _overlay_picture(image: npt.NDArray[np.uint8], result: PanopticResult) -> npt.NDArray[np.uint8]:
    """Regions and objects over the image, with a legend."""
    from napari_coseg.imaging.overlay import add_legend, legend_strip, overlay

    tables = result.region_classes, result.instance_classes
    drawn = overlay(image, result.regions, result.instances, result.objects, *tables)
    strip = legend_strip(image.shape[1], result.regions, result.objects, *tables, mpp=result.mpp)
    return add_legend(drawn, strip)


def truth_picture(sample: Sample, result: PanopticResult) -> npt.NDArray[np.uint8]:
    """Draw truth over the image, in the colours that `result` has for the same classes."""
    import pandas as pd

    from napari_coseg.cli.demo_scores import class_of_objects
    from napari_coseg.types import ClassTable, PanopticResult

    truth = sample.truth
    assert truth is not None
    kinds = class_of_objects(truth)
    tables = (
        ClassTable.from_names(
            true.names, {info.name: info.colour for table in (true, own) for info in table}
        )
        for true, own in (
            (truth.region_classes, result.region_classes),
            (truth.instance_classes, result.instance_classes),
        )
    )
    region_classes, instance_classes = tables
    return _overlay_picture(
        sample.image,
        PanopticResult(
            regions=truth.regions,
            instances=truth.instances,
            objects=pd.DataFrame({"label": list(kinds.keys()), "class": list(kinds.values())}),
            region_classes=region_classes,
            instance_classes=instance_classes,
            mpp=truth.mpp,
        ),
    )


def _summary(result: PanopticResult) -> str:
    """Return the number of objects and the share of regions in words."""
    import numpy as np

    parts = []
    if result.instances is not None:
        parts.append(f"{len(result.objects)} objects")
    if result.regions is not None:
        shares = np.bincount(result.regions.ravel(), minlength=256) / result.regions.size
        parts += [f"{info.name} {shares[info.id]:.0%}" for info in result.region_classes]
    return ", ".join(parts)


def _is_demo(marker: Path) -> bool:
    """Whether a file says that its folder is a demo's."""
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("program") == "napari-coseg demo"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    from napari_coseg.imaging.files import atomic_path

    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _write_picture(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    from PIL import Image

    from napari_coseg.imaging.files import atomic_path

    with atomic_path(path) as part:
        Image.fromarray(picture).save(part, format="PNG")

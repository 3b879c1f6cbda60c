from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_coseg.datasets.synthetic_histology import SyntheticTile, generate_tile
from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.panoptic import segment_image
from napari_coseg.inference.precision import choose_precision, computing_in, name_of
from napari_coseg.inference.prompted import Prompter
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.metrics.instance import match_objects
from napari_coseg.metrics.overlap import overlap_of
from napari_coseg.types import CosegError, Prompt
from napari_coseg.weights.loading import load_model, load_prompt_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tile() -> SyntheticTile:
    return generate_tile(seed=3, shape=(384, 384))


def capable(monkeypatch: pytest.MonkeyPatch, **features: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16"])
def test_processors_with_bfloat16_use_it(monkeypatch: pytest.MonkeyPatch, feature: str) -> None:
    capable(monkeypatch, **{feature: True})
    assert choose_precision(CPU) == torch.bfloat16
    assert choose_precision(CPU, "float32") == torch.float32
    capable(monkeypatch, **{feature: False, "avx512_f": True})
    assert choose_precision(CPU) == torch.float32
    assert choose_precision(CPU, "bfloat16") == torch.bfloat16


def test_a_pytorch_that_does_not_tell_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision(CPU) == torch.float32


@pytest.mark.parametrize(
    ("generation", "expected"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)]
)
def test_gpus_compute_in_bfloat16_where_it_is_not_emulated(
    monkeypatch: pytest.MonkeyPatch, generation: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: generation)
    assert choose_precision(torch.device("cuda")) == expected


def test_metal_computes_in_float32() -> None:
    assert choose_precision(torch.device("mps")) == torch.float32
    with pytest.raises(CosegError, match="No bfloat16 on the device mps"):
        choose_precision(torch.device("mps"), "bfloat16")


def test_what_is_no_precision_is_told() -> None:
    with pytest.raises(CosegError, match="float8 is no precision: choose auto, float32, bfloat16"):
        choose_precision(CPU, "float8")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_of_the_type(dtype: torch.dtype) -> None:
    values = torch.ones(4, 4)
    # What is around does not leak in: float32 is float32 within another's autocast.
    with torch.autocast("cpu", torch.bfloat16), computing_in(CPU, dtype):
        assert (values @ values).dtype == dtype
    assert name_of(dtype) in str(dtype)


def test_panoptic_labels_hardly_differ(tile: SyntheticTile) -> None:
    source, model = ArraySource(tile.image), load_model("coseg-lite-histology")
    found = {
        precision: segment_image(
            source, model, mpp=tile.mpp, settings=PredictSettings(precision=precision)
        )
        for precision in ("float32", "bfloat16")
    }
    exact, rough = found["float32"], found["bfloat16"]
    assert exact.metadata["precision"] == "float32"
    assert rough.metadata["precision"] == "bfloat16"
    assert len(exact.objects) > 20
    assert exact.instances is not None
    assert rough.instances is not None
    matched = match_objects(overlap_of(exact.instances, rough.instances))
    assert len(matched.iou) > 0.9 * max(len(exact.objects), len(rough.objects))
    assert matched.iou.mean() > 0.95
    # It is another computation, not another name of the same one.
    assert not np.array_equal(exact.instances, rough.instances)


def test_masks_of_boxes_hardly_differ(tile: SyntheticTile) -> None:
    source = ArraySource(tile.image)
    boxes = []
    for label in np.unique(tile.instances)[1:13]:
        rows, columns = np.nonzero(tile.instances == label)
        if len(rows) > 50:
            box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            boxes.append(Prompt(tuple(float(side) for side in box)))
    assert len(boxes) > 5
    answers = []
    for precision in ("float32", "bfloat16"):
        prompter = Prompter(load_prompt_model("syncsam-lite"), precision=precision)
        assert prompter.precision == precision
        answers.append([one.mask for one in prompter.segment(source, boxes)])
    for exact, rough in zip(*answers, strict=True):
        assert rough.area == pytest.approx(exact.area, rel=0.1)


def test_a_folder_takes_what_another_precision_made() -> None:
    assert PredictSettings(precision="float32").identity() == PredictSettings().identity()

"""Boxes and clicks: time from a prompt to a mask at full resolution, beside segment_anything's way.

1. A box on a fresh 1024 x 1024 image, reading of the crop included; 2. the next click on the same
object; 3. 64 neighbouring and 64 scattered boxes, against an embedding of the whole image and
`predict_torch`-like decoding by a SAM ViT-B without trained weights (its time depends on sizes
alone), in the same run; 4. with ``--many``, prompts in a row: drift of time and growth of memory.

Takes a model of this machine, or SyncSAM-Lite's network with random weights, which takes as long.
Random masks are noise; with them (2) gives back the box's ellipse as the mask before.

    python benchmarks/prompting.py [--model NAME] [--threads 2] [--repeats 100] [--many 10000]
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import psutil
import torch

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.prompted import Prompter
from napari_coseg.models.syncsam.config import SYNCSAM_LITE
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.listing import default_prompt_model
from napari_coseg.weights.loading import load_prompt_model

SIDE = 1024
#: Seconds: a first box (median, 95th percentile), the next click, 64 neighbours, 64 scattered.
BOX, BOX_95, CLICK, NEAR, SCATTERED = 0.080, 0.150, 0.050, 0.4, 1.5
TIMES_FASTER = 15
Box = tuple[float, float, float, float]
T = TypeVar("T")


class RandomModel:
    """SyncSAM-Lite with random weights."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = SyncSamNetwork(SYNCSAM_LITE).eval()
        self.card = ModelCard(name="random-weights", kind="syncsam")
        self.sha256 = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-sam", action="store_true", help="leave the comparison out")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model = load(chosen.model, chosen.device)
    loads = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{model.card.name}, {chosen.device}, {chosen.threads} threads of {os.cpu_count()} cores; "
        f"load before: {loads}"
    )
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    single(model, image, chosen.repeats)
    many_boxes(model, image, None if chosen.no_sam else sam())
    if chosen.many:
        in_a_row(model, image, chosen.many)


def load(name: str | None, device: str) -> Any:
    try:
        return load_prompt_model(name or default_prompt_model(), device)
    except CosegError as error:
        if name is not None:
            raise
        print(f"{error} Random weights instead.")
        model = RandomModel()
        model.network.to(device)
        return model


def a_box(draw: np.random.Generator) -> Box:
    rows, columns = draw.uniform(14, 90, 2)
    row, column = draw.uniform(0, SIDE - 90, 2)
    return float(row), float(column), float(row + rows), float(column + columns)


def inside(box: Box) -> Mask:
    """The ellipse in a box."""
    row0, column0, row1, column1 = (round(v) for v in box)
    down = np.linspace(-1, 1, row1 - row0)[:, None]
    return Mask((row0, column0), np.hypot(down, np.linspace(-1, 1, column1 - column0)) < 1)


def timed(work: Callable[..., T], *given: Any, **named: Any) -> tuple[float, T]:
    start = time.perf_counter()
    found = work(*given, **named)
    return time.perf_counter() - start, found


def tell(name: str, times: list[float], reach: float, reach_95: float | None = None) -> None:
    middle, late = statistics.median(times), float(np.percentile(times, 95))
    good = middle <= reach and (reach_95 is None or late <= reach_95)
    wanted = f"{1e3 * reach:.0f}" + ("" if reach_95 is None else f" and {1e3 * reach_95:.0f}")
    print(
        f"{name}: median {1e3 * middle:.1f} ms, 95th percentile {1e3 * late:.1f} ms, best "
        f"{1e3 * min(times):.1f}; reach {wanted}: {'yes' if good else 'NO'}"
    )


def single(model: Any, image: np.ndarray, repeats: int) -> None:
    """One box on an image that was not seen before, then a click on the same object."""
    draw = np.random.default_rng(1)
    prompter = Prompter(model)
    source = ArraySource(image)
    prompter.segment(source, [Prompt(box=a_box(draw))])
    first, following = [], []
    for number in range(repeats):
        box, key = a_box(draw), f"image {number}"
        seconds, found = timed(prompter.segment, source, [Prompt(box=box)], key=key)
        first.append(seconds)
        click = (box[0] + 3.0, box[1] + 3.0, False)
        prompt = Prompt(box, (click,), inside(box))
        before = prompter.encoded
        seconds, _ = timed(prompter.segment, source, [prompt], key=key, crops=[found[0].crop])
        following.append(seconds)
        assert prompter.encoded == before, "the next click encoded again"
    tell("box on a fresh image", first, BOX, BOX_95)
    tell("next click", following, CLICK)


def many_boxes(model: Any, image: np.ndarray, peer: Any) -> None:
    """64 boxes at once, near each other and scattered."""
    draw = np.random.default_rng(2)
    near = []
    for number in range(64):
        row, column = 300 + 30 * (number // 8), 400 + 30 * (number % 8)
        rows, columns = draw.uniform(16, 30, 2)
        near.append((float(row), float(column), float(row + rows), float(column + columns)))
    scattered = [a_box(draw) for _ in range(64)]
    for name, boxes, reach in (("neighbouring", near, NEAR), ("scattered", scattered, SCATTERED)):
        prompter = Prompter(model)
        prompts = [Prompt(box=box) for box in boxes]
        source = ArraySource(image)
        prompter.segment(source, prompts)
        crops = prompter.encoded
        times = [timed(prompter.segment, source, prompts)[0] for _ in range(3)]
        tell(f"64 {name} boxes, {crops} crops", times, reach)
        if peer is not None:
            theirs = sam_seconds(peer, boxes)
            ratio = theirs / statistics.median(times)
            good = "yes" if ratio >= TIMES_FASTER else "NO"
            print(
                f"  SAM ViT-B, embedding and 64 masks: {theirs:.1f} s, {ratio:.1f} times as long; "
                f"reach {TIMES_FASTER}: {good}"
            )


def sam() -> Any:
    from segment_anything import sam_model_registry

    return sam_model_registry["vit_b"]().eval()


def sam_seconds(model: Any, boxes: list[Box]) -> float:
    """What `SamPredictor.set_image` and `predict_torch` compute, for an image of SAM's own size."""
    corners = torch.tensor([[b[1], b[0], b[3], b[2]] for b in boxes])
    with torch.inference_mode():
        start = time.perf_counter()
        features = model.image_encoder(torch.zeros(1, 3, SIDE, SIDE))
        sparse, dense = model.prompt_encoder(points=None, boxes=corners, masks=None)
        low, _ = model.mask_decoder(
            image_embeddings=features,
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        masks = model.postprocess_masks(low, (SIDE, SIDE), (SIDE, SIDE)) > model.mask_threshold
        assert masks.shape == (64, 1, SIDE, SIDE)
        return time.perf_counter() - start


def in_a_row(model: Any, image: np.ndarray, count: int) -> None:
    """Prompts one after another on changing images."""
    draw = np.random.default_rng(3)
    prompter, source = Prompter(model), ArraySource(image)
    process = psutil.Process()
    times: list[float] = []
    memory: list[int] = []
    tenth = max(1, count // 10)
    for number in range(count):
        box = a_box(draw)
        key = f"image {number // 100}"
        times.append(timed(prompter.segment, source, [Prompt(box=box)], key=key)[0])
        if (number + 1) % tenth == 0:
            gc.collect()
            memory.append(process.memory_info().rss)
            middle = statistics.median(times[-tenth:])
            print(f"  {number + 1:,}: {1e3 * middle:.1f} ms, {memory[-1] / 1e6:,.0f} MB")
    early, late = statistics.median(times[tenth : 2 * tenth]), statistics.median(times[-tenth:])
    # The first tenth fills the cache of encodings.
    grown = (memory[-1] - memory[min(2, len(memory) - 1)]) / 1e6
    print(
        f"{count:,} prompts in a row: {1e3 * early:.1f} ms at first, {1e3 * late:.1f} ms at last; "
        f"memory grew by {grown:.0f} MB after the cache was full"
    )


if __name__ == "__main__":
    main()

"""SyncSAM's networks: SAM's where they are SAM, and the paper's switches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from segment_anything import sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor, nn

from napari_coseg.models.syncsam.config import (
    SYNCSAM_34,
    SYNCSAM_50,
    SYNCSAM_LITE,
    SyncSamConfig,
)
from napari_coseg.models.syncsam.network import SyncSamNetwork
from napari_coseg.models.syncsam.prompts import NEGATIVE, PADDING, POSITIVE, PromptBatch
from napari_coseg.models.syncsam.sam_weights import load_sam

SIDE, WIDE = 64, 32
SMALL = SyncSamConfig(
    side=SIDE, width=24, depth=4, heads=2, window=3, cnn="resnet10t", embedding=WIDE
)
BOX = [5.0, 10.0, 30.0, 50.0]


def change(**values: Any) -> SyncSamConfig:
    return SyncSamConfig.model_validate(SMALL.model_dump() | values)


def sam(side: int = SIDE) -> Sam:
    """Build segment-anything's own network, as small as `SMALL`."""
    grid = side // 16
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=side,
            embed_dim=24,
            depth=4,
            num_heads=2,
            out_chans=WIDE,
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(0, 1, 2, 3),
        ),
        prompt_encoder=PromptEncoder(WIDE, (grid, grid), (side, side), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=WIDE,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=WIDE, mlp_dim=8 * WIDE, num_heads=8
            ),
        ),
    )


def stirred(network: Any) -> Any:
    """Give every tensor random values: what begins at zero hides what is wrong."""
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(0.2 * torch.randn_like(value))
    return network.eval()


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, SIDE, SIDE)


def only(count: int = 1) -> Tensor:
    return torch.zeros(count, dtype=torch.int64)


@pytest.mark.parametrize("what", ["box", "points", "both", "box and mask"])
def test_with_sams_parts_it_is_sam(images: Tensor, what: str) -> None:
    torch.manual_seed(0)
    theirs = stirred(sam())
    # The CNN's bridges begin at zero, and so does the multi-scale branch.
    ours = SyncSamNetwork(change(med_token=False)).eval()
    load_sam(ours, theirs.state_dict())
    box = torch.tensor([BOX]) if "b" in what else None
    points = labels = masks = None
    if what in ("points", "both"):
        points = torch.tensor([[[20.0, 30.0], [50.0, 3.0]]])
        labels = torch.tensor([[POSITIVE, NEGATIVE]])
    if "mask" in what:
        masks = torch.randn(1, SIDE // 4, SIDE // 4)
    with torch.inference_mode():
        sparse, dense = theirs.prompt_encoder(
            points=None if points is None else (points.flip(-1), labels),
            # SAM's corners are pixels, x before y; ours end before the last edge.
            boxes=None if box is None else torch.tensor([[10.0, 5.0, 49.0, 29.0]]),
            masks=None if masks is None else masks[:, None],
        )
        expected, _ = theirs.mask_decoder(
            image_embeddings=theirs.image_encoder(images[:1]),
            image_pe=theirs.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        found = ours(images[:1], only(), PromptBatch(box, points, labels, masks))
    assert found.shape == (1, SIDE // 4, SIDE // 4)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected[:, 0], rtol=1e-4, atol=1e-5)


def test_objects_of_a_batch_do_not_meet(images: Tensor) -> None:
    torch.manual_seed(0)
    network = stirred(SyncSamNetwork(change(details=True)))
    nan = float("nan")
    mask = torch.randn(SIDE // 4, SIDE // 4)
    every = PromptBatch(
        boxes=torch.tensor([BOX, [nan] * 4, [nan] * 4]),
        points=torch.tensor([[[0.0, 0.0]] * 2, [[20.0, 30.0], [9.0, 9.0]], [[1.0, 2.0]] * 2]),
        labels=torch.tensor(
            [[PADDING, PADDING], [POSITIVE, NEGATIVE], [POSITIVE, PADDING]],
        ),
        masks=torch.stack([torch.full_like(mask, nan), torch.full_like(mask, nan), mask]),
    )
    numbers = torch.tensor([1, 0, 1])
    with torch.inference_mode():
        together = network(images, numbers, every)
        assert torch.isfinite(together).all()
        for which in range(3):
            alone = PromptBatch(
                *(
                    value[which : which + 1]
                    for value in (every.boxes, every.points, every.labels, every.masks)
                    if value is not None
                )
            )
            one = network(images[numbers[which]][None], only(), alone)
            torch.testing.assert_close(together[which], one[0], rtol=1e-4, atol=1e-5)
        assert (together[0] - together[2]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "values",
    [
        {"cnn": ""},
        {"vit": False},
        {"fusion": "single"},
        {"med_token": False},
        {"multi_scale": False},
        {"details": True},
        {"vit": False, "multi_scale": False, "med_token": False},
    ],
)
def test_each_switch_trains(images: Tensor, values: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = change(**{"freeze_vit": False} | values)
    network = SyncSamNetwork(config).train()
    logits = network(images, torch.tensor([0, 1, 1]), PromptBatch(torch.tensor([BOX] * 3)))
    assert logits.shape == (3, SIDE // 4, SIDE // 4)
    logits.square().mean().backward()
    moved = {name for name, value in network.named_parameters() if value.grad is not None}
    parts = ("encoder.vit.", "encoder.cnn.", "decoder.multi_scale.", "decoder.details.")
    for part in parts:
        there = any(name.startswith(part) for name in moved)
        wanted = {
            "encoder.vit.": config.vit,
            "encoder.cnn.": bool(config.cnn),
            "decoder.multi_scale.": config.multi_scale,
            "decoder.details.": config.details,
        }[part]
        assert there == wanted, part


def test_the_cnn_is_heard_in_every_stage(images: Tensor) -> None:
    """Each bridge, and no other way, carries the CNN into the embedding."""
    torch.manual_seed(0)
    network = SyncSamNetwork(SMALL).eval()
    assert len(network.encoder.bridges) == 4
    with torch.inference_mode():
        silent = network.encode(images)
        for bridge in network.encoder.bridges:
            nn.init.normal_(bridge.convolution.weight, std=0.1)  # type: ignore[union-attr,arg-type]
            heard = network.encode(images)
            assert not torch.allclose(heard.embedding, silent.embedding, atol=1e-4)
            nn.init.zeros_(bridge.convolution.weight)  # type: ignore[union-attr,arg-type]
        torch.testing.assert_close(network.encode(images).embedding, silent.embedding)
    single = SyncSamNetwork(change(fusion="single"))
    assert len(single.encoder.bridges) == 1


def test_a_frozen_vit_stays(images: Tensor) -> None:
    network = SyncSamNetwork(SMALL).train()
    network(images, only(), PromptBatch(torch.tensor([BOX]))).mean().backward()
    frozen = [n for n, value in network.named_parameters() if not value.requires_grad]
    assert all(n.startswith(("encoder.vit.", "encoder.neck.")) for n in frozen)
    assert {n.split(".")[1] for n in frozen} == {"vit", "neck"}
    assert network.encoder.bridges[0].convolution.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_positions_of_another_size(images: Tensor) -> None:
    torch.manual_seed(0)
    large = stirred(sam(4 * SIDE))
    with torch.no_grad():
        large.image_encoder.pos_embed.fill_(0.75)
    network = SyncSamNetwork(change(med_token=False))
    filled = load_sam(network, large.state_dict())
    assert "encoder.vit.pos_embed" in filled
    position = network.encoder.vit.pos_embed
    assert position.shape == (1, 4, 4, 24)
    torch.testing.assert_close(position, torch.full_like(position, 0.75))
    # As segment-anything itself shortens them when it runs.
    ours = network.encoder.vit.blocks[3].attn.rel_pos_h
    theirs = large.image_encoder.blocks[3].attn.rel_pos_h
    torch.testing.assert_close(get_rel_pos(4, 4, ours), get_rel_pos(4, 4, theirs))


def test_a_checkpoint_that_is_none() -> None:
    state = sam().state_dict()
    network = SyncSamNetwork(SMALL)
    missing = {name: value for name, value in state.items() if "upscaling" not in name}
    with pytest.raises(ValueError, match=r"without mask_decoder\.output_upscaling"):
        load_sam(network, missing)
    name = "mask_decoder.output_upscaling.0.weight"
    with pytest.raises(ValueError, match=r"upscaling\.0\.weight is"):
        load_sam(network, state | {name: state[name][:3]})


def test_a_network_without_sams_vit_takes_the_decoder() -> None:
    state = sam().state_dict()
    for config in (change(vit=False), change(width=48)):
        filled = load_sam(SyncSamNetwork(config), state)
        assert filled
        assert all(name.startswith(("prompt_encoder.sam.", "decoder.")) for name in filled)


@pytest.mark.parametrize(
    ("config", "total", "trained"), [(SYNCSAM_34, 116, 26), (SYNCSAM_50, 138, 48)]
)
def test_the_papers_networks_take_the_published_checkpoint(
    config: SyncSamConfig, total: float, trained: float
) -> None:
    """Names and shapes are those of SAM's ViT-B file; the paper says how many parameters."""
    network = SyncSamNetwork(config)
    with torch.device("meta"):
        names = {name: value.shape for name, value in sam_model_registry["vit_b"]().named_buffers()}
        names |= {n: value.shape for n, value in sam_model_registry["vit_b"]().named_parameters()}
    state = {n: torch.full(s, 0.5) for n, s in names.items() if not n.startswith("pixel_")}
    filled = load_sam(network, state)
    own = network.state_dict()
    new = set(own) - set(filled)
    parts = {".".join(name.split(".")[:2]) for name in new}
    assert parts == {"encoder.cnn", "encoder.bridges", "decoder.multi_scale"}
    torch.testing.assert_close(own["encoder.vit.pos_embed"], torch.full((1, 16, 16, 768), 0.5))
    every = sum(value.numel() for value in network.parameters()) / 1e6
    learnt = sum(v.numel() for v in network.parameters() if v.requires_grad) / 1e6
    # Its multi-scale branch and its bridges are described in words alone.
    assert every == pytest.approx(total, rel=0.04)
    assert learnt == pytest.approx(trained, abs=7)


def test_the_small_one_is_small() -> None:
    network = SyncSamNetwork(SYNCSAM_LITE)
    parameters = list(network.parameters())
    assert sum(value.numel() for value in parameters) < 12e6
    assert all(value.requires_grad for value in parameters if value.is_floating_point())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"vit": False, "cnn": ""}, "a ViT, a cnn, or both"),
        ({"vit": False, "fusion": "single"}, "it needs vit"),
        ({"cnn": "", "details": True}, "need a cnn"),
        ({"heads": 5}, "multiple of heads"),
        ({"side": 100}, "multiple of 32"),
        ({"depth": 6}, "multiple of 4"),
    ],
)
def test_what_does_not_fit_together(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        change(**values)


def test_prompts_that_are_none(images: Tensor) -> None:
    network = SyncSamNetwork(SMALL)
    with pytest.raises(ValueError, match="0 prompts for 1"):
        network(images, only(), PromptBatch())
    with pytest.raises(ValueError, match="no prompt"):
        network.prompt_encoder(PromptBatch())
    with pytest.raises(ValueError, match="needs a label"):
        network(images, only(), PromptBatch(points=torch.zeros(1, 1, 2)))


@pytest.mark.parametrize(
    ("cnn", "left"),
    [
        # Its stem is a row of convolutions with a norm behind, which stays.
        ("resnet10t", 1),
        ("tf_efficientnet_lite0", 0),
    ],
)
def test_folded_norms_change_nothing_but_rounding(cnn: str, left: int) -> None:
    torch.manual_seed(0)
    network = SyncSamNetwork(change(cnn=cnn, details=True))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    network.eval()
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        before = network.encode(images)
        network.fold_norms()
        network.fold_norms()
        after = network.encode(images)
    norms = [m for m in network.encoder.cnn.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == left
    for one, other in zip(
        (before.embedding, *before.details), (after.embedding, *after.details), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("what", ["box", "box and mask"])
def test_folded_positions_change_nothing_but_rounding(images: Tensor, what: str) -> None:
    torch.manual_seed(0)
    network = stirred(SyncSamNetwork(change(details=True)))
    masks = torch.randn(3, SIDE // 4, SIDE // 4) if "mask" in what else None
    prompts = PromptBatch(boxes=torch.tensor([BOX] * 3), masks=masks)
    numbers = torch.tensor([1, 0, 1])
    names = set(network.state_dict())
    with torch.no_grad():
        encoding = network.encode(images)
        before = network.decode(encoding, numbers, prompts)
        network.fold_norms()
        after = network.decode(encoding, numbers, prompts)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)
    assert before.std() > 1e-3
    # What is kept is no part of the weights.
    kept = {name for name in network.state_dict() if "transformer" in name}
    assert kept == {name for name in names if "transformer" in name}


def test_objects_learn_the_same_from_a_shared_image_as_alone(images: Tensor) -> None:
    torch.manual_seed(0)
    network = stirred(SyncSamNetwork(change(details=True)))
    boxes = torch.tensor([BOX, [3.0, 8.0, 30.0, 31.0]])

    def learnt(*parts: Tensor) -> dict[str, Tensor]:
        network.zero_grad()
        for part in parts:
            found = network(images[:1], only(len(part)), PromptBatch(part))
            found.square().sum().backward()
        return {
            name: parameter.grad.clone()
            for name, parameter in network.named_parameters()
            if parameter.grad is not None
        }

    together, alone = learnt(boxes), learnt(boxes[:1], boxes[1:])
    assert together.keys() == alone.keys()
    assert any("transformer" in name for name in together)
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, alone[name], rtol=1e-3, atol=1e-4, msg=name)

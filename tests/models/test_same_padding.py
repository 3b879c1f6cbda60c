"""Convolutions with "same" padding give what timm's give."""

from __future__ import annotations

import itertools

import pytest
import timm
import torch
from timm.layers import Conv2dSame

from napari_coseg.models.same_padding import SameConv2d, pad_kernels


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), itertools.product((1, 2, 3, 5), (1, 2, 3), (1, 2))
)
def test_the_same_numbers_and_gradients(kernel: int, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    theirs = Conv2dSame(6, 6, kernel, stride=stride, dilation=dilation, groups=2)
    ours = SameConv2d.of(theirs)
    for rows, columns in ((8, 8), (9, 8), (8, 13), (7, 5)):
        image = torch.randn(2, 6, rows, columns)
        wanted, found = theirs(image), ours(image)
        torch.testing.assert_close(found, wanted)
        wanted_gradient = torch.autograd.grad(wanted.square().sum(), theirs.weight)[0]
        gradient = torch.autograd.grad(found.square().sum(), ours.weight)[0]
        torch.testing.assert_close(gradient, wanted_gradient, atol=1e-4, rtol=1e-4)


def test_a_network_keeps_its_names_and_answers() -> None:
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False)
    network.eval()
    names = list(network.state_dict())
    image = torch.randn(1, 3, 96, 128)
    with torch.inference_mode():
        before = network(image)
        pad_kernels(network)
        after = network(image)
    assert list(network.state_dict()) == names
    kinds = [type(module) for module in network.modules()]
    assert Conv2dSame not in kinds
    assert kinds.count(SameConv2d) == 5
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)

"""The selective scan against its definition, and the state space module."""

from __future__ import annotations

import sys
import types
from itertools import pairwise

import pytest
import torch

from napari_coseg.models.coseg import chunked_scan as chunks
from napari_coseg.models.coseg.selective_scan import (
    choose_kernel,
    reference_scan,
    selective_scan,
)
from napari_coseg.models.coseg.state_space import StateSpace
from napari_coseg.types import CosegError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def make(length, *, batch=2, channels=6, states=4, step=0.1, dtype=torch.float32, device=CPU):
    """Arguments of a scan; `step` is the largest delta, the largest |A| is 4."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def uniform(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    values = [
        normal(batch, channels, length),
        uniform(batch, channels, length) * step,
        -4 * uniform(channels, states),
        normal(batch, states, length),
        normal(batch, states, length),
        normal(channels),
    ]
    return [value.to(device, dtype).requires_grad_() for value in values]


def with_gradients(scan, arguments, **options):
    """Output and all gradients of a scan, under weights that depend on the place alone."""
    y = scan(*arguments, **options)
    weights = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).view(y.shape).to(y)
    given = [value for value in arguments if value is not None]
    return [y, *torch.autograd.grad((y * weights).sum(), given)]


def assert_same(results, expected, relative):
    for result, value in zip(results, expected, strict=True):
        assert torch.isfinite(result).all()
        error = (result.double() - value.double()).abs().max()
        assert error <= relative * value.double().abs().max()


# 1e-4 and 800: exponents from nearly nothing to -3,200, where a division by the product of the
# decays, or an exponential of its inverse, overflows.
@pytest.mark.parametrize("step", [1e-4, 0.1, 5.0, 800.0])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("chunk", [None, 1, 64, 1000])
def test_equals_the_definition(length, chunk, step):
    arguments = make(length, step=step)
    # The reference in double precision: the difference is then the error of ours alone.
    exact = [value.detach().double().requires_grad_() for value in arguments]
    results = with_gradients(selective_scan, arguments, chunk=chunk)
    assert all(result.dtype == torch.float32 for result in results)
    assert_same(results, with_gradients(reference_scan, exact), 1e-4)


@pytest.mark.parametrize("step", [0.1, 800.0])
@pytest.mark.parametrize("length", [64, 65, 200])
def test_bfloat16_in_and_out(length, step):
    arguments = make(length, step=step, dtype=torch.bfloat16)
    exact = [value.detach().double().requires_grad_() for value in arguments]
    results = with_gradients(selective_scan, arguments, chunk=64)
    assert all(result.dtype == torch.bfloat16 for result in results)
    assert_same(results, with_gradients(reference_scan, exact), 2e-2)


def test_float64_gradients_by_finite_differences():
    arguments = make(5, channels=2, states=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *a: selective_scan(*a, chunk=2), arguments)


def test_a_large_state_and_a_long_scan():
    """Many default chunks, the last one not full: states survive from chunk to chunk."""
    arguments = make(1030, batch=3, channels=128, states=8, step=0.01)
    assert 1030 % chunks._default_chunk(3 * 128 * 8, CPU)
    exact = [value.detach().double().requires_grad_() for value in arguments]
    assert_same(
        with_gradients(selective_scan, arguments), with_gradients(reference_scan, exact), 1e-4
    )


def test_without_skip():
    arguments = [*make(65)[:-1], None]
    assert_same(
        with_gradients(selective_scan, arguments, chunk=16),
        with_gradients(reference_scan, arguments),
        1e-4,
    )


def test_any_memory_order():
    """Sequences come with channels last in memory, and a gradient may be expanded or strided."""
    arguments = make(65)
    turned = [
        value.detach().mT.contiguous().mT.requires_grad_() if value.dim() == 3 else value
        for value in arguments
    ]
    assert_same(
        with_gradients(selective_scan, turned), with_gradients(selective_scan, arguments), 1e-6
    )
    grads = torch.autograd.grad(selective_scan(*arguments).sum(), arguments)
    expected = torch.autograd.grad(reference_scan(*arguments).sum(), arguments)
    assert_same(grads, expected, 1e-4)


def test_zero_decay_and_zero_step():
    """A = 0 sums the inputs; delta = 0 keeps the state."""
    u, delta, A, B, C, _ = (value.detach() for value in make(20))
    y = selective_scan(u, delta, 0 * A, B, C, chunk=8)
    sums = torch.einsum("bdtn,bnt->bdt", torch.einsum("bdt,bnt->bdtn", delta * u, B).cumsum(2), C)
    torch.testing.assert_close(y, sums, rtol=1e-4, atol=1e-5)
    delta[..., 5:] = 0
    C = torch.ones_like(C)
    y = selective_scan(u, delta, A, B, C, chunk=8)
    torch.testing.assert_close(y[..., 5:], y[..., 4:5].expand_as(y[..., 5:]))


@pytest.mark.parametrize("length", [1, 2, 5, 8, 37])
@pytest.mark.parametrize("backwards", [False, True])
def test_both_forms_of_the_recurrence(length, backwards):
    generator = torch.Generator().manual_seed(length)
    factors = torch.rand(length - 1, 3, generator=generator)
    values = torch.randn(length, 3, generator=generator)
    expected = values.clone()
    order = list(range(length))[:: -1 if backwards else 1]
    for before, here in pairwise(order):
        expected[here] += factors[min(before, here)] * expected[before]
    for run in (chunks.run_by_position, chunks.run_by_doubling):
        result = values.clone()
        run(factors, result, backwards=backwards)
        torch.testing.assert_close(result, expected)


def test_doubling_form_of_the_whole_scan(monkeypatch):
    """What runs on a GPU without mamba_ssm, on a CPU."""
    assert chunks.recurrence(CUDA) is chunks.run_by_doubling
    assert chunks.recurrence(CPU) is chunks.run_by_position
    monkeypatch.setattr(chunks, "recurrence", lambda device: chunks.run_by_doubling)
    for step in (0.1, 800.0):
        arguments = make(65, step=step)
        assert_same(
            with_gradients(selective_scan, arguments, chunk=16),
            with_gradients(reference_scan, arguments),
            1e-4,
        )


def test_autocast_has_no_effect():
    arguments = make(100)
    expected = with_gradients(selective_scan, arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = with_gradients(selective_scan, arguments)
    for result, value in zip(results, expected, strict=True):
        assert torch.equal(result, value)


@pytest.mark.parametrize("place", [1, 2, 3, 4, 5])
def test_shapes_that_do_not_fit(place):
    arguments = make(8)
    arguments[place] = arguments[place][..., :1]  # would broadcast
    with pytest.raises(CosegError, match="needs"):
        selective_scan(*arguments)


def test_other_wrong_arguments():
    arguments = make(8)
    with pytest.raises(CosegError, match="chunk"):
        selective_scan(*arguments, chunk=0)
    with pytest.raises(CosegError, match="named 'magic'"):
        selective_scan(*arguments, implementation="magic")
    with pytest.raises(CosegError, match="shape"):
        selective_scan(arguments[0][0], *arguments[1:])
    with pytest.raises(CosegError, match="one position"):
        selective_scan(*(value[..., :0] if value.dim() == 3 else value for value in arguments))


@pytest.fixture
def fake_mamba(monkeypatch):
    """A package mamba_ssm whose scan notes its calls and computes the definition."""
    calls = []

    def selective_scan_fn(*arguments):
        calls.append(arguments)
        return reference_scan(*arguments)

    interface = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = selective_scan_fn
    monkeypatch.setitem(sys.modules, "mamba_ssm", types.ModuleType("mamba_ssm"))
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", types.ModuleType("mamba_ssm.ops"))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    return selective_scan_fn, calls


def test_mamba_only_on_cuda(fake_mamba):
    kernel, calls = fake_mamba
    assert choose_kernel("auto", CUDA, torch.float32) is kernel
    assert choose_kernel("mamba", CUDA, torch.bfloat16) is kernel
    assert choose_kernel("chunked", CUDA, torch.float32) is None
    assert choose_kernel("auto", CPU, torch.float32) is None
    assert choose_kernel("auto", CUDA, torch.float64) is None
    selective_scan(*make(8))
    assert calls == []
    with pytest.raises(CosegError, match="mamba_ssm"):
        selective_scan(*make(8), implementation="mamba")


def test_mamba_gets_float32(fake_mamba, monkeypatch):
    kernel, calls = fake_mamba
    monkeypatch.setattr("napari_coseg.models.coseg.selective_scan.choose_kernel", lambda *_: kernel)
    arguments = make(8, dtype=torch.bfloat16)
    y = selective_scan(*arguments)
    assert y.dtype == torch.bfloat16
    assert [value.dtype for value in calls[0]] == [torch.float32] * 6
    torch.testing.assert_close(y, selective_scan(*arguments, implementation="chunked"))


def test_mamba_missing_or_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    # A missing package is what "auto" expects; None in sys.modules names the module.
    assert choose_kernel("auto", CUDA, torch.float32) is None
    with pytest.raises(CosegError, match="mamba_ssm"):
        choose_kernel("mamba", CUDA, torch.float32)
    # Installed, but its compiled part does not load: said aloud.
    interface = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    monkeypatch.setitem(sys.modules, "mamba_ssm", types.ModuleType("mamba_ssm"))
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", types.ModuleType("mamba_ssm.ops"))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    with pytest.warns(RuntimeWarning, match="cannot be imported"):
        assert choose_kernel("auto", CUDA, torch.float32) is None


@pytest.mark.parametrize("implementation", ["chunked", "mamba"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_cuda(implementation, dtype):
    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    if implementation == "mamba":
        pytest.importorskip("mamba_ssm", reason="the optional package mamba_ssm is not installed")
    for step in (0.1, 800.0):
        arguments = make(200, step=step, dtype=dtype, device=CUDA)
        exact = [value.detach().double().requires_grad_() for value in arguments]
        results = with_gradients(selective_scan, arguments, implementation=implementation)
        relative = 1e-4 if dtype == torch.float32 else 2e-2
        assert_same(results, with_gradients(reference_scan, exact), relative)


def module(dim=32, **options):
    torch.manual_seed(0)
    return StateSpace(dim, **options)


def test_module_starts_as_mamba():
    model = module(32, state_size=4)
    assert model.dt_rank == 2
    assert {"A_log", "D"} <= dict(model.named_parameters()).keys()
    rates = model.A_log.exp()
    torch.testing.assert_close(rates, torch.arange(1.0, 5.0).expand(32, 4))
    assert torch.equal(model.D, torch.ones(32))
    steps = torch.nn.functional.softplus(model.dt_proj.bias)
    assert steps.min() >= 0.999e-3
    assert steps.max() <= 1.001e-1
    assert steps.max() > 2 * steps.min()


def test_module_is_its_formula():
    model = module(32, state_size=4, dt_rank=3)
    x = torch.randn(2, 50, 32)
    rank, B, C = (x @ model.x_proj.weight.T).split([3, 4, 4], dim=-1)
    delta = torch.nn.functional.softplus(rank @ model.dt_proj.weight.T + model.dt_proj.bias)
    expected = reference_scan(x.mT, delta.mT, -model.A_log.exp(), B.mT, C.mT, model.D).mT
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_module_is_causal():
    model = module()
    x = torch.randn(1, 40, 32)
    changed = x.clone()
    changed[:, 25:] += 1
    with torch.no_grad():
        before, after = model(x), model(changed)
    assert torch.equal(before[:, :25], after[:, :25])
    assert not torch.allclose(before[:, 25:], after[:, 25:])


def test_module_under_autocast_trains():
    model = module(64)
    x = torch.randn(2, 65, 64)
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert (y - exact).abs().max() <= 2e-2 * exact.abs().max()
    y.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_module_learns_to_remember():
    """The first position's sign, at every later position: nothing but the state can carry it."""
    model = module(8)
    head = torch.nn.Linear(8, 1)
    optimiser = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.02)
    sign = torch.tensor([1.0, -1.0]).repeat(8)
    x = torch.randn(16, 12, 8)
    x[:, 0] = sign[:, None] * 2
    for _ in range(60):
        loss = (head(model(x))[:, -1, 0] - sign).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.5


@pytest.mark.parametrize("options", [{"dim": 0}, {"state_size": 0}, {"dt_rank": 0}])
def test_module_refuses_empty_sizes(options):
    with pytest.raises(CosegError, match="at least one"):
        StateSpace(**{"dim": 8, **options})

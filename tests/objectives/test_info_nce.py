import pytest
import torch
from torch.nn import functional as F

from globalworkspace.objectives import info_nce as module
from globalworkspace.objectives.info_nce import info_nce


def naive(first, second, scale):
    """Two cross-entropies over one matrix of logits, as it is usually written."""
    logits = scale * F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def inputs(rows, width=5, scale=14.3, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(rows, width, generator=generator, dtype=dtype) for _ in "ab")
    return [v.requires_grad_() for v in (first, second, torch.tensor(scale, dtype=dtype))]


def outcome(function, values, **options):
    loss = function(*values, **options)
    return loss.detach(), torch.autograd.grad(3 * loss, values)


@pytest.mark.parametrize("scale", [0.1, 14.3, 100.0, 300.0, 1000.0])
@pytest.mark.parametrize("rows", [2, 7, 64])
def test_loss_and_gradients_are_those_of_two_cross_entropies(rows, scale):
    values = inputs(rows, scale=scale)
    (loss, grads), (expected, wanted) = outcome(info_nce, values), outcome(naive, values)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kept", [0, 1 << 25])
@pytest.mark.parametrize("entries", [1, 50, 130])
def test_stretches_change_nothing(monkeypatch, entries, kept):
    values = inputs(23)
    whole, wanted = outcome(info_nce, values)
    monkeypatch.setattr(module, "CHUNK_ENTRIES", entries)
    monkeypatch.setattr(module, "KEPT_ENTRIES", kept)
    loss, grads = outcome(info_nce, values)
    torch.testing.assert_close(loss, whole, rtol=1e-12, atol=1e-12)
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [20.0, 60.0, 100.0])
def test_float32_is_as_good_as_float32_can_be_even_at_large_scales(scale):
    rows = inputs(64, width=2, scale=scale, dtype=torch.float32)
    with torch.no_grad():
        rows[1][:] = -rows[0]  # the worst case: every row's own partner is the farthest of all
    loss, grads = outcome(info_nce, rows, max_scale=scale)
    doubles = [v.detach().double().requires_grad_() for v in rows]
    expected, wanted = outcome(naive, doubles)
    assert loss.dtype == torch.float32 and all(g.dtype == torch.float32 for g in grads)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad.double(), want, rtol=1e-4, atol=1e-5)


def test_under_autocast_the_sums_stay_in_full_precision():
    values = inputs(32, dtype=torch.float32)
    alone, _ = outcome(info_nce, values)
    with torch.autocast("cpu", torch.bfloat16):
        cast, _ = outcome(info_nce, values)
        assert outcome(info_nce, [v.detach().bfloat16().requires_grad_() for v in values])[0] > 0
    torch.testing.assert_close(cast, alone, rtol=0, atol=0)


def test_nothing_of_the_size_of_all_pairs_is_kept_for_the_backward_pass():
    def largest(function):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ):
            function(*inputs(100))
        return max(sizes)

    assert largest(info_nce) <= 100 * 5
    assert largest(naive) >= 100 * 100  # the plain way does


def test_a_known_bound_spares_reading_the_scale(monkeypatch):
    values = inputs(8)

    def read(self):
        raise AssertionError("the scale was read from the device")

    for name in ("__float__", "item", "tolist", "__bool__", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, name, read)
    info_nce(*values, max_scale=20.0).backward()
    with pytest.raises(AssertionError, match="read from the device"):
        info_nce(*values)

"""The choice of arithmetic changes rounding, and nothing else."""

import tiny
import torch

from helpers.arithmetic import EXACT, FAST, Arithmetic, arithmetic_for, computed


def test_a_cpu_is_exact_and_a_gpu_fast():
    assert arithmetic_for(torch.device("cpu")) == EXACT and arithmetic_for(torch.device("cuda")) == FAST
    assert str(EXACT) == "float32" and str(FAST) == "bfloat16 autocast, compiled"


def test_autocast_rounds_and_returns_float32():
    unet = tiny.pipeline().unet
    g = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 4, 8, 8, generator=g), torch.tensor([1, 500, 999]), torch.randn(3, 24, 16, generator=g)
    exact = computed(unet, EXACT, hooked=False)(*inputs)
    rounded = computed(unet, Arithmetic(autocast=True, compiled=False), hooked=False)(*inputs)
    assert exact.dtype == rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.05)

"""How far a run-step in a sweep is from the arithmetic limit of this machine, and where the rest of its time goes."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.train import training

log = logging.getLogger(__name__)
SIDE = 2048
"""Of the square matrices whose product says what the machine can do."""
STEPS = 6
KINDS = {
    "convolutions": ("conv",),
    "products": ("mm", "bmm", "linear", "gemm"),
    "attention": ("scaled_dot_product", "softmax", "flash"),
    "norms": ("norm",),
    "copies": ("copy", "cat", "clone", "contiguous", "index", "fill", "zero"),
    "elementwise": ("mul", "add", "gelu", "silu", "sigmoid", "div", "sub", "pow", "where", "sum", "mean"),
}
"""Groups of operators by what their names contain, the first one that fits."""


def compare(method: str, runs: int, seconds: float) -> dict[str, object]:
    """Arithmetic of a run-step, what it would take at this machine's best, and the shares of kinds of operators.

    Args:
        method: "inversion" or "finetuning".
        runs: in the sweep.
        seconds: that a run-step takes.
    """
    train = training(method, runs)
    flops = (counted(train, 3) - counted(train, 1)) / 2 / runs
    best = flops_per_second()
    found = {
        "gflop": flops / 1e9,
        "gflop_per_second_of_a_large_product": best / 1e9,
        "limit_seconds": flops / best,
        "share_of_the_limit": flops / best / seconds,
        "where": shares(train),
    }
    log.info(
        "%s: %.2f GFLOP a run-step, %.0f%% of the limit", method, found["gflop"], 100 * found["share_of_the_limit"]
    )
    log.info("%s: %s", method, {kind: f"{share:.0%}" for kind, share in found["where"].items()})
    return found


def counted(train: Callable[[int], object], steps: int) -> int:
    """Floating-point operations of products and convolutions in a training of some steps."""
    with FlopCounterMode(display=False) as counter:
        train(steps)
    return counter.get_total_flops()


def flops_per_second() -> float:
    """Of a large float32 product, the median of a few."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    one, times = torch.randn(SIDE, SIDE, device=device), []
    for _ in range(7):
        began = time.perf_counter()
        (one @ one)[0, 0].item()
        times.append(time.perf_counter() - began)
    return 2 * SIDE**3 / statistics.median(times)


def shares(train: Callable[[int], object]) -> dict[str, float]:
    """Of the time of a training's operators, by kind; what Python does between them is not in it."""
    on_gpu = torch.cuda.is_available()
    train(1)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiled:
        train(STEPS)
    spent = dict.fromkeys([*KINDS, "others"], 0.0)
    for event in profiled.key_averages():
        spent[kind_of(event.key)] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    return {kind: time_of / sum(spent.values()) for kind, time_of in spent.items()}


def kind_of(operator: str) -> str:
    """The group of an operator."""
    return next((kind for kind, parts in KINDS.items() if any(part in operator for part in parts)), "others")

"""A training loop that ends with the same weights however often it is killed and started again.

Everything random in a step is drawn from (seed, stage, step), so a checkpoint holds weights, EMA
and Adam's moments only: safetensors, written aside and renamed.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from helpers.files import aside

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """How a training went, for the model card."""

    steps: int
    loss: float
    """Mean over the last logged steps."""
    seconds: float
    """Spent training, over all starts."""
    parameters: int
    threads: int


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first 4% of the steps, then a cosine to zero."""
    warm = max(1, round(0.04 * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def fit(
    *,
    name: str,
    module: nn.Module,
    loss: Callable[[int], Tensor],
    steps: int,
    learning_rate: float,
    path: Path,
    checkpoint_every: int,
    ema_decay: float = 0.0,
    weight_decay: float = 0.0,
    log_every: int = 50,
) -> Fitted:
    """Train `module` in place for `steps` of AdamW on `loss(step)`; with `ema_decay` it ends with the averaged weights.

    Goes on from the checkpoint at `path` if there is one.
    """
    parameters = {key: p for key, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
    )
    average = {key: p.detach().clone() for key, p in parameters.items()} if ema_decay else {}
    begun = load_checkpoint(path, parameters, average, optimizer) if path.exists() else {}
    start, before = int(begun.get("step", 0)), begun.get("seconds", 0.0)
    module.train()
    latest, began = deque([begun["loss"]] if begun else [], maxlen=log_every), time.monotonic()
    for step in range(start, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, steps, learning_rate)
        value = loss(step)
        value.backward()
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if ema_decay:
            decay = min(ema_decay, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.values()), [p.detach() for p in parameters.values()], 1 - decay)
        latest.append(float(value.detach()))
        seconds = time.monotonic() - began
        if (step + 1) % log_every == 0:
            pace, loss_now = seconds / (step + 1 - start), sum(latest) / len(latest)
            text = "%s: step %d of %d, loss %.5f, %.2f s a step, %.0f min left"
            log.info(text, name, step + 1, steps, loss_now, pace, pace * (steps - step - 1) / 60)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            progress = {"step": step + 1, "seconds": before + seconds, "loss": sum(latest) / len(latest)}
            save_checkpoint(path, progress, parameters, average, optimizer)
    with torch.no_grad():
        for key, value in average.items():
            parameters[key].copy_(value)
    module.eval()
    return Fitted(
        steps=steps,
        loss=sum(latest) / len(latest),
        seconds=before + time.monotonic() - began,
        parameters=sum(p.numel() for p in parameters.values()),
        threads=torch.get_num_threads(),
    )


def save_checkpoint(
    path: Path,
    progress: dict[str, float],
    parameters: dict[str, Tensor],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write weights, average and Adam's moments aside, then rename."""
    tensors = {f"weight/{key}": p.detach() for key, p in parameters.items()}
    tensors |= {f"average/{key}": value for key, value in average.items()}
    for key, p in parameters.items():
        tensors |= {f"{moment}/{key}": optimizer.state[p][moment] for moment in ("exp_avg", "exp_avg_sq")}
    write_tensors(path, tensors, {key: str(value) for key, value in progress.items()})


def load_checkpoint(
    path: Path, parameters: dict[str, Tensor], average: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, float]:
    """Read what `save_checkpoint` wrote into the given tensors; returns the progress: finished steps, seconds, loss."""
    with safe_open(path, framework="pt") as file, torch.no_grad():
        progress = {key: float(value) for key, value in file.metadata().items()}
        for key, p in parameters.items():
            p.copy_(file.get_tensor(f"weight/{key}"))
            moments = {moment: file.get_tensor(f"{moment}/{key}").to(p.device) for moment in ("exp_avg", "exp_avg_sq")}
            moments = {moment: torch.empty_like(p).copy_(value) for moment, value in moments.items()}
            optimizer.state[p] = {"step": torch.tensor(progress["step"], device=p.device), **moments}
        for key, value in average.items():
            value.copy_(file.get_tensor(f"average/{key}"))
    return progress


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file, written aside and renamed."""
    with aside(path) as part:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part, metadata=metadata)

"""The one training loop: R runs advance together, one record a step, and no file is written.

Runs that share a plan see the same images, noise and timesteps, so they share one batch of the UNet:
a sweep costs hardly more arithmetic than its runs apart, and far fewer calls. What is trained and what
the loss is come in as a state and a function, so that token rows and adapters share the loop.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from helpers.plan import Plan, StepPlan
from helpers.progress import BATCH_PROGRESS

log = logging.getLogger(__name__)

BETAS, EPSILON = (0.9, 0.999), 1e-8
Shapes = dict[str, tuple[int, ...]]


@dataclass
class TrainState:
    """All that a training of R runs of P parameters each changes; saving it is saving the training."""

    values: Tensor
    """[R, P] float, requires a gradient."""
    learning_rates: Tensor
    """[R, 1], constant; [R, P] where a run's parameters have different ones."""
    first: Tensor
    """[R, P], Adam's mean of the gradient."""
    second: Tensor
    """[R, P], Adam's mean of its square."""
    failed_at: Tensor
    """[R] step whose loss or gradient was not finite, -1 where all were; the values are those before it."""
    step: int = 0
    """Updates made so far, the one being made included."""


Update = Callable[[TrainState, Tensor], Tensor]
"""State and gradients [R, P] to new values [R, P]; may change the state's moments."""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What one step was like, for each of R runs."""

    step: int
    """Number of the step, from 0."""
    loss: Tensor
    """[R], before the update."""
    gradient_norm: Tensor
    """[R] Euclidean norm over all parameters of the run, before clipping."""
    moved: Tensor
    """[R] Euclidean length of the update; 0 for a run that failed."""


def start(values: Tensor, *, learning_rates: Tensor) -> TrainState:
    """A fresh state at values [R, P], which are copied; learning rates [R] or [R, P]."""
    values = values.detach().clone()
    learning_rates = learning_rates.unflatten(0, (-1, 1)) if learning_rates.ndim == 1 else learning_rates
    return TrainState(
        values=values.requires_grad_(True),
        learning_rates=learning_rates.to(values),
        first=torch.zeros_like(values),
        second=torch.zeros_like(values),
        failed_at=torch.full((len(values),), -1, device=values.device),
    )


def unpack(values: Tensor, shapes: Shapes) -> dict[str, Tensor]:
    """Values [R, P] as named tensors [R, *shape], which share their memory and their gradient."""
    parts = values.split([math.prod(shape) for shape in shapes.values()], dim=1)
    return {name: part.unflatten(1, shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def pack(tensors: dict[str, Tensor]) -> Tensor:
    """Named tensors [R, ...] as values [R, P], the inverse of `unpack`."""
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], dim=1)


def train(
    state: TrainState,
    *,
    loss: Callable[[StepPlan, Tensor], Tensor],
    plan: Plan,
    steps: int,
    largest_gradient: float = math.inf,
    update: Update | None = None,
) -> Iterator[StepRecord]:
    """Advance the state to `steps` updates, one record each.

    A run whose loss or gradient is not finite keeps the values it had; it stays in the batch, so that the others are
    what they would have been, and its step is recorded in the state. The training ends when all have failed.

    Args:
        state: is changed.
        loss: draws of a step and values [R, P] to the runs' losses [R]; run r's depends on values[r] alone.
        plan: shared by the runs.
        steps: updates in the end.
        largest_gradient: a run's gradient is scaled down to this norm.
        update: how values move; `adam` if it is not given.
    """
    while state.step < steps and bool((state.failed_at < 0).any()):
        losses = loss(plan.step(state.step).to(state.values.device), state.values)
        (gradient,) = torch.autograd.grad(losses.sum(), [state.values])
        gradient = torch.where(state.learning_rates > 0, gradient, 0)  # what rests has no part in the norm
        norms = gradient.norm(dim=1)
        failing = (state.failed_at < 0) & ~(losses.isfinite() & norms.isfinite())
        if failing.any():
            state.failed_at = torch.where(failing, state.step, state.failed_at)
            log.warning("step %d is not finite in run %s", state.step, failing.nonzero().flatten().tolist())
        alive = (state.failed_at < 0)[:, None]
        gradient = torch.where(alive, gradient * (largest_gradient / norms).clamp(max=1)[:, None], 0)
        state.step += 1
        with torch.no_grad():
            moved = torch.where(alive, (update or adam)(state, gradient), state.values)
            distance = (moved - state.values).norm(dim=1)
            state.values.copy_(moved)
        yield StepRecord(step=state.step - 1, loss=losses.detach(), gradient_norm=norms, moved=distance)


def adam(state: TrainState, gradient: Tensor, *, ages: Tensor | None = None) -> Tensor:
    """New values [R, P] by Adam (Kingma and Ba, 1412.6980, algorithm 1), each run at its own learning rate.

    Args:
        state: its moments are changed.
        gradient: [R, P].
        ages: updates of each value [R, P], this one included, where some joined late; else all the state's.
    """
    ages = state.step if ages is None else ages.to(state.values)
    state.first.lerp_(gradient, 1 - BETAS[0])
    state.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    rates = state.learning_rates / (1 - BETAS[0] ** ages)
    return state.values - rates * state.first / (state.second.sqrt() / (1 - BETAS[1] ** ages) ** 0.5 + EPSILON)


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a training was like."""

    values: dict[int, Tensor]
    """[R, P] by the number of updates, on the CPU: at the logged ones and after the last."""
    history: dict[str, Tensor]
    """loss, gradient_norm and moved [steps, R], float64, as in StepRecord."""


def followed(
    state: TrainState, steps: Iterator[StepRecord], *, total: int, logged: Collection[int], title: str
) -> Course:
    """Make the steps of a training, with a bar of progress, and keep what is wanted of them."""
    values, records = {}, []
    for record in tqdm(steps, total=total, desc=title, unit="step", **BATCH_PROGRESS):
        records.append(record)
        if state.step in logged:
            values[state.step] = state.values.detach().cpu().clone()
    values[state.step] = state.values.detach().cpu().clone()
    history = {
        name: torch.stack([getattr(record, name) for record in records]).double().cpu()
        for name in ("loss", "gradient_norm", "moved")
    }
    return Course(values=values, history=history)

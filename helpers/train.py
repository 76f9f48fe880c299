"""The one training loop: R runs advance together, one record a step, and no file is written.

Runs that share a plan see the same images, noise and timesteps, so they share one batch of the UNet:
a sweep costs hardly more arithmetic than its runs apart, and far fewer calls. What is trained and what
the loss is come in as a state and a function, so that token rows and adapters share the loop.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDPMScheduler, SchedulerMixin, UNet2DConditionModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from helpers.arithmetic import arithmetic_for, computed
from helpers.models import through_vae
from helpers.plan import Plan, StepPlan

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
        losses = loss(plan.step(state.step), state.values)
        (gradient,) = torch.autograd.grad(losses.sum(), [state.values])
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


def adam(state: TrainState, gradient: Tensor) -> Tensor:
    """New values [R, P] by Adam (Kingma and Ba, 1412.6980, algorithm 1), each run at its own learning rate."""
    state.first.lerp_(gradient, 1 - BETAS[0])
    state.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    rates = state.learning_rates / (1 - BETAS[0] ** state.step)
    return state.values - rates * state.first / (state.second.sqrt() / (1 - BETAS[1] ** state.step) ** 0.5 + EPSILON)


@dataclass(frozen=True, kw_only=True)
class LatentMoments:
    """The VAE's posteriors of N images and of their mirror images, in the UNet's units."""

    mean: Tensor
    """[2, N, C, h, w]: as they are, mirrored."""
    std: Tensor
    """[2, N, C, h, w]."""

    def draw(self, step: StepPlan) -> Tensor:
        """Latents [B, C, h, w] of one step."""
        flips, images = step.flips.long().to(self.mean.device), step.images.to(self.mean.device)
        return self.mean[flips, images] + self.std[flips, images] * step.vae_noise.to(self.mean)


@torch.no_grad()
def latent_moments(vae: AutoencoderKL, images: Tensor) -> LatentMoments:
    """Encode uint8 images [N, 3, S, S] once for all steps: the VAE is frozen."""
    scaled = images.to(device=vae.device, dtype=vae.dtype) / 127.5 - 1
    both = torch.cat([scaled, scaled.flip(-1)])
    posteriors = [vae.encode(chunk).latent_dist for chunk in both.split(through_vae(images.shape[-1]))]
    mean = torch.cat([posterior.mean for posterior in posteriors]) * vae.config.scaling_factor
    std = torch.cat([posterior.std for posterior in posteriors]) * vae.config.scaling_factor
    return LatentMoments(mean=mean.unflatten(0, (2, -1)), std=std.unflatten(0, (2, -1)))


def training_schedule(scheduler: SchedulerMixin) -> DDPMScheduler:
    """The forward process of a pipeline's scheduler, whichever sampler the pipeline came with."""
    return DDPMScheduler.from_config(scheduler.config)


def prediction_target(schedule: DDPMScheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What the UNet should predict: the noise, the velocity (Salimans and Ho, 2202.00512) or the latents.

    Raises:
        ValueError: the schedule's prediction_type is another.
    """
    match schedule.config.prediction_type:
        case "epsilon":
            return noise
        case "v_prediction":
            return schedule.get_velocity(latents, noise, timesteps)
        case "sample":
            return latents
    raise ValueError(f"prediction_type {schedule.config.prediction_type!r} has no training target")


Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Noisy latents [B, C, h, w], timesteps [B] and text states [R, B, L, D] to predictions [R, B, C, h, w]."""


def predictor(unet: UNet2DConditionModel, *, hooked: bool = False) -> Predict:
    """The UNet's predictions for R runs that see the same noisy latents, in one batch, float32 or better.

    `hooked` says that adapters will be hooked in, which keeps the UNet from being compiled.
    """
    forward = computed(unet, arithmetic_for(unet.device), hooked=hooked)

    def predict(noisy: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        runs = len(states)
        repeated = noisy.repeat(runs, 1, 1, 1), timesteps.repeat(runs)
        return forward(*repeated, states.flatten(0, 1)).unflatten(0, (runs, -1))

    return predict


def in_parts(predict: Predict, most: int) -> Predict:
    """The same predictions with no more than about `most` pictures in memory, 0 being all of them.

    Each part is computed once more in the pass back, which takes a third more time (Chen et al., 1604.06174). The
    adapters that `predict` hooks in are there again then, as they are in the whole UNet's own checkpoints not.
    """

    def predict_parts(noisy: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        each = max(1, most // len(states))
        if not most or each >= len(noisy):
            return predict(noisy, timesteps, states)
        parts = zip(noisy.split(each), timesteps.split(each), states.split(each, dim=1), strict=True)
        return torch.cat([checkpoint(predict, *part, use_reentrant=False) for part in parts], dim=1)

    return predict_parts


def denoising_losses(
    predict: Predict,
    schedule: DDPMScheduler,
    latents: Tensor,
    text_states: Tensor,
    step: StepPlan,
    *,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the UNet's prediction (2208.01618, equation 2) for each of R runs, [R].

    Args:
        predict: see `predictor`.
        schedule: adds the noise.
        latents: [B, C, h, w], clean, the same for all runs.
        text_states: [R, B, L, D], the conditioning of each run.
        step: supplies noise [B, C, h, w] and timesteps [B].
        weights: [B, 1, h, w] of each place in the mean; all the same if they are not given.
    """
    noise, timesteps = step.noise.to(latents), step.timesteps.to(latents.device)
    predicted = predict(schedule.add_noise(latents, noise, timesteps), timesteps, text_states)
    error = (predicted - prediction_target(schedule, latents, noise, timesteps)).square()
    return (error if weights is None else weights * error).flatten(1).mean(1)

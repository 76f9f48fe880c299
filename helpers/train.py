"""The one training loop: it advances a state, yields a record a step, and writes no file.

What is trained and what the loss is come in as a state and a function, so that token rows and
adapters share the loop. The denoising objective they share is here too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDPMScheduler, SchedulerMixin, StableDiffusionPipeline
from torch import Tensor
from torch.nn import functional

from helpers.plan import Plan, StepPlan

log = logging.getLogger(__name__)

ENCODE_BATCH = 8


@dataclass
class TrainState:
    """All that a training changes; saving it is saving the training."""

    parameters: list[Tensor]
    """Leaf tensors that require a gradient."""
    optimizer: torch.optim.Optimizer
    """Over these parameters."""
    step: int = 0
    """Updates made so far."""
    failed_at: int | None = None
    """Step whose loss or gradient was not finite; the parameters are those before it."""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What one step was like."""

    step: int
    """Number of the step, from 0."""
    loss: float
    """Mean squared error of the prediction, before the update."""
    gradient_norm: float
    """Euclidean norm over all parameters."""


def adam(parameters: list[Tensor], *, learning_rate: float) -> TrainState:
    """A fresh state with Adam at a constant learning rate and no weight decay."""
    return TrainState(parameters=parameters, optimizer=torch.optim.Adam(parameters, lr=learning_rate))


def train(state: TrainState, *, loss: Callable[[StepPlan], Tensor], plan: Plan, steps: int) -> Iterator[StepRecord]:
    """Advance the state to `steps` updates, one record each.

    A step whose loss or gradient is not finite changes nothing; it is recorded in the state and ends
    the training.
    """
    while state.step < steps and state.failed_at is None:
        value = loss(plan.step(state.step))
        gradients = torch.autograd.grad(value, state.parameters)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        record = StepRecord(step=state.step, loss=value.item(), gradient_norm=norm.item())
        if torch.isfinite(value) and torch.isfinite(norm):
            for parameter, gradient in zip(state.parameters, gradients, strict=True):
                parameter.grad = gradient
            state.optimizer.step()
            state.step += 1
        else:
            state.failed_at = state.step
            log.warning("step %d is not finite (loss %s, gradient %s): training ends", state.step, value, norm)
        yield record


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
    posteriors = [vae.encode(chunk).latent_dist for chunk in both.split(ENCODE_BATCH)]
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


def denoising_loss(
    pipeline: StableDiffusionPipeline,
    schedule: DDPMScheduler,
    latents: Tensor,
    text_states: Tensor,
    step: StepPlan,
) -> Tensor:
    """Mean squared error of the UNet's prediction (2208.01618, equation 2), a scalar in float32.

    Args:
        pipeline: supplies the UNet.
        schedule: adds the noise.
        latents: [B, C, h, w], clean.
        text_states: [B, L, D], the conditioning.
        step: supplies noise [B, C, h, w] and timesteps [B].
    """
    noise, timesteps = step.noise.to(latents), step.timesteps.to(latents.device)
    noisy = schedule.add_noise(latents, noise, timesteps)
    predicted = pipeline.unet(noisy, timesteps, encoder_hidden_states=text_states).sample
    target = prediction_target(schedule, latents, noise, timesteps)
    return functional.mse_loss(predicted.float(), target.float())

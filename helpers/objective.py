"""What the UNet is asked to do in training: latents, noise, predictions of R runs in one batch, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDPMScheduler, SchedulerMixin, UNet2DConditionModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from helpers.arithmetic import Arithmetic, arithmetic_for, computed
from helpers.models import through_vae
from helpers.plan import StepPlan


@dataclass(frozen=True, kw_only=True)
class LatentMoments:
    """The VAE's posteriors of N images and of their mirror images, in the UNet's units."""

    mean: Tensor
    """[2, N, C, h, w]: as they are, mirrored."""
    std: Tensor
    """[2, N, C, h, w]."""

    def draw(self, step: StepPlan) -> Tensor:
        """Latents [B, C, h, w] of one step."""
        flips = step.flips.long()
        return self.mean[flips, step.images] + self.std[flips, step.images] * step.vae_noise.to(self.mean)


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


def predictor(unet: UNet2DConditionModel, *, hooked: bool = False, arithmetic: Arithmetic | None = None) -> Predict:
    """The UNet's predictions for R runs that see the same noisy latents, in one batch, float32 or better.

    `hooked` says that adapters will be hooked in, which keeps the UNet from being compiled; `arithmetic` replaces the
    device's own.
    """
    forward = computed(unet, arithmetic or arithmetic_for(unet.device), hooked=hooked)

    def predict(noisy: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        runs = len(states)
        repeated = noisy.repeat(runs, 1, 1, 1), timesteps.repeat(runs)
        return forward(*repeated, states.flatten(0, 1)).unflatten(0, (runs, -1))

    return predict


def in_parts(predict: Predict, most: int) -> Predict:
    """The same predictions with at most `most` pictures of a pass in memory (or one of each run), 0 being all.

    Each part is computed once more in the pass back (Chen et al., 1604.06174), which takes a third more time. That
    calls `predict` again, so that adapters which it hooks in are there again; in diffusers' own checkpoints they
    would be missing.
    """

    def predict_parts(noisy: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        each = max(1, most // len(states))
        if not most or each >= len(noisy):
            return predict(noisy, timesteps, states)
        parts = zip(noisy.split(each), timesteps.split(each), states.split(each, dim=1), strict=True)
        return torch.cat([checkpoint(predict, *part, use_reentrant=False) for part in parts], dim=1)

    return predict_parts


def noised(schedule: DDPMScheduler, latents: Tensor, step: StepPlan) -> Tensor:
    """Latents [B, C, h, w] with the noise of their timesteps, x_t."""
    return schedule.add_noise(latents, step.noise.to(latents), step.timesteps)


def errors(
    schedule: DDPMScheduler, predicted: Tensor, latents: Tensor, step: StepPlan, *, weights: Tensor | None = None
) -> Tensor:
    """Mean squared error of predictions [R, B, C, h, w] of a step's noise, [R].

    Args:
        schedule: added the noise.
        predicted: for `noised` latents.
        latents: [B, C, h, w], clean, the same for all runs.
        step: supplies noise [B, C, h, w] and timesteps [B].
        weights: [B, 1, h, w] of each place in the mean; all the same if they are not given.
    """
    target = prediction_target(schedule, latents, step.noise.to(latents), step.timesteps)
    error = (predicted - target).square()
    return (error if weights is None else weights * error).flatten(1).mean(1)


def denoising_losses(
    predict: Predict, schedule: DDPMScheduler, latents: Tensor, text_states: Tensor, step: StepPlan
) -> Tensor:
    """The objective (2208.01618, equation 2) of each of R runs with text states [R, B, L, D], [R]; see `errors`."""
    predicted = predict(noised(schedule, latents, step), step.timesteps, text_states)
    return errors(schedule, predicted, latents, step)

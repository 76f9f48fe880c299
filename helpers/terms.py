"""Terms of a finetuning's loss: functions of one step of R runs.

A term may ask for the frozen model's prediction, which is that of the same UNet with the adapters off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from torch import Tensor

from helpers import tokens
from helpers.config import FinetuneConfig
from helpers.objective import Predict, denoising_losses, latent_moments, training_schedule
from helpers.plan import Plan, StepPlan


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a term of the loss sees: one step of R runs."""

    step: StepPlan
    """On the model's device."""
    latents: Tensor
    """[B, C, h, w], clean, of the training images."""
    noisy: Tensor
    """[B, C, h, w], the same with the step's noise: x_t."""
    states: Tensor
    """[R, B, L, D], of the step's prompts."""
    predicted: Tensor
    """[R, B, C, h, w], by the model as it is being tuned, for `noisy` and `states`."""
    predict: Predict
    """By the model as it is being tuned."""
    frozen: Predict
    """By the model as it was: the adapters off, no gradient. Of prompts without a token ask once for all runs, with
    states [1, B, L, D]."""


Term = Callable[[Problem], Tensor]
"""A problem to losses [R]; its weight is the configuration's `<name>_weight`."""


def prior_preservation(
    pipeline: StableDiffusionPipeline, class_images: Tensor, *, prompt: str, config: FinetuneConfig
) -> Term:
    """The loss on pictures that the model drew for its class, with the prompt they were drawn for (2208.12242, eq. 2).

    Args:
        pipeline: frozen.
        class_images: [M, 3, S, S] uint8, drawn by it before the finetuning.
        prompt: asked for them.
        config: seed, batch size and timestep range of the runs.
    """
    moments, schedule = latent_moments(pipeline.vae, class_images), training_schedule(pipeline.scheduler)
    with torch.no_grad():
        ids = tokens.tokenize(pipeline.tokenizer, [prompt]).to(moments.mean.device)
        states = tokens.encode(pipeline.text_encoder, ids)
    first, last = timesteps_of(config, schedule)
    plan = Plan(
        seed=config.seed,
        images=len(class_images),
        templates=1,
        batch_size=config.batch_size,
        latent_shape=tuple(moments.mean.shape[2:]),
        timesteps=last,
        first_timestep=first,
        flip_probability=0.0,
        purpose="prior",
    )

    def term(problem: Problem) -> Tensor:
        step = plan.step(problem.step.index).to(moments.mean.device)
        repeated = states.expand(len(problem.states), config.batch_size, -1, -1)
        return denoising_losses(problem.predict, schedule, moments.draw(step), repeated, step)

    return term


def timesteps_of(config: FinetuneConfig, schedule: DDPMScheduler) -> tuple[int, int]:
    """The timesteps that are trained on: from the first, below the last."""
    low, high = (round(share * schedule.config.num_train_timesteps) for share in config.timestep_range)
    return low, max(high, low + 1)

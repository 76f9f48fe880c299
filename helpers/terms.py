"""Terms of a finetuning's loss: functions of one step of R runs.

A term may ask for the frozen model's prediction, which is that of the same UNet with the adapters off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from helpers import tokens
from helpers.config import FinetuneConfig
from helpers.plan import Plan, StepPlan
from helpers.prompts import templates
from helpers.train import Predict, denoising_losses, latent_moments, training_schedule


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a term of the loss sees: one step of R runs."""

    step: StepPlan
    latents: Tensor
    """[B, C, h, w], clean, of the training images."""
    states: Tensor
    """[R, B, L, D], of the step's prompts."""
    predict: Predict
    """By the model as it is being tuned."""
    frozen: Predict
    """By the model as it was: the adapters off, no gradient."""


Term = Callable[[Problem], Tensor]
"""A problem to losses [R]; its weight is the configuration's `<name>_weight`."""


def prior_preservation(
    pipeline: StableDiffusionPipeline, class_images: Tensor, *, class_word: str, config: FinetuneConfig
) -> Term:
    """The loss on pictures that the model drew for its class, with the class prompt (2208.12242, equation 2).

    Args:
        pipeline: frozen.
        class_images: [M, 3, S, S] uint8, drawn by it before the finetuning.
        class_word: what they show.
        config: seed, batch size and templates of the runs.
    """
    moments, schedule = latent_moments(pipeline.vae, class_images), training_schedule(pipeline.scheduler)
    texts = templates(config.template_set)
    ids = tokens.prompt_ids(pipeline.tokenizer, texts, class_word, vectors=0).to(moments.mean.device)
    with torch.no_grad():
        states = tokens.encode(pipeline.text_encoder, ids)
    plan = Plan(
        seed=config.seed,
        images=len(class_images),
        templates=len(texts),
        batch_size=config.batch_size,
        latent_shape=tuple(moments.mean.shape[2:]),
        timesteps=schedule.config.num_train_timesteps,
        flip_probability=0.0,
        purpose="prior",
    )

    def term(problem: Problem) -> Tensor:
        step = plan.step(problem.step.index)
        repeated = states[step.templates].expand(len(problem.states), -1, -1, -1)
        return denoising_losses(problem.predict, schedule, moments.draw(step), repeated, step)

    return term

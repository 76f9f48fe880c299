"""Textual inversion (Gal et al., 2208.01618): find the token row that stands for a concept.

The model stays frozen; the only parameter is the row of the placeholder token, started from the
class word. Nothing here touches the pipeline's tokenizer or embedding table (see tokens.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from helpers import tokens
from helpers.config import BATCH_PROGRESS, InversionConfig, content_hash
from helpers.files import write_bytes
from helpers.plan import Plan, StepPlan
from helpers.prompts import templates
from helpers.train import StepRecord, adam, denoising_loss, latent_moments, train, training_schedule


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """A finished inversion."""

    config: InversionConfig
    initial: Tensor
    """[1, D] float32 on the CPU: the class word's row."""
    rows: Tensor
    """[1, D] float32 on the CPU: the learned row."""
    records: tuple[StepRecord, ...]
    """One a step."""
    failed_at: int | None
    """Step that was not finite, if one was; the row is the one before it."""


def class_row(pipeline: StableDiffusionPipeline, class_word: str) -> Tensor:
    """Initial row [1, D] of a class word: its embedding, the mean of them if it is several words.

    The paper asks for a single-token word; the mean is the extension for "toy dog".
    """
    ids = torch.tensor(tokens.class_word_ids(pipeline.tokenizer, class_word))
    table = pipeline.text_encoder.get_input_embeddings().weight
    return table[ids.to(table.device)].float().mean(dim=0, keepdim=True)


def invert(
    pipeline: StableDiffusionPipeline,
    images: Tensor,
    *,
    config: InversionConfig,
) -> Inversion:
    """Learn one token row from images.

    Args:
        pipeline: frozen, left as it is.
        images: [N, 3, S, S] uint8, S the pipeline's image size.
        config: what to train.

    Raises:
        InputError: the class word is not in the vocabulary, or there is no such template set.
    """
    texts = templates(config.template_set)
    initial = class_row(pipeline, config.class_word)
    rows = initial.clone().requires_grad_(True)
    ids = tokens.tokenize(pipeline.tokenizer, texts).to(rows.device)
    moments = latent_moments(pipeline.vae, images)
    schedule = training_schedule(pipeline.scheduler)
    plan = Plan(
        seed=config.seed,
        images=len(images),
        templates=len(texts),
        batch_size=config.batch_size,
        latent_shape=tuple(moments.mean.shape[2:]),
        timesteps=schedule.config.num_train_timesteps,
        flip_probability=config.flip_probability,
    )

    def loss(step: StepPlan) -> Tensor:
        states = tokens.encode(pipeline.text_encoder, ids[step.templates.to(ids.device)], rows=rows)
        return denoising_loss(pipeline, schedule, moments.draw(step), states, step)

    state = adam([rows], learning_rate=config.learning_rate)
    steps = train(state, loss=loss, plan=plan, steps=config.steps)
    records = tuple(tqdm(steps, total=config.steps, desc="textual inversion", unit="step", **BATCH_PROGRESS))
    return Inversion(
        config=config,
        initial=initial.cpu(),
        rows=rows.detach().cpu(),
        records=records,
        failed_at=state.failed_at,
    )


def inversion_hash(config: InversionConfig, *, pipeline: str, images: str) -> str:
    """Hash of a training: its configuration, template texts, and fingerprints of pipeline and images."""
    return content_hash("textual inversion", config, templates(config.template_set), pipeline, images)


def save_learned_embeds(path: Path, rows: Tensor, *, placeholder: str) -> None:
    """Write rows [K, D] as diffusers does (learned_embeds.safetensors), for `pipe.load_textual_inversion`."""
    vectors = rows.detach().to("cpu", torch.float32).contiguous()
    write_bytes(path, save({placeholder: vectors[0] if len(vectors) == 1 else vectors}))

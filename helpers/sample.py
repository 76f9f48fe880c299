"""Packed sampling: many prompts, one fixed batch size, one seed an image.

Image i of any prompt starts from the latents of (seed, "latents", i): the same noise under every
prompt and every learned row, so that conditions can be compared picture by picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

from helpers import tokens
from helpers.config import SamplingConfig
from helpers.plan import generator


def initial_latents(shape: tuple[int, int, int], *, indices: Sequence[int], seed: int) -> Tensor:
    """Standard normal latents [N, C, h, w] on the CPU, row n from the generator of image indices[n]."""
    draws = [torch.randn(shape, generator=generator(seed, "latents", index)) for index in indices]
    return torch.stack(draws)


def sample(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    indices: Sequence[int],
    config: SamplingConfig,
    rows: Tensor | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Tensor:
    """Draw one image a prompt, as `StableDiffusionPipeline.__call__` would from the same latents.

    Args:
        pipeline: supplies tokenizer, text encoder, UNet, VAE and noise schedule.
        prompts: N texts, with S* where rows are meant; repeated texts are encoded once.
        indices: N image indices, which choose the initial latents.
        config: solver steps, guidance, batch size and seed.
        rows: [K, D] learned rows of S*, if a prompt has it.
        on_batch: called with the number of images of each finished batch, for progress.

    Returns:
        [N, 3, S, S] uint8 on the CPU.
    """
    side = pipeline.unet.config.sample_size
    shape = (pipeline.unet.config.in_channels, side, side)
    states, which = _text_states(pipeline, prompts, rows=rows)
    images: list[Tensor] = []
    for start in range(0, len(prompts), config.batch_size):
        batch = [min(start + k, len(prompts) - 1) for k in range(config.batch_size)]
        latents = initial_latents(shape, indices=[indices[n] for n in batch], seed=config.seed)
        conditions = states[which[batch]]
        drawn = _denoise(pipeline, latents.to(states), conditions, states[-1:], config=config)
        images.append(_decode(pipeline, drawn)[: len(prompts) - start])
        on_batch(len(images[-1]))
    return torch.cat(images)


@torch.no_grad()
def _text_states(
    pipeline: StableDiffusionPipeline, prompts: Sequence[str], *, rows: Tensor | None
) -> tuple[Tensor, Tensor]:
    """States [P + 1, L, D] of the P different prompts and, last, of the empty one; which [N] is whose."""
    texts = list(dict.fromkeys(prompts))
    vectors = 1 if rows is None else len(rows)
    encoder = pipeline.text_encoder
    ids = tokens.tokenize(pipeline.tokenizer, [*texts, ""], vectors=vectors).to(encoder.device)
    rows = None if rows is None else rows.to(encoder.device)
    states = torch.cat([tokens.encode(encoder, part, rows=rows) for part in ids.split(64)])
    return states, torch.tensor([texts.index(prompt) for prompt in prompts])


@torch.no_grad()
def _denoise(
    pipeline: StableDiffusionPipeline, latents: Tensor, conditions: Tensor, empty: Tensor, *, config: SamplingConfig
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al., 2211.01095) with guidance in one batch, by a fresh scheduler."""
    solver = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++", solver_order=2
    )
    solver.set_timesteps(config.steps, device=latents.device)
    latents = latents * solver.init_noise_sigma
    guided = config.guidance_scale > 1
    states = torch.cat([empty.expand_as(conditions), conditions]) if guided else conditions
    for timestep in solver.timesteps:
        repeated = torch.cat([latents, latents]) if guided else latents
        predicted = pipeline.unet(
            solver.scale_model_input(repeated, timestep), timestep, encoder_hidden_states=states
        ).sample
        if guided:
            without, with_text = predicted.chunk(2)
            predicted = without + config.guidance_scale * (with_text - without)
        latents = solver.step(predicted, timestep, latents).prev_sample
    return latents


@torch.no_grad()
def _decode(pipeline: StableDiffusionPipeline, latents: Tensor) -> Tensor:
    """Latents [B, C, h, w] to images [B, 3, S, S] uint8 on the CPU."""
    parts = (latents / pipeline.vae.config.scaling_factor).split(8)  # large pictures need much memory to be decoded
    images = torch.cat([pipeline.vae.decode(part).sample for part in parts])
    return ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(device="cpu", dtype=torch.uint8)

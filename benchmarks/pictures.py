"""Pictures a second: our packed sampler against diffusers' pipeline at the same steps, and how equal they are."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from helpers.config import SamplingConfig
from helpers.models import load_pipeline
from helpers.sample import initial_latents, make_solver, sample
from helpers.world.captions import BACKGROUND_PHRASES

log = logging.getLogger(__name__)
ROUNDS = 3
EACH = 4
"""Pictures of each prompt: as many as people ask the plain pipeline for at once."""
PROMPTS = [f"an anime illustration of a character {phrases[0]}" for phrases in BACKGROUND_PHRASES.values()]


def compare() -> dict[str, object]:
    """Pictures a second of both, the paired ratio, and the largest difference of a pixel."""
    pipeline, config = load_pipeline("chibi"), SamplingConfig(batch_size=32)
    texts = [text for text in PROMPTS for _ in range(EACH)]
    indices = list(range(EACH)) * len(PROMPTS)

    def ours() -> Tensor:
        return sample(pipeline, texts, indices=indices, config=config)

    def theirs() -> Tensor:
        return torch.cat([plain(pipeline, text, config) for text in PROMPTS])

    drawn = ours(), theirs()
    rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    apart = (drawn[0].int() - drawn[1].int()).abs()
    found = {
        "ours_per_second": len(texts) / statistics.median(mine for mine, _ in rounds),
        "plain_per_second": len(texts) / statistics.median(other for _, other in rounds),
        "ratio": statistics.median(other / mine for mine, other in rounds),
        "largest_difference_of_255": int(apart.max()),
    }
    log.info("pictures a second: %.1f, plain pipeline %.1f", found["ours_per_second"], found["plain_per_second"])
    return found


def plain(pipeline: StableDiffusionPipeline, text: str, config: SamplingConfig) -> Tensor:
    """EACH pictures [n, 3, S, S] uint8 of one prompt by StableDiffusionPipeline.__call__, from the same latents."""
    side, own = pipeline.unet.config.sample_size, pipeline.scheduler
    pipeline.scheduler = make_solver(pipeline, config)
    try:
        latents = initial_latents((pipeline.unet.config.in_channels, side, side), indices=range(EACH), seed=config.seed)
        images = pipeline(
            text,
            num_images_per_prompt=EACH,
            latents=latents.to(pipeline.device),
            num_inference_steps=config.steps,
            guidance_scale=config.guidance_scale,
            output_type="np",
        ).images
    finally:
        pipeline.scheduler = own
    return torch.from_numpy(np.round(images * 255).astype(np.uint8)).permute(0, 3, 1, 2)


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began

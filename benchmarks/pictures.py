"""Pictures a second: our packed sampler against diffusers' pipeline at the same steps, and how equal they are.

The pipeline is asked as people ask it, for a few pictures of one prompt a call, and, to say what packing
alone brings, for as many as we pack into a batch.
"""

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
from helpers.models import CHIBI, load_pipeline
from helpers.sample import initial_latents, make_solver, sample
from helpers.world.captions import BACKGROUND_PHRASES

log = logging.getLogger(__name__)
ROUNDS = 3
EACH = 4
"""Pictures of each prompt: as many as people ask the plain pipeline for at once."""
PROMPTS = [f"an anime illustration of a character {phrases[0]}" for phrases in BACKGROUND_PHRASES.values()][:8]
"""As many as fill a batch of ours."""


def compare() -> dict[str, object]:
    """Pictures a second of each, the paired ratios, and the largest difference of a pixel."""
    pipeline, config = load_pipeline("chibi"), SamplingConfig(batch_size=EACH * len(PROMPTS))
    theirs = plain_pipeline(config)
    texts = [text for text in PROMPTS for _ in range(EACH)]

    def ours() -> Tensor:
        return sample(pipeline, texts, indices=list(range(EACH)) * len(PROMPTS), config=config)

    def by_prompt() -> Tensor:
        return torch.cat([plain(theirs, [text] * EACH, config) for text in PROMPTS])

    def in_one_call() -> Tensor:
        return plain(theirs, texts, config)

    ways = {"ours": ours, "plain": by_prompt, "plain_in_one_call": in_one_call}
    drawn = {name: way() for name, way in ways.items()}
    rounds = [{name: seconds(way) for name, way in ways.items()} for _ in range(ROUNDS)]
    found = {f"{name}_per_second": len(texts) / statistics.median(took[name] for took in rounds) for name in ways}
    for name in ("plain", "plain_in_one_call"):
        found[f"{name}_over_ours"] = statistics.median(took[name] / took["ours"] for took in rounds)
        found[f"{name}_largest_difference_of_255"] = int((drawn["ours"].int() - drawn[name].int()).abs().max())
    log.info("pictures: %s", {name: round(value, 2) for name, value in found.items()})
    return found


def plain_pipeline(config: SamplingConfig) -> StableDiffusionPipeline:
    """The embedded model as diffusers alone loads it, with the solver of a configuration."""
    pipeline = StableDiffusionPipeline.from_pretrained(CHIBI / "pipeline", safety_checker=None, use_safetensors=True)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = make_solver(pipeline, config)
    return pipeline


def plain(pipeline: StableDiffusionPipeline, texts: list[str], config: SamplingConfig) -> Tensor:
    """Pictures [n, 3, S, S] uint8 by StableDiffusionPipeline.__call__, EACH of a prompt, from the latents of ours."""
    side = pipeline.unet.config.sample_size
    indices = [n % EACH for n in range(len(texts))]
    latents = initial_latents((pipeline.unet.config.in_channels, side, side), indices=indices, seed=config.seed)
    images = pipeline(
        texts,
        latents=latents.to(pipeline.device),
        num_inference_steps=config.steps,
        guidance_scale=config.guidance_scale,
        output_type="np",
    ).images
    return torch.from_numpy(np.round(images * 255).astype(np.uint8)).permute(0, 3, 1, 2)


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began

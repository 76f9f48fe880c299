"""Measuring a token: images of prompts, their vectors, and scores with intervals over images.

Conditions are compared at the same image indices, so they start from the same noise: a difference
is paired. With one concept an interval speaks about other images of it, not about other concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from tqdm import tqdm

from helpers import scores
from helpers.config import BATCH_PROGRESS, SamplingConfig
from helpers.models import Scorer
from helpers.sample import Learned, sample
from helpers.stats import Interval, jackknife

CHUNK_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class Measured:
    """N images of each of P prompts, seen by a scorer."""

    prompts: tuple[str, ...]
    vectors: Tensor
    """[P, N, D] unit vectors."""
    images: Tensor
    """[P, K, 3, S, S] uint8: the first K images of each prompt, for contact sheets."""

    def of(self, prompts: Sequence[int]) -> Measured:
        """Only the prompts at these positions."""
        chosen = list(prompts)
        names = tuple(self.prompts[n] for n in chosen)
        return Measured(prompts=names, vectors=self.vectors[chosen], images=self.images[chosen])


def measure(
    pipeline: StableDiffusionPipeline,
    scorer: Scorer,
    prompts: Sequence[str],
    *,
    count: int,
    config: SamplingConfig,
    learned: Learned | None = None,
    keep: int = 8,
) -> Measured:
    """Draw images 0 to count - 1 of each prompt, packed into batches, and embed them.

    Args:
        pipeline: draws the images.
        scorer: embeds them.
        prompts: P texts, with S* where rows are meant.
        count: N, images of each prompt.
        config: of the sampler.
        learned: what one run learned; its rows stand for S*.
        keep: how many images of each prompt are kept; the others are embedded and dropped.
    """
    jobs = [(prompt, index) for prompt in prompts for index in range(count)]
    size = CHUNK_BATCHES * config.batch_size
    vectors, kept = [], []
    with tqdm(total=len(jobs), desc="drawing", unit="image", **BATCH_PROGRESS) as bar:
        for chunk in (jobs[start : start + size] for start in range(0, len(jobs), size)):
            texts, indices = [prompt for prompt, _ in chunk], [index for _, index in chunk]
            images = sample(pipeline, texts, indices=indices, config=config, learned=learned, on_batch=bar.update)
            vectors.append(scores.embed_images(scorer, images))
            kept.append(images[torch.tensor(indices) < keep])
    return Measured(
        prompts=tuple(prompts),
        vectors=torch.cat(vectors).unflatten(0, (len(prompts), count)),
        images=torch.cat(kept).unflatten(0, (len(prompts), min(keep, count))),
    )


def over_images(score: Callable[[Tensor], Tensor], *measured: Measured) -> Interval:
    """Interval over images of score(vectors), or of its difference between two conditions.

    Args:
        score: vectors [P, N, D] to a tensor whose mean is the number.
        measured: one condition, or two with the same images; then the first minus the second.
    """

    def statistic(drawn: np.ndarray) -> float:
        values = [score(condition.vectors[:, drawn]).mean().item() for condition in measured]
        return values[0] - sum(values[1:])

    return jackknife(statistic, n=measured[0].vectors.shape[1], unit="images")


def image_rows(
    condition: str, measured: Measured, templates: Sequence[str], *, references: Tensor, texts: Tensor
) -> pd.DataFrame:
    """One row an image: its mean cosine with the training images, and its cosine with its prompt's text.

    Args:
        condition: name of the condition.
        measured: images of P prompts.
        templates: the P prompts with S* in them, the same for all conditions.
        references: [M, D] unit vectors of the training images.
        texts: [P, D] unit vectors of the prompts without S*.
    """
    prompts, count = measured.vectors.shape[:2]
    return pd.DataFrame(
        {
            "condition": condition,
            "template": np.repeat(list(templates), count),
            "prompt": np.repeat(measured.prompts, count),
            "index": np.tile(np.arange(count), prompts),
            "reconstruction": scores.reconstruction(measured.vectors, references).flatten().numpy(),
            "text_cosine": (measured.vectors * texts.unsqueeze(1)).sum(dim=-1).flatten().numpy(),
        }
    )


def pairs_among(vectors: Tensor) -> Interval:
    """Mean cosine of all pairs of different images [N, D], N at least 3: what a perfect reconstruction would score."""

    def statistic(chosen: np.ndarray) -> float:
        cosines = vectors[chosen] @ vectors[chosen].T
        return cosines[~torch.eye(len(chosen), dtype=torch.bool)].mean().item()

    return jackknife(statistic, n=len(vectors), unit="training images")

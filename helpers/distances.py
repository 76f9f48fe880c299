"""How far a training has gone: along its path, from its start, and in what the model draws.

Distances between predictions are in epsilon, whatever the model predicts, so that models compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from helpers.objective import LatentMoments, Predict, prediction_target
from helpers.plan import generator

PROBE = 16
"""Pictures of a probe."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A fixed batch of noisy training images: the same at every step of every run of a seed."""

    schedule: DDPMScheduler
    latents: Tensor
    """[M, C, h, w], clean."""
    noise: Tensor
    """[M, C, h, w]."""
    timesteps: Tensor
    """[M]."""

    @property
    def noisy(self) -> Tensor:
        """[M, C, h, w]."""
        return self.schedule.add_noise(self.latents, self.noise, self.timesteps)

    def predicted(self, predict: Predict, states: Tensor) -> Tensor:
        """Predictions [R, M, C, h, w] with text states [R, L, D], one prompt for all images of a run."""
        return predict(self.noisy, self.timesteps, states.unsqueeze(1).expand(-1, len(self.latents), -1, -1))

    def epsilon(self, predicted: Tensor) -> Tensor:
        """Predictions [R, M, C, h, w] as predictions of the noise."""
        return as_epsilon(self.schedule, predicted, self.noisy, self.timesteps)

    def loss(self, predicted: Tensor) -> Tensor:
        """The objective without its noise, [R]: it falls where the training loss is too noisy to show it.

        After "Is This Loss Informative?" (2302.04841), which fixes images, noise and timesteps.
        """
        target = prediction_target(self.schedule, self.latents, self.noise, self.timesteps)
        return (predicted - target).square().flatten(1).mean(1)


def make_probe(moments: LatentMoments, schedule: DDPMScheduler, *, seed: int, size: int = PROBE) -> Probe:
    """A probe of `size` images, in turn, at timesteps spread evenly over the schedule."""
    count, steps = moments.mean.shape[1], schedule.config.num_train_timesteps
    g = generator(seed, "probe")
    which = torch.arange(size, device=moments.mean.device) % count
    noise = torch.randn(2, size, *moments.mean.shape[2:], generator=g).to(moments.mean)
    timesteps = ((torch.arange(size) + torch.rand(size, generator=g)) * (steps / size)).long()
    shuffled = timesteps[torch.randperm(size, generator=g)]  # else image i would always have the same noise level
    return Probe(
        schedule=schedule,
        latents=moments.mean[0, which] + moments.std[0, which] * noise[0],
        noise=noise[1],
        timesteps=shuffled.to(moments.mean.device),
    )


def as_epsilon(schedule: DDPMScheduler, predicted: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """Predictions [..., M, C, h, w] of any type as predictions of the noise (2202.00512, appendix D)."""
    kept = schedule.alphas_cumprod.to(predicted)[timesteps].view(-1, 1, 1, 1)
    match schedule.config.prediction_type:
        case "v_prediction":
            return kept.sqrt() * predicted + (1 - kept).sqrt() * noisy
        case "sample":
            return (noisy - kept.sqrt() * predicted) / (1 - kept).sqrt()
    return predicted


def function_distance(one: Tensor, other: Tensor) -> Tensor:
    """Root mean square difference of predictions [R, M, C, h, w], [R]; either may have one run for all."""
    return (one - other).square().flatten(1).mean(1).sqrt()


def of_rows(rows: Tensor, initial: Tensor) -> dict[str, Tensor]:
    """Where rows [R, K, D] are: distance from the start, length and cosine to the start, each [R], means over K."""
    return {
        "displacement": (rows - initial).norm(dim=-1).mean(-1),
        "norm": rows.norm(dim=-1).mean(-1),
        "cosine_to_start": torch.nn.functional.cosine_similarity(rows, initial, dim=-1).mean(-1),
    }

"""The seeded plan: everything random in a training, drawn by name and step.

Every draw comes from a CPU generator seeded by (seed, stream, index). Nothing depends on what was
drawn before, on the device or on how runs are packed into batches, so all learning rates and all
conditions of a seed see the same images, noise and timesteps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


def generator(seed: int, stream: str, *index: int) -> torch.Generator:
    """CPU generator of one named stream at one index, for example (0, "noise", step)."""
    digest = hashlib.sha256(repr((seed, stream, *index)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """The draws of one step of B images; latents have shape [C, h, w]."""

    index: int
    """Number of the step, from 0."""
    images: Tensor
    """[B] indices of training images."""
    flips: Tensor
    """[B] bool, true where the image is mirrored."""
    templates: Tensor
    """[B] indices of prompt templates."""
    vae_noise: Tensor
    """[B, C, h, w] standard normal, draws the latent from the VAE's posterior."""
    noise: Tensor
    """[B, C, h, w] standard normal, the diffusion noise."""
    timesteps: Tensor
    """[B] whole numbers, 0 to the scheduler's number of training timesteps, exclusive."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the draws range over; `plan.step(i)` makes those of step i."""

    seed: int
    images: int
    """Number of training images."""
    templates: int
    """Number of prompt templates."""
    batch_size: int
    latent_shape: tuple[int, int, int]
    """C, h, w of one latent."""
    timesteps: int
    """Number of training timesteps of the scheduler."""
    flip_probability: float

    def step(self, index: int) -> StepPlan:
        """Draws of step `index` (from 0), uniform over images, templates and timesteps."""
        data = generator(self.seed, "data", index)
        batch, latents = (self.batch_size,), (self.batch_size, *self.latent_shape)
        return StepPlan(
            index=index,
            images=torch.randint(self.images, batch, generator=data),
            flips=torch.rand(batch, generator=data) < self.flip_probability,
            templates=torch.randint(self.templates, batch, generator=data),
            vae_noise=torch.randn(latents, generator=generator(self.seed, "vae", index)),
            noise=torch.randn(latents, generator=generator(self.seed, "noise", index)),
            timesteps=torch.randint(self.timesteps, batch, generator=generator(self.seed, "timesteps", index)),
        )

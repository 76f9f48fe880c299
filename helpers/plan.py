"""The seeded plan: everything random in a training, drawn by name and step.

Every draw comes from a CPU generator seeded by (seed, stream, index). Nothing depends on what was
drawn before, on the device or on how runs are packed into batches, so all learning rates and all
conditions of a seed see the same images, noise and timesteps.
"""

from __future__ import annotations

import dataclasses
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

    def to(self, device: torch.device) -> StepPlan:
        """The same draws on another device."""
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **tensors)


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
    """Timesteps are below this, at most the scheduler's number of training timesteps."""
    flip_probability: float
    first_timestep: int = 0
    """Timesteps are not below this."""
    purpose: str = ""
    """Plans of one seed with different purposes draw independently: "" trains on the concept, "prior" on its class."""

    def step(self, index: int) -> StepPlan:
        """Draws of step `index` (from 0), uniform over images, templates and timesteps."""
        streams = {
            name: generator(self.seed, f"{self.purpose} {name}".strip(), index)
            for name in ("data", "vae", "noise", "timesteps")
        }
        batch, latents = (self.batch_size,), (self.batch_size, *self.latent_shape)
        return StepPlan(
            index=index,
            images=torch.randint(self.images, batch, generator=streams["data"]),
            flips=torch.rand(batch, generator=streams["data"]) < self.flip_probability,
            templates=torch.randint(self.templates, batch, generator=streams["data"]),
            vae_noise=torch.randn(latents, generator=streams["vae"]),
            noise=torch.randn(latents, generator=streams["noise"]),
            timesteps=torch.randint(self.first_timestep, self.timesteps, batch, generator=streams["timesteps"]),
        )

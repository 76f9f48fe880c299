"""How the UNet computes: in float32 on a CPU; on a GPU under bfloat16 autocast, compiled where nothing is hooked in.

The choice is a value of its own, so that a run can record it and a test can make another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """What was chosen."""

    autocast: bool
    """bfloat16 for products and convolutions; parameters and sums stay in float32."""
    compiled: bool
    """torch.compile; only where no adapters are hooked in, since each change of hooks would compile again."""

    def __str__(self) -> str:
        """For result.json."""
        return f"{'bfloat16 autocast' if self.autocast else 'float32'}{', compiled' if self.compiled else ''}"


EXACT = Arithmetic(autocast=False, compiled=False)
FAST = Arithmetic(autocast=True, compiled=True)


def arithmetic_for(device: torch.device) -> Arithmetic:
    """FAST on a GPU, else EXACT."""
    return FAST if device.type == "cuda" else EXACT


def computed(unet: UNet2DConditionModel, arithmetic: Arithmetic, *, hooked: bool) -> Callable[..., Tensor]:
    """The UNet as a function of (noisy latents, timesteps, text states) to predictions, float32 or better.

    Args:
        unet: is not changed.
        arithmetic: see there.
        hooked: whether adapters will be hooked in.
    """
    forward = compiled(unet) if arithmetic.compiled and not hooked else unet

    def predict(noisy: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        with torch.autocast(unet.device.type, torch.bfloat16, enabled=arithmetic.autocast):
            predicted = forward(noisy.to(unet.dtype), timesteps, encoder_hidden_states=states).sample
        return predicted.to(torch.promote_types(predicted.dtype, torch.float32))

    return predict


def compiled(unet: UNet2DConditionModel) -> Callable:
    """The UNet by torch.compile; on a machine without a working compiler torch says so and goes on without."""
    torch._dynamo.config.suppress_errors = True
    return torch.compile(unet)

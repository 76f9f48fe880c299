"""What one pass of the UNet takes, and how many pictures fit into memory at once."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from helpers.arithmetic import arithmetic_for, computed

SHARE_OF_MEMORY = 0.6
"""Of all there is, so that the answer is the same at every start."""
KEPT_FOR_BACKWARD = 3.0
"""Bytes at the peak of a training step over those of all layers' outputs: these are kept, with what layers keep inside
and the gradients that pass."""
WITHOUT_BACKWARD = 1.0
"""The same of a step of sampling, where most outputs are let go at once."""
MOST_PICTURES = {"cpu": 64, "cuda": 256}
"""In one batch of the UNet: larger ones are no faster."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """One pass of the UNet over one picture."""

    bytes: int
    """Of all layers' outputs together."""
    seconds: float
    """In a batch of several."""


@torch.no_grad()
def footprint_of(pipeline: StableDiffusionPipeline, *, pictures: int = 8) -> Footprint:
    """Measure one pass of the UNet."""
    unet, counted = pipeline.unet, []
    forward = computed(unet, arithmetic_for(pipeline.device), hooked=True)
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    options = {"device": pipeline.device, "dtype": unet.dtype}
    noisy = torch.zeros(pictures, unet.config.in_channels, side, side, **options)
    states = torch.zeros(pictures, pipeline.tokenizer.model_max_length, width, **options)

    def passed() -> None:
        forward(noisy, torch.zeros(pictures, device=pipeline.device), states)
        if pipeline.device.type == "cuda":
            torch.cuda.synchronize()

    def count(module: nn.Module, arguments: tuple, output: object) -> None:
        if isinstance(output, Tensor):
            counted.append(output.numel() * output.element_size())

    handles = [module.register_forward_hook(count) for module in unet.modules() if not list(module.children())]
    passed()
    for handle in handles:
        handle.remove()
    began = time.perf_counter()
    passed()
    return Footprint(bytes=sum(counted) // pictures, seconds=(time.perf_counter() - began) / pictures)


def pictures_that_fit(footprint: Footprint, *, device: torch.device, training: bool, share: float = 1.0) -> int:
    """How many pictures can pass through the UNet at once, 1 or more.

    Args:
        footprint: of one picture.
        device: whose memory it is.
        training: whether there will be a pass back.
        share: of the memory that is ours, where several processes use it.
    """
    on_gpu = device.type == "cuda"
    total = torch.cuda.get_device_properties(device).total_memory if on_gpu else psutil.virtual_memory().total
    each = (KEPT_FOR_BACKWARD if training else WITHOUT_BACKWARD) * footprint.bytes
    return max(1, min(int(share * SHARE_OF_MEMORY * total / each), MOST_PICTURES[device.type]))

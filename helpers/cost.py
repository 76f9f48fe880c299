"""What a sweep takes before it is started: how many runs fit into memory together, time, memory and disk."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from helpers.config import InversionConfig, ReferenceConfig
from helpers.evaluation import ON_SHEET
from helpers.grid import Batch, RunConfig
from helpers.lora import adapted_modules, adapter_shapes
from helpers.models import image_size
from helpers.workbench import prompts_of

SHARE_OF_MEMORY = 0.6
"""Of all there is, so that the answer is the same at every start."""
KEPT_FOR_BACKWARD = 3.0
"""Bytes at the peak of a training step over those of all layers' outputs: they are kept, with what layers keep inside
and the gradients that pass; benchmarks/bench.py measures it."""
MOST_PICTURES = {"cpu": 64, "cuda": 256}
"""In one batch of the UNet: larger ones are no faster."""
BACKWARD = 2.0
"""Time of the pass back over that of the pass forward."""
ROW_BYTES, SHEET_BYTES = 80, 9000
"""Of scores.parquet a picture, and of a contact sheet a picture of 64 pixels."""


@dataclass(frozen=True, kw_only=True)
class Forward:
    """One pass of the UNet over one picture."""

    bytes: int
    """Of all layers' outputs together."""
    seconds: float
    """In a batch of several."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a sweep, roughly."""

    runs: int
    pictures: int
    seconds: float
    memory: float
    """Bytes at the peak, beside the models."""
    disk: float
    """Bytes."""

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"{self.runs} runs and {self.pictures} pictures: about {duration(self.seconds)}, "
            f"{self.memory / 1e9:.1f} GB of memory beside the models, {self.disk / 1e6:.0f} MB on disk"
        )


def duration(seconds: float) -> str:
    """Seconds in words: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@torch.no_grad()
def forward_of(pipeline: StableDiffusionPipeline, *, pictures: int = 8) -> Forward:
    """Measure one pass of the UNet."""
    unet, counted = pipeline.unet, []
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    options = {"device": pipeline.device, "dtype": unet.dtype}
    noisy = torch.zeros(pictures, unet.config.in_channels, side, side, **options)
    states = torch.zeros(pictures, pipeline.tokenizer.model_max_length, width, **options)

    def passed() -> None:
        unet(noisy, torch.zeros(pictures, device=pipeline.device), encoder_hidden_states=states)
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
    return Forward(bytes=sum(counted) // pictures, seconds=(time.perf_counter() - began) / pictures)


def runs_that_fit(forward: Forward, *, batch_size: int, device: torch.device) -> int:
    """How many runs can train as one batch, 1 or more."""
    on_gpu = device.type == "cuda"
    total = torch.cuda.get_device_properties(device).total_memory if on_gpu else psutil.virtual_memory().total
    fit = SHARE_OF_MEMORY * total / (KEPT_FOR_BACKWARD * forward.bytes)
    return max(1, min(int(fit), MOST_PICTURES[device.type]) // batch_size)


def cost_of(batches: Sequence[Batch], forward: Forward, pipeline: StableDiffusionPipeline) -> Cost:
    """What these batches take on this machine, one after the other."""
    pictures = trained = drawn = disk = 0
    largest = 0.0
    for batch in batches:
        training, evaluation = batch[0].training, batch[0].evaluation
        together = len(batch) * training.batch_size
        trained += together * training.steps
        images = len(batch) * len({*training.checkpoints, training.steps}) * sum(prompts_of(evaluation)[1])
        pictures += images
        drawn += images * evaluation.sampling.steps * (2 if evaluation.sampling.guided else 1)
        disk += images * ROW_BYTES + sum(checkpoint_bytes(config, pipeline) for config in batch)
        shown = sum(min(ON_SHEET, count) for count in prompts_of(evaluation)[1])
        disk += len(batch) * shown * SHEET_BYTES * (image_size(pipeline) / 64) ** 2
        largest = max(largest, together * KEPT_FOR_BACKWARD * forward.bytes)
    return Cost(
        runs=sum(len(batch) for batch in batches),
        pictures=pictures,
        seconds=(trained * (1 + BACKWARD) + drawn) * forward.seconds,
        memory=largest,
        disk=disk,
    )


def checkpoint_bytes(config: RunConfig, pipeline: StableDiffusionPipeline) -> int:
    """Bytes of all checkpoints of a run."""
    training = config.training
    if isinstance(training, ReferenceConfig):
        return 0
    if isinstance(training, InversionConfig):
        values = training.vectors * pipeline.text_encoder.config.hidden_size
    else:
        shapes = adapter_shapes(adapted_modules(pipeline.unet, training.targets), training.rank)
        values = sum(math.prod(shape) for shape in shapes.values())
    return 4 * values * len({*training.checkpoints, training.steps})

"""What a sweep takes before it is started: time, memory and disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffusers import StableDiffusionPipeline

from helpers.config import InversionConfig, ReferenceConfig, ReuseConfig, SamplingConfig, logged_at, results_at
from helpers.distances import PROBE
from helpers.evaluation import ON_SHEET
from helpers.footprint import KEPT_FOR_BACKWARD, Footprint
from helpers.grid import Batch, RunConfig, Training, pictures_a_step, scored_at
from helpers.lora import adapted_modules, adapter_shapes
from helpers.models import image_size
from helpers.travelled import PROBED
from helpers.workbench import prompts_of

BACKWARD = 1.5
"""Time of the pass back over that of the pass before: gradients of activations, none of weights."""
ROW_BYTES, SHEET_BYTES = 250, 9000
"""Of scores.parquet and vectors.safetensors a picture, and of a contact sheet a picture of 64 pixels."""


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


def cost_of(batches: Sequence[Batch], footprint: Footprint, pipeline: StableDiffusionPipeline) -> Cost:
    """What these batches take on this machine, one after the other."""
    pictures = trained = drawn = disk = 0
    largest, counted = 0.0, set()
    for batch in batches:
        training, evaluation = batch[0].training, batch[0].evaluation
        together = sum(pictures_a_step(config.training) for config in batch)
        for config in batch:
            for learnt in (config.training, config.pivot):  # one that is scored in two ways is trained once
                if learnt and (what := (config.concept, config.images, learnt)) not in counted:
                    counted.add(what)
                    trained += pictures_a_step(learnt) * learnt.steps
        drawn += len(batch) * measured_pictures(training)
        if any(getattr(config.training, "prior_weight", 0) for config in batch):
            drawn += training.class_images * 2 * SamplingConfig().steps
        images = len(batch) * len(scored_at(batch[0])) * sum(prompts_of(evaluation)[1])
        pictures += images
        drawn += images * evaluation.sampling.steps * (2 if evaluation.sampling.guided else 1)
        disk += images * ROW_BYTES + sum(checkpoint_bytes(config, pipeline) for config in batch)
        shown = sum(min(ON_SHEET, count) for count in prompts_of(evaluation)[1])
        disk += len(batch) * shown * SHEET_BYTES * (image_size(pipeline) / 64) ** 2
        largest = max(largest, together * KEPT_FOR_BACKWARD * footprint.bytes)
    return Cost(
        runs=sum(len(batch) for batch in batches),
        pictures=pictures,
        seconds=(trained * (1 + BACKWARD) + drawn) * footprint.seconds,
        memory=largest,
        disk=disk,
    )


def measured_pictures(training: Training) -> int:
    """Pictures that pass through the UNet for the distances of a run."""
    if isinstance(training, ReferenceConfig | ReuseConfig):
        return 0
    return PROBE * len(logged_at(training)) * (1 if isinstance(training, InversionConfig) else len(PROBED))


def checkpoint_bytes(config: RunConfig, pipeline: StableDiffusionPipeline) -> int:
    """Bytes of all checkpoints of a run."""
    training = config.training
    if isinstance(training, ReferenceConfig | ReuseConfig):
        return 0
    if isinstance(training, InversionConfig):
        values = training.vectors * pipeline.text_encoder.config.hidden_size
    else:
        shapes = adapter_shapes(adapted_modules(pipeline.unet, training.targets), training.rank)
        values = sum(math.prod(shape) for shape in shapes.values())
    return 4 * values * len(results_at(training))

"""What a run learned, whichever way: made in batches, drawn from, written down."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from helpers.config import (
    FinetuneConfig,
    InputError,
    InversionConfig,
    ReferenceConfig,
    ReuseConfig,
    SamplingConfig,
    effective,
)
from helpers.finetune import finetune
from helpers.grid import Batch, RunConfig
from helpers.hashing import content_hash
from helpers.inversion import Inversion, inversion_hash, invert
from helpers.kept import Learnt, kept_trainings
from helpers.lora import Adapters, adapted_modules
from helpers.pivots import pivot_rows
from helpers.prompts import PAIR, PLACEHOLDER, placeholders, templates
from helpers.reused import reused
from helpers.sample import Learned, sample
from helpers.terms import Term, prior_preservation
from helpers.tokens import class_word_ids
from helpers.travelled import Start, travelled
from helpers.workbench import Workbench, at_once, fitting

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The model as it was: a run with one result, at which nothing has been learned."""

    failed_at: int | None = None


Trained = Learnt | Reference


def check(config: RunConfig, pipeline: StableDiffusionPipeline) -> None:
    """Raise InputError if a pipeline does not know what a run names: words, templates, or modules to adapt."""
    training = config.training
    for inversion in (training, config.pivot):
        if isinstance(inversion, InversionConfig):
            templates(inversion.template_set)
            words = [inversion.class_word, "" if inversion.initializer == "random" else inversion.initializer]
            class_word_ids(pipeline.tokenizer, " ".join(words))
    if isinstance(training, FinetuneConfig):
        templates(training.template_set)
        try:
            adapted_modules(pipeline.unet, training.targets)
        except ValueError as error:
            raise InputError(f"targets: {error}; name ends of its modules' names, such as to_q or conv1.") from error


def train_batch(bench: Workbench, batch: Batch, folder: Path, *, share: float = 1.0) -> Sequence[Trained]:
    """The trainings of a batch, from the store if all are there; pivots first, each once.

    Raises:
        InputError: the loss is to be masked and the concept has no masks.
    """
    if isinstance(batch[0].training, ReferenceConfig):
        return [Reference() for _ in batch]
    if isinstance(batch[0].training, ReuseConfig):
        return reused(bench, batch, folder, at_once(bench, training=True, share=share))
    hashes = {training_hash(config, bench): config.training for config in batch}
    return kept_trainings(hashes, make=lambda: trained_anew(bench, batch, folder, share), folder=folder)


def trained_anew(bench: Workbench, batch: Sequence[RunConfig], folder: Path, share: float) -> Sequence[Learnt]:
    """Train the runs of a batch."""
    images, configs, first = bench.concept.images, [config.training for config in batch], batch[0].training
    most = at_once(bench, training=True, share=share)
    if isinstance(first, InversionConfig):
        return invert(bench.pipeline, images, configs=configs, most=most)
    if first.masked and bench.concept.masks is None:
        raise InputError(f"masked is set, but concept {bench.concept.name!r} has no masks/: add masks or unset it.")
    rows = None
    if batch[0].pivot:
        pivots = pivot_rows(bench, list(dict.fromkeys(config.pivot for config in batch)), folder, most)
        rows = torch.stack([pivots[config.pivot] for config in batch])
    terms = {"prior": prior_of(bench, first, share)} if any(config.prior_weight for config in configs) else {}
    options = {"masks": bench.concept.masks, "terms": terms, "most": max(1, most // (2 if terms else 1))}
    return finetune(bench.pipeline, images, configs=configs, rows=rows, **options)


def training_hash(config: RunConfig, bench: Workbench) -> str:
    """Hash of what a run learns: its configurations, texts, and fingerprints of pipeline and training pictures."""
    content = {"pipeline": bench.model.fingerprint, "images": bench.concept.fingerprint}
    if isinstance(config.training, InversionConfig):
        return inversion_hash(config.training, **content)
    training = effective(config.training)
    used = [one.template_set for one in (training, config.pivot) if one]
    class_word = bench.concept.class_word if training.prior_weight else ""
    return content_hash("finetuning", training, config.pivot, [templates(name) for name in used], class_word, content)


def prior_of(bench: Workbench, training: FinetuneConfig, share: float) -> Term:
    """Prior preservation on pictures that the model draws of the concept's class."""
    prompt, count = f"a photo of {bench.concept.class_word}", training.class_images
    config = fitting(SamplingConfig(seed=training.seed), bench, share=share)
    drawn = sample(bench.pipeline, [prompt] * count, indices=range(count), config=config)
    return prior_preservation(bench.pipeline, drawn, prompt=prompt, config=training)


def subject_of(config: RunConfig) -> str:
    """What stands in S*'s place when a run's pictures are drawn."""
    match config.training:
        case FinetuneConfig():
            return config.training.subject
        case ReferenceConfig():
            return config.training.class_word
        case ReuseConfig():
            return PAIR if config.training.of else PLACEHOLDER
    return placeholders(config.training.template_set)


def learned_of(checkpoints: Sequence[tuple[Trained, int]]) -> Learned | None:
    """What the sampler needs of several checkpoints, in their order; nothing for the model as it was."""
    if isinstance(checkpoints[0][0], Reference):
        return None
    if isinstance(checkpoints[0][0], Inversion):
        return Learned(rows=tuple(found.checkpoints[step] for found, step in checkpoints))
    rows = tuple(found.rows[step] for found, step in checkpoints)
    first = checkpoints[0][0].config
    return Learned(
        rows=rows if rows[0].numel() else (),
        unet=stacked([found.checkpoints[step] for found, step in checkpoints]),
        text=stacked([found.text_checkpoints[step] for found, step in checkpoints]),
        scale=first.alpha / first.rank,
    )


def stacked(adapters: Sequence[Adapters]) -> Adapters:
    """Adapters of several runs as one, [R, ...]."""
    return {name: torch.stack([one[name] for one in adapters]) for name in adapters[0]}


def tensors_at(found: Trained, step: int) -> dict[str, Tensor]:
    """A checkpoint as named tensors: rows, and the adapters of a finetuning; none of the model as it was."""
    if isinstance(found, Reference):
        return {}
    if isinstance(found, Inversion):
        last = {"image_rows": found.image_rows} if step == max(found.checkpoints) and len(found.image_rows) else {}
        return {"initial": found.initial, "rows": found.checkpoints[step], **last}
    parts = {"unet": found.checkpoints[step], "text": found.text_checkpoints[step], "": {"rows": found.rows[step]}}
    return {f"{part} {name}".strip(): tensor for part, named in parts.items() for name, tensor in named.items()}


def metrics(bench: Workbench, config: RunConfig, found: Trained, start: Start) -> pd.DataFrame:
    """One row a step: loss, gradient norm, length of the path so far; at logged ones how far it has travelled."""
    if isinstance(found, Reference):
        return pd.DataFrame({"step": []})
    if isinstance(config.training, ReuseConfig):
        return travelled(bench.pipeline, found, start, class_word=bench.concept.class_word)
    steps = range(len(found.history["loss"]))
    table = pd.DataFrame({"step": steps} | {name: values.numpy() for name, values in found.history.items()})
    far = travelled(bench.pipeline, found, start, class_word=bench.concept.class_word)
    return table.assign(path_length=table["moved"].cumsum()).merge(far, on="step", how="left")

"""What a run learned, whichever way: made in batches, drawn from, written down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from helpers.config import FinetuneConfig, InversionConfig, ReferenceConfig
from helpers.finetune import Finetuning, finetune
from helpers.grid import Batch, RunConfig
from helpers.inversion import Inversion, inversion_hash, invert
from helpers.leases import LEASES, lease
from helpers.lora import Adapters
from helpers.prompts import PLACEHOLDER
from helpers.sample import Learned
from helpers.store import kept_inversion
from helpers.travelled import travelled
from helpers.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The model as it was: a run with one checkpoint, at which nothing has been learned."""

    checkpoints: tuple[int, ...] = (0,)
    failed_at: int | None = None


Trained = Inversion | Finetuning | Reference


def train_batch(bench: Workbench, batch: Batch, folder: Path) -> Sequence[Trained]:
    """The trainings of a batch; pivots first, each once."""
    images = bench.concept.images
    if isinstance(batch[0].training, ReferenceConfig):
        return [Reference() for _ in batch]
    if isinstance(batch[0].training, InversionConfig):
        return invert(bench.pipeline, images, configs=[config.training for config in batch])
    rows = None
    if batch[0].pivot:
        pivots = {config.pivot: pivot_rows(bench, config.pivot, folder) for config in batch}
        rows = torch.stack([pivots[config.pivot] for config in batch])
    return finetune(
        bench.pipeline, images, configs=[config.training for config in batch], rows=rows, masks=bench.concept.masks
    )


def pivot_rows(bench: Workbench, pivot: InversionConfig, folder: Path) -> Tensor:
    """Rows [K, D] of a pivot, learned once for all runs of all processes that share the store."""
    run = inversion_hash(pivot, pipeline=bench.fingerprints[0], images=bench.concept.fingerprint)
    with waited_for(folder / LEASES / f"{run}.lease"):
        made = kept_inversion(
            run,
            config=pivot,
            train="missing",
            make=lambda: invert(bench.pipeline, bench.concept.images, configs=[pivot])[0],
            folder=folder,
        )
    if made.failed_at is not None:
        raise FloatingPointError(f"the pivot {run} is not finite at step {made.failed_at}")
    return made.rows


@contextlib.contextmanager
def waited_for(path: Path, *, every: float = 2.0) -> Iterator[None]:
    """Hold a lease, if need be after its holder has let it go."""
    with contextlib.ExitStack() as stack:
        while not stack.enter_context(lease(path)):
            time.sleep(every)
        yield


def subject_of(config: RunConfig) -> str:
    """What stands in S*'s place when a run's pictures are drawn."""
    match config.training:
        case FinetuneConfig():
            return config.training.subject
        case ReferenceConfig():
            return config.training.class_word
    return PLACEHOLDER


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
        return {"initial": found.initial, "rows": found.checkpoints[step]}
    parts = {"unet": found.checkpoints[step], "text": found.text_checkpoints[step], "": {"rows": found.rows[step]}}
    return {f"{part} {name}".strip(): tensor for part, named in parts.items() for name, tensor in named.items()}


def metrics(bench: Workbench, config: RunConfig, found: Trained) -> pd.DataFrame:
    """One row a step: loss, gradient norm, length of the path so far; at checkpoints how far it has travelled."""
    if isinstance(found, Reference):
        return pd.DataFrame({"step": []})
    steps = range(len(found.history["loss"]))
    table = pd.DataFrame({"step": steps} | {name: values.numpy() for name, values in found.history.items()})
    far = travelled(
        bench.pipeline,
        bench.concept.images,
        found,
        class_word=bench.concept.class_word,
        seed=config.training.seed,
    )
    return table.assign(path_length=table["moved"].cumsum()).merge(far, on="step", how="left")

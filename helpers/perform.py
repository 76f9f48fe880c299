"""Do a batch of a sweep: train its runs together, draw and score all their checkpoints packed, write each run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from PIL import Image
from torch import Tensor

from helpers import runs as store
from helpers.arithmetic import arithmetic_for
from helpers.config import FinetuneConfig, InputError, InversionConfig
from helpers.evaluation import Evaluated, evaluate
from helpers.finetune import Finetuning, finetune
from helpers.grid import Batch, RunConfig
from helpers.inversion import Inversion, inversion_hash, invert
from helpers.leases import lease
from helpers.lora import Adapters
from helpers.prompts import PLACEHOLDER
from helpers.sample import Learned
from helpers.store import kept_inversion
from helpers.travelled import travelled
from helpers.workbench import Workbench, prompts_of, run_hash, workbench_of

log = logging.getLogger(__name__)
LEASES = ".leases"
SHEET_WIDTH = 8


def perform(batch: Batch, *, folder: Path, device: str = "auto", retry: bool = False) -> dict[str, str]:
    """Do those runs of a batch that are neither finished nor held by another process.

    All runs of the batch train, so that numbers do not depend on which of them are missing.

    Returns:
        the status of each run in the store afterwards, by hash.

    Raises:
        InputError: the disk is full, or what the batch names cannot be loaded.
    """
    bench = workbench_of(batch[0], device)
    hashes = {run_hash(config, bench): config for config in batch}

    def is_missing(run: str) -> bool:
        return store.status(folder, run) not in ((store.FINISHED,) if retry else (store.FINISHED, store.FAILED))

    with contextlib.ExitStack() as stack:
        mine = [
            run
            for run in hashes
            if is_missing(run) and stack.enter_context(lease(folder / LEASES / f"{run}.lease")) and is_missing(run)
        ]
        if mine:
            try:
                _train_and_write(bench, batch, hashes, mine, folder)
            except InputError:
                raise
            except Exception as error:  # whatever a library raises: the sweep goes on, and the failure is on record
                log.exception("%d runs failed", len(mine))
                for run in mine:
                    if store.status(folder, run) != store.FINISHED:
                        store.write_failure(folder, run, described(hashes[run], bench), repr(error))
    return {run: store.status(folder, run) for run in hashes}


def _train_and_write(
    bench: Workbench, batch: Batch, hashes: Mapping[str, RunConfig], mine: Sequence[str], folder: Path
) -> None:
    began = time.monotonic()
    if bench.pipeline.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trained = dict(zip(hashes, train_batch(bench, batch, folder), strict=True))
    seconds = (time.monotonic() - began) / len(batch)
    for run in mine:
        if trained[run].failed_at is not None:
            error = f"not finite at step {trained[run].failed_at}"
            store.write_failure(folder, run, described(hashes[run], bench), error, seconds=seconds)
    finished = {run: trained[run] for run in mine if trained[run].failed_at is None}
    scored = score(bench, finished, hashes)
    for run, found in finished.items():
        evaluated = scored[run]
        facts = how(bench.pipeline.device) | {"batch": len(batch), "seconds": seconds + evaluated.seconds}
        with store.written(folder, run, **facts) as writing:
            writing.config(described(hashes[run], bench))
            writing.metrics(metrics(bench, hashes[run], found))
            for step in found.checkpoints:
                writing.checkpoint(step, tensors_at(found, step))
            writing.scores(evaluated.rows)
            writing.sheet(as_png(evaluated.sheet))


def train_batch(bench: Workbench, batch: Batch, folder: Path) -> list[Inversion] | list[Finetuning]:
    """The trainings of a batch; pivots first, each once."""
    images = bench.concept.images
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
    return made.rows


@contextlib.contextmanager
def waited_for(path: Path, *, every: float = 2.0) -> Iterator[None]:
    """Hold a lease, if need be after its holder has let it go."""
    with contextlib.ExitStack() as stack:
        while not stack.enter_context(lease(path)):
            time.sleep(every)
        yield


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One run's rows of all checkpoints, the pictures of the last, and what it took."""

    rows: pd.DataFrame
    sheet: Tensor
    seconds: float


def score(
    bench: Workbench, trained: Mapping[str, Inversion | Finetuning], hashes: Mapping[str, RunConfig]
) -> dict[str, Scored]:
    """Draw and score all checkpoints of all runs as one packed sampling."""
    began = time.monotonic()
    jobs = [(run, step) for run, found in trained.items() for step in found.checkpoints]
    if not jobs:
        return {}
    any_run = hashes[jobs[0][0]]
    asked, counts = prompts_of(any_run.evaluation)
    found = evaluate(
        bench.pipeline,
        bench.concept,
        bench.instruments,
        runs=len(jobs),
        learned=learned_of([(trained[run], step) for run, step in jobs]),
        subject=subject_of(any_run),
        prompts=asked,
        counts=counts,
        config=any_run.evaluation.sampling,
    )
    seconds = (time.monotonic() - began) / len(trained)
    by_run: dict[str, list[tuple[int, Evaluated]]] = {}
    for (run, step), evaluated in zip(jobs, found, strict=True):
        by_run.setdefault(run, []).append((step, evaluated))
    return {
        run: Scored(
            rows=pd.concat([e.rows.assign(step=step) for step, e in steps], ignore_index=True),
            sheet=steps[-1][1].sheet,
            seconds=seconds,
        )
        for run, steps in by_run.items()
    }


def subject_of(config: RunConfig) -> str:
    """What stands in S*'s place when a run's pictures are drawn."""
    return config.training.subject if isinstance(config.training, FinetuneConfig) else PLACEHOLDER


def learned_of(checkpoints: Sequence[tuple[Inversion | Finetuning, int]]) -> Learned:
    """What the sampler needs of several checkpoints, in their order."""
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


def tensors_at(found: Inversion | Finetuning, step: int) -> dict[str, Tensor]:
    """A checkpoint as named tensors: rows, and the adapters of a finetuning."""
    if isinstance(found, Inversion):
        return {"initial": found.initial, "rows": found.checkpoints[step]}
    parts = {"unet": found.checkpoints[step], "text": found.text_checkpoints[step], "": {"rows": found.rows[step]}}
    return {f"{part} {name}".strip(): tensor for part, named in parts.items() for name, tensor in named.items()}


def metrics(bench: Workbench, config: RunConfig, found: Inversion | Finetuning) -> pd.DataFrame:
    """One row a step: loss, gradient norm, length of the path so far; at checkpoints how far it has travelled."""
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


def described(config: RunConfig, bench: Workbench) -> dict[str, Any]:
    """A run's configuration as plain values, with its concept's name and the fingerprints."""
    names = dict(zip(("pipeline", "images", "scorer", "reader"), bench.fingerprints, strict=True))
    method = "inversion" if isinstance(config.training, InversionConfig) else "finetuning"
    plain = dataclasses.asdict(config) | {"concept": bench.concept.name, "method": method}
    return plain | {"fingerprints": names}


def as_png(pictures: Tensor) -> bytes:
    """Pictures [M, 3, S, S] uint8 as one PNG, SHEET_WIDTH a row."""
    rows = [
        torch.cat([*row, *[torch.full_like(row[0], 255)] * (SHEET_WIDTH - len(row))], dim=2)
        for row in pictures.split(SHEET_WIDTH)
    ]
    content = io.BytesIO()
    Image.fromarray(torch.cat(rows, dim=1).permute(1, 2, 0).numpy()).save(content, "PNG", optimize=True)
    return content.getvalue()


def how(device: torch.device) -> dict[str, Any]:
    """Device, arithmetic, and memory in bytes: the GPU's peak since the batch began, else what the process holds."""
    on_gpu = device.type == "cuda"
    memory = torch.cuda.max_memory_allocated(device) if on_gpu else psutil.Process().memory_info().rss
    return {"device": str(device), "arithmetic": str(arithmetic_for(device)), "memory": memory}

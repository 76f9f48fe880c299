"""Do a batch of a sweep: train its runs together, draw and score all their checkpoints packed, write each run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import time
from collections.abc import Mapping, Sequence
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
from helpers.config import InputError
from helpers.evaluation import Evaluated, evaluate
from helpers.grid import METHODS, Batch, RunConfig
from helpers.leases import LEASES, lease
from helpers.trained import Trained, learned_of, metrics, subject_of, tensors_at, train_batch
from helpers.workbench import Workbench, prompts_of, run_hash, workbench_of

log = logging.getLogger(__name__)
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
                if tensors := tensors_at(found, step):
                    writing.checkpoint(step, tensors)
            writing.scores(evaluated.rows)
            writing.sheet(as_png(evaluated.sheet))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One run's rows of all checkpoints, the pictures of the last, and what it took."""

    rows: pd.DataFrame
    sheet: Tensor
    seconds: float


def score(bench: Workbench, trained: Mapping[str, Trained], hashes: Mapping[str, RunConfig]) -> dict[str, Scored]:
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


def described(config: RunConfig, bench: Workbench) -> dict[str, Any]:
    """A run's configuration as plain values, with its concept's name and the fingerprints."""
    names = dict(zip(("pipeline", "images", "scored_with", "scorer", "reader"), bench.fingerprints, strict=True))
    method = next(name for name, kind in METHODS.items() if isinstance(config.training, kind))
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

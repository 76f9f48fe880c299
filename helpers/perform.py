"""Do a batch of a sweep: train its runs together, then draw, score and write them one by one."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from helpers import store
from helpers.arithmetic import arithmetic_for
from helpers.config import InputError
from helpers.evaluation import evaluate
from helpers.grid import METHODS, Batch, RunConfig, scored_at
from helpers.leases import LEASES, lease
from helpers.trained import Trained, learned_of, metrics, subject_of, tensors_at, train_batch
from helpers.travelled import Start
from helpers.workbench import Workbench, at_once, fitting, prompts_of, run_hash, workbench_of

log = logging.getLogger(__name__)
SHEET_WIDTH = 8


def perform(
    batch: Batch,
    *,
    folder: Path,
    device: str = "auto",
    retry: bool = False,
    share: float = 1.0,
    whole: bool = False,
) -> dict[str, str]:
    """Do those runs of a batch that are neither finished nor held by another process.

    All runs of the batch train, and each is drawn by itself, so that numbers do not depend on which are missing.

    Args:
        batch: runs that train together.
        folder: the store.
        device: see models.pick_device.
        retry: whether runs that failed are tried again.
        share: of the memory that is this process's.
        whole: whether the store itself must have a run, its rows in a committed report not being enough.

    Returns:
        the status of each run in the store afterwards, by hash.

    Raises:
        InputError: the disk is full, or what the batch names cannot be loaded.
    """
    bench = workbench_of(batch[0], device)
    hashes = {run_hash(config, bench): config for config in batch}
    done = (store.FINISHED,) if retry else (store.FINISHED, store.FAILED)
    with contextlib.ExitStack() as stack, store.room_on_disk(folder):
        mine = [
            run
            for run in hashes
            if status_of(folder, run, whole=whole) not in done
            and stack.enter_context(lease(folder / LEASES / f"{run}.lease"))
            and status_of(folder, run, whole=whole) not in done
        ]
        if mine:
            with recorded(bench, {run: hashes[run] for run in mine}, folder):
                train_and_write(bench, batch, hashes, mine, folder, share)
    return {run: status_of(folder, run, whole=whole) for run in hashes}


def status_of(folder: Path, run: str, *, whole: bool = False) -> str:
    """As store.status; unless the whole run is needed, one whose rows are in a committed report is finished too."""
    return store.FINISHED if run in store.committed_runs() and not whole else store.status(folder, run)


@contextlib.contextmanager
def recorded(bench: Workbench, mine: Mapping[str, RunConfig], folder: Path) -> Iterator[None]:
    """Whatever a library raises is put on record for the runs that are not finished, and the sweep goes on."""
    began = time.monotonic()
    try:
        yield
    except (InputError, OSError):  # of the store, not of a run
        raise
    except Exception as error:
        log.exception("%d runs failed", len(mine))
        facts = how(bench.pipeline.device) | {"seconds": time.monotonic() - began}
        for run, config in mine.items():
            if store.status(folder, run) != store.FINISHED:
                store.write_failure(folder, run, described(config, bench), repr(error), **facts)


def train_and_write(
    bench: Workbench, batch: Batch, hashes: Mapping[str, RunConfig], mine: Sequence[str], folder: Path, share: float
) -> None:
    """Train all runs of a batch; score and write those that are mine."""
    began, device = time.monotonic(), bench.pipeline.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trained = dict(zip(hashes, train_batch(bench, batch, folder, share=share), strict=True))
    training_seconds = (time.monotonic() - began) / len(batch)
    most = at_once(bench, training=False, share=share)
    starts = {
        seed: Start(bench.pipeline, bench.concept.images, seed=seed, most=most)
        for seed in {hashes[run].training.seed for run in mine}
    }
    for run in mine:
        began, config, found = time.monotonic(), hashes[run], trained[run]
        moved = metrics(bench, config, found, starts[config.training.seed])
        if found.failed_at is not None and found.failed_at < max(scored_at(config)):
            error = f"not finite at step {found.failed_at}"
            facts = how(device) | {"seconds": training_seconds}
            store.write_failure(folder, run, described(config, bench), error, metrics=moved, **facts)
            continue
        rows, vectors, sheet = score(bench, config, found, share)
        facts = how(device) | {"batch": len(batch), "seconds": training_seconds + time.monotonic() - began}
        with store.written(folder, run, **facts) as writing:
            writing.config(described(config, bench))
            writing.metrics(moved)
            for step in scored_at(config):
                if tensors := tensors_at(found, step):
                    writing.checkpoint(step, tensors)
            writing.scores(rows)
            writing.vectors(vectors)
            writing.sheet(as_png(sheet))


def score(bench: Workbench, config: RunConfig, found: Trained, share: float) -> tuple[pd.DataFrame, Tensor, Tensor]:
    """Rows and vectors of the results of a run, drawn packed, and pictures of the last one for a contact sheet."""
    steps = scored_at(config)
    asked, counts = prompts_of(config.evaluation)
    evaluated = evaluate(
        bench.pipeline,
        bench.concept,
        bench.instruments,
        runs=len(steps),
        learned=learned_of([(found, step) for step in steps]),
        subject=subject_of(config),
        prompts=asked,
        counts=counts,
        config=fitting(config.evaluation.sampling, bench, share=share),
    )
    rows = [one.rows.assign(step=step) for step, one in zip(steps, evaluated, strict=True)]
    return pd.concat(rows, ignore_index=True), torch.cat([one.vectors for one in evaluated]), evaluated[-1].sheet


def described(config: RunConfig, bench: Workbench) -> dict[str, Any]:
    """A run's configuration as plain values, with its method, its concept's name and the fingerprints."""
    method = next(name for name, kind in METHODS.items() if isinstance(config.training, kind))
    plain = dataclasses.asdict(config) | {"concept": bench.concept.name, "method": method}
    return plain | {"fingerprints": bench.fingerprints}


def as_png(pictures: Tensor, width: int = SHEET_WIDTH, *, shows: str = "") -> bytes:
    """Pictures [M, 3, S, S] uint8 as one PNG, `width` of them a row; what it shows may stand in it as a text."""
    rows = [
        torch.cat([*row, *[torch.full_like(row[0], 255)] * (width - len(row))], dim=2) for row in pictures.split(width)
    ]
    content, text = io.BytesIO(), PngInfo()
    if shows:
        text.add_text("shows", shows)
    pixels = torch.cat(rows, dim=1).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(content, "PNG", optimize=True, pnginfo=text)
    return content.getvalue()


def how(device: torch.device) -> dict[str, Any]:
    """Device, arithmetic, and the peak of memory in bytes: the GPU's since the batch began, else the process's."""
    unit = 1 if sys.platform == "darwin" else 1024
    on_gpu, of_process = device.type == "cuda", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else of_process
    return {"device": str(device), "arithmetic": str(arithmetic_for(device)), "peak_memory": peak}

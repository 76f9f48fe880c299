"""Finished trainings, kept under their hash in data/runs, so that none is made twice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from helpers.config import InputError, InversionConfig
from helpers.files import ROOT, write_bytes
from helpers.inversion import Inversion
from helpers.train import StepRecord

log = logging.getLogger(__name__)
RUNS = ROOT / "data" / "runs"


def kept_inversion(
    run: str, *, config: InversionConfig, train: str, make: Callable[[], Inversion], folder: Path = RUNS
) -> Inversion:
    """Read the inversion with hash `run`, or make and keep it.

    Args:
        run: see `inversion.inversion_hash`.
        config: what the hash was made of.
        train: "missing" makes what is not there; "never" refuses to.
        make: trains.
        folder: where trainings are kept.

    Raises:
        InputError: the training is missing and must not be made, or its file cannot be read.
    """
    path = folder / f"{run}.safetensors"
    if path.exists():
        log.info("the training %s is finished, read from %s", run, path.name)
        return _read(path, config)
    if train == "never":
        raise InputError(f"the training {run} is not in {folder}: run once with TRAIN=missing.")
    made = make()
    tensors = {
        "initial": made.initial,
        "rows": made.rows,
        "loss": torch.tensor([record.loss for record in made.records], dtype=torch.float64),
        "gradient_norm": torch.tensor([record.gradient_norm for record in made.records], dtype=torch.float64),
    }
    write_bytes(path, save(tensors, {"failed_at": "" if made.failed_at is None else str(made.failed_at)}))
    return made


def _read(path: Path, config: InversionConfig) -> Inversion:
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in ("initial", "rows", "loss", "gradient_norm")}
            failed_at = file.metadata()["failed_at"]
    except (SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"the kept training {path} cannot be read: delete it, and it is made again.") from error
    pairs = zip(found["loss"].tolist(), found["gradient_norm"].tolist(), strict=True)
    return Inversion(
        config=config,
        initial=found["initial"],
        rows=found["rows"],
        records=tuple(StepRecord(step=i, loss=loss, gradient_norm=norm) for i, (loss, norm) in enumerate(pairs)),
        failed_at=int(failed_at) if failed_at else None,
    )

"""Finished trainings, kept under their hash in data/runs, so that none is made twice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from helpers.config import InversionConfig
from helpers.files import write_bytes
from helpers.inversion import Inversion
from helpers.store import RUNS

log = logging.getLogger(__name__)


def kept_inversion(
    run: str, *, config: InversionConfig, make: Callable[[], Inversion], folder: Path = RUNS
) -> Inversion:
    """Read the inversion with hash `run`, or make and keep it.

    Args:
        run: see `inversion.inversion_hash`.
        config: what the hash was made of.
        make: trains.
        folder: where trainings are kept.
    """
    path = folder / f"{run}.safetensors"
    if path.exists() and (found := _read(path, config)):
        log.info("the training %s is finished, read from %s", run, path.name)
        return found
    made = make()
    tensors = {"initial": made.initial, "image_rows": made.image_rows, **made.history}
    tensors |= {f"rows after {step}": rows for step, rows in made.checkpoints.items()}
    write_bytes(path, save(tensors, {"failed_at": "" if made.failed_at is None else str(made.failed_at)}))
    return made


def _read(path: Path, config: InversionConfig) -> Inversion | None:
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            failed_at = file.metadata()["failed_at"]
        rows = {int(name.removeprefix("rows after ")): t for name, t in found.items() if name.startswith("rows after ")}
        initial, image_rows = found.pop("initial"), found.pop("image_rows")
    except (SafetensorError, KeyError, TypeError):
        log.warning("the kept training %s is damaged: it has to be made again", path.name)
        return None
    return Inversion(
        config=config,
        initial=initial,
        checkpoints=rows,
        image_rows=image_rows,
        history={name: values for name, values in found.items() if not name.startswith("rows after ")},
        failed_at=int(failed_at) if failed_at else None,
    )

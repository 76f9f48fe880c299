"""Finished trainings, kept under their hash in the store, so that none is made twice.

Scores are another matter: what a run drew is kept with the run, what it learned here, so that other prompts or
more pictures need no new training.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from helpers.config import FinetuneConfig, InversionConfig
from helpers.files import write_bytes
from helpers.finetune import Finetuning
from helpers.inversion import Inversion
from helpers.store import flat

log = logging.getLogger(__name__)
Learnt = Inversion | Finetuning
FIELDS = {
    Inversion: ("initial", "checkpoints", "image_rows", "history"),
    Finetuning: ("checkpoints", "text_checkpoints", "initial_rows", "rows", "history"),
}
"""What a file holds: tensors, and maps of them."""
BETWEEN = "|"
"""Joins the keys of nested maps; no name of a module has it."""


def kept_trainings(
    hashes: Mapping[str, InversionConfig | FinetuneConfig], *, make: Callable[[], Sequence[Learnt]], folder: Path
) -> list[Learnt]:
    """Read trainings, or make and keep them: all of a batch are made if one is missing.

    Args:
        hashes: of the trainings, with what they were made of.
        make: trains all of them, in this order.
        folder: where trainings are kept.
    """
    paths = [folder / f"{training}.safetensors" for training in hashes]
    found = [_read(path, config) for path, config in zip(paths, hashes.values(), strict=True)]
    if None not in found:
        log.info("%d finished trainings are in the store already", len(found))
        return found
    made = list(make())
    for path, known, new in zip(paths, found, made, strict=True):
        if known is None:
            failed_at = "" if new.failed_at is None else str(new.failed_at)
            write_bytes(path, save(tensors_of(new), {"failed_at": failed_at}))
    return [new if known is None else known for known, new in zip(found, made, strict=True)]


def tensors_of(found: Learnt) -> dict[str, Tensor]:
    """What a training's file holds, by the keys of its nested maps joined."""
    held = flat({name: getattr(found, name) for name in FIELDS[type(found)]}, between=BETWEEN)
    return {name: tensor.contiguous() for name, tensor in held.items()}


def nested(tensors: Mapping[str, Tensor]) -> dict[Any, Any]:
    """Maps as they were before their keys were joined; keys that are numbers are numbers of updates."""
    found: dict[Any, Any] = {}
    for name, tensor in tensors.items():
        inner, keys = found, [int(key) if key.isdecimal() else key for key in name.split(BETWEEN)]
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = tensor
    return found


def _read(path: Path, config: InversionConfig | FinetuneConfig) -> Learnt | None:
    kind = Inversion if isinstance(config, InversionConfig) else Finetuning
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            found = nested({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            failed_at = file.metadata()["failed_at"]
        if kind is Finetuning:  # maps without tensors leave no trace in a file
            found["text_checkpoints"] = {step: {} for step in found["checkpoints"]} | found.get("text_checkpoints", {})
        return kind(config=config, failed_at=int(failed_at) if failed_at else None, **found)
    except (SafetensorError, KeyError, TypeError):
        log.warning("the kept training %s is damaged: it has to be made again", path.name)
        return None

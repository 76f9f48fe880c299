"""Tokens of several concepts, learned once each and kept, for reports that ask where such tokens lie."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from helpers.concepts import Concept
from helpers.config import InputError, InversionConfig
from helpers.files import ROOT
from helpers.grid import RunConfig
from helpers.trained import train_batch, training_hash
from helpers.workbench import Workbench, load_workbench
from helpers.world.newcomers import CONFIRM, DEVELOP

log = logging.getLogger(__name__)


def companions(concept: str, *, model: str, count: int) -> list[str]:
    """A concept and at most count - 1 others like it: chibi's newcomers, if it is one of them."""
    newcomers = [*DEVELOP, *CONFIRM]
    if model != "chibi" or concept not in newcomers or not (ROOT / "data" / "concepts" / concept).is_dir():
        return [concept]
    return [concept, *(name for name in newcomers if name != concept)][:count]


def learned_rows(
    concepts: Sequence[str],
    training: InversionConfig,
    *,
    model: str,
    scorer: str,
    device: str,
    train: str,
    folder: Path,
) -> dict[str, tuple[Concept, Tensor]]:
    """Each concept, and the rows [K, D] of its token after this training, by its source.

    A training that is not finite is left out, which the log says.

    Raises:
        InputError: a training is missing and must not be made, or nothing is left.
    """
    found = {}
    for number, source in enumerate(concepts, start=1):
        config = RunConfig(model=model, scorer=scorer, concept=source, training=training)
        bench = load_workbench(model, scorer, source, config.images, device)
        _refuse(bench, config, folder, train)
        log.info("token %d of %d: %s", number, len(concepts), bench.concept.name)
        (inversion,) = train_batch(bench, (config,), folder)
        if inversion.failed_at is None:
            found[source] = (bench.concept, inversion.rows)
        else:
            log.warning("the token of %s is not finite at step %d: it is left out", source, inversion.failed_at)
    if not found:
        raise InputError(f"no token of {', '.join(concepts)} could be learned: use a smaller learning_rate.")
    return found


def _refuse(bench: Workbench, config: RunConfig, folder: Path, train: str) -> None:
    """Raise InputError if a training is missing and must not be made."""
    name = f"{training_hash(config, bench)}.safetensors"
    if train == "never" and not (folder / name).exists():
        raise InputError(f"the token of {config.concept} is not in {folder} ({name}): use TRAIN=missing.")

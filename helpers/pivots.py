"""Inversions that other runs start from, each learned once for all runs of all processes that share the store."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from helpers.config import InversionConfig
from helpers.inversion import SHARED, Inversion, inversion_hash, invert
from helpers.kept import kept_trainings
from helpers.leases import LEASES, lease
from helpers.workbench import Workbench

log = logging.getLogger(__name__)


def pivot_rows(
    bench: Workbench, pivots: Sequence[InversionConfig], folder: Path, most: int
) -> dict[InversionConfig, Tensor]:
    """Rows [K, D] of pivots, learned once for all runs of all processes that share the store.

    Those of a pivot that was not finite are not either, so that the runs from it fail and the others do not.
    """
    found: dict[InversionConfig, Inversion] = {}
    for together in grouped(pivots):
        found |= learned_pivots(bench, together, folder, most)
    for pivot, inversion in found.items():
        if inversion.failed_at is not None:
            log.warning("the pivot at %g is not finite at step %d", pivot.learning_rate, inversion.failed_at)
    return {
        pivot: inversion.rows if inversion.failed_at is None else torch.full_like(inversion.rows, torch.nan)
        for pivot, inversion in found.items()
    }


def learned_pivots(
    bench: Workbench, together: Sequence[InversionConfig], folder: Path, most: int
) -> dict[InversionConfig, Inversion]:
    """Pivots of one batch, from the store; all of them are learned if one is missing."""
    content = {"pipeline": bench.model.fingerprint, "images": bench.concept.fingerprint}
    hashes = {inversion_hash(pivot, **content): pivot for pivot in together}
    with contextlib.ExitStack() as stack:
        for run in sorted(hashes):
            stack.enter_context(waited_for(folder / LEASES / f"{run}.lease"))
        found = kept_trainings(
            hashes,
            make=lambda: invert(bench.pipeline, bench.concept.images, configs=together, most=most),
            folder=folder,
        )
    return dict(zip(together, found, strict=True))


def grouped(pivots: Sequence[InversionConfig]) -> list[list[InversionConfig]]:
    """The pivots that can train as one batch."""
    groups: dict[tuple, list[InversionConfig]] = {}
    for pivot in pivots:
        groups.setdefault(tuple(getattr(pivot, name) for name in SHARED), []).append(pivot)
    return list(groups.values())


@contextlib.contextmanager
def waited_for(path: Path, *, every: float = 2.0) -> Iterator[None]:
    """Hold a lease, if need be after its holder has let it go."""
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(lease(path))
        if not held:
            log.info("another process learns the pivot %s: waiting for it", path.stem)
        while not held:
            time.sleep(every)
            held = stack.enter_context(lease(path))
        yield

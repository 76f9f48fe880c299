"""Learned tokens used in another way: turned towards their class, or two of them in one prompt. Nothing is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from helpers.grid import RunConfig
from helpers.interpolation import slerp
from helpers.inversion import Inversion, word_rows
from helpers.pivots import learned_pivots
from helpers.workbench import Workbench, load_workbench


def turned(rows: Tensor, towards: Tensor, *, turn: float, shorten: float) -> Tensor:
    """Rows [K, D] turned by a share of their angle to the class word's [D] (TEA, 2506.22685, equations 4 and 5).

    Their length goes a share `shorten` of the way to the class word's first; the paper goes all of it, its published
    code half by default.
    """
    length = torch.lerp(rows.norm(dim=-1, keepdim=True), towards.norm(), shorten)
    (direction,) = slerp(normalize(rows, dim=-1), normalize(towards, dim=-1).expand_as(rows), torch.tensor([turn]))
    return direction * length


def reused(bench: Workbench, batch: Sequence[RunConfig], folder: Path, most: int) -> list[Inversion]:
    """What the runs of a batch draw with: rows of inversions from the store, which are made if they are not there.

    Each result has no history and one checkpoint, after no update; where two tokens are put together their rows follow
    each other, and so do those of their starts.
    """
    first = batch[0]
    device = str(bench.pipeline.device)
    benches = [load_workbench(first.model, first.scorer, name, first.images, device) for name in first.training.of]
    pivots = list(dict.fromkeys(config.pivot for config in batch))
    known = [{p: learned_pivots(one, [p], folder, most)[p] for p in pivots} for one in benches or [bench]]
    return [of_tokens(bench, config, [found[config.pivot] for found in known]) for config in batch]


def of_tokens(bench: Workbench, config: RunConfig, tokens: Sequence[Inversion]) -> Inversion:
    """One run's rows, from one learned token or two."""
    training, first = config.training, tokens[0]
    towards = word_rows(bench.pipeline, training.class_word).cpu()
    rows = torch.cat([turned(t.rows, towards, turn=training.turn, shorten=training.shorten) for t in tokens])
    named = {"template_set": "pair"} if len(tokens) == 2 else {}  # as prompts are to name the rows
    return dataclasses.replace(
        first,
        config=dataclasses.replace(first.config, **named),
        initial=torch.cat([token.initial for token in tokens]),
        checkpoints={0: rows},
        history={name: values[:0] for name, values in first.history.items()},
        failed_at=next((token.failed_at for token in tokens if token.failed_at is not None), None),
    )

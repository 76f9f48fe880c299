"""Comparing runs of one concept: what each drew, with intervals over images.

Conditions are compared at the same image indices, so they start from the same noise: a difference
is paired. With one concept an interval speaks about other images of it, not about other concepts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from helpers import store
from helpers.config import InversionConfig
from helpers.evaluation import ON_SHEET
from helpers.grid import RunConfig
from helpers.perform import SHEET_WIDTH
from helpers.stats import Interval, jackknife, share_of_units


@dataclass(frozen=True, kw_only=True)
class Measured:
    """N images of each of P prompts, seen by a scorer."""

    prompts: tuple[str, ...]
    vectors: Tensor
    """[P, N, D] unit vectors."""
    images: Tensor
    """[P, K, 3, S, S] uint8: the first K images of each prompt, for contact sheets."""

    def of(self, prompts: Sequence[int]) -> Measured:
        """Only the prompts at these positions."""
        chosen = list(prompts)
        names = tuple(self.prompts[n] for n in chosen)
        return Measured(prompts=names, vectors=self.vectors[chosen], images=self.images[chosen])


def at_rates(base: RunConfig, rates: Sequence[float], **training: Any) -> dict[str, RunConfig]:
    """Inversions at these learning rates, by a name that tells them apart; the rest is as in `base` and `training`."""
    digits = next(d for d in (3, 6, 17) if len({f"{rate:.{d}g}" for rate in rates}) == len(rates))
    return {
        f"rate {rate:.{digits}g}": dataclasses.replace(base, training=InversionConfig(learning_rate=rate, **training))
        for rate in rates
    }


def drawn_by(runs: Path, run: str, prompts: Sequence[str]) -> Measured:
    """What a finished run drew of some of its prompts after its last update.

    Args:
        runs: the store.
        run: its hash.
        prompts: P of its prompts, with S*, of which it drew equally many pictures.
    """
    rows = store.load_scores(runs, run)
    last = rows[rows["step"] == rows["step"].max()]
    places = [last.index[last["prompt"] == prompt].to_numpy() for prompt in prompts]
    on_sheet = last[last["index"] < ON_SHEET]["prompt"].to_numpy()
    tiles = sheet(runs / run / "samples.png", len(on_sheet))
    return Measured(
        prompts=tuple(prompts),
        vectors=store.load_vectors(runs, run)[np.stack(places)],
        images=torch.stack([tiles[torch.from_numpy(on_sheet == prompt)] for prompt in prompts]),
    )


def sheet(path: Path, count: int) -> Tensor:
    """The `count` square pictures [count, 3, S, S] uint8 of a contact sheet, SHEET_WIDTH a row."""
    with Image.open(path) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB")))
    size = pixels.shape[1] // SHEET_WIDTH
    tiles = pixels.unflatten(0, (-1, size)).unflatten(2, (SHEET_WIDTH, size))  # row, y, column, x, channel
    return tiles.permute(0, 2, 4, 1, 3).flatten(0, 1)[:count]


def over_images(score: Callable[[Tensor], Tensor], *measured: Measured) -> Interval:
    """Interval over images of score(vectors), or of its difference between two conditions.

    Args:
        score: vectors [P, N, D] to a tensor whose mean is the number.
        measured: one condition, or two with the same images; then the first minus the second.
    """

    def statistic(drawn: np.ndarray) -> float:
        values = [score(condition.vectors[:, drawn]).mean().item() for condition in measured]
        return values[0] - sum(values[1:])

    return jackknife(statistic, n=measured[0].vectors.shape[1], unit="images")


def of_each(score: Callable[[Tensor], Tensor], measured: Mapping[str, Measured]) -> dict[str, Interval]:
    """`over_images` of each condition."""
    return {name: over_images(score, condition) for name, condition in measured.items()}


def written(columns: Mapping[str, Mapping[str, Interval]], spec: str) -> pd.DataFrame:
    """Numbers with their intervals as a table of texts: a row a condition."""
    return pd.DataFrame({name: {row: f"{x:{spec}}" for row, x in found.items()} for name, found in columns.items()})


def share_over_images(
    rows: pd.DataFrame, column: str, *, prompts: Sequence[str], against: pd.DataFrame | None = None
) -> Interval:
    """Share of pictures of which a column is true, with its interval over images; prompts without a value are left out.

    Args:
        rows: of one run after one number of updates, one row an image.
        column: true, false, or missing.
        prompts: those that count.
        against: of another run with the same images, whose share is taken off.
    """
    by_image = true_by_image(rows, column, prompts)
    if against is None:
        return share_of_units(by_image, "images")
    by_image = by_image - true_by_image(against, column, prompts)
    return jackknife(lambda chosen: float(by_image[chosen].mean()), n=len(by_image), unit="images")


def true_by_image(rows: pd.DataFrame, column: str, prompts: Sequence[str]) -> np.ndarray:
    """1 and 0 for true and false [n, P], by image and prompt."""
    known = rows[rows["prompt"].isin(prompts) & rows[column].notna()]
    return known.pivot(index="index", columns="prompt", values=column).to_numpy(float)


def pairs_among(vectors: Tensor) -> Interval:
    """Mean cosine of all pairs of different images [N, D], N at least 3: what a perfect reconstruction would score."""

    def statistic(chosen: np.ndarray) -> float:
        cosines = vectors[chosen] @ vectors[chosen].T
        return cosines[~torch.eye(len(chosen), dtype=torch.bool)].mean().item()

    return jackknife(statistic, n=len(vectors), unit="training images")

"""Pictures drawn from points between prompts, what is read of them, and how evenly they change along a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from tqdm import tqdm

from helpers import scores
from helpers.config import SamplingConfig
from helpers.flow import ENDS, Point
from helpers.interpolation import EXACT
from helpers.progress import BATCH_PROGRESS
from helpers.sample import sample_states
from helpers.scorers import Scorer
from helpers.stats import LEVEL, Interval, mean_of_units, share_of_units
from helpers.world.reader import Reader, read
from helpers.world.readings import Readings, looks_like
from helpers.world.scene import Character

CHUNK_BATCHES = 8
People = Sequence[tuple[Character | None, Character | None]]
"""Whom the prompts of each pair show; None where nobody in particular."""
WHOSE = ("first", "second")
Means = dict[str, Interval]


@dataclass(frozen=True, kw_only=True)
class Sights:
    """N pictures of each of P points."""

    rows: pd.DataFrame
    """One row a picture: the point's labels and `index`; where there is a reader also `first` and `second` (whether it
    looks like the one and the other prompt's character; missing where nobody is known), `to_second` (how far its
    colours went from the first one's to the second one's, 0 to 1; missing where the reader abstains) and `count`
    (characters read)."""
    vectors: Tensor
    """[rows, D], the scorer's unit vectors."""
    pictures: Tensor
    """[P, 3, S, S] uint8, picture 0 of each point."""

    @property
    def labels(self) -> pd.DataFrame:
        """The rows of picture 0, one a point, in the order of `pictures`."""
        return self.rows[self.rows["index"] == 0].reset_index(drop=True)


def look_at(
    pipeline: StableDiffusionPipeline,
    scorer: Scorer,
    points: Sequence[Point],
    *,
    images: int,
    config: SamplingConfig,
    reader: Reader | None = None,
    people: People = (),
) -> Sights:
    """Draw pictures 0 to images - 1 of each point, see them with the scorer, and read them.

    Args:
        pipeline: draws.
        scorer: gives their vectors.
        points: P states.
        images: pictures of each, from the same latents at every point.
        config: of the sampler.
        reader: reads them, where it knows their world.
        people: by the points' `pair`, whom to look for; needed with a reader.
    """
    jobs = [(p, i) for p in range(len(points)) for i in range(images)]
    states, size = torch.stack([point.states for point in points]), CHUNK_BATCHES * config.batch_size
    tables, vectors, kept = [], [], []
    with tqdm(total=len(jobs), desc="drawing", unit="image", **BATCH_PROGRESS) as bar:
        for begin in range(0, len(jobs), size):
            which, indices = zip(*jobs[begin : begin + size], strict=True)
            drawn = sample_states(pipeline, states, which=which, indices=indices, config=config, on_batch=bar.update)
            table = pd.DataFrame([{**points[p].labels, "index": i} for p, i in zip(which, indices, strict=True)])
            tables.append(table if reader is None else table.join(_read(reader, drawn, table["pair"], people)))
            vectors.append(scores.embed_images(scorer, drawn))
            kept.append(drawn[torch.tensor(indices) == 0])
    return Sights(rows=pd.concat(tables, ignore_index=True), vectors=torch.cat(vectors), pictures=torch.cat(kept))


def _read(reader: Reader, pictures: Tensor, pairs: pd.Series, people: People) -> pd.DataFrame:
    """Whom each picture looks like, in any slot, how far its colours went, and how many characters it has."""
    readings = read(reader, pictures.permute(0, 2, 3, 1).numpy())
    found = pd.DataFrame({"count": pd.array(readings["count"], dtype="Int64"), "to_second": np.nan})
    found = found.assign(**{whose: pd.array([pd.NA] * len(found), dtype="boolean") for whose in WHOSE})
    for pair, rows in pairs.groupby(pairs).groups.items():
        mine = {key: values[rows] for key, values in readings.items()}
        for whose, person in zip(WHOSE, people[pair], strict=True):
            if person is not None:
                found.loc[rows, whose] = looks_like(mine, person).any(1)
        if None not in people[pair]:
            found.loc[rows, "to_second"] = travelled(mine, *people[pair])
    return found


def travelled(readings: Readings, first: Character, second: Character) -> np.ndarray:
    """How far hair and garment of the only or left figure are on the straight line in RGB from one character's colours
    to the other's: 0 at the first, 1 at the second; NaN where the reader abstains."""
    parts = ("hair_colour", "garment_colour")
    start, end = (np.concatenate([getattr(person, part) for part in parts]).astype(float) for person in (first, second))
    seen = np.concatenate([readings[f"{part}_0"] for part in parts], axis=1)
    return (seen - start) @ (end - start) / np.square(end - start).sum()


def over_pairs(rows: pd.DataFrame, value: str, *, by: str, against: str | None = None, level: float = LEVEL) -> Means:
    """Mean of a column for each value of another, with its interval over pairs; or its difference from that of
    `against`, paired. Values of fewer than two pairs are left out.

    Args:
        rows: one row a picture, with `pair`.
        value: the column.
        by: the other column.
        against: one of its values.
        level: of the intervals.
    """
    means = rows.assign(**{value: rows[value].astype(float)}).pivot_table(index="pair", columns=by, values=value)
    found = {}
    for name in rows[by].unique():
        if name != against and name in means:
            wanted = (means[name] - means[against] if against else means[name]).dropna().to_numpy()
            if len(wanted) > 1:
                found[name] = mean_of_units(wanted, "pairs", level=level)
    return found


def shares_over_pairs(rows: pd.DataFrame, value: str, *, by: str) -> Means:
    """Share of true values for each value of another column, with Wilson's interval over pairs."""
    return {
        name: share_of_units(mine.pivot(index="pair", columns="index", values=value).to_numpy(float), "pairs")
        for name, mine in rows.groupby(by, sort=False)
    }


def evenness(rows: pd.DataFrame, vectors: Tensor) -> pd.DataFrame:
    """How evenly vectors change along each path: one row a pair, path and index.

    unevenness: the largest step between neighbours over the mean step; 1 is even, T - 1 is all at once. detour: the
    sum of the steps over the distance of the ends; 1 is straight.

    Args:
        rows: pair, path, t and index of each of N points; the ends of a pair have the path ENDS.
        vectors: [N, D], what a scorer sees of them or what the UNet predicts.
    """
    found, ends = [], rows[rows["path"] == ENDS]
    for (pair, path, index), inner in rows[rows["path"] != ENDS].groupby(["pair", "path", "index"], sort=False):
        both = ends[(ends["pair"] == pair) & (ends["index"] == index)]
        order = pd.concat([both, inner]).sort_values("t").index.to_numpy()
        points = vectors[torch.tensor(order)]
        steps, whole = points.diff(dim=0).norm(dim=1), (points[-1] - points[0]).norm()
        row = {"unevenness": (steps.max() / steps.mean()).item(), "detour": (steps.sum() / whole).item()}
        found.append({"pair": pair, "path": path, "index": index, **row})
    return pd.DataFrame(found)


def half_way(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the pictures nearest to the middle of each path, whether they show one character, and neither's identity."""
    inner = rows[rows["path"] != ENDS]
    away = (inner["t"] - 0.5).abs()
    middle = inner[away == away.min()]
    neither = ~(middle["first"].astype(bool) | middle["second"].astype(bool))
    return middle.assign(neither=neither, whole=(middle["count"] == 1).fillna(False).astype(bool))


def recommended(smooth: pd.DataFrame, candidates: Sequence[str]) -> str:
    """The path to take, by a rule written down before: `exact_path`, which stays on the shell at no cost, unless
    another of the candidates is more even in an interval over pairs widened for as many comparisons (Bonferroni); then
    the most even one.

    Args:
        smooth: see `evenness`.
        candidates: paths, `exact_path` among them.
    """
    level = 1 - (1 - LEVEL) / max(1, len(candidates) - 1)
    rows = smooth[smooth["path"].isin(candidates)]
    above = over_pairs(rows, "unevenness", by="path", against=EXACT, level=level)
    better = {name: found.value for name, found in above.items() if found.high < 0}
    return min(better, key=better.__getitem__) if better else EXACT

"""What report 02 says of its rows: scores of conditions, curves over the rates, and the verdicts on them.

Numbers are means over concepts (then seeds, then images) with their intervals; differences are paired over concept,
seed, prompt and noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers import curves
from helpers.stats import UNITS, Interval, mean_of_units, of_units, paired, share_of_rows

SCORES = ("kept", "obeyed", "text_cosine", "edit", "identity", "joint")
"""Of a condition; kept by the photo alone, the others but identity by the edit prompts alone."""
Scores = dict[str, dict[str, Interval]]
"""Numbers by condition and score."""
PAIRED = ("concept", "seed", "prompt", "index")


def of_section(rows: pd.DataFrame, labels: pd.DataFrame, *sections: str) -> pd.DataFrame:
    """The rows of some sections, each with its condition; a run that is in both is there once."""
    mine = labels[labels["section"].isin(sections)].drop_duplicates("run")[["run", "condition"]]
    return rows.merge(mine, on="run")


def known(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """The rows that say something about a score."""
    rows = rows[rows["kind"] != "photo"] if value in ("text_cosine", "editability_share") else rows
    return rows[rows[value].notna()]


def score(rows: pd.DataFrame, value: str) -> Interval | None:
    """Mean of a score with its interval; None where it is not known."""
    rows = known(rows, value)
    if len(rows) < 2:
        return None
    return share_of_rows(rows, value) if pd.api.types.is_bool_dtype(rows[value]) else of_units(rows, value)


def scored(rows: pd.DataFrame, conditions: Sequence[str]) -> dict[str, dict[str, Interval]]:
    """SCORES of each condition, those that are known."""
    found = {}
    for condition in conditions:
        mine = rows[rows["condition"] == condition]
        numbers = {value: score(mine, value) for value in SCORES}
        found[condition] = {value: number for value, number in numbers.items() if number is not None}
    return found


def against(rows: pd.DataFrame, condition: str, base: str, value: str) -> Interval | None:
    """Difference of a score between two conditions, over what both have drawn; None where that is nothing.

    References have one seed: what a run of another seed drew from the same noise is compared with the same picture.
    """
    one, other = (known(rows[rows["condition"] == name], value) for name in (condition, base))
    if not len(one) or not len(other):
        return None
    if set(one["seed"]) != set(other["seed"]):
        other = pd.concat([other.assign(seed=seed) for seed in one["seed"].unique()])
    common = pd.MultiIndex.from_frame(one[list(PAIRED)]).intersection(pd.MultiIndex.from_frame(other[list(PAIRED)]))
    if len(common) < 2:
        return None
    both = pd.concat([one, other])
    both = both[pd.MultiIndex.from_frame(both[list(PAIRED)]).isin(common)]
    return paired(both, value, condition="condition", minuend=condition, subtrahend=base)


def unit_of(rows: pd.DataFrame) -> str:
    """The column whose values are the units of a curve: concepts, or the images of the only one."""
    return "concept" if rows["concept"].nunique() > 1 else "index"


def curve(rows: pd.DataFrame, conditions: Sequence[str], value: str) -> np.ndarray:
    """[U, C]: mean of a value by unit and condition, seeds alike; units that a condition lacks are left out."""
    rows = known(rows, value).astype({value: float})
    means = rows.groupby([unit_of(rows), "condition", "seed"], observed=True)[value].mean()
    by_condition = means.groupby(level=[0, 1], observed=True).mean().unstack()
    return by_condition.reindex(columns=list(conditions)).dropna().to_numpy()


def bent(rows: pd.DataFrame, conditions: Sequence[str]) -> dict[str, Interval]:
    """Where a step away stops paying, over displacement (curves.knee), and whether there is a bend at all: `bends`, by
    how much less two segments miss a unit they were not fitted to than one line does."""
    unit = UNITS[unit_of(rows)]
    kept, obeyed = (curve(rows, conditions, value) for value in ("kept", "obeyed"))
    units = min(len(kept), len(obeyed))
    x = log_displacement(rows, conditions, units)
    kept, obeyed = kept[:units], obeyed[:units]
    return curves.knee(x, kept, obeyed, unit=unit) | {"bends": curves.gain_of_bending(x, kept + obeyed, unit=unit)}


def log_displacement(rows: pd.DataFrame, conditions: Sequence[str], units: int) -> np.ndarray:
    """[U, C] decimal logarithm of the displacement; images of one concept share it."""
    return np.log10(curve(rows, conditions, "displacement")[:units])


def correlations(rows: pd.DataFrame, conditions: Sequence[str], value: str) -> Interval:
    """Spearman's correlation of a score with the displacement over the rates, mean over units."""
    scores = curve(rows, conditions, value)
    far = log_displacement(rows, conditions, len(scores))
    values = [curves.rank_correlation(x, y) for x, y in zip(far, scores, strict=True)]
    return mean_of_units(np.array(values), UNITS[unit_of(rows)])


def balance(rows: pd.DataFrame, rates: Mapping[float, str]) -> Interval:
    """The rate with the largest sum of kept and obeyed; the interval bootstraps the choice."""
    sums = summed(rows, list(rates.values()))
    return curves.best(dict(zip(rates, sums.T, strict=True)), unit=UNITS[unit_of(rows)])


def misranking(rows: pd.DataFrame, conditions: Sequence[str], score: str, truth: str) -> Interval | None:
    """Share of pairs of conditions that a score puts in the wrong order, of those whose truth is known; by concept."""
    shares = []
    for _, mine in rows.groupby("concept", observed=True):
        values, truths, errors = [], [], []
        for condition in conditions:
            one = mine[mine["condition"] == condition]
            right = known(one, truth)[truth].astype(float)
            if len(right) > 1 and len(known(one, score)):
                values.append(float(known(one, score)[score].mean()))
                truths.append(float(right.mean()))
                errors.append(float(right.std(ddof=1)) / len(right) ** 0.5)
        wrong, pairs = curves.misranked(np.array(values), np.array(truths), np.array(errors))
        if pairs:
            shares.append(wrong / pairs)
    return mean_of_units(np.array(shares), UNITS["concept"]) if len(shares) > 1 else None


def few(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The photo's pictures, and of each edit prompt the first `count`: as many as every configuration has drawn."""
    return rows[(rows["kind"] == "photo") | (rows["index"] < count)]


def regret(rows: pd.DataFrame, rates: Mapping[float, str], chosen: str) -> Interval:
    """What a rate loses of kept + obeyed to the one that is best on these rows."""
    sums = dict(zip(rates.values(), summed(rows, list(rates.values())).T, strict=True))
    top = max(sums.values(), key=lambda values: float(values.mean()))
    return mean_of_units(top - sums[chosen], UNITS[unit_of(rows)])


def summed(rows: pd.DataFrame, conditions: Sequence[str]) -> np.ndarray:
    """[U, C] kept + obeyed by unit and condition."""
    kept, obeyed = (curve(rows, conditions, value) for value in ("kept", "obeyed"))
    units = min(len(kept), len(obeyed))
    return kept[:units] + obeyed[:units]


def guided_rows(
    rows: pd.DataFrame, labels: pd.DataFrame, scales: Mapping[str, float], *, seed: int, default: float, count: int
) -> pd.DataFrame:
    """Rows at other guidance scales and, of the same prompts and noise, at the default; with their `scale`."""
    other = of_section(rows, labels, "guidance")
    usual = of_section(rows, labels, "rates", "references")
    usual = usual[usual["prompt"].isin(other["prompt"].unique()) & (usual["seed"] == seed) & (usual["index"] < count)]
    return pd.concat([other.assign(scale=other["run"].astype(str).map(scales)), usual.assign(scale=default)])


def lifts(rows: pd.DataFrame, conditions: Sequence[str], value: str, *, low: float, high: float) -> dict[str, Interval]:
    """How much a score rises from one guidance scale to another, in two conditions, and the first's lift less the
    second's, all paired."""
    keys = [*PAIRED, "condition"]
    at = [known(rows[rows["scale"] == scale], value).set_index(keys)[value].astype(float) for scale in (low, high)]
    lift = (at[1] - at[0]).dropna().unstack("condition")[list(conditions)].dropna()
    found = lift.assign(difference=lift[conditions[0]] - lift[conditions[1]]).reset_index()
    return {name: of_units(found, name) for name in (*conditions, "difference")}


def unit_name(rows: pd.DataFrame) -> str:
    """What intervals over these rows speak about."""
    column = next((name for name in UNITS if rows[name].nunique() > 1), "index")
    return UNITS[column]


def written(numbers: Mapping[str, Mapping[str, Interval]], spec: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Numbers with their intervals as a table of texts, a row a condition; of all columns, or of some in an order."""
    table = pd.DataFrame({row: {name: f"{x:{spec}}" for name, x in found.items()} for row, found in numbers.items()}).T
    return table[[name for name in columns if name in table]] if columns else table

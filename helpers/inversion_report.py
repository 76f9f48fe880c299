"""What report 02 says of its rows: scores of conditions, curves over the rates, and the verdicts on them.

Numbers are means over concepts (then seeds, then images) with their intervals; differences are paired over concept,
seed, prompt and noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers import curves
from helpers.intervals import bounded
from helpers.inversion_runs import BARE, CLASS_WORD
from helpers.stats import UNITS, Interval, bootstrap, mean_of_units, of_units, paired, share_of_rows, widened

SCORES = ("kept", "obeyed", "text_cosine", "edit", "identity", "joint")
"""Of a condition: kept by the photo alone, identity by as many pictures of each prompt, the others by the edit prompts
alone."""
Scores = dict[str, dict[str, Interval]]
"""Numbers by condition and score."""
PAIRED = ("concept", "seed", "prompt", "index")


def of_section(rows: pd.DataFrame, labels: pd.DataFrame, *sections: str) -> pd.DataFrame:
    """The rows of some sections, each with its condition; a run that is in both is there once."""
    mine = labels[labels["section"].isin(sections)].drop_duplicates("run")[["run", "condition"]]
    return rows.merge(mine, on="run")


def complete(rows: pd.DataFrame, conditions: Sequence[str], *, seed: int) -> list[str]:
    """The conditions that every concept of the rows has with a seed: others would be compared over other concepts."""
    mine = rows[rows["seed"] == seed]
    counts = mine.groupby("condition", observed=True)["concept"].nunique()
    return [name for name in conditions if counts.get(name, 0) == mine["concept"].nunique() > 0]


def known(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """The rows that say something about a score: the photo asks for no edit; of an identity as many of each prompt,
    though more are drawn of the photo than of an edit."""
    if value in ("text_cosine", "editability_share"):
        rows = rows[rows["kind"] != "photo"]
    rows = rows[rows[value].notna()]
    if value != "identity" or rows.empty:
        return rows
    run = ["concept", "condition", "seed"]
    last = rows.groupby([*run, "prompt"], observed=True)["index"].max().groupby(level=run, observed=True).min()
    return rows[rows["index"].to_numpy() <= last.reindex(pd.MultiIndex.from_frame(rows[run])).to_numpy()]


def one_of_same(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """The rows of one concept, where all concepts' are the same pictures, as those of a class word: they are so many
    images, and no concepts."""
    values = rows.groupby(["seed", "prompt", "index"], observed=True)[value].nunique()
    same = rows["concept"].nunique() > 1 and values.max() == 1
    return rows[rows["concept"] == rows["concept"].iloc[0]] if same else rows


def score(rows: pd.DataFrame, value: str) -> Interval | None:
    """Mean of a score with its interval; None where it is not known."""
    rows = known(rows, value)
    if len(rows) < 2:
        return None
    if set(rows["condition"]) <= {CLASS_WORD, BARE}:
        rows = one_of_same(rows, value)
    mean = share_of_rows if pd.api.types.is_bool_dtype(rows[value]) else of_units
    return mean(rows, value, units=units_of(rows))


def known_scores(numbers: Mapping[str, Interval | None]) -> dict[str, Interval]:
    """Without those that are not known."""
    return {name: number for name, number in numbers.items() if number is not None}


def scored(rows: pd.DataFrame, conditions: Sequence[str]) -> Scores:
    """SCORES of each condition, those that are known."""
    found = {}
    for condition in conditions:
        mine = rows[rows["condition"] == condition]
        found[condition] = known_scores({value: score(mine, value) for value in SCORES})
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
    units = units_of(both)
    pairs = [name for name in PAIRED if name not in units]
    return paired(both, value, condition="condition", minuend=condition, subtrahend=base, units=units, pairs=pairs)


def units_of(rows: pd.DataFrame) -> tuple[str, ...]:
    """What intervals go over: concepts, then seeds, then images; the images of the only one, whatever its seeds."""
    return tuple(UNITS) if rows["concept"].nunique() > 1 else ("concept", "index")


def unit_of(rows: pd.DataFrame) -> str:
    """The column whose values are the units of a curve: concepts, or the images of the only one."""
    return "concept" if rows["concept"].nunique() > 1 else "index"


def curve(rows: pd.DataFrame, conditions: Sequence[str], value: str) -> pd.DataFrame:
    """Mean of a value by unit (rows) and condition (columns), seeds alike; units that a condition lacks are out."""
    unit = "concept" if value == "displacement" else unit_of(rows)  # all images of a concept have one distance
    rows = known(rows, value).astype({value: float})
    means = rows.groupby([unit, "condition", "seed"], observed=True)[value].mean()
    by_condition = means.groupby(level=[0, 1], observed=True).mean().unstack()
    return by_condition.reindex(columns=list(conditions)).dropna()


def curves_of(rows: pd.DataFrame, conditions: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decimal logarithm of the displacement, kept and obeyed, [U, C] each, of the units that have both scores."""
    kept, obeyed = (curve(rows, conditions, value) for value in ("kept", "obeyed"))
    common = kept.index.intersection(obeyed.index)
    far = log_distances(rows, conditions, common)
    return far, kept.loc[common].to_numpy(), obeyed.loc[common].to_numpy()


def log_distances(rows: pd.DataFrame, conditions: Sequence[str], units: pd.Index) -> np.ndarray:
    """[U, C] decimal logarithm of the displacement of each unit."""
    far = curve(rows, conditions, "displacement")
    found = far.loc[units] if unit_of(rows) == "concept" else far.loc[far.index.repeat(len(units))]
    return np.log10(found.to_numpy())


def bent(rows: pd.DataFrame, conditions: Sequence[str]) -> dict[str, Interval]:
    """Where a step away stops paying, over displacement (curves.knee); by how much less two segments miss a unit they
    were not fitted to than one line (`over_line`) and than a parabola (`over_parabola`)."""
    unit = UNITS[unit_of(rows)]
    far, kept, obeyed = curves_of(rows, conditions)
    gains = {
        name: curves.gain_of_bending(far, kept + obeyed, degree=degree, unit=unit)
        for degree, name in enumerate(("over_line", "over_parabola"), start=1)
    }
    return curves.knee(far, kept, obeyed, unit=unit) | gains


def rate_at(rows: pd.DataFrame, rates: Mapping[float, str], distance: float) -> float:
    """The learning rate whose token ends at a distance, between the rates that were tried."""
    far = np.log10(curve(rows, list(rates.values()), "displacement").to_numpy()).mean(axis=0)
    return float(10 ** np.interp(np.log10(distance), far, np.log10(list(rates))))


def correlations(rows: pd.DataFrame, conditions: Sequence[str], value: str) -> Interval:
    """Spearman's correlation of a score with the displacement over the rates: the mean over concepts; of one concept,
    that of its mean curve, over images drawn anew."""
    scores, unit = curve(rows, conditions, value), unit_of(rows)
    x, y = log_distances(rows, conditions, scores.index), scores.to_numpy()
    if unit == "concept":
        found = [curves.rank_correlation(*both) for both in zip(x, y, strict=True)]
        return bounded(mean_of_units(np.array(found), UNITS[unit]), -1, 1)

    def of_mean(chosen: np.ndarray) -> dict[str, float]:
        return {"": curves.rank_correlation(x[0], y[chosen].mean(axis=0))}

    return bootstrap(of_mean, n=len(y), unit=UNITS[unit])[""]


def balance(rows: pd.DataFrame, rates: Mapping[float, str]) -> Interval:
    """The rate with the largest sum of kept and obeyed; the interval bootstraps the choice."""
    _, kept, obeyed = curves_of(rows, list(rates.values()))
    return curves.best(dict(zip(rates, (kept + obeyed).T, strict=True)), unit=UNITS[unit_of(rows)])


def regret(rows: pd.DataFrame, rates: Mapping[float, str], chosen: str) -> Interval:
    """What a rate loses of kept + obeyed to the one that is best on these rows, which is sought anew in each draw."""
    names = list(rates.values())
    _, kept, obeyed = curves_of(rows, names)
    sums, place = kept + obeyed, names.index(chosen)

    def lost(units: np.ndarray) -> dict[str, float]:
        means = sums[units].mean(axis=0)
        return {"": float(means.max() - means[place])}

    return bootstrap(lost, n=len(sums), unit=UNITS[unit_of(rows)])[""]


def few(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The photo's pictures, and of each edit prompt the first `count`: as many as every configuration has drawn."""
    return rows[(rows["kind"] == "photo") | (rows["index"] < count)]


def guided_rows(
    other: pd.DataFrame, usual: pd.DataFrame, scales: Mapping[str, float], *, default: float, count: int
) -> pd.DataFrame:
    """Rows at other guidance scales and, of the same prompts, seeds and noise, at the default; with their `scale`."""
    same = usual["prompt"].isin(other["prompt"].unique()) & usual["seed"].isin(other["seed"].unique())
    usual = usual[same & (usual["index"] < count)]
    return pd.concat([other.assign(scale=other["run"].astype(str).map(scales)), usual.assign(scale=default)])


def by_scale(rows: pd.DataFrame, conditions: Sequence[str], value: str) -> dict[str, dict[float, Interval]]:
    """A score of each condition by guidance scale."""
    found: dict[str, dict[float, Interval]] = {}
    for (name, scale), mine in rows[rows["condition"].isin(conditions)].groupby(["condition", "scale"], observed=True):
        if (number := score(mine, value)) is not None:
            found.setdefault(str(name), {})[float(scale)] = number
    return found


def lifts(rows: pd.DataFrame, conditions: Sequence[str], value: str, *, low: float, high: float) -> dict[str, Interval]:
    """How much a score rises from one guidance scale to another, in two conditions, and the first's lift less the
    second's, all paired; where the second's pictures are the same for all concepts, with their own chance added."""
    keys = [*PAIRED, "condition"]
    at = [known(rows[rows["scale"] == scale], value).set_index(keys)[value].astype(float) for scale in (low, high)]
    lift = (at[1] - at[0]).dropna().unstack("condition")[list(conditions)].dropna()
    found = lift.assign(difference=lift[conditions[0]] - lift[conditions[1]]).reset_index()
    of_each = {name: of_units(found, name, units=units_of(found)) for name in (*conditions, "difference")}
    once = one_of_same(found, conditions[1]) if conditions[1] == CLASS_WORD else found
    if len(once) < len(found):
        draws = once.groupby("index", observed=True)[conditions[1]].mean().to_numpy()
        shared, more = mean_of_units(draws, UNITS["index"]), widened(of_each["difference"], draws)
        of_each |= {conditions[1]: shared, "difference": more}
    return of_each


def not_apart(rows: pd.DataFrame, rates: Mapping[float, str], chosen: str) -> list[str]:
    """The rates whose kept + obeyed differs from that of the chosen one by an interval that holds zero."""
    names = list(rates.values())
    _, kept, obeyed = curves_of(rows, names)
    sums, unit = kept + obeyed, UNITS[unit_of(rows)]
    away = {name: mean_of_units(sums[:, n] - sums[:, names.index(chosen)], unit) for n, name in enumerate(names)}
    return [name for name, number in away.items() if name != chosen and number.low <= 0 <= number.high]


def unit_name(rows: pd.DataFrame) -> str:
    """What intervals over these rows speak about."""
    return UNITS[unit_of(rows)]


def written(numbers: Mapping[str, Mapping[str, Interval]], spec: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Numbers with their intervals as a table of texts, a row a condition; of all columns, or of some in an order."""
    table = pd.DataFrame({row: {name: f"{x:{spec}}" for name, x in found.items()} for row, found in numbers.items()}).T
    return table[[name for name in columns if name in table]] if columns else table

"""Intervals: what a number would have been with other draws of its unit.

The unit is named, because it says what an interval speaks about: an interval over images says
nothing about other concepts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from helpers.intervals import LEVEL, UNITS, Interval


def jackknife(
    statistic: Callable[[np.ndarray], float], *, n: int, unit: str, groups: int | None = None, level: float = LEVEL
) -> Interval:
    """Student's t interval around a statistic, with Tukey's jackknife estimate of its standard error.

    For means it is the t interval. For the cosine of a mean vector a bootstrap is biased, because a unit drawn
    twice makes the mean longer; leaving one unit out is not (Efron and Stein 1981).

    Args:
        statistic: a smooth function of the indices of the units; for a paired difference, the difference at the
            same indices.
        n: number of units, 2 or more.
        unit: their name, in the plural.
        groups: how many parts of the units are left out in turn, where leaving out each alone takes too long (the
            delete-a-group jackknife, Kott 2001); at most n, which is also the default.
        level: of the interval; more than 95% where several are read at once.

    Raises:
        ValueError: fewer than 2 units, which have no interval.
    """

    def alone(chosen: np.ndarray) -> dict[str, float]:
        return {"": float(statistic(chosen))}

    return jackknife_each(alone, n=n, unit=unit, groups=groups, level=level)[""]


def jackknife_each(
    statistics: Callable[[np.ndarray], Mapping[str, float]],
    *,
    n: int,
    unit: str,
    groups: int | None = None,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """`jackknife` of several statistics that are computed together, by name."""
    if n < 2:
        raise ValueError(f"an interval over {unit} needs 2 or more of them, not {n}")
    units, parts = np.arange(n), min(n, groups or n)
    values = statistics(units)
    without = [statistics(np.delete(units, units[part::parts])) for part in range(parts)]
    found = {}
    for name, value in values.items():
        left = np.array([row[name] for row in without])
        error = np.sqrt((parts - 1) / parts * np.square(left - left.mean()).sum())
        half_width = float(stats.t.ppf((1 + level) / 2, parts - 1) * error)
        found[name] = Interval(value=value, low=value - half_width, high=value + half_width, n=n, unit=unit)
    return found


def bootstrap(
    statistics: Callable[[np.ndarray], Mapping[str, float]],
    *,
    n: int,
    unit: str,
    draws: int = 2000,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Percentile intervals of statistics that are not smooth, such as a breakpoint or the best of several (Efron 1979).

    The percentiles are expanded, or intervals over few units would be too narrow: those at which the interval of a mean
    is as wide as Student's (Hesterberg 2015, section 3.3.1).

    Args:
        statistics: of the indices of units drawn with repetition, to numbers by name; a number that is not finite (a
            draw where there is none) counts as one of the largest.
        n: number of units, 2 or more.
        unit: their name, in the plural.
        draws: how often units are drawn.
        seed: of the draws.
        level: of the intervals.

    Raises:
        ValueError: fewer than 2 units.
    """
    if n < 2:
        raise ValueError(f"an interval over {unit} needs 2 or more of them, not {n}")
    g = np.random.default_rng(seed)
    values = statistics(np.arange(n))
    drawn = [statistics(g.integers(n, size=n)) for _ in range(draws)]
    tail = float(stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, n - 1)))
    found = {}
    for name, value in values.items():
        low, high = np.quantile([row[name] for row in drawn], (tail, 1 - tail), method="inverted_cdf")
        found[name] = Interval(value=value, low=float(low), high=float(high), n=n, unit=unit)
    return found


def mean_of_units(values: np.ndarray, unit: str, *, level: float = LEVEL) -> Interval:
    """Mean of values [n], one a unit, with its t interval."""
    return jackknife(lambda chosen: float(values[chosen].mean()), n=len(values), unit=unit, level=level)


def widened(found: Interval, draws: np.ndarray) -> Interval:
    """The interval with the standard error of a mean over further random draws [K] added in quadrature.

    Where a number is a mean over both units and draws that every unit shares, such as weights.
    """
    more = mean_of_units(draws, "draws")
    half_width = float(np.hypot((found.high - found.low) / 2, (more.high - more.low) / 2))
    return dataclasses.replace(found, low=found.value - half_width, high=found.value + half_width)


def difference(one: Interval, other: Interval) -> Interval:
    """One number less another, as if they were independent: too wide an interval where the same units gave both.

    Each end adds the squares of the arms that face it (Newcombe 1998), since intervals of shares are not symmetric.
    """
    value = one.value - other.value
    low = value - float(np.hypot(one.value - one.low, other.high - other.value))
    high = value + float(np.hypot(one.high - one.value, other.value - other.low))
    return Interval(value=value, low=low, high=high, n=one.n, unit=one.unit)


def scaled(number: Interval, by: float) -> Interval:
    """A number in another, positive unit."""
    return dataclasses.replace(number, value=by * number.value, low=by * number.low, high=by * number.high)


def share_of_units(values: np.ndarray, unit: str) -> Interval:
    """Share of true values [n, P], P of each of n units, with Wilson's interval, which stays within 0 and 1.

    The number of draws is that which would give the share the spread it has over the units; where all values are the
    same, the number of units (Wilson 1927; effective sample size as in Korn and Graubard 1998).
    """
    return wilson(values.mean(axis=1), unit, pictures=values.size, quantile=float(stats.norm.ppf((1 + LEVEL) / 2)))


def wilson(means: np.ndarray, unit: str, *, pictures: int, quantile: float) -> Interval:
    """Wilson's interval of a share from the shares [n] of units, which have so many pictures in all."""
    share, n = float(means.mean()), len(means)
    variance = means.var(ddof=1) / n
    draws = n if share in (0, 1) else share * (1 - share) / max(variance, share * (1 - share) / pictures)
    centre = (share + quantile**2 / (2 * draws)) / (1 + quantile**2 / draws)
    inner = share * (1 - share) / draws + quantile**2 / (4 * draws**2)
    half = quantile / (1 + quantile**2 / draws) * np.sqrt(inner)
    return Interval(value=share, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n, unit=unit)


def of_units(rows: pd.DataFrame, value: str, *, units: Sequence[str] = tuple(UNITS)) -> Interval:
    """Mean of a column with its interval over the outermost unit that was drawn more than once.

    Rows are averaged within each image, images within a seed, seeds within a concept: a concept counts once, however
    many images it has. With several concepts the interval is over concepts; with one, over its seeds; with one seed,
    over its images, and says nothing about other seeds or concepts.

    Args:
        rows: one row a score, with the columns of `units`.
        value: the column.
        units: the outermost first.

    Raises:
        ValueError: every unit was drawn once only, or the column has missing values.
    """
    return mean_of_units(*unit_means(rows, value, units))


def share_of_rows(rows: pd.DataFrame, value: str, *, units: Sequence[str] = tuple(UNITS)) -> Interval:
    """As `of_units` for a column of true and false: Wilson's interval, which stays within 0 and 1.

    See `share_of_units`; Student's t in place of the normal quantile, as units may be few (Korn and Graubard 1998).
    """
    means, unit = unit_means(rows, value, units)
    return wilson(means, unit, pictures=len(rows), quantile=float(stats.t.ppf((1 + LEVEL) / 2, len(means) - 1)))


def unit_means(rows: pd.DataFrame, value: str, units: Sequence[str]) -> tuple[np.ndarray, str]:
    """Means [n] of the outermost unit that was drawn more than once, and its name in the plural; see `of_units`."""
    if rows[value].isna().any():
        raise ValueError(f"{value} has missing values: say what they mean before averaging")
    for depth, unit in enumerate(units):
        groups = rows.groupby(list(units[: depth + 1]), sort=True, observed=True)
        if groups.ngroups > 1:
            means = rows.astype({value: float}).groupby(list(units), sort=True, observed=True)[value].mean()
            for inner in reversed(range(depth + 1, len(units))):
                means = means.groupby(level=list(range(inner)), observed=True).mean()
            return means.to_numpy(), UNITS.get(unit, unit)
    raise ValueError(f"an interval needs 2 or more of {', '.join(units)}")


def paired(
    rows: pd.DataFrame,
    value: str,
    *,
    condition: str,
    minuend: object,
    subtrahend: object,
    pairs: Sequence[str] = ("prompt",),
    units: Sequence[str] = tuple(UNITS),
) -> Interval:
    """Difference of a column between two conditions that share concept, seed, prompt and noise.

    Args:
        rows: one row a score, with the columns `condition`, `pairs` and `units`.
        value: the column.
        condition: the column that names the condition.
        minuend: the condition from which the other is taken.
        subtrahend: the other.
        pairs: further columns in which two rows of a pair agree.
        units: see `of_units`.

    Raises:
        ValueError: a row of one condition has no partner in the other, or more than one.
    """
    keys = [*units, *pairs]
    one, other = (rows[rows[condition] == name].set_index(keys)[value].astype(float) for name in (minuend, subtrahend))
    if not one.index.is_unique or not other.index.is_unique or set(one.index) != set(other.index):
        raise ValueError(f"{minuend} and {subtrahend} do not have the same {', '.join(keys)}, each once")
    return of_units((one - other).rename(value).reset_index(), value, units=units)

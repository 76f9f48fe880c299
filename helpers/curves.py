"""Scores along a distance: which distance explains them, where a gain begins to cost, and how well scores rank.

Distances are positive and span decades, so that all fits are over their logarithm. Every function takes plain arrays;
units (concepts, or images of one) are drawn by `stats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata

from helpers.stats import Interval, bootstrap, mean_of_units

CANDIDATES = 41
"""Breakpoints that are tried."""


def monotone_error(distance: np.ndarray, score: np.ndarray, left_out: np.ndarray) -> float:
    """How badly a monotone function of a distance predicts scores of groups it has not seen.

    Each group in turn is predicted from an isotonic fit (Barlow et al. 1972; rising or falling, whichever fits the
    others better) to the other groups, straight between their distances and constant beyond. A distance that explains
    the scores needs no more than itself: what the group was does not matter then.

    Args:
        distance: [n].
        score: [n].
        left_out: [n], the group of each, such as its learning rate.

    Returns:
        root mean square error over the scores' standard deviation: 0 is perfect, 1 no better than their mean.
    """
    errors = np.empty_like(score, dtype=float)
    for group in np.unique(left_out):
        out = left_out == group
        errors[out] = monotone(distance[~out], score[~out], distance[out]) - score[out]
    return float(np.sqrt(np.square(errors).mean()) / max(score.std(), 1e-12))


def monotone(distance: np.ndarray, score: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values at other distances of the isotonic fit, rising or falling, that is nearer to the scores [n]."""
    known, which = np.unique(distance, return_inverse=True)
    weights = np.bincount(which)
    means = np.bincount(which, weights=score) / weights
    fits = [isotonic_regression(means, weights=weights, increasing=rising).x for rising in (True, False)]
    best = min(fits, key=lambda fit: float((weights * np.square(fit - means)).sum()))
    return np.interp(at, known, best)


@dataclass(frozen=True, kw_only=True)
class Bend:
    """Two straight segments that meet."""

    at: float
    """Decimal logarithm of the distance."""
    before: float
    """Slope, in score a decade of distance."""
    after: float


def bend(log_distance: np.ndarray, score: np.ndarray, candidates: np.ndarray) -> Bend:
    """The continuous two-segment line of least squares through points [n] (Hinkley 1971), by trying breakpoints."""
    tried = [segments(log_distance, score, at) for at in candidates]
    return min(tried, key=lambda found: float(np.square(score - value_of(found, log_distance)).sum()))[0]


def breakpoints(log_distance: np.ndarray) -> np.ndarray:
    """Where a break may be, from distances [U, R]: between the second and the last but one of the R mean distances, so
    that each segment spans two rates, whatever their units scatter."""
    means = np.sort(log_distance.mean(axis=0))
    return np.linspace(means[1], means[-2], CANDIDATES)


def segments(log_distance: np.ndarray, score: np.ndarray, at: float) -> tuple[Bend, np.ndarray]:
    """Least squares with the breakpoint given; the bend and its coefficients [3]."""
    basis = basis_at(log_distance, at)
    coefficients, *_ = np.linalg.lstsq(basis, score, rcond=None)
    return Bend(at=at, before=float(coefficients[1]), after=float(coefficients[1] + coefficients[2])), coefficients


def basis_at(log_distance: np.ndarray, at: float) -> np.ndarray:
    """[n, 3]: constant, distance, and what is beyond the breakpoint."""
    return np.stack([np.ones_like(log_distance), log_distance, (log_distance - at).clip(min=0)], axis=1)


def value_of(found: tuple[Bend, np.ndarray], log_distance: np.ndarray) -> np.ndarray:
    """The two segments' values."""
    return basis_at(log_distance, found[0].at) @ found[1]


def knee(log_distance: np.ndarray, kept: np.ndarray, obeyed: np.ndarray, *, unit: str) -> dict[str, Interval]:
    """Where a step away stops paying: a bend in kept + obeyed, the normalised reconstruction and editability.

    Args:
        log_distance: [U, R] decimal logarithms, of U units at R rates.
        kept: [U, R], 0 at the reference that only obeys, 1 at the one that only copies.
        obeyed: [U, R], the other way round.
        unit: what the units are.

    Returns:
        Percentile intervals over the units: `distance`, of the bend, and its `decades` (the logarithm); the slopes a
        decade `before` and `after` it of the sum, of `kept` and of `obeyed`; `slope_ratio`, after over before;
        `change`, after minus before; `price_before` and `price_after`, obeyed lost for kept gained.
    """

    candidates = breakpoints(log_distance)

    def statistics(chosen: np.ndarray) -> dict[str, float]:
        x, k, o = (values[chosen].ravel() for values in (log_distance, kept, obeyed))
        found = bend(x, k + o, candidates)
        parts = {name: segments(x, values, found.at)[0] for name, values in (("kept", k), ("obeyed", o))}
        numbers = {"decades": found.at, "distance": 10**found.at, "before": found.before, "after": found.after}
        numbers |= {"change": found.after - found.before, "slope_ratio": ratio(found.after, found.before)}
        for name, part in parts.items():
            numbers |= {f"{name}_before": part.before, f"{name}_after": part.after}
        numbers["price_before"] = ratio(-parts["obeyed"].before, parts["kept"].before)
        numbers["price_after"] = ratio(-parts["obeyed"].after, parts["kept"].after)
        return numbers

    return bootstrap(statistics, n=len(kept), unit=unit)


def ratio(one: float, other: float) -> float:
    """One over other; very large, and a number still, where the other is 0."""
    return one / (other or 1e-12)


def gain_of_bending(log_distance: np.ndarray, score: np.ndarray, *, degree: int, unit: str) -> Interval:
    """By how much less two segments miss a unit that they were not fitted to than a polynomial, in root mean squares.

    Args:
        log_distance: [U, R].
        score: [U, R].
        degree: 1 for one line; 2 for a smooth curve, which a break is hard to tell from.
        unit: what the units are.
    """
    candidates, gains = breakpoints(log_distance), []
    for out in range(len(score)):
        x, y = (np.delete(values, out, axis=0).ravel() for values in (log_distance, score))
        smooth = np.polyval(np.polyfit(x, y, degree), log_distance[out])
        bent = value_of(segments(x, y, bend(x, y, candidates).at), log_distance[out])
        misses = [np.sqrt(np.square(score[out] - found).mean()) for found in (smooth, bent)]
        gains.append(misses[0] - misses[1])
    return mean_of_units(np.array(gains), unit)


def rank_correlation(distance: np.ndarray, score: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where all scores are the same."""
    if not np.ptp(distance) or not np.ptp(score):
        return 0.0
    return float(np.corrcoef(rankdata(distance), rankdata(score))[0, 1])


def misranked(score: np.ndarray, truth: np.ndarray, error: np.ndarray) -> tuple[int, int]:
    """How many pairs of conditions a score puts in the wrong order, and of how many whose order is known.

    The order of a pair is known if its truths differ by more than twice the standard error of their difference.

    Args:
        score: [C] of C conditions.
        truth: [C], such as the share of pictures that are right.
        error: [C], standard errors of the truths.
    """
    one, other = np.triu_indices(len(score), 1)
    apart = truth[one] - truth[other]
    known = np.abs(apart) > 2 * np.hypot(error[one], error[other])
    wrong = np.sign(score[one] - score[other]) != np.sign(apart)
    return int((wrong & known).sum()), int(known.sum())


def best(scores: Mapping[float, np.ndarray], *, unit: str) -> Interval:
    """The rate with the highest mean score over units [U]; its interval bootstraps the choice."""
    rates, values = np.array(list(scores)), np.stack(list(scores.values()))
    return bootstrap(
        lambda chosen: {"": float(rates[values[:, chosen].mean(1).argmax()])}, n=values.shape[1], unit=unit
    )[""]
